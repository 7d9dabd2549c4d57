#include "bench/rawfwd_epoll.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/socket.h"

namespace weir::bench {
namespace {

using engine::MonotonicNow;
using engine::Nanos;

// One side of a pair.
struct Side {
  int fd = -1;
  Side* other = nullptr;
  std::string unsent;  // while not empty, `other` is not read
  bool gone = false;
};

class Forwarder {
 public:
  Forwarder(int listener, const engine::Address& target, Nanos spin)
      : epoll_(epoll_create1(EPOLL_CLOEXEC)), listener_(listener), target_(target), spin_(spin) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    signals_ = signalfd(-1, &signals, SFD_CLOEXEC);
    CHECK(epoll_ >= 0 && signals_ >= 0);
    Watch(listener_, EPOLLIN, &accepting_);
    Watch(signals_, EPOLLIN, &stopping_);
  }

  int Run() {
    while (!stopped_) {
      epoll_event events[256];
      const int count = epoll_wait(epoll_, events, 256, Timeout());
      CHECK(count >= 0 || errno == EINTR);
      ++ticks_;
      if (count > 0) completions_ += static_cast<uint64_t>(count);
      if (count > 0 && spin_ > 0) busy_until_ = MonotonicNow() + spin_;
      for (int i = 0; i < count; ++i) Handle(events[i]);
      // Later events of this round may have named them.
      for (Side* side : gone_) delete side;
      gone_.clear();
    }
    std::printf("{\"ticks\": %llu, \"completions\": %llu}\n",
                static_cast<unsigned long long>(ticks_),
                static_cast<unsigned long long>(completions_));
    return 0;
  }

 private:
  int Timeout() const { return spin_ > 0 && MonotonicNow() < busy_until_ ? 0 : -1; }

  void Watch(int fd, uint32_t events, Side* side) {
    epoll_event event{events, {.ptr = side}};
    CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
  }
  void Rewatch(Side& side) {
    uint32_t events = side.other->unsent.empty() ? EPOLLIN : 0u;
    if (!side.unsent.empty()) events |= EPOLLOUT;
    epoll_event event{events, {.ptr = &side}};
    CHECK(epoll_ctl(epoll_, EPOLL_CTL_MOD, side.fd, &event) == 0);
  }

  void Handle(const epoll_event& event) {
    Side& side = *static_cast<Side*>(event.data.ptr);
    if (&side == &accepting_) {
      Accept();
    } else if (&side == &stopping_) {
      stopped_ = true;
    } else if (!side.gone) {
      if ((event.events & EPOLLOUT) != 0) Drain(side);
      if (!side.gone && (event.events & ~EPOLLOUT) != 0) Forward(side);
    }
  }

  void Accept() {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const int server = engine::OpenClientSocket(target_);
    if (server < 0 || connect(server, target_.get(), target_.length()) != 0) {
      std::fprintf(stderr, "rawfwd: cannot connect to %s\n", target_.ToString().c_str());
      if (server >= 0) close(server);
      close(fd);
      return;
    }
    Side* client = new Side{fd, nullptr, {}, false};
    client->other = new Side{server, client, {}, false};
    Watch(fd, EPOLLIN, client);
    Watch(server, EPOLLIN, client->other);
  }

  void Forward(Side& from) {
    const ssize_t got = recv(from.fd, buffer_, sizeof buffer_, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return End(from);
    Side& to = *from.other;
    ssize_t sent = send(to.fd, buffer_, static_cast<size_t>(got), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return End(from);
    if (sent == got) return;
    if (sent < 0) sent = 0;
    to.unsent.assign(buffer_ + sent, static_cast<size_t>(got - sent));
    Rewatch(from);
    Rewatch(to);
  }

  void Drain(Side& to) {
    const ssize_t sent =
        send(to.fd, to.unsent.data(), to.unsent.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) return End(to);
    to.unsent.erase(0, static_cast<size_t>(sent));
    if (!to.unsent.empty()) return;
    Rewatch(to);
    Rewatch(*to.other);
  }

  void End(Side& side) {
    for (Side* each : {&side, side.other}) {
      each->gone = true;
      close(each->fd);
      gone_.push_back(each);
    }
  }

  const int epoll_;
  const int listener_;
  int signals_ = -1;
  const engine::Address target_;
  const Nanos spin_;
  Nanos busy_until_ = 0;
  Side accepting_;  // stand for the listener and the signals
  Side stopping_;
  std::vector<Side*> gone_;
  bool stopped_ = false;
  uint64_t ticks_ = 0;
  uint64_t completions_ = 0;
  char buffer_[64 * 1024];
};

}  // namespace

int ForwardByEpoll(int listener, const engine::Address& target, Nanos spin) {
  return std::make_unique<Forwarder>(listener, target, spin)->Run();
}

}  // namespace weir::bench
