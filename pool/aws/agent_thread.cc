#include "pool/aws/agent_thread.h"

#include <pthread.h>

#include <chrono>

#include "engine/base/clock.h"

namespace weir::pool {

namespace {

// What makes something due earlier than it was is not told: it is seen.
constexpr std::chrono::milliseconds kLook{100};

}  // namespace

void AgentThread::Start() {
  thread_ = std::thread([this] { Run(); });
}

void AgentThread::Run() {
  pthread_setname_np(pthread_self(), "weir/aws");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const bool more = agent_.Step(engine::MonotonicNow());
    lock.lock();
    if (!more && !stopping_) changed_.wait_for(lock, kLook);
  }
}

void AgentThread::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace weir::pool
