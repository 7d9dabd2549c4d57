// The plain forwarder: one thread, epoll, recv(2) and send(2). What weir's engine is compared with.
#pragma once

#include "engine/address.h"
#include "engine/base/clock.h"

namespace weir::bench {

// Accepts from `listener`, pairs each connection with one to `target` and forwards bytes until
// SIGTERM or SIGINT, which must be blocked. Looks for work for `spin` before it sleeps. Prints its
// counts as a line of JSON.
int ForwardByEpoll(int listener, const engine::Address& target, engine::Nanos spin);

}  // namespace weir::bench
