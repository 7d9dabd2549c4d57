// All shards of the process: their threads, rings, mailboxes, and the worker threads beside them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/prng.h"
#include "engine/mailbox.h"
#include "engine/shard.h"
#include "engine/thread_worker.h"
#include "engine/uring.h"

namespace weir::engine {

struct ShardsOptions {
  uint32_t shards = 1;
  bool pin_threads = false;
  ShardOptions shard;
  Uring::Options uring;
};

class Shards final : public ShardPeers {
 public:
  // Makes the application of a shard, in the shard's thread; it lives until the shard has stopped.
  using MakeApplication = std::function<std::unique_ptr<ShardApplication>(Shard&)>;

  explicit Shards(const ShardsOptions& options);
  ~Shards();

  // Starts every thread and waits until each has its ring; an error of any is returned, and all
  // stop.
  absl::Status Start(const MakeApplication& make);
  // From any thread that is not a shard. Waits while the shard's mailbox is full.
  void Post(uint32_t shard, Message message);
  // Until every shard has stopped by itself.
  void Join();
  // All shards have stopped.
  bool stopped() const { return running_.load() == 0; }

  uint32_t count() const override { return static_cast<uint32_t>(mailboxes_.size()); }
  Mailbox& mailbox(uint32_t shard) override { return *mailboxes_[shard]; }
  Worker& worker() override { return worker_; }

 private:
  void Run(uint32_t id, const MakeApplication& make);
  // A step of the start that all threads take together; false if one has failed.
  bool Together(const absl::Status& status);

  const ShardsOptions options_;
  SystemEntropy entropy_;
  std::vector<std::unique_ptr<Mailbox>> mailboxes_;
  std::vector<Uring::Peer> peers_;
  std::vector<std::thread> threads_;
  ThreadWorker worker_;
  std::atomic<uint32_t> running_{0};
  std::mutex mutex_;  // of what follows: the start
  std::condition_variable changed_;
  uint32_t arrived_ = 0;
  absl::Status status_;
};

}  // namespace weir::engine
