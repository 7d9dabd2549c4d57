#include "pool/session/session_log.h"

#include <cstdint>
#include <string>

#include "engine/base/log.h"
#include "engine/base/text.h"
#include "pool/session/backend_session.h"

namespace weir::pool {

using engine::Cat;
using engine::LogLevel;

namespace {

void Write(SessionServices& services, LogLevel level, engine::LogLimit& limit, std::string line) {
  uint64_t left_out = 0;
  if (!limit.Allow(services.shard.now(), left_out)) return;
  if (left_out > 0) engine::Append(line, " (", left_out, " such lines left out)");
  engine::Log(level, line);
}

std::string Client(SessionServices& services, uint32_t client, uint32_t endpoint) {
  return Cat("[proxyEndpoint=", services.config->endpoints[endpoint].name,
             "] [clientConnection=", client, "] ");
}

}  // namespace

void LogLoginFailure(SessionServices& services, uint32_t client, uint32_t endpoint,
                     std::string_view user, std::string_view reason) {
  Write(services, LogLevel::kWarn, services.login_log,
        Cat(Client(services, client, endpoint), "login failed for user \"", user.substr(0, 64),
            "\": ", reason));
}

void LogClientClosed(SessionServices& services, uint32_t client, uint32_t endpoint,
                     std::string_view reason) {
  Write(services, LogLevel::kInfo, services.client_log,
        Cat(Client(services, client, endpoint), "client closed: ", reason));
}

void LogBackendLost(SessionServices& services, const BackendSession& backend,
                    std::string_view reason) {
  Write(services, LogLevel::kWarn, services.backend_log,
        Cat("[dbConnection=", backend.process_id(), "] database connection lost: ", reason));
}

void LogOpenFailure(SessionServices& services, const BackendSession& backend,
                    const LaunchFailure& failure) {
  const RouteKey& key = services.routes.Get(backend.route()).key;
  Write(services, LogLevel::kWarn, services.backend_log,
        Cat("cannot open a database connection for user \"", key.user, "\", database \"",
            key.database, "\": ", failure.text));
}

}  // namespace weir::pool
