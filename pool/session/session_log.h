// The log lines of sessions, in the form that operators of the managed proxy search for.
#pragma once

#include <cstdint>
#include <string_view>

#include "pool/core/launch.h"
#include "pool/session/services.h"

namespace weir::pool {

void LogLoginFailure(SessionServices& services, uint32_t client, uint32_t endpoint,
                     std::string_view user, std::string_view reason);
void LogClientClosed(SessionServices& services, uint32_t client, uint32_t endpoint,
                     std::string_view reason);
void LogBackendLost(SessionServices& services, const BackendSession& backend,
                    std::string_view reason);
void LogOpenFailure(SessionServices& services, const BackendSession& backend,
                    const LaunchFailure& failure);

}  // namespace weir::pool
