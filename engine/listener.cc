#include "engine/listener.h"

#include <cerrno>
#include <cstdint>

namespace weir::engine {
namespace {

constexpr Nanos kRetry = 100 * kMillisecond;

}  // namespace

Listener::Listener(Shard& shard, int fd, uint32_t number, Events& events)
    : shard_(shard), fd_(fd), number_(number), events_(events) {
  accept_.Bind<&Listener::OnAccept>(*this);
  retry_.Bind(Callback::To<&Listener::OnTimer>(*this));
}

Listener::~Listener() { shard_.timers().Cancel(retry_); }

void Listener::Start() { shard_.io().Accept(fd_, accept_); }

void Listener::Stop() {
  if (stopping_) return;
  stopping_ = true;
  shard_.timers().Cancel(retry_);
  if (accept_.in_flight()) {
    shard_.io().Cancel(accept_);
  } else {
    shard_.timers().Arm(retry_, shard_.now());
  }
}

void Listener::OnAccept(const Completion& completion) {
  const int error = completion.result < 0 ? -completion.result : 0;
  if (stopping_) {
    if (error == 0) shard_.io().Close(completion.result);
    events_.OnListenerStopped(number_);
    return;
  }
  switch (error) {
    case 0:
      if (paused_) {
        paused_ = false;
        events_.OnAcceptResumed(number_);
      }
      events_.OnAccepted(number_, completion.result);
      break;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      if (!paused_) {
        paused_ = true;
        events_.OnAcceptPaused(number_, error);
      }
      shard_.timers().Arm(retry_, shard_.now() + kRetry);
      return;
    default:
      // The connection went before it was accepted.
      break;
  }
  if (!stopping_) shard_.io().Accept(fd_, accept_);
}

void Listener::OnTimer() {
  if (stopping_) {
    events_.OnListenerStopped(number_);
  } else {
    shard_.io().Accept(fd_, accept_);
  }
}

}  // namespace weir::engine
