// One run of the simulator: weir's shards over the virtual network, a server behind, clients
// before.
//
// Each shard runs on a stack of its own; the seed says who goes on, at every tick and at every word
// that shards share. A seed also chooses the shape of the run: how many of everything, which
// faults.
//
// world.cc: what a run is made of, and its course. schedule.cc: who runs when. checks.cc: what must
// be true at every moment and at the end.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/prng.h"
#include "engine/base/shared.h"
#include "engine/shard.h"
#include "pool/proxy.h"
#include "protocol/postgres/statements.h"
#include "tests/sim/fiber.h"
#include "tests/sim/net.h"
#include "tests/sim/pg_server.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_io.h"

namespace weir::sim {

inline constexpr std::string_view kWeirAddress = "127.0.0.1:6432";

class SimEntropy final : public engine::Entropy {
 public:
  explicit SimEntropy(uint64_t seed) : prng_(seed) {}
  void Fill(engine::MutableBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(prng_.Next());
  }

 private:
  engine::Prng prng_;
};

struct RunResult {
  uint64_t digest = 0;
  uint64_t steps = 0;
  uint64_t answers = 0;
  uint64_t refused = 0;
  uint64_t lost = 0;
  std::string shape;
  uint64_t joined = 0;    // reads in flight behind others on their backend
  uint64_t repeated = 0;  // ... sent again
};

// What a seed makes of a run.
struct Shape {
  explicit Shape(uint64_t seed) : prng(seed) {}
  engine::Prng prng;
  bool Chance(double p) { return prng.Fraction() < p; }
  int64_t Among(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(prng.Below(static_cast<uint64_t>(high - low + 1)));
  }
};

class World final : public Host,
                    public Verdicts,
                    public engine::StoreBuffers,
                    public engine::ShardPeers,
                    public engine::Worker {
 public:
  World(uint64_t seed, bool verbose);
  ~World() override;
  RunResult Run();

  // Host
  void Yield(SimIo& io) override;
  void Sleep(SimIo& io, Nanos deadline) override;
  SimIo& io(uint32_t shard) override { return *seats_[shard].io; }

  // Verdicts
  [[noreturn]] void Violation(const std::string& what) override;

  std::string Situation() const;

  // engine::StoreBuffers
  void OnAccess() override;
  void Store(void* cell, uint64_t value, Apply apply, bool release) override;
  bool Pending(const void* cell, uint64_t& value) override;
  void Drain(const void* cell) override;

  // engine::ShardPeers
  uint32_t count() const override { return static_cast<uint32_t>(seats_.size()); }
  engine::Mailbox& mailbox(uint32_t shard) override { return *seats_[shard].mailbox; }
  engine::Worker& worker() override { return *this; }

  // engine::Worker
  void Submit(uint32_t shard, std::unique_ptr<engine::Job> job) override;

 private:
  struct BufferedStore {
    void* cell;
    uint64_t value;
    Apply apply;
    bool release;
  };
  // A shard and all around it.
  struct Seat {
    std::unique_ptr<engine::Mailbox> mailbox;
    std::unique_ptr<SimEntropy> entropy;
    std::unique_ptr<SimIo> io;
    std::unique_ptr<engine::Shard> shard;
    std::unique_ptr<pool::ShardProxy> proxy;
    std::unique_ptr<Fiber> fiber;
    bool asleep = false;
    Nanos wake_at = 0;
    uint64_t frozen_until = 0;  // step
    std::deque<BufferedStore> stores;
  };
  static constexpr int kNobody = -1;

  NetOptions ShapeNet();
  SimIoOptions ShapeIo();
  void ShapeConfig();
  void MakeServer();
  void MakeShards();
  void MakeClients();
  void PlanFaults();
  void PlanAlters();
  void Step();
  void RunShard(uint32_t shard);
  bool Runnable(const Seat& seat) const;
  void DrainSome();
  void DrainSeat(Seat& seat);
  void Post(uint32_t shard, engine::Message&& message);
  bool ClientsDone() const;
  bool Quiet();
  bool Stopped() const;
  void CheckShards();
  void CheckDeadlines();
  void CheckNobodyStranded();
  void CheckNobodyPassedBy();
  void CheckService();
  void CheckQuiet();
  void CheckEnd();
  void WaitFor(const char* what, Nanos longest, bool (World::*condition)());
  bool AllClientsDone() { return ClientsDone(); }
  bool AllStopped() { return Stopped(); }

  const uint64_t seed_;
  Shape shape_;
  std::string words_;                                    // the shape, for people
  bool faulty_;                                          // servers die
  protocol::TlsUse tls_use_ = protocol::TlsUse::kNever;  // to the server
  bool calm_;                                            // no faults of any kind: answers come soon
  bool beat_;                                            // clients act at the same moments
  bool reads_ = false;  // those of several clients may be in flight on one backend
  pool::Config config_;
  std::unique_ptr<Net> net_;
  SimEntropy entropy_;
  Descriptors descriptors_;
  postgres::StatementTable statements_;
  std::unique_ptr<PgServer> server_;
  std::unique_ptr<pool::ProxyShared> shared_;
  std::vector<Seat> seats_;
  std::deque<SimClient> clients_;
  std::vector<std::unique_ptr<engine::Job>> jobs_;
  engine::Prng choices_;
  uint64_t drain_every_;  // steps, about: a store that others do not see yet is seen
  uint64_t freeze_max_;   // steps that such a shard then stands still, at most
  uint64_t yield_every_;  // looks at shared words, about: another shard runs meanwhile
  int running_ = kNobody;
  uint64_t steps_ = 0;
  uint32_t budget_most_ = 1;
  std::map<pool::RouteId, Nanos> stranded_since_;
  // Of a shard, at the last check: since when its oldest waiter waits (0: nobody does), and reads
  // that have joined.
  std::vector<std::pair<Nanos, uint64_t>> passed_by_;
  bool late_ = false;  // the last clients are at work: nothing goes wrong any more
  bool draining_ = false;
};

// Runs one seed. A violation prints the seed, the step and the last transitions, and aborts.
RunResult Run(uint64_t seed, bool verbose);

}  // namespace weir::sim
