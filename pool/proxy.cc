#include "pool/proxy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "engine/base/check.h"
#include "engine/base/log.h"
#include "engine/base/text.h"
#include "pool/core/placement.h"
#include "pool/session/startup_parameters.h"

namespace weir::pool {

using engine::Cat;
using engine::Nanos;

namespace {

constexpr Nanos kSweepPeriod = engine::kSecond;

protocol::ExchangeOptions::OpaqueCalls OpaqueCallsOf(std::string_view option) {
  using OpaqueCalls = protocol::ExchangeOptions::OpaqueCalls;
  if (option == "trust") return OpaqueCalls::kTrust;
  return option == "pin" ? OpaqueCalls::kPin : OpaqueCalls::kProbe;
}

std::vector<std::string> InLowerCase(std::vector<std::string> names) {
  for (std::string& name : names) {
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  return names;
}

}  // namespace

PoolOptions PoolOptionsOf(const Config& config) {
  const ConnectionPoolOptions& from = config.connection_pool;
  PoolOptions options;
  options.max_percent = static_cast<uint32_t>(from.max_connections_percent);
  options.max_idle_percent = static_cast<uint32_t>(from.max_idle_connections_percent);
  options.min_idle = static_cast<uint32_t>(from.min_idle_connections);
  options.route_switch_bound = from.route_switch_bound;
  options.idle_timeout = from.backend_idle_timeout;
  options.lifetime = from.backend_lifetime;
  options.rotate = from.debug_borrow == "rotate";
  options.pipeline_depth = static_cast<uint32_t>(from.pipeline_depth);
  options.pipeline_max_wait = from.pipeline_max_wait;
  options.hot_backends = static_cast<uint32_t>(from.debug_hot_backends);
  return options;
}

ShardProxy::ShardProxy(engine::Shard& its_shard, ProxyShared& shared, Snapshot snapshot,
                       std::unique_ptr<protocol::Dialect> speaks)
    : SessionServices(its_shard, pool_, route_cache_, shard_metrics_, *speaks, shared.greetings,
                      shared.catalogues, keys_, shared.client_keys, shared.secret_news,
                      client_slab_, backend_slab_, cancel_slab_),
      shared_(shared),
      dialect_(std::move(speaks)),
      route_cache_(shared.pool.routes),
      trace_(its_shard.id()),
      pool_(*this, *this, shared.pool, route_cache_, PoolOptionsOf(*snapshot.config)) {
  trace = &trace_;
  client_counts = &shared.client_counts;
  tokens = &iam_checker_;
  server_tokens = shared.server_tokens;
  iam_checker_.UseVerifier(shared.verifier_worker, shared.verifier);
  Use(std::move(snapshot));
  sweep_.Bind(engine::Callback::To<&ShardProxy::OnSweep>(*this));
  reads_timer_.Bind(engine::Callback::To<&ShardProxy::CheckReads>(*this));
}

ShardProxy::~ShardProxy() {
  shard.timers().Cancel(sweep_);
  shard.timers().Cancel(reads_timer_);
}

void ShardProxy::Use(Snapshot snapshot) {
  if (snapshot_.config != nullptr && snapshot_.config != snapshot.config)
    old_configs_.push_back(snapshot_.config);
  snapshot_ = std::move(snapshot);
  config = snapshot_.config.get();
  users = snapshot_.users.get();
  tls = snapshot_.tls.get();
  iam_checker_.Use(snapshot_.iam.get());
  const ConnectionPoolOptions& options = config->connection_pool;
  dialect.Configure({.scan_limit = static_cast<uint32_t>(options.statement_scan_limit),
                     .prepared_max = static_cast<uint32_t>(options.max_prepared_statements),
                     .exclude_variable_sets = !options.session_pinning_filters.empty(),
                     .opaque_calls = OpaqueCallsOf(options.opaque_calls),
                     .custom_settings = InLowerCase(options.custom_settings)});
  shard.streams().write_timeout = config->proxy.client_write_timeout;
  pool_.Reconfigure(PoolOptionsOf(*config));
  reads.history.set_quick_time(options.pipeline_max_wait / 2);
  keys_.Keep(*users, shard.now());
  // What was refused with the secrets before is worth another try.
  pool_.Forgive();
}

void ShardProxy::OnStart() {
  for (uint32_t i = 0; i < shared_.listeners.size(); ++i) {
    listeners_.push_back(std::make_unique<engine::Listener>(shard, shared_.listeners[i], i, *this));
    listeners_.back()->Start();
  }
  shard.timers().Arm(sweep_, shard.now() + kSweepPeriod);
  Prewarm();
}

// At start the databases that secrets name are the routes to be warmed; later those that were used.
void ShardProxy::Prewarm() {
  if (shard.id() != 0 || config->connection_pool.min_idle_connections == 0) return;
  for (const auto& [user, database] : users->Databases()) {
    const absl::StatusOr<RouteId> route =
        routes.Intern({TargetRole::kReadWrite, database, user, ""});
    if (route.ok()) pool_.Prewarm(*route);
  }
}

void ShardProxy::OnTickEnd() { pool_.OnTickEnd(); }

// Why the next client is refused; empty if it is not.
std::string ShardProxy::RefusalOf() {
  const ProxyOptions& options = config->proxy;
  const uint64_t most =
      options.max_client_connections == 0
          ? shared_.clients_max
          : std::min<uint64_t>(shared_.clients_max,
                               static_cast<uint64_t>(options.max_client_connections));
  if (shared_.clients.load(std::memory_order_relaxed) >= most) {
    return Cat("The maximum number of client connections to the proxy exceeded ", most, ".");
  }
  if (options.client_connection_rate == 0) return {};
  if (shard.now() - accept_second_ >= engine::kSecond) {
    accept_second_ = shard.now();
    accept_second_count_ = 0;
  }
  // Each shard has its share.
  const int64_t share = std::max<int64_t>(1, options.client_connection_rate / shard.count());
  if (++accept_second_count_ <= share) return {};
  return Cat("Rate of connection to proxy exceeded ", options.client_connection_rate, ".");
}

void ShardProxy::OnAccepted(uint32_t listener, int fd) {
  std::string refusal = RefusalOf();
  shared_.clients.fetch_add(1, std::memory_order_relaxed);
  shared_.pool.clients[shard.id()].fetch_add(1, std::memory_order_relaxed);
  clients.Emplace(*this, listener)
      .Accept(fd, shared_.local_listeners[listener], shared_.unix_listeners[listener],
              std::move(refusal));
}

void ShardProxy::OnAcceptPaused(uint32_t listener, int error) {
  engine::Log(engine::LogLevel::kError,
              Cat("[proxyEndpoint=", config->endpoints[listener].name,
                  "] event=accept_paused: ", std::string_view(std::strerror(error)),
                  ": new clients wait until a descriptor is free (raise LimitNOFILE)"));
}

void ShardProxy::OnAcceptResumed(uint32_t listener) {
  engine::Log(engine::LogLevel::kInfo,
              Cat("[proxyEndpoint=", config->endpoints[listener].name, "] event=accept_resumed"));
}

void ShardProxy::OnListenerStopped(uint32_t) { StopIfEmpty(); }

Backend& ShardProxy::Open(RouteId route, TargetId target) {
  BackendSession& backend = backends.Emplace(*this, route, target);
  backend.Open();
  return backend;
}

void ShardProxy::Close(Backend& backend) { static_cast<BackendSession&>(backend).Terminate(); }
void ShardProxy::Detach(Backend& backend) { static_cast<BackendSession&>(backend).DetachStream(); }
bool ShardProxy::AskFacts(Backend& backend) {
  return static_cast<BackendSession&>(backend).AskFacts();
}

bool ShardProxy::AskCatalogue(Backend& backend) {
  return static_cast<BackendSession&>(backend).ReadCatalogue();
}

Backend& ShardProxy::Attach(RouteId route, TargetId target,
                            std::unique_ptr<engine::MessageBody> body) {
  BackendSession& backend = backends.Emplace(*this, route, target);
  backend.Attach(static_cast<MovingBackend&>(*body));
  return backend;
}

void ShardProxy::PoolLog(bool warning, std::string_view line) {
  engine::Log(warning ? engine::LogLevel::kWarn : engine::LogLevel::kInfo, line);
}

uint32_t ShardProxy::PlaceClient() {
  if (shard.count() == 1) return shard.id();
  const TargetBoard& board = *shared_.pool.targets[0];
  return PlaceOn(shared_.pool.clients.get(), shard.count(), 0,
                 board.budget.load(std::memory_order_relaxed),
                 board.known.load(std::memory_order_relaxed), shard.id());
}

void ShardProxy::OnClientClosed() {
  shared_.clients.fetch_sub(1, std::memory_order_relaxed);
  OnClientMoved();
}

void ShardProxy::OnClientMoved() {
  shared_.pool.clients[shard.id()].fetch_sub(1, std::memory_order_relaxed);
}

void ShardProxy::OnConnectionClosed() { StopIfEmpty(); }

void ShardProxy::OnMessage(engine::Message&& message) {
  switch (message.kind) {
    case kPlaceClientMessage: {
      auto& placed = static_cast<PlacedClient&>(*message.body);
      shared_.pool.clients[shard.id()].fetch_add(1, std::memory_order_relaxed);
      clients.Emplace(*this, placed.endpoint).Place(placed);
      return;
    }
    case kCancelMessage:
      CancelClient(*this, static_cast<uint32_t>(message.words[0]),
                   static_cast<uint32_t>(message.words[1]));
      return;
    case kReloadMessage:
      Use(std::move(static_cast<ReloadBody&>(*message.body).snapshot));
      return;
    case kCatalogueMessage:
      catalogues.OnMessage(*this, static_cast<CatalogueBody&>(*message.body));
      return;
    case kDescribeMessage:
      Describe();
      return;
    case kDrainMessage:
      Drain();
      return;
    case kStatisticsMessage: {
      auto& body = static_cast<StatisticsBody&>(*message.body);
      FillStatistics(body.out);
      body.done.fetch_add(1, std::memory_order_release);
      return;
    }
    default:
      CHECK(message.kind >= Pool::kMessages && message.kind < Pool::kMessages + 0x100);
      pool_.OnMessage(std::move(message));
      return;
  }
}

void ShardProxy::Drain() {
  if (draining) return;
  draining = true;
  for (const auto& listener : listeners_) listener->Stop();
  clients.ForEach([](ClientSession& client) { client.Drain(); });
  pool_.Drain();
  stop_when_empty_ = true;
  StopIfEmpty();
}

void ShardProxy::StopIfEmpty() {
  if (!stop_when_empty_ || clients.size() > 0 || backends.size() > 0 || cancels.size() > 0) return;
  for (const auto& listener : listeners_) {
    if (!listener->stopped()) return;
  }
  shard.Stop();
}

// Once a second: clients that hold a backend with an unfinished message or an idle transaction.
void ShardProxy::OnSweep() {
  const Nanos now = shard.now();
  shard.timers().Arm(sweep_, now + kSweepPeriod);
  backends.ForEach([now](BackendSession& backend) {
    if (ClientSession* client = backend.client(); client != nullptr) client->CheckUnfinished(now);
  });
}

void ShardProxy::WatchReads() {
  if (!reads_timer_.armed())
    shard.timers().Arm(reads_timer_, shard.now() + config->connection_pool.pipeline_max_wait);
}

// As long as reads wait behind others.
void ShardProxy::CheckReads() {
  bool waits = false;
  pool_.ForEachCarrier([&](Backend& backend) {
    auto& session = static_cast<BackendSession&>(backend);
    session.CheckReads(shard.now());
    waits = waits || session.reads > 1;
  });
  if (waits) WatchReads();
}

void ShardProxy::FillStatistics(ShardStatistics& out) {
  const PoolCounts counts = pool_.counts(0);
  out.shard = shard.id();
  out.clients = clients.size();
  out.backends = counts.open;
  out.borrowed = counts.linked;
  out.waiting = counts.waiting;
  out.budget = counts.budget;
  out.pinned = out.backends_tls = 0;
  out.pin_names = dialect.PinNames();
  backends.ForEach([&out](BackendSession& backend) {
    out.pinned += backend.pinned ? 1 : 0;
    out.backends_tls += backend.encrypted() ? 1 : 0;
  });
  out.clients_tls = 0;
  clients.ForEach([&out](ClientSession& client) { out.clients_tls += client.encrypted() ? 1 : 0; });
  out.metrics = metrics;
  const engine::IoCounts& io = shard.io().counts();
  out.metrics.Set(Counter::kTicks, io.ticks);
  out.metrics.Set(Counter::kCompletions, io.completions);
  out.metrics.Set(Counter::kReceivesWithoutBuffer, io.enobufs);
  out.metrics.Set(Counter::kShortSends, io.short_sends);
}

void ShardProxy::Describe() {
  const PoolCounts counts = pool_.counts(0);
  std::string out =
      Cat("event=describe shard=", shard.id(), " clients=", clients.size(), " slice=", counts.slice,
          " open=", counts.open, " idle=", counts.idle, " linked=", counts.linked,
          " waiting=", counts.waiting, " buffers=", shard.chunks().bytes_in_use(), "\n");
  pool_.Describe(out);
  backends.ForEach([&out](BackendSession& backend) {
    backend.Describe(out);
    out.push_back('\n');
  });
  clients.ForEach([&out](ClientSession& client) {
    if (!client.pinned() && client.state() != ClientState::kWaiting) return;
    client.Describe(out);
    out.push_back('\n');
  });
  for (std::string_view rest = out; !rest.empty();) {
    const size_t end = rest.find('\n');
    engine::Log(engine::LogLevel::kInfo, rest.substr(0, end));
    rest.remove_prefix(
        std::min(rest.size(), end == std::string_view::npos ? rest.size() : end + 1));
  }
}

}  // namespace weir::pool
