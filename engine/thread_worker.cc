#include "engine/thread_worker.h"

#include <pthread.h>

#include <cstdint>

#include "engine/shards.h"

namespace weir::engine {

void ThreadWorker::Submit(uint32_t shard, std::unique_ptr<Job> job) {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  jobs_.emplace_back(shard, std::move(job));
  changed_.notify_one();
}

void ThreadWorker::Run() {
  pthread_setname_np(pthread_self(), "weir/worker");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    auto [shard, job] = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job->Run();
    Message message;
    message.kind = kJobDoneMessage;
    auto body = std::make_unique<DoneJob>();
    body->job = std::move(job);
    message.body = std::move(body);
    shards_.Post(shard, std::move(message));
    lock.lock();
  }
}

void ThreadWorker::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace weir::engine
