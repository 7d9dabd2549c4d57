// The program: reads its configuration, opens its listeners, starts the shards, then waits for
// signals.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/base/log.h"
#include "engine/base/text.h"
#include "engine/base/wall_clock.h"
#include "engine/shards.h"
#include "engine/signals.h"
#include "engine/socket.h"
#include "engine/thread_worker.h"
#include "engine/topology.h"
#include "pool/aws/agent.h"
#include "pool/aws/agent_thread.h"
#include "pool/aws/curl_http.h"
#include "pool/aws/http_verifier.h"
#include "pool/config/describe.h"
#include "pool/config/load_toml.h"
#include "pool/config/salt_key.h"
#include "pool/proxy.h"
#include "pool/secret_rotation.h"
#include "protocol/postgres/dialect.h"

namespace weir::pool {
namespace {

using engine::Cat;
using engine::Log;
using engine::LogLevel;
using engine::Nanos;

constexpr int kExitRuntime = 1;
constexpr int kExitConfiguration = 2;
constexpr int kBacklog = 4096;
// How long the start waits for keys and secrets of AWS.
constexpr Nanos kAwsPatience = 10 * engine::kSecond;
constexpr Nanos kListenPatience = 2 * engine::kSecond;
// Descriptors that are not clients': rings, listeners, logs, files, and backends beside each
// client.
constexpr uint64_t kDescriptorsKept = 64;

constexpr const char* kUsage =
    "usage: weir --config FILE           run in the foreground, log to standard error\n"
    "       weir --config FILE --check   validate the configuration and exit\n"
    "       weir --version | --help\n"
    "\n"
    "signals: SIGTERM drains and stops (a second one stops at once), SIGHUP reloads the "
    "configuration,\n"
    "         SIGUSR1 logs every shard, route and pin\n"
    "exit status: 0, 1 (runtime), 2 (configuration)\n"
    "\n"
    "options of the configuration file (TOML):\n";

struct Arguments {
  std::string config;
  bool check = false;
};

int Complain(std::string_view text) {
  std::fprintf(stderr, "weir: %.*s\n", static_cast<int>(text.size()), text.data());
  return kExitConfiguration;
}

// -1: go on.
int ParseArguments(int count, char** values, Arguments& out) {
  for (int i = 1; i < count; ++i) {
    const std::string_view value = values[i];
    if (value == "--version") {
      std::printf("weir %s\n", WEIR_VERSION);
      return 0;
    }
    if (value == "--help" || value == "-h") {
      std::printf("%s%s", kUsage, OptionsHelp().c_str());
      return 0;
    }
    if (value == "--check") {
      out.check = true;
    } else if (value == "--config" && i + 1 < count) {
      out.config = values[++i];
    } else if (value.starts_with("--config=")) {
      out.config = value.substr(9);
    } else {
      return Complain(Cat("unknown or incomplete argument \"", value, "\"; see weir --help"));
    }
  }
  if (out.config.empty()) return Complain("--config FILE is needed; see weir --help");
  return -1;
}

class Program {
 public:
  int Run(const Arguments& arguments) {
    path_ = arguments.config;
    absl::StatusOr<Snapshot> snapshot =
        Load(arguments.check ? MissingKey::kLeave : MissingKey::kMake);
    if (!snapshot.ok()) return Complain(std::string(snapshot.status().message()));
    if (arguments.check) {
      std::printf("weir: %s is valid\n", path_.c_str());
      return 0;
    }
    snapshot_ = *std::move(snapshot);
    absl::StatusOr<engine::UringMask> mask = engine::UringMask::Parse(
        std::getenv("WEIR_MASK") == nullptr ? "" : std::getenv("WEIR_MASK"));
    if (!mask.ok()) return Complain(std::string(mask.status().message()));
    options_.uring.mask = *mask;
    ConfigureShards();
    shared_ = std::make_unique<ProxyShared>(
        options_.shards, static_cast<uint32_t>(snapshot_.config->targets.size()));
    const uint64_t descriptors = engine::RaiseDescriptorLimit();
    shared_->clients_max =
        descriptors > 2 * kDescriptorsKept ? descriptors - kDescriptorsKept : descriptors;
    engine::BlockSignals();
    shared_->client_keys.Admit(snapshot_.users->StoredKeys());
    shared_->server_tokens = &agent_;
    shared_->verifier = &verifier_;
    rotation_ = std::make_unique<SecretRotation>(shared_->secret_news, &agent_);
    rotation_->Begin(*snapshot_.config);
    if (absl::Status status = OpenListeners(); !status.ok()) {
      RemoveSocketFiles();
      return Fail(status);
    }
    engine::StartLog();
    const int result = Serve();
    RemoveSocketFiles();
    engine::StopLog();
    return result;
  }

