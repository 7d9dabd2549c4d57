// The sending half of a stream.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "engine/base/fault.h"
#include "engine/stream.h"

namespace weir::engine {
namespace {

bool IsRing(const Slice& slice) { return slice.chunk->origin == ChunkOrigin::kRing; }

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
  if (queue_.size() > in_flight_slices_) {
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
  if (send_op_.in_flight()) {
    CopyRingSlices(in_flight_slices_);
    return;
  }
  if (queue_.empty()) {
    if (close_when_sent_) Leave();
    return;
  }
  if (queue_.size() > 1) {
    if (queued_bytes_ <= kCoalesceBytes) {
      Coalesce();
    } else if (queue_.size() > kRingChunksMax) {
      CopyRingSlices(kRingChunksMax);
    }
  }
  const size_t count = std::min(queue_.size(), Io::kSlicesMax);
  in_flight_slices_ = static_cast<uint8_t>(count);
  holds_ring_ = false;
  for (size_t i = 0; i < count && !holds_ring_; ++i) holds_ring_ = IsRing(queue_[i]);
  progress_at_ = context_->io.Now();
  context_->io.Send(fd_, std::span<const Slice>(queue_.data(), count), send_op_);
  if (WEIR_FAULT("chunk_freed_early")) {
    for (size_t i = 0; i < count && holds_ring_; ++i) queue_[i].chunk = ChunkRef();
  }
  context_->sending_.PushBack(*this);
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
  const int32_t result = completion.result;
  if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    queue_.clear();
    queued_bytes_ = 0;
    // The receive side may still have the peer's last words; it learns of the break by itself.
    broken_ = life_ != Life::kOpen;
    if (!broken_) End(StreamEnd::kReset);
  }
  if (life_ == Life::kClosing || life_ == Life::kDetaching) {
    if (joined()) MarkDirty();
    return;
  }
  if (!queue_.empty()) {
    CopyRingSlices(0);
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
