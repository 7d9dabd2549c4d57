#include "tests/sim/world.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/log.h"
#include "engine/base/shared.h"
#include "engine/base/text.h"
#include "engine/shard.h"
#include "pool/config/load_toml.h"
#include "pool/proxy.h"
#include "protocol/postgres/dialect.h"
#include "tests/sim/fiber.h"
#include "tests/sim/net.h"
#include "tests/sim/pg_server.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_io.h"

namespace weir::engine {

StoreBuffers* store_buffers = nullptr;
uint64_t active_fault = 0;

}  // namespace weir::engine

namespace weir::sim {
namespace {

using engine::Cat;
using engine::kForever;
using engine::kMicrosecond;
using engine::kMillisecond;
using engine::kSecond;

constexpr std::string_view kWeirAddress = "127.0.0.1:6432";
// A run that takes longer is stuck.
constexpr uint64_t kStepsMax = 30'000'000;
constexpr Nanos kTimeMax = 900 * kSecond;
// Somebody may wait beside what would serve him for as long as a message takes, not longer.
constexpr Nanos kStrandedMax = 60 * kMillisecond;
// A deadline is kept within a tick.
constexpr Nanos kLateMax = 100 * kMillisecond;

class SimEntropy final : public engine::Entropy {
 public:
  explicit SimEntropy(uint64_t seed) : prng_(seed) {}
  void Fill(engine::MutableBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(prng_.Next());
  }

 private:
  engine::Prng prng_;
};

// The configuration with its defaults, and its users: read once a process.
struct Basics {
  pool::Config config;
  std::shared_ptr<const pool::Users> users;
};

const Basics& TheBasics() {
  static const Basics basics = [] {
    char folder[] = "/tmp/weir-sim-XXXXXX";
    CHECK(mkdtemp(folder) != nullptr);
    const std::string secret = Cat(std::string_view(folder), "/app.json");
    const std::string file = Cat(std::string_view(folder), "/weir.toml");
    std::ofstream(secret) << R"({"username": "app", "password": ")" << PgServer::kPassword << "\"}";
    std::ofstream(file) << "[[endpoint]]\nlisten = \"" << kWeirAddress << "\"\n[[target]]\n"
                        << "host = \"127.0.0.1\"\n[[auth]]\nsecret_file = \"app.json\"\n";
    absl::StatusOr<pool::Config> config = pool::LoadConfig(file);
    CHECK(config.ok());
    SimEntropy entropy(1);
    absl::StatusOr<std::unique_ptr<const pool::Users>> users =
        pool::Users::Load(*config, entropy, "salt key");
    CHECK(users.ok());
    unlink(secret.c_str());
    unlink(file.c_str());
    rmdir(folder);
    return Basics{*config, std::move(*users)};
  }();
  return basics;
}

bool verbose_log = false;
const Net* log_clock = nullptr;

void WriteLog(engine::LogLevel, std::string_view line) {
  if (!verbose_log) return;
  std::fprintf(stderr, "%12.6f %.*s\n",
               static_cast<double>(log_clock == nullptr ? 0 : log_clock->now()) / 1e9,
               static_cast<int>(line.size()), line.data());
}

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
  void CheckService();
  void CheckQuiet();
  void CheckEnd();
  void WaitFor(const char* what, Nanos longest, bool (World::*condition)());
  bool AllClientsDone() { return ClientsDone(); }
  bool AllStopped() { return Stopped(); }

  const uint64_t seed_;
  Shape shape_;
  std::string words_;  // the shape, for people
  bool faulty_;        // servers die
  bool calm_;          // no faults of any kind: answers come soon
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
  int running_ = kNobody;
  uint64_t steps_ = 0;
  uint32_t budget_most_ = 1;
  std::map<pool::RouteId, Nanos> stranded_since_;
  bool late_ = false;  // the last clients are at work: nothing goes wrong any more
  bool draining_ = false;
};

