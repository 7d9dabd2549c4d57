// Clients that log in (trust, or SCRAM with a password; in the clear or over TLS) and ask one
// question at a time; every answer must carry its key.
//
// Closed loop: the next question follows the answer. Open loop: questions are due at times drawn
// beforehand (exponential gaps), go to whichever client is free, and their latency counts from when
// they were due: a slow answer delays no measurement (no coordinated omission).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "bench/load/measure.h"
#include "bench/load/messages.h"
#include "bench/load/socket.h"
#include "bench/load/tls.h"
#include "engine/address.h"
#include "engine/base/prng.h"
#include "protocol/auth/scram.h"

namespace weir::load {

class Client;

// How clients begin.
struct Entry {
  bool tls = false;
  bool resumes = false;  // the sessions of those before it
  std::string password;
};

class Clients {
 public:
  // `late_every`: answers to those questions take long (messages.h), their latency is not recorded.
  Clients(Poller& poller, const engine::Address& address, Mode mode, Entry entry,
          Latencies& latencies, uint32_t late_every);
  ~Clients();

  // Connects that many more and logs them in, in one burst. `slow`: they will ask for large answers
  // and take them slowly.
  void Add(uint32_t count, bool slow);
  bool all_ready() const { return ready_ == clients_.size() && to_connect_ == 0; }
  size_t size() const { return clients_.size(); }
  // Connects that many, a few at a time, which go as soon as they are encrypted.
  void Handshake(uint32_t count);
  bool handshakes_done() const { return handshakes_ == 0; }
  uint64_t resumed() const { return resumed_; }

  // From now on they ask; `rate` per second in all, 0: closed loop.
  void Begin(double rate, engine::Nanos now);
  // No new questions. What was due and not asked is recorded as it stands.
  void End(engine::Nanos now);
  bool quiet() const { return asking_ == 0; }
  // Answers from now on are recorded, and counted.
  void StartRecording() {
    recording_ = true;
    answers_ = 0;
  }
  uint64_t answers() const { return answers_; }
  uint64_t slow_answers() const { return slow_answers_; }

  // Connects, asks, reads slowly: what is due.
  void Tick(engine::Nanos now);

 private:
  friend class Client;
  void OnReady(Client& client);
  void OnEncrypted(Client& client, bool resumed);
  const protocol::ScramKeys& KeysFor(const std::string& salt, uint32_t iterations);
  void OnAnswer(Client& client);
  void Ask(Client& client, engine::Nanos due);
  void Connect(bool slow);

  Poller& poller_;
  const engine::Address address_;
  const Mode mode_;
  const Entry entry_;
  Latencies& latencies_;
  const uint32_t late_every_;
  TlsClients tls_;
  engine::SystemEntropy entropy_;
  std::string salt_;  // whose keys are known
  protocol::ScramKeys keys_;
  Template question_;
  Template big_question_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<Client*> slow_;
  uint32_t to_connect_ = 0;
  uint32_t handshakes_ = 0;   // still to be made
  uint32_t handshaking_ = 0;  // of them, under way
  bool only_handshakes_ = false;
  uint64_t resumed_ = 0;
  bool connecting_slow_ = false;
  size_t ready_ = 0;
  size_t asking_ = 0;
  bool begun_ = false;
  bool recording_ = false;
  uint64_t answers_ = 0;
  uint64_t slow_answers_ = 0;
  uint32_t key_ = 0;
  // Open loop.
  double gap_ = 0;  // nanoseconds, on average
  engine::Nanos next_due_ = 0;
  engine::Prng prng_{1};
  std::deque<engine::Nanos> due_;  // questions that found no free client
  std::deque<Client*> free_;
  engine::Nanos slow_read_at_ = 0;
};

}  // namespace weir::load
