#include "engine/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "engine/base/text.h"

namespace weir::engine {
namespace {

void SetOptions(int fd, const Address& address) {
  if (address.IsUnix()) return;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

bool SomebodyAnswers(const Address& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return true;
  const int result = connect(fd, address.get(), address.length());
  const bool refused = result != 0 && (errno == ECONNREFUSED || errno == ENOENT);
  close(fd);
  return !refused;
}

}  // namespace

absl::StatusOr<int> OpenListener(const Address& address, int backlog) {
  const auto failed = [&address](std::string_view what, int error) {
    const std::string_view hint =
        error == EADDRINUSE ? " (is another weir or server running there?)" : std::string_view();
    const std::string text = Cat("cannot ", what, " on ", address.ToString(), ": ",
                                 std::string_view(std::strerror(error)), hint);
    return error == EADDRINUSE ? absl::AlreadyExistsError(text) : absl::UnavailableError(text);
  };
  if (address.IsUnix() && !SomebodyAnswers(address)) unlink(address.path().c_str());
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed("open a socket", errno);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.family() == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  SetOptions(fd, address);
  if (bind(fd, address.get(), address.length()) != 0 || listen(fd, backlog) != 0) {
    const int error = errno;
    close(fd);
    return failed("listen", error);
  }
  if (address.IsUnix()) chmod(address.path().c_str(), 0777);
  return fd;
}

int OpenClientSocket(const Address& address) {
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  SetOptions(fd, address);
  return fd;
}

std::string PeerHost(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  if (storage.ss_family == AF_UNIX) return "unix";
  const std::string text = Address(reinterpret_cast<const sockaddr*>(&storage), length).ToString();
  return text.substr(0, text.rfind(':'));
}

uint64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

}  // namespace weir::engine
