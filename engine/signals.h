// Signals reach the main thread only, when it asks; and what the service manager is told.
#pragma once

#include <string_view>

#include "engine/base/clock.h"

namespace weir::engine {

// Blocks SIGTERM, SIGINT, SIGHUP and SIGUSR1 in this thread and those it starts, ignores SIGPIPE.
// Before any thread.
void BlockSignals();
// Waits for one of them; 0 if `timeout` has passed.
int WaitForSignal(Nanos timeout);

// Tells systemd, if it asked to be told (NOTIFY_SOCKET): "READY=1", "STOPPING=1", ...
void NotifyServiceManager(std::string_view state);

}  // namespace weir::engine
