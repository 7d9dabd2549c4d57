// A virtual network and a virtual clock: what stands behind engine::Io in the simulator.
//
// Connections have two ends. Bytes arrive in order, after a while, cut or joined by chance; a
// window bounds what is on the way. Everything that happens later is an event; events of one moment
// happen in the order in which they were planned. One thread, no kernel; the same seed gives the
// same run.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/prng.h"

namespace weir::sim {

using engine::Nanos;

struct NetOptions {
  Nanos latency_min = 5 * engine::kMicrosecond;
  Nanos latency_max = 300 * engine::kMicrosecond;
  double cut = 0.2;        // how often a transfer is cut somewhere
  double straggle = 0.01;  // how often bytes take a hundred times as long
  uint32_t window = 65536;
};

class End;

// Who sits at an end. Told by event, never from inside a call to the network.
class Party {
 public:
  virtual ~Party() = default;
  // Bytes, room, the peer's end, or that it is connected: something has changed.
  virtual void OnChange(End& end) = 0;
};

// One end of a connection. Lives as long as the network.
class End {
 public:
  std::string inbox;       // arrived, not yet read
  bool connected = false;  // both sides know of it
  int refused = 0;         // errno of a connection that was not to be
  bool fin = false;        // the peer sends no more, and all of it is in the inbox
  bool reset = false;      // the connection broke
  bool shut = false;       // we send no more
  bool closed = false;     // by us

 private:
  friend class Net;
  End* peer_ = nullptr;
  Party* party_ = nullptr;
  bool told_ = false;        // a call of OnChange is planned
  uint32_t travelling_ = 0;  // bytes on the way to us
  Nanos last_arrival_ = 0;
};

class Net {
 public:
  Net(uint64_t seed, const NetOptions& options);

  Nanos now() const { return now_; }
  engine::Prng& prng() { return prng_; }
  bool Chance(double probability) { return prng_.Fraction() < probability; }
  Nanos Between(Nanos low, Nanos high);

  void At(Nanos when, std::function<void()> what);
  // When the next event is due; kForever if there is none.
  Nanos NextEvent() const { return events_.empty() ? engine::kForever : events_.top().when; }
  void RunEvent();  // the next one, which is due
  void Advance(Nanos to) { now_ = to > now_ ? to : now_; }

  // Who answers at an address. nullptr: nobody, connections are refused. `accept` gets the far end;
  // false: refused.
  using Acceptor = std::function<bool(End& end)>;
  void Listen(const std::string& address, Acceptor acceptor);
  // The connection is made or refused by event. Connections to a silent address never are.
  End& Connect(const std::string& address, Party& party);
  void SetSilent(const std::string& address, bool silent);
  void SetParty(End& end, Party* party) { end.party_ = party; }

  // How many bytes could be written now.
  uint32_t Room(const End& end) const;
  // Takes as many bytes as there is room for, perhaps fewer.
  uint32_t Write(End& end, std::string_view bytes);
  // Up to `most` bytes of the inbox.
  std::string Read(End& end, size_t most);
  void Shutdown(End& end);
  void Close(End& end);
  void Reset(End& end);

  // What happened last, for the report of a violation; also printed at once if told to.
  void Note(std::string line);
  void set_aloud(bool aloud) { aloud_ = aloud; }
  const std::deque<std::string>& notes() const { return notes_; }

  uint64_t events_run() const { return events_run_; }
  // Of all that has happened: equal runs have equal digests.
  uint64_t digest() const { return digest_; }
  void Mix(uint64_t word) { digest_ = (digest_ ^ word) * 1099511628211u; }

 private:
  struct Event {
    Nanos when;
    uint64_t order;
    uint32_t place;
    bool operator<(const Event& other) const {
      return when != other.when ? when > other.when : order > other.order;
    }
  };

  void Change(End& end);
  Nanos ArrivalAt(End& end);
  void BreakBoth(End& end);

  engine::Prng prng_;
  const NetOptions options_;
  Nanos now_ = engine::kSecond;
  uint64_t order_ = 0;
  uint64_t events_run_ = 0;
  uint64_t digest_ = 14695981039346656037u;
  std::priority_queue<Event> events_;
  std::deque<std::function<void()>> actions_;
  std::vector<uint32_t> free_actions_;
  std::deque<End> ends_;
  std::map<std::string, Acceptor> acceptors_;
  std::map<std::string, bool> silent_;
  bool aloud_ = false;
  std::deque<std::string> notes_;
};

}  // namespace weir::sim
