// The simulated PostgreSQL server: connections, logins, time, cancel, and its own faults.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/prng.h"
#include "protocol/auth/scram.h"
#include "tests/sim/net.h"
#include "tests/sim/pg_session.h"
#include "tests/sim/sim_tls.h"

namespace weir::sim {

struct PgServerOptions {
  int max_connections = 10;
  bool scram = true;
  Nanos cost_max = 300 * engine::kMicrosecond;  // of a message
  double notice = 0.02;                         // how often a notice comes between replies
  bool tls = false;
  double early_flush = 0.3;  // how often a reply leaves before the end of its request
};

class PgServer {
 public:
  static constexpr std::string_view kAddress = "127.0.0.1:5432";
  static constexpr std::string_view kPassword = "app-password";

  PgServer(Net& net, engine::Entropy& entropy, const PgServerOptions& options);
  ~PgServer();

  PgDatabase& database() { return database_; }
  // Connections that hold a place, and the most there ever were.
  int open() const { return open_; }
  int open_most() const { return open_most_; }
  int refused() const { return refused_; }
  std::string Situation() const;

  // Faults.
  void Stop();   // every connection breaks, new ones are refused
  void Start();  // from now on it answers "starting up" for a while, then serves
  void Hang(Nanos until);
  void KillOne();  // pg_terminate_backend, or a crash, of one connection
  void SetMaxConnections(int most);

 private:
  class Connection;
  bool Accept(End& end);
  bool Cancel(uint32_t process_id, uint32_t secret);

  Net& net_;
  engine::Entropy& entropy_;
  const PgServerOptions options_;
  PgDatabase database_;
  protocol::ScramVerifier verifier_;
  std::deque<Connection> connections_;
  bool up_ = true;
  Nanos ready_at_ = 0;
  Nanos hangs_until_ = 0;
  int open_ = 0;
  int open_most_ = 0;
  int refused_ = 0;
};

}  // namespace weir::sim