World::World(uint64_t seed, bool verbose)
    : seed_(seed),
      shape_(seed * 2654435761u + 1),
      config_(TheBasics().config),
      entropy_(seed ^ 0xE17),
      choices_(seed ^ 0xC401CE) {
  verbose_log = verbose;
  engine::SetLogSink(&WriteLog);
  calm_ = shape_.Chance(0.4);
  faulty_ = !calm_ && shape_.Chance(0.6);
  net_ = std::make_unique<Net>(seed ^ 0x4E7, ShapeNet());
  net_->set_aloud(verbose);
  log_clock = net_.get();
  ShapeConfig();
  engine::store_buffers = this;
  MakeServer();
  MakeShards();
  MakeClients();
  if (faulty_) PlanFaults();
}

World::~World() {
  engine::store_buffers = nullptr;
  log_clock = nullptr;
}

NetOptions World::ShapeNet() {
  NetOptions options;
  options.latency_max = shape_.Among(20, 500) * kMicrosecond;
  options.cut = calm_ ? 0.05 : 0.3 * shape_.prng.Fraction();
  options.straggle = calm_ ? 0 : 0.01;
  options.window = static_cast<uint32_t>(shape_.Chance(0.3) ? shape_.Among(600, 5000) : 65536);
  return options;
}

SimIoOptions World::ShapeIo() {
  SimIoOptions options;
  options.buffers = uint32_t{4} << shape_.Among(0, 5);
  options.one_shot = shape_.Chance(0.2) ? 1.0 : 0.05;
  options.postpone = 0.3 * shape_.prng.Fraction();
  options.accept_error = calm_ ? 0 : 0.02;
  return options;
}

void World::ShapeConfig() {
  pool::ConnectionPoolOptions& pool = config_.connection_pool;
  const Nanos timeouts[] = {0, 20 * kMillisecond, 200 * kMillisecond, 5 * kSecond};
  pool.connection_borrow_timeout = calm_ ? 120 * kSecond : timeouts[shape_.Among(0, 3)];
  pool.max_prepared_statements = shape_.Chance(0.3) ? shape_.Among(1, 5) : 500;
  pool.statement_scan_limit = shape_.Chance(0.3) ? 4096 : 1 << 20;
  pool.min_idle_connections = shape_.Chance(0.2) ? 2 : 0;
  pool.debug_borrow = shape_.Chance(0.3) ? "rotate" : "off";
  pool.init_query = shape_.Chance(0.2) ? "set app.init = 'x'" : "";
  pool.backend_lifetime = shape_.Chance(0.2) ? 1 * kSecond : 86400 * kSecond;
  pool.backend_idle_timeout = shape_.Chance(0.2) ? 1 * kSecond : 300 * kSecond;
  pool.backend_connect_timeout = 2 * kSecond;
  config_.proxy.client_write_timeout = 5 * kSecond;
  config_.engine.buffer_memory = shape_.Chance(0.2) ? 64 * 1024 : 64 << 20;
}

void World::MakeServer() {
  PgServerOptions options;
  options.max_connections = static_cast<int>(shape_.Among(1, 12));
  options.scram = shape_.Chance(0.5);
  options.cost_max = shape_.Among(10, 500) * kMicrosecond;
  server_ = std::make_unique<PgServer>(*net_, entropy_, options);
  engine::Append(words_,
                 calm_     ? "calm "
                 : faulty_ ? "faulty "
                           : "rough ",
                 "max_connections=", options.max_connections);
}

