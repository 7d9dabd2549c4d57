// What the sessions of a shard need from their shard, in one place. Owned by the shard's proxy;
// outlives every session.
#pragma once

#include <cstdint>

#include "engine/base/log.h"
#include "engine/base/slab.h"
#include "engine/shard.h"
#include "engine/trace.h"
#include "pool/config/config.h"
#include "pool/core/pool.h"
#include "pool/metrics/metrics.h"
#include "pool/session/bases.h"
#include "pool/session/catalogues.h"
#include "pool/session/greetings.h"
#include "pool/session/login_delays.h"
#include "pool/session/reads.h"
#include "pool/session/server_keys.h"
#include "pool/session/server_secrets.h"
#include "pool/session/tls_contexts.h"
#include "pool/session/users.h"
#include "protocol/dialect.h"

namespace weir::pool {

class ClientSession;
class BackendSession;
class CancelSender;
class ClientCount;
class ClientCounts;
class ServerTokens;
class TokenChecker;

// Kinds of messages between the sessions of two shards.
inline constexpr uint32_t kPlaceClientMessage = 0x200;  // body: a client that was placed
inline constexpr uint32_t kCancelMessage = 0x201;       // words: seat, secret

struct SessionServices {
  SessionServices(engine::Shard& its_shard, Pool& its_pool, RouteCache& its_routes,
                  ShardMetrics& its_metrics, protocol::Dialect& its_dialect,
                  Greetings& all_greetings, Catalogues& all_catalogues, ServerKeys& its_keys,
                  ClientKeys& all_client_keys, SecretNews& all_secret_news,
                  engine::Slab<ClientSession>& its_clients,
                  engine::Slab<BackendSession>& its_backends,
                  engine::Slab<CancelSender>& its_cancels)
      : shard(its_shard),
        pool(its_pool),
        routes(its_routes),
        metrics(its_metrics),
        dialect(its_dialect),
        greetings(all_greetings),
        catalogues(*this, all_catalogues),
        server_keys(its_keys),
        client_keys(all_client_keys),
        server_secrets(all_client_keys, all_secret_news),
        clients(its_clients),
        backends(its_backends),
        cancels(its_cancels) {}

  engine::Shard& shard;
  Pool& pool;
  RouteCache& routes;
  ShardMetrics& metrics;
  protocol::Dialect& dialect;
  Greetings& greetings;
  ShardCatalogues catalogues;
  ServerKeys& server_keys;
  ClientKeys& client_keys;
  ServerSecrets server_secrets;
  const Config* config = nullptr;    // replaced at reload
  const Users* users = nullptr;      // replaced at reload
  const TlsContexts* tls = nullptr;  // replaced at reload; nullptr: none on either side
  engine::Slab<ClientSession>& clients;
  engine::Slab<BackendSession>& backends;
  engine::Slab<CancelSender>& cancels;
  ClientCounts* client_counts = nullptr;  // all shards'
  engine::Trace* trace = nullptr;         // the shard's last transitions, for a crash
  TokenChecker* tokens = nullptr;         // nullptr: no token is good
  ServerTokens* server_tokens = nullptr;  // nullptr: none can be made
  bool draining = false;
  LoginDelays login_delays;
  Reads reads;
  Bases bases;
  // Lines that peers can cause.
  engine::LogLimit pin_log{50};
  engine::LogLimit login_log{10};
  engine::LogLimit client_log{10};
  engine::LogLimit backend_log{10};

  // How connections to a target are encrypted.
  const TlsContexts::Target& TlsOf(TargetId target) const {
    static const TlsContexts::Target kNone;
    return tls == nullptr ? kNone : tls->targets[target];
  }

  // Where a new client should live; asked once per client.
  virtual uint32_t PlaceClient() = 0;
  virtual void OnClientClosed() = 0;      // it has left the program
  virtual void WatchReads() = 0;          // on some backend reads wait behind another
  virtual void OnClientMoved() = 0;       // it has left the shard
  virtual void OnConnectionClosed() = 0;  // of any kind; perhaps the drain is over

 protected:
  ~SessionServices() = default;
};

}  // namespace weir::pool