 private:
  int Fail(const absl::Status& status) {
    Log(LogLevel::kError, std::string(status.message()));
    return kExitRuntime;
  }

  absl::StatusOr<Snapshot> Load(MissingKey missing) {
    absl::StatusOr<Config> config = LoadConfig(path_);
    if (!config.ok()) return config.status();
    std::vector<std::string> need_restart;
    if (snapshot_.config != nullptr) {
      need_restart = NeedRestart(*snapshot_.config, *config);
      KeepFromStart(*snapshot_.config, *config);
    }
    // A check asks nobody; at a reload what is new comes when it comes.
    if (snapshot_.config == nullptr && missing == MissingKey::kMake) AskAws(*config);
    NameRemoteUsers(*config, agent_);
    if (salt_key_.empty()) {
      absl::StatusOr<std::string> key = LoadSaltKey(*config, entropy_, missing);
      if (!key.ok()) return key.status();
      salt_key_ = *std::move(key);
    }
    absl::StatusOr<std::unique_ptr<const Users>> users = Users::Load(
        *config, entropy_, salt_key_, snapshot_.users.get(), engine::MonotonicNow(), &agent_);
    if (!users.ok()) return users.status();
    absl::StatusOr<std::unique_ptr<const TlsContexts>> tls = TlsContexts::Load(*config, entropy_);
    if (!tls.ok()) return tls.status();
    absl::StatusOr<std::unique_ptr<const Iam>> iam = Iam::Load(*config, wall_clock_);
    if (!iam.ok()) return iam.status();
    for (const std::string& option : need_restart) {
      Log(LogLevel::kWarn,
          Cat("event=reload: ", option, " needs a restart; its old value stays in force"));
    }
    return Snapshot{std::make_shared<const Config>(*std::move(config)), std::move(*users),
                    std::move(*tls), std::move(*iam)};
  }

  // Before there are other threads. What does not come in time comes later.
  void AskAws(const Config& config) {
    agent_.Configure(config);
    const Nanos give_up_at = engine::MonotonicNow() + kAwsPatience;
    while (!agent_.asked() && engine::MonotonicNow() < give_up_at)
      agent_.Step(engine::MonotonicNow());
  }

  // Addresses, targets and the engine are what they were at start.
  static void KeepFromStart(const Config& start, Config& config) {
    std::vector<EndpointOptions> now = std::exchange(config.endpoints, start.endpoints);
    for (size_t i = 0; i < config.endpoints.size() && i < now.size(); ++i)
      config.endpoints[i].host_names = std::move(now[i].host_names);
    config.targets.resize(start.targets.size());
    for (size_t i = 0; i < config.targets.size(); ++i) {
      config.targets[i].host = start.targets[i].host;
      config.targets[i].port = start.targets[i].port;
    }
    config.engine = start.engine;
  }

  void ConfigureShards() {
    const EngineOptions& from = snapshot_.config->engine;
    const engine::Topology topology = engine::ReadTopology();
    options_.shards =
        from.shards > 0 ? static_cast<uint32_t>(from.shards) : topology.DefaultShards();
    options_.pin_threads =
        from.pin_threads == "true" ||
        (from.pin_threads == "auto" && topology.quota == 0 && options_.shards < topology.cpus);
    options_.shard.buffer_memory = from.buffer_memory;
    options_.shard.spin = from.spin * engine::kMicrosecond;
    options_.shard.zero_copy_send = from.zero_copy_send;
  }

  absl::Status OpenListeners() {
    for (const EndpointOptions& endpoint : snapshot_.config->endpoints) {
      const absl::StatusOr<engine::Address> address = engine::Address::Parse(endpoint.listen, 5432);
      if (!address.ok()) return address.status();
      const absl::StatusOr<int> fd = OpenListener(*address);
      if (!fd.ok()) return fd.status();
      shared_->listeners.push_back(*fd);
      shared_->local_listeners.push_back(address->IsLocal());
      shared_->unix_listeners.push_back(address->IsUnix());
      if (address->IsUnix()) socket_files_.push_back(address->path());
    }
    return absl::OkStatus();
  }