void World::MakeShards() {
  const uint32_t count = static_cast<uint32_t>(shape_.Chance(0.3) ? 1 : shape_.Among(2, 4));
  const SimIoOptions io = ShapeIo();
  shared_ = std::make_unique<pool::ProxyShared>(count, 1);
  const int listener = descriptors_.OpenListener();
  shared_->listeners.push_back(listener);
  shared_->local_listeners.push_back(false);
  shared_->clients_max = 100000;
  net_->Listen(std::string(kWeirAddress), [this, listener](End& end) {
    if (draining_) return false;
    descriptors_.listener(listener).backlog.push_back(&end);
    for (Seat& seat : seats_) seat.io->Stir();
    return true;
  });
  seats_.resize(count);
  for (uint32_t id = 0; id < count; ++id) {
    Seat& seat = seats_[id];
    seat.mailbox = std::make_unique<engine::Mailbox>(shape_.Chance(0.2) ? 4 : 4096);
    seat.entropy = std::make_unique<SimEntropy>(seed_ * 64 + id);
    seat.io = std::make_unique<SimIo>(*this, *net_, descriptors_, io);
  }
  const pool::Snapshot snapshot{std::make_shared<pool::Config>(config_), TheBasics().users};
  engine::ShardOptions options;
  options.buffer_memory = config_.engine.buffer_memory;
  options.spin = shape_.Chance(0.1) ? 50 * kMicrosecond : 0;
  for (uint32_t id = 0; id < count; ++id) {
    Seat& seat = seats_[id];
    seat.shard = std::make_unique<engine::Shard>(id, *this, *seat.io, *seat.entropy, options);
    seat.proxy = std::make_unique<pool::ShardProxy>(
        *seat.shard, *shared_, snapshot,
        std::make_unique<postgres::PostgresDialect>(statements_, *seat.entropy, id));
    seat.shard->set_application(*seat.proxy);
    seat.fiber = std::make_unique<Fiber>([&seat] {
      seat.shard->Start();
      while (seat.shard->Tick()) {
      }
    });
  }
  engine::Append(words_, " shards=", count, " buffers=", io.buffers);
}

void World::MakeClients() {
  const int count = static_cast<int>(shape_.Among(1, calm_ ? 12 : 24));
  ClientOptions common;
  common.weir_address = kWeirAddress;
  common.may_lose = faulty_;
  common.may_wait = !calm_;
  common.borrow_timeout = config_.connection_pool.connection_borrow_timeout;
  common.patience = calm_ ? 20 * kSecond : 300 * kSecond;
  common.lives = static_cast<int>(shape_.Among(1, 3));
  common.requests = static_cast<int>(shape_.Among(5, 40));
  common.think_max = shape_.Among(1, 5000) * kMicrosecond;
  // A pinned client keeps its backend: with few of them others would wait for ever.
  const bool pins = !calm_ && shape_.Chance(0.5);
  const bool cancels = shape_.Chance(0.3);
  const bool routes = shape_.Chance(0.5);
  engine::Append(words_, " clients=", count, " lives=", common.lives);
  for (int number = 0; number < count; ++number) {
    ClientOptions options = common;
    options.pins = pins ? 0.03 : 0;
    options.cancels = cancels && shape_.Chance(0.5);
    options.rude = !calm_ && shape_.Chance(0.4);
    options.depth = static_cast<int>(shape_.Chance(0.3) ? shape_.Among(2, 20) : 1);
    options.slow_reader = !calm_ && shape_.Chance(0.2) ? 0.1 : 0;
    options.large = shape_.Chance(0.5) ? 20000 : 5000;
    if (routes) {
      options.database = Cat("d", shape_.Among(0, 1));
      if (shape_.Chance(0.3)) options.application = Cat("a", shape_.Among(0, 1));
      if (shape_.Chance(0.05)) options.database = "none";
    }
    clients_.emplace_back(*net_, entropy_, *this, seed_ * 1000 + static_cast<uint64_t>(number),
                          number, options);
    clients_.back().Start();
  }
}

