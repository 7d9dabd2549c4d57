#include "bench/load/socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace weir::load {
namespace {

char buffer[64 * 1024];

}  // namespace

void Fail(const std::string& text) {
  std::fprintf(stderr, "load: %s\n", text.c_str());
  std::exit(1);
}

Poller::Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)) { CHECK(epoll_ >= 0); }

int Poller::Poll(int timeout_ms) {
  epoll_event events[256];
  const int count = epoll_wait(epoll_, events, 256, timeout_ms);
  CHECK(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    Socket& socket = *static_cast<Socket*>(events[i].data.ptr);
    if (!socket.dead()) socket.Handle(events[i].events);
  }
  for (Socket* socket : dead_) delete socket;
  dead_.clear();
  return count;
}

Socket::Socket(Poller& poller, int fd, bool listening)
    : poller_(poller), fd_(fd), listening_(listening) {
  CHECK(fd_ >= 0);
  epoll_event event{EPOLLIN, {.ptr = this}};
  CHECK(epoll_ctl(poller_.epoll_, EPOLL_CTL_ADD, fd_, &event) == 0);
}

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

void Socket::Die() {
  if (dead()) return;
  close(fd_);
  fd_ = -1;
  poller_.dead_.push_back(this);
}

void Socket::Watch() {
  epoll_event event{(polled_ ? EPOLLIN : 0u) | (waiting_ ? EPOLLOUT : 0u), {.ptr = this}};
  CHECK(epoll_ctl(poller_.epoll_, EPOLL_CTL_MOD, fd_, &event) == 0);
}

void Socket::SetPolled(bool polled) {
  polled_ = polled;
  Watch();
}

void Socket::Handle(uint32_t events) {
  if (listening_) return OnAcceptable();
  if ((events & EPOLLOUT) != 0) Drain();
  if (!dead() && (events & ~EPOLLOUT) != 0) ReadSome(sizeof buffer);
}

void Socket::ReadSome(size_t most) {
  const ssize_t got = recv(fd_, buffer, std::min(most, sizeof buffer), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return OnEnd(got < 0 ? errno : 0);
  const std::string_view bytes(buffer, static_cast<size_t>(got));
  if (unread_.empty()) {
    const size_t used = OnBytes(bytes);
    if (!dead()) unread_.assign(bytes.substr(used));
  } else {
    unread_ += bytes;
    const size_t used = OnBytes(unread_);
    if (!dead()) unread_.erase(0, used);
  }
}

void Socket::Send(std::string_view bytes) {
  if (dead()) return;
  if (!unsent_.empty()) {
    unsent_ += bytes;
    return;
  }
  const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return;
  // Whoever reads learns of a broken connection.
  if (sent < 0 && errno != EAGAIN && errno != ENOTCONN && errno != EINPROGRESS) return;
  unsent_.assign(bytes.substr(sent < 0 ? 0 : static_cast<size_t>(sent)));
  waiting_ = true;
  Watch();
}

void Socket::Drain() {
  const ssize_t sent = send(fd_, unsent_.data(), unsent_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent > 0) unsent_.erase(0, static_cast<size_t>(sent));
  if (!unsent_.empty() && (sent >= 0 || errno == EAGAIN)) return;
  unsent_.clear();
  waiting_ = false;
  Watch();
}

bool NextMessage(std::string_view& bytes, char& type, std::string_view& body) {
  if (bytes.size() < 5) return false;
  uint32_t length = 0;
  for (int i = 1; i < 5; ++i) length = length << 8 | static_cast<uint8_t>(bytes[i]);
  if (length < 4) Fail("a malformed message came");
  if (bytes.size() < size_t{1} + length) return false;
  type = bytes[0];
  body = bytes.substr(5, length - 4);
  bytes.remove_prefix(size_t{1} + length);
  return true;
}

}  // namespace weir::load