  // The kernel closes a ring, and the listener that it accepts from, a little after the process
  // that was killed has gone: its successor waits for that.
  absl::StatusOr<int> OpenListener(const engine::Address& address) {
    const Nanos give_up_at = engine::MonotonicNow() + kListenPatience;
    for (bool told = false;; told = true) {
      absl::StatusOr<int> fd = engine::OpenListener(address, kBacklog);
      if (!absl::IsAlreadyExists(fd.status()) || engine::MonotonicNow() > give_up_at) return fd;
      if (!told) {
        Log(LogLevel::kWarn, Cat("event=address_in_use: somebody listens on ", address.ToString(),
                                 "; trying again for ", kListenPatience / engine::kSecond, " s"));
      }
      if (engine::WaitForSignal(20 * engine::kMillisecond) != 0) return fd;
    }
  }

  int Serve() {
    postgres::StatementTable statements;
    engine::Shards shards(options_);
    // A worker of its own: names and keys do not wait behind a verifier that does not answer.
    engine::ThreadWorker verifier_worker(shards);
    shared_->verifier_worker = &verifier_worker;
    const absl::Status started = shards.Start([this, &statements](engine::Shard& shard) {
      return std::make_unique<ShardProxy>(
          shard, *shared_, snapshot_,
          std::make_unique<postgres::PostgresDialect>(statements, shard.entropy(), shard.id()));
    });
    if (!started.ok()) return Fail(started);
    std::string where;
    for (const EndpointOptions& endpoint : snapshot_.config->endpoints)
      engine::Append(where, " endpoint=", endpoint.listen);
    Log(LogLevel::kInfo, Cat("event=ready name=", snapshot_.config->proxy.name,
                             " version=", WEIR_VERSION, " shards=", options_.shards, where));
    engine::NotifyServiceManager("READY=1");
    keys_found_ = agent_.keys_found();
    agent_thread_.Start();
    WaitForEnd(shards);
    http_.Stop();
    agent_thread_.Stop();
    shards.Join();
    verifier_worker.Stop();
    for (const int fd : shared_->listeners) close(fd);
    Log(LogLevel::kInfo, "event=stopped");
    return 0;
  }

  void WaitForEnd(engine::Shards& shards) {
    Nanos next_statistics = engine::MonotonicNow() + snapshot_.config->proxy.stats_period;
    Nanos give_up_at = engine::kForever;
    while (!shards.stopped()) {
      const Nanos period = snapshot_.config->proxy.stats_period;
      const int signal = engine::WaitForSignal(
          give_up_at == engine::kForever ? 100 * engine::kMillisecond : 5 * engine::kMillisecond);
      const Nanos now = engine::MonotonicNow();
      if (signal == SIGTERM || signal == SIGINT) {
        if (give_up_at != engine::kForever) StopAtOnce("a second signal");
        Log(LogLevel::kInfo, "event=draining: transactions under way may end");
        engine::NotifyServiceManager("STOPPING=1");
        give_up_at = now + snapshot_.config->proxy.shutdown_timeout;
        Tell(shards, kDrainMessage);
      } else if (signal == SIGHUP) {
        Reload(shards);
      } else if (signal == SIGUSR1) {
        Tell(shards, kDescribeMessage);
      }
      RenewSecrets(shards, now);
      if (now >= give_up_at) StopAtOnce("shutdown_timeout");
      if (period > 0 && now >= next_statistics && give_up_at == engine::kForever) {
        next_statistics = now + period;
        LogStatistics(shards);
      }
    }
  }

  // What is still under way is cut off: the kernel closes it all.
  [[noreturn]] void StopAtOnce(std::string_view why) {
    Log(LogLevel::kWarn, Cat("event=stopped: ", why, ": what was under way is cut off"));
    engine::StopLog();
    RemoveSocketFiles();
    _exit(0);
  }

  void RemoveSocketFiles() {
    for (const std::string& file : socket_files_) unlink(file.c_str());
  }

  void Tell(engine::Shards& shards, uint32_t kind) {
    for (uint32_t shard = 0; shard < shards.count(); ++shard) {
      engine::Message message;
      message.kind = kind;
      shards.Post(shard, std::move(message));
    }
  }

