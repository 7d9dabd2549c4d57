#include "pool/session/pin.h"

#include <cstdint>
#include <string>

#include "engine/base/log.h"
#include "engine/base/text.h"
#include "pool/session/backend_session.h"
#include "pool/session/client_session.h"

namespace weir::pool {

using engine::Cat;

namespace {

std::string Head(SessionServices& services, const ClientSession& client) {
  return Cat("[proxyEndpoint=", services.config->endpoints[client.endpoint()].name,
             "] [clientConnection=", client.number(), "] The client session ");
}

}  // namespace

void LogPin(SessionServices& services, const ClientSession& client, const BackendSession& backend,
            uint8_t reason, const protocol::SessionMarks& marks) {
  services.metrics.RecordPin(reason);
  uint64_t left_out = 0;
  if (!services.pin_log.Allow(services.shard.now(), left_out)) return;
  const protocol::PinWords words = services.dialect.Pin(reason);
  std::string line = Head(services, client);
  engine::Append(line, "was pinned to the database connection [dbConnection=", backend.process_id(),
                 "] until ", words.ends_by,
                 ". The proxy can't reuse this connection until then. Reason: ", words.reason);
  if (marks.statement != nullptr) {
    engine::Append(line, " Digest: \"", marks.statement->digest, "\".");
    if (services.config->proxy.debug_logging)
      engine::Append(line, " Statement: \"", marks.statement->text, "\".");
  }
  if (left_out > 0) engine::Append(line, " (", left_out, " such lines left out)");
  engine::Log(engine::LogLevel::kWarn, line);
}

std::string PinNotice(SessionServices& services, uint8_t reason) {
  const protocol::PinWords words = services.dialect.Pin(reason);
  return Cat("this session is pinned to its database connection until ", words.ends_by,
             ". Reason: ", words.reason);
}

void LogPinEnd(SessionServices& services, const ClientSession& client,
               const BackendSession& backend, engine::Nanos pinned_at, uint8_t reason) {
  uint64_t left_out = 0;
  if (!services.pin_log.Allow(services.shard.now(), left_out)) return;
  engine::Log(engine::LogLevel::kInfo,
              Cat(Head(services, client),
                  "released the database connection [dbConnection=", backend.process_id(),
                  "] after ", (services.shard.now() - pinned_at) / engine::kSecond,
                  " s. Reason: ", services.dialect.Pin(reason).reason));
}

}  // namespace weir::pool
