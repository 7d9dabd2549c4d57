// A scripted client: asks what its seed says, and knows what must be answered.
//
// Everything it sends also goes to a model session without weir in between; every reply must be the
// model's, in order. Errors that weir may give instead (a borrow that timed out, a lost connection)
// are accepted where they are allowed and set the model back. A client lives several lives: logs
// in, asks, leaves in one of several ways.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/auth/scram.h"
#include "tests/sim/net.h"
#include "tests/sim/pg_session.h"
#include "tests/sim/sim_tls.h"

namespace weir::sim {

struct ClientOptions {
  int lives = 2;
  int requests = 20;      // of a life, at most
  int depth = 1;          // requests in flight, at most
  bool may_lose = false;  // servers die in this run
  bool may_wait = false;  // borrows may time out
  bool rude = false;      // vanishes, resets, stalls
  bool cancels = false;
  double pins = 0.02;      // of requests that pin
  double settings = 0.1;   // ... that make settings or show them
  double reads = 0;        // ... that only read, a little
  double from_sql = 0;     // ... of those with named statements, those of SQL's
  double slow_reader = 0;  // of replies that are read late
  Nanos think_max = 2 * engine::kMillisecond;
  Nanos beat = 0;  // it acts at multiples of it only, as the others do; 0: at any time
  Nanos borrow_timeout = 0;
  Nanos away_max = 5 * engine::kMillisecond;  // between two lives
  Nanos patience = 100 * engine::kSecond;     // that an answer may take
  std::string database = "d0";
  std::string base;  // startup settings of these names; empty: none
  std::string mine;
  std::string start;     // ... that only the start of a session can make
  bool bad = false;      // ... and one that does not exist
  size_t large = 20000;  // bytes of a large text
  // kAsk: by an SSLRequest; kDirect: with its first byte.
  enum class Encryption : uint8_t { kNone, kAsk, kDirect };
  Encryption encryption = Encryption::kNone;
  std::string weir_address;
};

// What all clients of a run share.
struct Verdicts {
  virtual ~Verdicts() = default;
  // Something is wrong: ends the run.
  [[noreturn]] virtual void Violation(const std::string& what) = 0;
  std::map<std::string, int> rows_least;  // committed inserts that were confirmed, by tag
  std::set<std::string> inserted;         // all that were ever sent
  uint64_t answers = 0;
  uint64_t refused = 0;  // borrows that timed out
  uint64_t lost = 0;     // requests whose backend died
  Nanos longest_wait = 0;
};

class SimClient final : public Party {
 public:
  SimClient(Net& net, engine::Entropy& entropy, Verdicts& verdicts, uint64_t seed, int number,
            const ClientOptions& options);

  void Start();
  bool done() const { return state_ == State::kDone; }
  void OnChange(End& end) override;
  std::string Situation() const;

 private:
  enum class State : uint8_t { kAway, kConnecting, kLogin, kServing, kLeaving, kDone };
  struct Request {
    std::vector<PgMessage> messages;
    PgSession before;
    std::vector<PgMessage> expected;
    size_t seen = 0;  // of the expected
    Nanos sent_at = 0;
    std::string inserts;  // a tag whose rows must be there once this is answered
    int rows = 0;
    std::vector<std::string> names;  // statements that it makes or drops
    bool sleeps = false;
    bool pins = false;    // it may
    bool pinned = false;  // before it
  };

  void Begin();
  void Later(Nanos delay);
  void Act();
  void Ask();
  void Send(Request request);
  void Model(Request& request);
  void Flush();
  void BeginTls();
  bool Receive();
  void Read();
  void OnLogin(const PgMessage& message);
  void OnReport(const PgMessage& message);
  void CheckReport(const Request& answered);
  void OnReply(const PgMessage& message);
  bool Matches(const PgMessage& expected, const PgMessage& message);
  bool OnError(const PgMessage& message);
  void EndsOtherwise();
  bool OnServerCancelled(const PgMessage& message);
  void Redo(size_t from);
  void Answered();
  void Leave();
  void Gone();
  void OnEnd();
  void CheckPatience();
  void SendCancel();
  void VanishSoon();
  [[noreturn]] void Wrong(const std::string& what, const PgMessage& message);

  // The script.
  std::string Tag();
  double Roll() { return prng_.Fraction(); }
  int64_t Some(int64_t most) {
    return 1 + static_cast<int64_t>(prng_.Below(static_cast<uint64_t>(most)));
  }
  Request Simple(const std::string& sql);
  Request Next();
  Request NextRead();
  Request NextSimple();
  Request NextExtended();
  Request NextNamed();
  Request NextFromSql();
  Request NextSetting();
  Request NextState();
  Request NextCopy();

  Net& net_;
  engine::Entropy& entropy_;
  Verdicts& verdicts_;
  engine::Prng prng_;
  const int number_;
  const ClientOptions options_;
  State state_ = State::kAway;
  End* end_ = nullptr;
  int lives_ = 0;
  int asked_ = 0;
  int tags_ = 0;
  int life_requests_ = 0;
  bool acting_ = false;  // a turn is planned
  bool half_closed_ = false;
  bool loses_life_ = false;  // the server's or weir's FATAL has come
  bool terminated_ = false;  // Terminate is sent
  bool said_close_ = false;  // of TLS, or never
  std::string input_;
  std::string output_;  // still to be encrypted
  std::string wire_;    // ... and to be sent
  std::optional<SimTlsPipe> tls_;
  bool asks_tls_ = false;  // the answer to its SSLRequest has not come
  PgSession model_;
  std::deque<Request> requests_;
  std::set<std::string> names_;          // prepared, and known to be
  std::vector<std::string> gone_names_;  // were prepared, or should have been
  bool unnamed_certain_ = false;
  bool in_block_ = false;
  bool pinned_ = false;
  bool holding_ = false;  // the rest of a request is sent later
  std::vector<std::pair<std::string, int>> block_inserts_;
  std::optional<int64_t> last_number_;
  uint32_t process_id_ = 0;
  uint32_t secret_ = 0;
  int cancels_sent_ = 0;
  uint64_t life_ = 0;
  std::optional<protocol::ScramClient> scram_;
  std::string told_base_;       // by the last report
  bool report_certain_ = true;  // what a lost backend has reported is not taken back
  Nanos stalled_until_ = 0;
};

}  // namespace weir::sim
