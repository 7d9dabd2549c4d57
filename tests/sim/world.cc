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
#include "tests/sim/sim_tls.h"

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

}  // namespace

World::World(uint64_t seed, bool verbose)
    : seed_(seed),
      shape_(seed * 2654435761u + 1),
      config_(TheBasics().config),
      entropy_(seed ^ 0xE17),
      choices_(seed ^ 0xC401CE),
      drain_every_(uint64_t{2} << (2 * shape_.Among(0, 3))),
      freeze_max_(shape_.Chance(0.5) ? 1 : 300),
      yield_every_(shape_.Chance(0.5) ? 50 : 6) {
  verbose_log = verbose;
  engine::SetLogSink(&WriteLog);
  // Few clients that meet at one moment, and silence after it: whom nobody wakes then sleeps on.
  beat_ = shape_.Chance(0.35);
  if (beat_) {
    freeze_max_ = 300;
    yield_every_ = 6;
  }
  calm_ = beat_ || shape_.Chance(0.4);
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
  if (shape_.Chance(0.3)) PlanAlters();
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
  // Of reads in flight together nothing shows: most runs have them.
  reads_ = choices_.Fraction() < 0.7;
  config_.endpoints[0].pipelining = reads_ ? "reads" : "off";
  if (reads_ && choices_.Fraction() < 0.9) pool.debug_borrow = "off";
  pool.debug_hot_backends = choices_.Fraction() < 0.7 ? 1 : 0;
  pool.pipeline_depth = choices_.Fraction() < 0.3 ? 2 : 16;
  pool.pipeline_max_wait = (choices_.Fraction() < 0.3 ? 1 : 20) * kMillisecond;
  config_.proxy.client_write_timeout = 5 * kSecond;
  config_.engine.buffer_memory = shape_.Chance(0.2) ? 64 * 1024 : 64 << 20;
}