void World::PlanFaults() {
  const int count = static_cast<int>(shape_.Among(1, 6));
  for (int i = 0; i < count; ++i) {
    const Nanos at = net_->now() + shape_.Among(1, 2000) * kMillisecond;
    const int64_t what = shape_.Among(0, 9);
    const Nanos lasts = shape_.Among(1, 1500) * kMillisecond;
    net_->At(at, [this, what, lasts] {
      if (late_) return;
      if (what < 5) {
        server_->KillOne();
      } else if (what < 7) {
        server_->Stop();
        net_->At(net_->now() + lasts, [this] { server_->Start(); });
      } else if (what < 8) {
        server_->Hang(net_->now() + lasts);
      } else if (what < 9) {
        net_->SetSilent(std::string(PgServer::kAddress), true);
        net_->At(net_->now() + lasts,
                 [this] { net_->SetSilent(std::string(PgServer::kAddress), false); });
      } else {
        server_->SetMaxConnections(std::max(1, server_->database().max_connections / 2));
      }
    });
  }
}

std::string World::Situation() const {
  std::string out;
  for (const SimClient& client : clients_) {
    if (!client.done()) engine::Append(out, client.Situation(), "\n");
  }
  const pool::TargetBoard& target = *shared_->pool.targets[0];
  engine::Append(out, "budget ", target.budget.load(), " launching ", target.launching.load(),
                 " failures ", target.failures.load(), " retry at ", target.retry_at.load(),
                 " borrow timeout ", config_.connection_pool.connection_borrow_timeout, "\n");
  out += server_->Situation();
  for (const Seat& seat : seats_) {
    if (seat.proxy == nullptr) continue;
    const pool::PoolCounts counts = seat.proxy->pool.counts(0);
    engine::Append(out, "shard ", seat.proxy->shard_id(), ": clients ", seat.proxy->clients.size(),
                   " backends ", seat.proxy->backends.size(), " cancels ",
                   seat.proxy->cancels.size(), " slice ", counts.slice, " open ", counts.open,
                   " opening ", counts.opening, " idle ", counts.idle, " linked ", counts.linked,
                   " waiting ", counts.waiting, " ", seat.io->Situation(),
                   seat.mailbox->empty() ? "" : " mail", seat.asleep ? " asleep\n" : "\n");
    const pool::BoardLine& line = shared_->pool.targets[0]->lines[seat.proxy->shard_id()];
    const pool::BoardState board = line.Read();
    engine::Append(out, "board: wanted ", board.wanted, " route ", board.oldest_route, " since ",
                   board.oldest_since, " idle ", board.idle, " free ", board.free,
                   board.waiting ? " waiting" : "", " epoch ", line.epoch(), "\n");
    seat.proxy->pool.Describe(out);
    seat.proxy->backends.ForEach([&out](const pool::BackendSession& backend) {
      backend.Describe(out);
      out.push_back('\n');
    });
    seat.proxy->clients.ForEach([&out](const pool::ClientSession& client) {
      client.Describe(out);
      out.push_back('\n');
    });
  }
  return out;
}

void World::Violation(const std::string& what) {
  for (const std::string& note : net_->notes()) std::fprintf(stderr, "%s\n", note.c_str());
  std::fprintf(stderr, "seed %llu, step %llu, %.6f s: %s\n(%s)\n%s",
               static_cast<unsigned long long>(seed_), static_cast<unsigned long long>(steps_),
               static_cast<double>(net_->now()) / 1e9, what.c_str(), words_.c_str(),
               Situation().c_str());
  engine::CheckFailed("tests/sim", 0, "a violation");
}

// --- Who runs when.

void World::Yield(SimIo&) {
  CHECK(running_ != kNobody);
  seats_[static_cast<size_t>(running_)].fiber->GiveWay();
}

void World::Sleep(SimIo&, Nanos deadline) {
  CHECK(running_ != kNobody);
  Seat& seat = seats_[static_cast<size_t>(running_)];
  seat.asleep = true;
  seat.wake_at = deadline;
  seat.fiber->GiveWay();
  seat.asleep = false;
}

bool World::Runnable(const Seat& seat) const {
  if (seat.fiber->ended()) return false;
  return !seat.asleep || seat.io->stirred() || seat.wake_at <= net_->now();
}

