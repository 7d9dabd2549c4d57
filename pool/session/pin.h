// Telling the operator about pins: one line when a client keeps its backend, one when it gives it
// up.
#pragma once

#include <cstdint>
#include <string>

#include "pool/session/services.h"
#include "protocol/dialect.h"

namespace weir::pool {

// `reason`: of the dialect's; `marks` may name the statement.
void LogPin(SessionServices& services, const ClientSession& client, const BackendSession& backend,
            uint8_t reason, const protocol::SessionMarks& marks);
void LogPinEnd(SessionServices& services, const ClientSession& client,
               const BackendSession& backend, engine::Nanos pinned_at, uint8_t reason);

// The same for the client.
std::string PinNotice(SessionServices& services, uint8_t reason);

}  // namespace weir::pool
