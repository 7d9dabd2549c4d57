// The sending half of a stream.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "engine/base/fault.h"
#include "engine/stream.h"
#include "engine/stream_tls.h"

namespace weir::engine {
namespace {

bool IsRing(const Slice& slice) { return slice.chunk->origin == ChunkOrigin::kRing; }

uint64_t ChunkBytes(std::span<const Slice> slices) {
  uint64_t bytes = 0;
  for (const Slice& slice : slices) bytes += slice.chunk->size;
  return bytes;
}

}  // namespace

void Stream::Queue(Slice bytes) {
  if (bytes.length == 0 || life_ != Life::kOpen || broken_) return;
  queued_bytes_ += bytes.length;
  queue_.push_back(std::move(bytes));
  if (above_high_water()) was_high_ = true;
  MarkDirty();
}

void Stream::Queue(Bytes bytes) {
  if (bytes.empty() || life_ != Life::kOpen || broken_) return;
  if (queue_.size() > (tls_ == nullptr ? in_flight_slices_ : tls_->sealed)) {
    Slice& last = queue_.back();
    Chunk& chunk = *last.chunk.get();
    const uint32_t used = last.offset + last.length;
    if (chunk.origin == ChunkOrigin::kPrivate && chunk.references == 1 &&
        chunk.size - used >= bytes.size()) {
      std::memcpy(chunk.data + used, bytes.data(), bytes.size());
      last.length += static_cast<uint32_t>(bytes.size());
      queued_bytes_ += bytes.size();
      if (above_high_water()) was_high_ = true;
      return;
    }
  }
  Queue(context_->chunks.Copy(bytes));
}

void Stream::FlushSend() {
  if (broken_) return;
  if (sending()) {
    CopyRingSlices(in_flight_slices_);
    return;
  }
  if (tls_ != nullptr) Seal();
  if (life_ != Life::kOpen && life_ != Life::kLingering) return;
  const size_t ready = tls_ == nullptr ? queue_.size() : tls_->sealed;
  if (ready == 0) {
    if (close_when_sent_) Leave();
    return;
  }
  if (ready > 1 && ready == queue_.size()) {
    if (queued_bytes_ <= kCoalesceBytes) {
      Coalesce();
    } else if (queue_.size() > kRingChunksMax && tls_ == nullptr) {
      CopyRingSlices(kRingChunksMax);
    }
  }
  Submit(std::min({ready, queue_.size(), Io::kSlicesMax}));
}

// The first `count` slices leave.
void Stream::Submit(size_t count) {
  in_flight_slices_ = static_cast<uint8_t>(count);
  holds_ring_ = false;
  for (size_t i = 0; i < count && !holds_ring_; ++i) holds_ring_ = IsRing(queue_[i]);
  progress_at_ = context_->io.Now();
  const std::span<const Slice> slices(queue_.data(), count);
  if (WorthZeroCopy(slices)) {
    zero_copy_ = &context_->zero_copy_sends_.Emplace(*this, slices);
    context_->io.SendZeroCopy(fd_, slices, zero_copy_->operation_);
  } else {
    copy_next_ = false;
    context_->io.Send(fd_, slices, send_op_);
  }
  for (size_t i = 0; WEIR_FAULT("chunk_freed_early") && i < count && holds_ring_; ++i)
    queue_[i].chunk = ChunkRef();
  context_->sending_.PushBack(*this);
}

// Receive buffers must go back soon: they are copied.
bool Stream::WorthZeroCopy(std::span<const Slice> slices) const {
  const StreamContext& context = *context_;
  if (context.zero_copy_send == 0 || queued_bytes_ < context.zero_copy_send || holds_ring_ ||
      copy_next_ || copy_only_ || !context.io.sends_zero_copy())
    return false;
  uint64_t bytes = 0;
  for (const Slice& slice : slices) bytes += slice.length;
  return bytes >= context.zero_copy_send &&
         context.zero_copy_held_ + ChunkBytes(slices) <= context.zero_copy_held_max;
}

void Stream::CancelSend() {
  context_->io.Cancel(zero_copy_ == nullptr ? send_op_ : zero_copy_->operation_);
}

ZeroCopySend::ZeroCopySend(Stream& stream, std::span<const Slice> slices)
    : stream_(stream), slices_(slices.begin(), slices.end()), held_(ChunkBytes(slices)) {
  operation_.Bind<&ZeroCopySend::OnCompletion>(*this);
  stream_.context_->zero_copy_held_ += held_;
  ++stream_.unreleased_;
}

void ZeroCopySend::OnCompletion(const Completion& completion) {
  Stream& stream = stream_;
  const bool released = answered_;
  answered_ = true;
  if (!completion.more) {
    StreamContext& context = *stream.context_;
    CHECK(stream.unreleased_ > 0 && context.zero_copy_held_ >= held_);
    --stream.unreleased_;
    context.zero_copy_held_ -= held_;
    context.zero_copy_sends_.Erase(*this);
  }
  if (released) {
    stream.OnReleased();
  } else {
    stream.OnSent(completion);
  }
}

void Stream::OnReleased() {
  if (life_ != Life::kClosing && life_ != Life::kDetaching) return;
  // While it is closing the timer runs from the last progress.
  if (timer_.armed()) context_->timers.Arm(timer_, context_->io.Now() + context_->write_timeout);
  if (joined()) MarkDirty();
}

void Stream::ForgetQueue() {
  queue_.clear();
  queued_bytes_ = 0;
  if (tls_ != nullptr) tls_->sealed = 0;
}

void Stream::Coalesce() {
  Slice whole{context_->chunks.Allocate(static_cast<uint32_t>(queued_bytes_)), 0,
              static_cast<uint32_t>(queued_bytes_)};
  uint32_t done = 0;
  for (const Slice& slice : queue_) {
    std::memcpy(whole.chunk->data + done, slice.data(), slice.length);
    done += slice.length;
  }
  CHECK(done == queued_bytes_);
  queue_.clear();
  queue_.push_back(std::move(whole));
  if (tls_ != nullptr) tls_->sealed = 1;
}

// What cannot leave in this tick goes from receive buffers to private blocks, neighbours into one.
void Stream::CopyRingSlices(size_t from) {
  size_t to = from;
  for (size_t i = from; i < queue_.size();) {
    if (!IsRing(queue_[i])) {
      if (to != i) queue_[to] = std::move(queue_[i]);
      ++to;
      ++i;
      continue;
    }
    size_t end = i;
    uint32_t bytes = 0;
    while (end < queue_.size() && IsRing(queue_[end])) bytes += queue_[end++].length;
    Slice copy{context_->chunks.Allocate(bytes), 0, bytes};
    uint32_t done = 0;
    for (; i < end; ++i) {
      std::memcpy(copy.chunk->data + done, queue_[i].data(), queue_[i].length);
      done += queue_[i].length;
      queue_[i] = {};
    }
    queue_[to++] = std::move(copy);
  }
  queue_.resize(to);
}

void Stream::OnSent(const Completion& completion) {
  CHECK(sending_link_.linked());
  context_->sending_.Remove(*this);
  const size_t asked = std::exchange(in_flight_slices_, 0);
  if (timer_.armed() && life_ == Life::kOpen) context_->timers.Cancel(timer_);
  size_t sent = completion.result > 0 ? static_cast<size_t>(completion.result) : 0;
  CHECK(sent <= queued_bytes_);
  queued_bytes_ -= sent;
  size_t done = 0;
  while (done < queue_.size() && sent >= queue_[done].length) sent -= queue_[done++].length;
  if (sent > 0) {
    queue_[done].offset += static_cast<uint32_t>(sent);
    queue_[done].length -= static_cast<uint32_t>(sent);
  }
  if (completion.result > 0 && done < asked) ++context_->io.counts().short_sends;
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(done));
  if (tls_ != nullptr) {
    CHECK(done <= tls_->sealed);
    tls_->sealed -= done;
    if (tls_->sealed == 0) tls_->unasked_bytes = 0;
  }
  int32_t result = completion.result;
  if (std::exchange(zero_copy_, nullptr) != nullptr &&
      (result == -EOPNOTSUPP || result == -ENOBUFS || result == -ENOMEM)) {
    // No such sends on this socket, or no more memory may be locked now: with a copy it goes.
    copy_only_ = copy_only_ || result == -EOPNOTSUPP;
    copy_next_ = true;
    result = -EAGAIN;
  }
  if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    ForgetQueue();
    // The receive side may still have the peer's last words; it learns of the break by itself.
    broken_ = life_ != Life::kOpen;
    if (!broken_) End(StreamEnd::kReset);
  }
  if (life_ == Life::kClosing || life_ == Life::kDetaching) {
    if (joined()) MarkDirty();
    return;
  }
  if (!queue_.empty()) {
    CopyRingSlices(tls_ == nullptr ? 0 : tls_->sealed);
    MarkDirty();
  } else if (close_when_sent_) {
    MarkDirty();
  }
  if (was_high_ && queued_bytes_ <= kLowWater && life_ == Life::kOpen &&
      !WEIR_FAULT("drained_not_told")) {
    was_high_ = false;
    events_->OnDrained();
  }
}

}  // namespace weir::engine
