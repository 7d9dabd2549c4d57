// Work that may block or take long (names, key derivation, files): done off the shards, answered by
// mailbox.
#pragma once

#include <cstdint>
#include <memory>

namespace weir::engine {

class Job {
 public:
  virtual ~Job() = default;
  virtual void Run() = 0;   // on a worker's thread: touches nothing of a shard
  virtual void Done() = 0;  // on the shard that submitted it
};

class Worker {
 public:
  virtual ~Worker() = default;
  virtual void Submit(uint32_t shard, std::unique_ptr<Job> job) = 0;
};

}  // namespace weir::engine