void World::RunShard(uint32_t shard) {
  running_ = static_cast<int>(shard);
  seats_[shard].fiber->Resume();
  running_ = kNobody;
  net_->Advance(net_->now() + net_->Between(kMicrosecond / 2, 20 * kMicrosecond));
}

void World::Step() {
  ++steps_;
  if (steps_ > kStepsMax || net_->now() > kTimeMax) Violation("the run does not end");
  if (choices_.Below(2) == 0) DrainSome();
  uint32_t runnable[64];
  size_t count = 0;
  for (uint32_t id = 0; id < seats_.size(); ++id) {
    if (Runnable(seats_[id])) runnable[count++] = id;
  }
  const bool event = net_->NextEvent() <= net_->now();
  if (event && (count == 0 || choices_.Below(2) == 0)) {
    net_->RunEvent();
    return;
  }
  if (count > 0) {
    const uint32_t shard = runnable[choices_.Below(count)];
    net_->Mix(shard);
    RunShard(shard);
    return;
  }
  // Nobody can run: stores are seen in the end, and time goes on.
  for (Seat& seat : seats_) DrainSeat(seat);
  Nanos next = net_->NextEvent();
  for (const Seat& seat : seats_) {
    if (!seat.fiber->ended()) next = std::min(next, seat.wake_at);
  }
  if (next == kForever) Violation("nothing will ever happen again");
  net_->Advance(next);
}

// --- Words that shards share.

void World::OnAccess() {
  if (running_ == kNobody || choices_.Below(50) != 0) return;
  seats_[static_cast<size_t>(running_)].fiber->GiveWay();
}

void World::Store(void* cell, uint64_t value, Apply apply, bool release) {
  if (running_ == kNobody) {
    apply(cell, value);
    return;
  }
  seats_[static_cast<size_t>(running_)].stores.push_back({cell, value, apply, release});
}

bool World::Pending(const void* cell, uint64_t& value) {
  if (running_ == kNobody) return false;
  const std::deque<BufferedStore>& stores = seats_[static_cast<size_t>(running_)].stores;
  for (auto each = stores.rbegin(); each != stores.rend(); ++each) {
    if (each->cell != cell) continue;
    value = each->value;
    return true;
  }
  return false;
}

void World::Drain(const void* cell) {
  if (running_ == kNobody) return;
  Seat& seat = seats_[static_cast<size_t>(running_)];
  if (cell == nullptr) {
    DrainSeat(seat);
    return;
  }
  for (size_t i = 0; i < seat.stores.size();) {
    if (seat.stores[i].cell != cell) {
      ++i;
      continue;
    }
    seat.stores[i].apply(seat.stores[i].cell, seat.stores[i].value);
    seat.stores.erase(seat.stores.begin() + static_cast<ptrdiff_t>(i));
  }
}

void World::DrainSeat(Seat& seat) {
  for (const BufferedStore& each : seat.stores) each.apply(each.cell, each.value);
  seat.stores.clear();
}

// One store of somebody is seen: the oldest, or a later one that may overtake.
void World::DrainSome() {
  Seat& seat = seats_[choices_.Below(seats_.size())];
  if (seat.stores.empty()) return;
  size_t place = choices_.Below(seat.stores.size());
  if (seat.stores[place].release) place = 0;
  for (size_t i = 0; i < place; ++i) {
    if (seat.stores[i].cell == seat.stores[place].cell) place = i;
  }
  if (seat.stores[place].release) place = 0;
  seat.stores[place].apply(seat.stores[place].cell, seat.stores[place].value);
  seat.stores.erase(seat.stores.begin() + static_cast<ptrdiff_t>(place));
}

// --- Work off the shards.

void World::Post(uint32_t shard, engine::Message&& message) {
  if (!mailbox(shard).Push(message)) {
    // Full: again later.
    auto again = std::make_shared<engine::Message>(std::move(message));
    net_->At(net_->now() + 100 * kMicrosecond,
             [this, shard, again] { Post(shard, std::move(*again)); });
    return;
  }
  if (mailbox(shard).ClaimWake()) seats_[shard].io->Wake(shard);
}

