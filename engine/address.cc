#include "engine/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>

#include "engine/base/check.h"
#include "engine/base/text.h"

namespace weir::engine {
namespace {

constexpr std::string_view kUnix = "unix:";

absl::Status Bad(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(Cat("\"", text, "\": ", why));
}

bool ParsePort(std::string_view text, uint16_t& port) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0 || value > 65535)
    return false;
  port = static_cast<uint16_t>(value);
  return true;
}

absl::StatusOr<Address> FromDirectory(std::string_view directory, uint16_t port) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (directory.empty() || directory[0] != '/')
    return Bad(directory, "a unix socket needs an absolute directory");
  const std::string path = Cat(directory, "/.s.PGSQL.", port);
  if (path.size() >= sizeof address.sun_path)
    return Bad(path, "the path of the socket is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return Address(reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1));
}

}  // namespace

Address::Address(const sockaddr* address, socklen_t length) : length_(length) {
  CHECK(length <= sizeof storage_);
  std::memcpy(&storage_, address, length);
}

absl::StatusOr<Address> Address::FromHost(std::string_view host, uint16_t port) {
  if (host.starts_with(kUnix)) return FromDirectory(host.substr(kUnix.size()), port);
  const std::string numeric(host);
  sockaddr_in v4{};
  if (inet_pton(AF_INET, numeric.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return Address(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, numeric.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return Address(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  }
  return Bad(host, "not a numeric address");
}

absl::StatusOr<Address> Address::Parse(std::string_view text, uint16_t default_port) {
  uint16_t port = default_port;
  if (text.starts_with(kUnix)) {
    std::string_view directory = text.substr(kUnix.size());
    if (const size_t colon = directory.rfind(':'); colon != std::string_view::npos) {
      if (!ParsePort(directory.substr(colon + 1), port))
        return Bad(text, "the port must be 1 to 65535");
      directory = directory.substr(0, colon);
    }
    return FromDirectory(directory, port);
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !ParsePort(text.substr(colon + 1), port)) {
    return Bad(text,
               "expected host:port, [v6]:port or unix:/dir[:port], with a port of 1 to 65535");
  }
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return Bad(text, "an IPv6 address must stand in brackets: [v6]:port");
  }
  if (host == "localhost") host = "127.0.0.1";
  if (host == "*") host = "0.0.0.0";
  absl::StatusOr<Address> address = FromHost(host, port);
  if (!address.ok()) return Bad(text, "the host must be a numeric address (or *, localhost)");
  return address;
}

bool Address::IsLoopback() const {
  if (family() == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage_);
    return (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
  }
  if (family() != AF_INET6) return false;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage_);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return v6.sin6_addr.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(storage_).sin_port);
  if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(storage_).sin6_port);
  return 0;
}

std::string Address::path() const {
  CHECK(IsUnix());
  return reinterpret_cast<const sockaddr_un&>(storage_).sun_path;
}

std::string Address::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  switch (family()) {
    case AF_UNIX:
      return Cat("unix:", std::string_view(path()));
    case AF_INET:
      inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(storage_).sin_addr, text,
                sizeof text);
      return Cat(std::string_view(text), ":", port());
    case AF_INET6:
      inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(storage_).sin6_addr, text,
                sizeof text);
      return Cat("[", std::string_view(text), "]:", port());
    default:
      return "(no address)";
  }
}

}  // namespace weir::engine
