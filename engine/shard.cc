#include "engine/shard.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/base/fault.h"

namespace weir::engine {
namespace {

// Bounds of one tick.
constexpr int kMessagesPerTick = 512;
constexpr int kTimersPerTick = 1024;

constexpr Nanos kTrimPeriod = 10 * kSecond;

uint64_t Seed(Entropy& entropy) {
  uint8_t bytes[8];
  entropy.Fill(bytes);
  uint64_t seed = 0;
  for (const uint8_t byte : bytes) seed = seed << 8 | byte;
  return seed;
}

}  // namespace

Shard::Shard(uint32_t id, ShardPeers& peers, Io& io, Entropy& entropy, const ShardOptions& options)
    : id_(id),
      peers_(peers),
      io_(io),
      entropy_(entropy),
      prng_(Seed(entropy)),
      chunks_(options.buffer_memory),
      timers_(io.Now()),
      streams_(io, chunks_, timers_),
      outboxes_(peers.count()),
      spin_(options.spin) {
  streams_.zero_copy_send = options.zero_copy_send;
  streams_.zero_copy_held_max = options.buffer_memory / 4;
}

Shard::~Shard() = default;

void Shard::Start() {
  CHECK(application_ != nullptr);
  application_->OnStart();
}

void Shard::Post(uint32_t shard, Message&& message) {
  CHECK(shard < outboxes_.size());
  message.from = id_;
  if (WEIR_FAULT("message_lost") && shard != id_ && prng_.Below(50) == 0) return;
  if (shard != id_ && outboxes_[shard].empty() && peers_.mailbox(shard).Push(message)) {
    if (peers_.mailbox(shard).ClaimWake()) io_.Wake(shard);
    return;
  }
  outboxes_[shard].PushBack(std::move(message));
  ++waiting_messages_;
}

void Shard::DrainOutboxes() {
  if (waiting_messages_ == 0) return;
  for (uint32_t shard = 0; shard < outboxes_.size(); ++shard) {
    RingQueue<Message>& outbox = outboxes_[shard];
    if (shard == id_) continue;
    bool pushed = false;
    while (!outbox.empty() && peers_.mailbox(shard).Push(outbox.Front())) {
      outbox.PopFront();
      --waiting_messages_;
      pushed = true;
    }
    if (pushed && peers_.mailbox(shard).ClaimWake()) io_.Wake(shard);
  }
}

void Shard::DrainMailbox() {
  Message message;
  for (int i = 0; i < kMessagesPerTick && peers_.mailbox(id_).Pop(message); ++i)
    Dispatch(std::move(message));
  RingQueue<Message>& own = outboxes_[id_];
  for (size_t left = own.size(); left > 0; --left) {
    --waiting_messages_;
    Dispatch(own.PopFront());
  }
}

void Shard::Dispatch(Message&& message) {
  if (message.kind == kJobDoneMessage) {
    static_cast<DoneJob&>(*message.body).job->Done();
    return;
  }
  application_->OnMessage(std::move(message));
}

bool Shard::Tick() {
  Mailbox& mailbox = peers_.mailbox(id_);
  DrainMailbox();
  const bool timers_left = timers_.Fire(now(), kTimersPerTick);
  application_->OnTickEnd();
  const bool ended = streams_.Flush() && !WEIR_FAULT("sleeps_after_an_end");
  DrainOutboxes();
  if (stopped_) return false;
  if (now() - trimmed_at_ > kTrimPeriod) {
    trimmed_at_ = now();
    chunks_.Trim();
  }
  const bool spinning = spin_ > 0 && now() < busy_until_;
  bool may_sleep = !timers_left && !ended && outboxes_[id_].empty() && !spinning;
  if (may_sleep) {
    may_sleep = mailbox.PrepareSleep();
  }
  Nanos deadline = timers_.NextDeadline();
  // A full mailbox elsewhere: look again soon.
  if (waiting_messages_ > 0) deadline = std::min(deadline, now() + kMillisecond);
  const Nanos before = now();
  io_.Tick(deadline, may_sleep);
  mailbox.Awake();
  if (spin_ > 0 && (io_.busy() || !mailbox.empty())) busy_until_ = std::max(before, now()) + spin_;
  return true;
}

}  // namespace weir::engine