void World::Submit(uint32_t shard, std::unique_ptr<engine::Job> job) {
  jobs_.push_back(std::move(job));
  net_->At(net_->now() + net_->Between(0, 3 * kMillisecond),
           [this, shard, place = jobs_.size() - 1] {
             jobs_[place]->Run();
             auto body = std::make_unique<engine::DoneJob>();
             body->job = std::move(jobs_[place]);
             engine::Message message;
             message.kind = engine::kJobDoneMessage;
             message.body = std::move(body);
             Post(shard, std::move(message));
           });
}

// --- The run, and what must be true.

bool World::ClientsDone() const {
  for (const SimClient& client : clients_) {
    if (!client.done()) return false;
  }
  return true;
}

bool World::Quiet() {
  for (const Seat& seat : seats_) {
    const pool::PoolCounts counts = seat.proxy->pool.counts(0);
    if (seat.proxy->clients.size() > 0 || seat.proxy->cancels.size() > 0 || counts.linked > 0 ||
        counts.opening > 0 || counts.waiting > 0 || !seat.mailbox->empty() ||
        counts.open != counts.idle) {
      return false;
    }
  }
  return true;
}

bool World::Stopped() const {
  for (const Seat& seat : seats_) {
    if (!seat.fiber->ended()) return false;
  }
  return true;
}

void World::WaitFor(const char* what, Nanos longest, bool (World::*condition)()) {
  const Nanos began = net_->now();
  for (uint64_t i = 0; !(this->*condition)(); ++i) {
    if (net_->now() - began > longest) {
      Violation(Cat(std::string_view(what), " takes longer than ", longest / kSecond, " s"));
    }
    Step();
    if (i % 4 == 0) CheckNobodyStranded();
    if (i % 16 != 0) continue;
    CheckShards();
    CheckDeadlines();
  }
}

void World::CheckShards() {
  for (const Seat& seat : seats_) seat.proxy->pool.CheckInvariants();
  const uint32_t budget = shared_->pool.targets[0]->budget.load();
  budget_most_ = std::max(budget_most_, budget);
  if (server_->open() > static_cast<int>(budget_most_) && !faulty_) {
    Violation(
        Cat("the server has ", server_->open(), " connections, the budget is ", budget_most_));
  }
}

void World::CheckDeadlines() {
  for (const Seat& seat : seats_) {
    for (const pool::RouteCounts& counts : seat.proxy->pool.route_counts()) {
      if (counts.waiting > 0 && seat.io->Now() - counts.next_deadline > kLateMax)
        Violation(Cat("a client of route ", counts.route, " waits beyond its deadline"));
    }
  }
}

// Nobody for whom no login is under way waits beside an idle backend of his route, wherever it is,
// or beside a free slot.
void World::CheckNobodyStranded() {
  const pool::TargetBoard& target = *shared_->pool.targets[0];
  if (draining_ || target.failures.load() > 0) {
    stranded_since_.clear();
    return;
  }
  struct Sum {
    uint32_t waiting = 0;
    uint32_t opening = 0;
    uint32_t idle = 0;
    Nanos oldest = kForever;
  };
  std::map<pool::RouteId, Sum> sums;
  uint32_t free = 0;
  uint32_t opening = 0;
  for (const Seat& seat : seats_) {
    const pool::PoolCounts counts = seat.proxy->pool.counts(0);
    free += counts.slice - counts.open;
    opening += counts.opening;
    for (const pool::RouteCounts& route : seat.proxy->pool.route_counts()) {
      sums[route.route].waiting += route.waiting;
      sums[route.route].idle += route.idle;
      sums[route.route].opening += route.opening;
      if (route.waiting > 0)
        sums[route.route].oldest = std::min(sums[route.route].oldest, route.oldest_since);
    }
  }
  for (const auto& [route, sum] : sums) {
    const bool stranded = sum.waiting > sum.opening && (sum.idle > 0 || (free > 0 && opening == 0));
    Nanos& since = stranded_since_[route];
    if (!stranded) {
      since = 0;
    } else if (since == 0) {
      since = net_->now();
    } else if (net_->now() - std::max(since, sum.oldest) > kStrandedMax) {
      Violation(Cat("clients of route ", route, " wait beside what would serve them"));
    }
  }
}

