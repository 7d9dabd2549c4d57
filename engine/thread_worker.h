// The worker of production: one thread with a queue.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/worker.h"

namespace weir::engine {

class Shards;

class ThreadWorker final : public Worker {
 public:
  // Answers go to the mailboxes of `shards`. The thread starts with the first job.
  explicit ThreadWorker(Shards& shards) : shards_(shards) {}
  ~ThreadWorker() override { Stop(); }

  void Submit(uint32_t shard, std::unique_ptr<Job> job) override;
  // Ends the thread after the job in hand; jobs that wait are dropped. The shards have stopped
  // before.
  void Stop();

 private:
  void Run();

  Shards& shards_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<uint32_t, std::unique_ptr<Job>>> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace weir::engine
