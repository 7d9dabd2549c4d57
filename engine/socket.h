// Making sockets. They block: io_uring itself waits for them, a non-blocking one would only answer
// EAGAIN.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "engine/address.h"

namespace weir::engine {

// A listening socket whose options (TCP_NODELAY, keep-alive) accepted sockets inherit. A socket
// file that nobody answers on is replaced. kAlreadyExists: somebody listens there.
absl::StatusOr<int> OpenListener(const Address& address, int backlog);

// A socket to connect with, or -errno.
int OpenClientSocket(const Address& address);

// The peer's address without its port; "unix" for a unix socket.
std::string PeerHost(int fd);

// The most descriptors this process may have, raised to the hard limit.
uint64_t RaiseDescriptorLimit();

}  // namespace weir::engine