void World::MakeServer() {
  PgServerOptions options;
  options.max_connections = static_cast<int>(shape_.Among(1, beat_ ? 2 : 12));
  options.scram = shape_.Chance(0.5);
  const protocol::TlsUse uses[] = {protocol::TlsUse::kNever, protocol::TlsUse::kIfOffered,
                                   protocol::TlsUse::kAlways};
  tls_use_ = uses[shape_.Among(0, 2)];
  options.tls = tls_use_ == protocol::TlsUse::kAlways || shape_.Chance(0.5);
  options.cost_max = shape_.Among(10, 500) * kMicrosecond;
  server_ = std::make_unique<PgServer>(*net_, entropy_, options);
  server_->database().tells_catalogue = reads_;
  if (reads_) words_ += "reads ";
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
  shared_->unix_listeners.push_back(false);
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
  auto tls = std::make_shared<pool::TlsContexts>();
  tls->clients = std::make_unique<SimTlsServer>();
  tls->targets.emplace_back().use = tls_use_;
  tls->targets[0].context = std::make_unique<SimTlsClient>();
  const pool::Snapshot snapshot{std::make_shared<pool::Config>(config_), TheBasics().users, tls};
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
  int count = static_cast<int>(shape_.Among(1, beat_ ? 5 : calm_ ? 12 : 24));
  ClientOptions common;
  // Most named statements of a third of the runs are SQL's.
  if (seed_ % 3 == 0) common.from_sql = 0.6;
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
  const bool settings = shape_.Chance(0.5);
  const bool cancels = shape_.Chance(0.6);
  const bool routes = shape_.Chance(0.5);
  const bool bases = shape_.Chance(0.75);
  const bool encrypted = shape_.Chance(0.5);
  // In most runs that is most of what they ask, in haste.
  const double reads = reads_ && seed_ % 4 < 3 ? (seed_ % 4 == 0 ? 0.5 : 0.95) : 0;
  if (reads > 0) {
    common.think_max = shape_.Among(1, 400) * kMicrosecond;
    common.requests = static_cast<int>(shape_.Among(20, 60));
    if (!beat_) count = static_cast<int>(shape_.Among(6, 24));
  }
  if (beat_) common.beat = 100 * kMillisecond;
  engine::Append(words_, " clients=", count, " lives=", common.lives,
                 common.beat > 0 ? " beat" : "");
  for (int number = 0; number < count; ++number) {
    ClientOptions options = common;
    options.pins = pins ? 0.05 : 0;
    options.settings = !settings ? 0 : reads > 0 ? 0.5 : 0.15;
    options.reads = reads;
    options.cancels = cancels && shape_.Chance(0.5);
    options.rude = !calm_ && shape_.Chance(0.4);
    options.depth =
        static_cast<int>(shape_.Chance(reads > 0 ? 0.1 : 0.4) ? shape_.Among(2, 20) : 1);
    options.slow_reader = !calm_ && shape_.Chance(0.2) ? 0.1 : 0;
    if (encrypted) {
      using Encryption = ClientOptions::Encryption;
      const Encryption kinds[] = {Encryption::kNone, Encryption::kAsk, Encryption::kDirect};
      options.encryption = kinds[shape_.Among(0, 2)];
    }
    options.large = shape_.Chance(0.5) ? 20000 : 5000;
    if (routes && (reads == 0 || shape_.Chance(0.2))) {
      options.database = Cat("d", shape_.Among(0, 1));
      if (shape_.Chance(0.2)) options.start = Cat("s", shape_.Among(0, 1));
      if (shape_.Chance(0.05)) options.database = "none";
    }
    if (bases && (reads == 0 || shape_.Chance(0.2))) {
      if (shape_.Chance(0.6)) options.base = Cat("a", shape_.Among(0, 3));
      if (shape_.Chance(0.3)) options.mine = Cat("m", shape_.Among(0, 1));
      options.bad = shape_.Chance(0.02);
    }
    clients_.emplace_back(*net_, entropy_, *this, seed_ * 1000 + static_cast<uint64_t>(number),
                          number, options);
    clients_.back().Start();
  }
}

// What sessions begin with is changed, as by ALTER ROLE ... SET; nothing that a client would see.
void World::PlanAlters() {
  for (int64_t i = shape_.Among(1, 4); i > 0; --i) {
    net_->At(net_->now() + shape_.Among(1, 2000) * kMillisecond,
             [this] { ++server_->database().generation; });
  }
}

void World::PlanFaults() {
  // Those who read in haste are through soon.
  const bool hasty = reads_ && seed_ % 4 < 3;
  const int count = static_cast<int>(hasty ? shape_.Among(4, 24) : shape_.Among(1, 6));
  for (int i = 0; i < count; ++i) {
    const Nanos at = net_->now() + shape_.Among(1, hasty && i % 4 != 0 ? 150 : 2000) * kMillisecond;
    const int64_t what = hasty && i % 4 != 0 ? 0 : shape_.Among(0, 9);
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
    if (i % 4 == 0) CheckNobodyPassedBy();
    if (i % 16 != 0) continue;
    CheckShards();
    CheckDeadlines();
  }
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
  using pool::Counter;
  RunResult result{net_->digest(), steps_, answers, refused, lost, words_};
  for (Seat& seat : seats_) {
    const pool::ShardMetrics& counts = seat.proxy->metrics;
    result.joined += counts[Counter::kReadsJoined];
    result.repeated += counts[Counter::kReadsRepeatedSlow] + counts[Counter::kReadsRepeatedReader] +
                       counts[Counter::kReadsRepeatedCancel] + counts[Counter::kReadsRepeatedLost];
    DrainSeat(seat);
    seat.proxy.reset();
    seat.shard.reset();
    seat.io.reset();
  }
  return result;
}

RunResult Run(uint64_t seed, bool verbose) { return World(seed, verbose).Run(); }

}  // namespace weir::sim