// When all is over, whatever went wrong: new clients are served.
void World::CheckService() {
  late_ = true;
  server_->Start();
  server_->Hang(0);
  net_->SetSilent(std::string(PgServer::kAddress), false);
  ClientOptions options;
  options.weir_address = kWeirAddress;
  options.lives = 12;
  options.away_max = 3 * kSecond;
  options.requests = 12;
  options.may_lose = faulty_;
  options.may_wait = config_.connection_pool.connection_borrow_timeout < kSecond;
  options.borrow_timeout = config_.connection_pool.connection_borrow_timeout;
  options.patience = 30 * kSecond;
  options.think_max = 300 * kMillisecond;
  options.pins = 0;
  const uint64_t before = answers - refused - lost;
  for (int i = 0; i < 2; ++i) {
    clients_.emplace_back(*net_, entropy_, *this, seed_ * 1000 + 900 + static_cast<uint64_t>(i),
                          900 + i, options);
    clients_.back().Start();
  }
  WaitFor("serving the last clients", 120 * kSecond, &World::AllClientsDone);
  if (answers - refused - lost == before) Violation("nobody is served any more");
}

void World::CheckQuiet() {
  uint32_t slices = 0;
  for (const Seat& seat : seats_) {
    const pool::PoolCounts counts = seat.proxy->pool.counts(0);
    slices += counts.slice;
    if (seat.proxy->backends.size() != counts.open)
      Violation("a backend that the pool does not know");
  }
  const uint32_t budget = shared_->pool.targets[0]->budget.load();
  if (slices != budget && !faulty_) {
    Violation(Cat("the slices' sum is ", slices, ", the budget is ", budget));
  }
  for (const auto& [tag, least] : rows_least) {
    if (server_->database().rows[tag] < least)
      Violation(Cat("rows of ", tag, " were confirmed and are lost"));
  }
  for (const auto& [tag, rows] : server_->database().rows) {
    const auto found = rows_least.find(tag);
    if (found != rows_least.end() && rows > found->second)
      Violation(Cat("rows of ", tag, " are there twice"));
  }
}

void World::CheckEnd() {
  for (const Seat& seat : seats_) {
    if (!seat.io->idle()) Violation("an operation is in flight after the end");
    if (seat.proxy->clients.size() + seat.proxy->backends.size() > 0)
      Violation("a session is left");
  }
  // The listening socket is all that is open.
  if (descriptors_.open() != 1) Violation(Cat(descriptors_.open() - 1, " descriptors are left"));
}

RunResult World::Run() {
  WaitFor("the clients' work", 600 * kSecond, &World::AllClientsDone);
  CheckService();
  WaitFor("becoming quiet", 60 * kSecond, &World::Quiet);
  CheckQuiet();
  draining_ = true;
  for (uint32_t shard = 0; shard < seats_.size(); ++shard) {
    engine::Message message;
    message.kind = pool::kDrainMessage;
    Post(shard, std::move(message));
  }
  WaitFor("draining", 60 * kSecond, &World::AllStopped);
  CheckEnd();
  engine::store_buffers = nullptr;
  for (Seat& seat : seats_) {
    DrainSeat(seat);
    seat.proxy.reset();
    seat.shard.reset();
    seat.io.reset();
  }
  return {net_->digest(), steps_, answers, refused, lost, words_};
}

}  // namespace

RunResult Run(uint64_t seed, bool verbose) { return World(seed, verbose).Run(); }

}  // namespace weir::sim
