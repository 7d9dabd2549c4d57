// One shard's part of the program: its clients, its backends, its part of the pool, its listeners.
//
// The rest of the program talks to it by message. It implements what the rooms below ask of their
// shard.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/listener.h"
#include "engine/shard.h"
#include "engine/trace.h"
#include "pool/core/pool.h"
#include "pool/metrics/statistics.h"
#include "pool/session/backend_session.h"
#include "pool/session/cancel.h"
#include "pool/session/client_counts.h"
#include "pool/session/client_session.h"
#include "pool/session/iam_checker.h"
#include "pool/session/server_tokens.h"
#include "pool/session/services.h"
#include "protocol/dialect.h"

namespace weir::pool {

// An immutable configuration, with its secrets read.
struct Snapshot {
  std::shared_ptr<const Config> config;
  std::shared_ptr<const Users> users;
  std::shared_ptr<const TlsContexts> tls{};  // nullptr: none on either side
  std::shared_ptr<const Iam> iam{};          // nullptr: no token is good
};

// What all shards share. Made before the shards start, outlives them.
struct ProxyShared {
  ProxyShared(uint32_t shards, uint32_t targets) : pool(shards, targets) {}

  PoolShared pool;
  Greetings greetings;
  Catalogues catalogues;
  ClientCounts client_counts;
  ClientKeys client_keys;
  SecretNews secret_news;
  ServerTokens* server_tokens = nullptr;  // nullptr: none can be made
  // Who asks the verifier of tokens; nullptr: nobody.
  engine::Worker* verifier_worker = nullptr;
  IamVerifier* verifier = nullptr;
  std::vector<int> listeners;         // a descriptor per endpoint
  std::vector<bool> local_listeners;  // loopback or unix: TRUST may be used
  std::vector<bool> unix_listeners;   // no TLS there
  std::atomic<uint64_t> clients{0};
  uint64_t clients_max = 0;  // what the descriptors allow
};

inline constexpr uint32_t kReloadMessage = 0x210;
inline constexpr uint32_t kDescribeMessage = 0x211;
inline constexpr uint32_t kDrainMessage = 0x212;
inline constexpr uint32_t kStatisticsMessage = 0x213;

struct ReloadBody final : engine::MessageBody {
  Snapshot snapshot;
};
// Filled by the shard; `done` is counted up when it is.
struct StatisticsBody final : engine::MessageBody {
  StatisticsBody(ShardStatistics& place, std::atomic<uint32_t>& count) : out(place), done(count) {}
  ShardStatistics& out;
  std::atomic<uint32_t>& done;
};

PoolOptions PoolOptionsOf(const Config& config);

class ShardProxy final : public engine::ShardApplication,
                         public engine::Listener::Events,
                         public BackendDriver,
                         public PoolHost,
                         public SessionServices {
 public:
  ShardProxy(engine::Shard& its_shard, ProxyShared& shared, Snapshot snapshot,
             std::unique_ptr<protocol::Dialect> speaks);
  ~ShardProxy() override;

  // engine::ShardApplication
  void OnStart() override;
  void OnMessage(engine::Message&& message) override;
  void OnTickEnd() override;

  // engine::Listener::Events
  void OnAccepted(uint32_t listener, int fd) override;
  void OnAcceptPaused(uint32_t listener, int error) override;
  void OnAcceptResumed(uint32_t listener) override;
  void OnListenerStopped(uint32_t listener) override;

  // BackendDriver
  Backend& Open(RouteId route, TargetId target) override;
  void Close(Backend& backend) override;
  void Detach(Backend& backend) override;
  Backend& Attach(RouteId route, TargetId target,
                  std::unique_ptr<engine::MessageBody> body) override;
  bool AskFacts(Backend& backend) override;
  bool AskCatalogue(Backend& backend) override;

  // PoolHost
  uint32_t shard_id() const override { return shard.id(); }
  engine::Nanos Now() const override { return shard.now(); }
  engine::TimerWheel& Timers() override { return shard.timers(); }
  engine::Prng& Random() override { return shard.prng(); }
  void Send(uint32_t to, engine::Message&& message) override { shard.Post(to, std::move(message)); }
  void PoolLog(bool warning, std::string_view line) override;

  // SessionServices
  uint32_t PlaceClient() override;
  void OnClientClosed() override;
  void OnClientMoved() override;
  void OnConnectionClosed() override;
  void WatchReads() override;

 private:
  void Use(Snapshot snapshot);
  void Drain();
  void Describe();
  void FillStatistics(ShardStatistics& out);
  void OnSweep();
  void CheckReads();
  std::string RefusalOf();
  void Prewarm();
  void StopIfEmpty();

  ProxyShared& shared_;
  Snapshot snapshot_;
  // Sessions may still refer to them; nobody does to users, whose secrets go with the snapshot.
  std::vector<std::shared_ptr<const Config>> old_configs_;
  std::unique_ptr<protocol::Dialect> dialect_;
  RouteCache route_cache_;
  ShardMetrics shard_metrics_;
  ServerKeys keys_;
  IamChecker iam_checker_;
  engine::Trace trace_;
  Pool pool_;
  engine::Slab<ClientSession> client_slab_;
  engine::Slab<BackendSession> backend_slab_;
  engine::Slab<CancelSender> cancel_slab_;
  std::vector<std::unique_ptr<engine::Listener>> listeners_;
  engine::Timer sweep_;
  engine::Timer reads_timer_;
  uint32_t accept_second_count_ = 0;
  engine::Nanos accept_second_ = 0;
  bool stop_when_empty_ = false;
};

}  // namespace weir::pool