  void Reload(engine::Shards& shards) {
    absl::StatusOr<Snapshot> next = Load(MissingKey::kMake);
    if (!next.ok()) {
      Log(LogLevel::kError, Cat("event=reload_failed: the old configuration stays: ",
                                std::string(next.status().message())));
      return;
    }
    agent_.Configure(*next->config);
    rotation_->Begin(*next->config);
    Hand(shards, *std::move(next));
    Log(LogLevel::kInfo, "event=reloaded");
  }

  // Files and time change what secrets are good.
  void RenewSecrets(engine::Shards& shards, Nanos now) {
    std::unique_ptr<const Users> users = rotation_->Poll(*snapshot_.config, *snapshot_.users, now);
    const uint64_t keys = agent_.keys_found();
    // With a key, or another secret, what was refused is worth another try.
    if (users != nullptr || keys != keys_found_)
      Hand(shards, {snapshot_.config, users == nullptr ? snapshot_.users : std::move(users),
                    snapshot_.tls, snapshot_.iam});
    keys_found_ = keys;
    if (rotation_->new_users()) NameUsers(shards, now);
  }

  // Somebody's first secret has come from elsewhere.
  void NameUsers(engine::Shards& shards, Nanos now) {
    auto config = std::make_shared<Config>(*snapshot_.config);
    NameRemoteUsers(*config, agent_);
    absl::StatusOr<std::unique_ptr<const Users>> users =
        Users::Load(*config, entropy_, salt_key_, snapshot_.users.get(), now, &agent_);
    rotation_->Begin(*config);
    if (!users.ok()) {
      Log(LogLevel::kWarn, Cat("event=secret_unusable: ", std::string(users.status().message())));
      return;
    }
    Hand(shards, {std::move(config), *std::move(users), snapshot_.tls, snapshot_.iam});
    Log(LogLevel::kInfo, "event=users_named: a first secret has come; its user can log in");
  }

  void Hand(engine::Shards& shards, Snapshot snapshot) {
    snapshot_ = std::move(snapshot);
    shared_->client_keys.Admit(snapshot_.users->StoredKeys());
    for (uint32_t shard = 0; shard < shards.count(); ++shard) {
      auto body = std::make_unique<ReloadBody>();
      body->snapshot = snapshot_;
      engine::Message message;
      message.kind = kReloadMessage;
      message.body = std::move(body);
      shards.Post(shard, std::move(message));
    }
  }

  void LogStatistics(engine::Shards& shards) {
    std::vector<ShardStatistics> now(shards.count());
    std::atomic<uint32_t> done{0};
    for (uint32_t shard = 0; shard < shards.count(); ++shard) {
      engine::Message message;
      message.kind = kStatisticsMessage;
      message.body = std::make_unique<StatisticsBody>(now[shard], done);
      shards.Post(shard, std::move(message));
    }
    while (done.load(std::memory_order_acquire) < shards.count()) std::this_thread::yield();
    for (const std::string& line : StatisticsLines(statistics_, now)) Log(LogLevel::kInfo, line);
    if (const uint64_t dropped = engine::DroppedLogLines(); dropped > dropped_told_) {
      Log(LogLevel::kWarn, Cat("event=log_lines_dropped: ", dropped - dropped_told_,
                               " lines were lost: the log's reader is too slow"));
      dropped_told_ = dropped;
    }
    statistics_ = std::move(now);
  }

  std::string path_;
  engine::SystemEntropy entropy_;
  engine::SystemWallClock wall_clock_;
  CurlHttp http_;
  AwsAgent agent_{http_, wall_clock_};
  AgentThread agent_thread_{agent_};
  HttpVerifier verifier_{http_};
  uint64_t keys_found_ = 0;  // AwsAgent::keys_found, as the shards know of it
  std::string salt_key_;
  Snapshot snapshot_;
  engine::ShardsOptions options_;
  std::unique_ptr<ProxyShared> shared_;
  std::unique_ptr<SecretRotation> rotation_;
  std::vector<std::string> socket_files_;
  std::vector<ShardStatistics> statistics_;
  uint64_t dropped_told_ = 0;  // log lines lost, as far as the log says so
};

}  // namespace
}  // namespace weir::pool

int main(int count, char** values) {
  weir::pool::Arguments arguments;
  const int result = weir::pool::ParseArguments(count, values, arguments);
  if (result >= 0) return result;
  weir::pool::Program program;
  return program.Run(arguments);
}
