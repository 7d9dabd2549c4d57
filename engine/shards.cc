#include "engine/shards.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "engine/base/log.h"
#include "engine/base/text.h"
#include "engine/topology.h"

namespace weir::engine {

Shards::Shards(const ShardsOptions& options) : options_(options), worker_(*this) {
  for (uint32_t id = 0; id < options_.shards; ++id) {
    mailboxes_.push_back(std::make_unique<Mailbox>());
    peers_.push_back({-1, eventfd(0, EFD_CLOEXEC)});
  }
}

Shards::~Shards() {
  Join();
  worker_.Stop();
  for (const Uring::Peer& peer : peers_) close(peer.event_fd);
}

absl::Status Shards::Start(const MakeApplication& make) {
  running_ = count();
  for (uint32_t id = 0; id < count(); ++id)
    threads_.emplace_back([this, id, &make] { Run(id, make); });
  std::unique_lock lock(mutex_);
  // Twice: rings exist, applications have started.
  changed_.wait(
      lock, [this] { return arrived_ == 2 * count() || (!status_.ok() && arrived_ >= count()); });
  absl::Status status = status_;
  lock.unlock();
  if (!status.ok()) Join();
  return status;
}

bool Shards::Together(const absl::Status& status) {
  std::unique_lock lock(mutex_);
  if (!status.ok() && status_.ok()) status_ = status;
  ++arrived_;
  const uint32_t goal = (arrived_ + count() - 1) / count() * count();
  changed_.notify_all();
  changed_.wait(lock, [this, goal] { return arrived_ >= goal; });
  return status_.ok();
}

void Shards::Run(uint32_t id, const MakeApplication& make) {
  pthread_setname_np(pthread_self(), Cat("weir/", id).c_str());
  if (options_.pin_threads) PinThread(id);
  absl::StatusOr<std::unique_ptr<Uring>> uring = Uring::Create(options_.uring, peers_[id].event_fd);
  if (uring.ok()) {
    std::lock_guard lock(mutex_);
    peers_[id].ring_fd = (*uring)->ring_fd();
  }
  if (Together(uring.status())) {
    (*uring)->set_peers(peers_);
    if (id == 0 && options_.shard.zero_copy_send > 0 && !(*uring)->sends_zero_copy()) {
      Log(LogLevel::kWarn,
          "event=zero_copy_send_unavailable: this kernel's io_uring cannot send without a copy: "
          "engine.zero_copy_send has no effect");
    }
    Shard shard(id, *this, **uring, entropy_, options_.shard);
    std::unique_ptr<ShardApplication> application = make(shard);
    shard.set_application(*application);
    shard.Start();
    if (Together(absl::OkStatus())) {
      while (shard.Tick()) {
      }
    }
  }
  --running_;
}

void Shards::Post(uint32_t shard, Message message) {
  while (!mailbox(shard).Push(message)) std::this_thread::yield();
  if (!mailbox(shard).ClaimWake()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(peers_[shard].event_fd, &one, sizeof one);
}

void Shards::Join() {
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace weir::engine
