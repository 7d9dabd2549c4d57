// An address to listen on or to connect to: IPv4, IPv6 or a unix socket.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace weir::engine {

class Address {
 public:
  Address() = default;
  Address(const sockaddr* address, socklen_t length);

  // "host:port" with a numeric host, "[v6]:port", or "unix:/dir[:port]", which is the file
  // /dir/.s.PGSQL.<port>.
  static absl::StatusOr<Address> Parse(std::string_view text, uint16_t default_port);
  // A numeric host or "unix:/dir", with a port. An error if the host is a name that must be looked
  // up.
  static absl::StatusOr<Address> FromHost(std::string_view host, uint16_t port);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const { return length_; }
  int family() const { return storage_.ss_family; }
  bool IsUnix() const { return family() == AF_UNIX; }
  bool IsLoopback() const;
  // Never leaves the machine.
  bool IsLocal() const { return IsUnix() || IsLoopback(); }
  uint16_t port() const;
  // The socket file; only for unix sockets.
  std::string path() const;
  std::string ToString() const;
  bool operator==(const Address& other) const { return ToString() == other.ToString(); }

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

}  // namespace weir::engine
