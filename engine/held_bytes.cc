#include "engine/held_bytes.h"

#include <algorithm>
#include <cstring>

#include "engine/base/fault.h"

namespace weir::engine {

void HeldBytes::Push(Slice piece) {
  if (first_.length == 0) {
    first_ = std::move(piece);
    return;
  }
  if (rest_ == nullptr) rest_ = std::make_unique<RingQueue<Slice>>();
  rest_->PushBack(std::move(piece));
}

// The first piece is used up.
void HeldBytes::Pop() {
  CHECK(first_.length == 0);
  first_ = {};
  if (rest_ == nullptr) return;
  first_ = rest_->PopFront();
  if (rest_->empty()) rest_.reset();
}

void HeldBytes::Append(ChunkPool& pool, const Slice& bytes) {
  if (bytes.length == 0) return;
  if ((bytes.chunk->origin == ChunkOrigin::kRing && !WEIR_FAULT("receive_buffer_held")) ||
      bytes.length < bytes.chunk->size / 2) {
    Append(pool, bytes.bytes());
    return;
  }
  size_ += bytes.length;
  Push(bytes);
}

void HeldBytes::Append(ChunkPool& pool, Bytes bytes) {
  size_ += bytes.size();
  if (first_.length > 0) {
    // Room behind the last piece that nobody else refers to.
    Slice& last = rest_ == nullptr ? first_ : rest_->Back();
    Chunk& chunk = *last.chunk.get();
    const uint32_t used = last.offset + last.length;
    if (chunk.origin == ChunkOrigin::kPrivate && chunk.references == 1 && used < chunk.size) {
      const uint32_t part =
          std::min<uint32_t>(chunk.size - used, static_cast<uint32_t>(bytes.size()));
      std::memcpy(chunk.data + used, bytes.data(), part);
      last.length += part;
      bytes = bytes.subspan(part);
    }
  }
  if (!bytes.empty()) Push(pool.Copy(bytes));
}

void HeldBytes::Prepend(ChunkPool& pool, Bytes bytes) {
  if (bytes.empty()) return;
  size_ += bytes.size();
  PushFront(pool.Copy(bytes));
}

void HeldBytes::PushFront(Slice piece) {
  if (first_.length > 0) {
    auto rest = std::make_unique<RingQueue<Slice>>();
    rest->PushBack(std::move(first_));
    while (rest_ != nullptr && !rest_->empty()) rest->PushBack(rest_->PopFront());
    rest_ = std::move(rest);
  }
  first_ = std::move(piece);
}

Slice HeldBytes::Front() const {
  CHECK(size_ > 0);
  return first_;
}

Slice HeldBytes::Gather(ChunkPool& pool, uint32_t count) {
  CHECK(count > 0 && count <= size_);
  if (first_.length >= count) return first_.Sub(0, count);
  Slice whole{pool.Allocate(count), 0, count};
  uint32_t done = 0;
  while (done < count) {
    const uint32_t part = std::min(first_.length, count - done);
    std::memcpy(whole.chunk->data + done, first_.data(), part);
    done += part;
    first_.offset += part;
    first_.length -= part;
    if (first_.length == 0) Pop();
  }
  PushFront(whole);
  return whole;
}

void HeldBytes::Consume(uint32_t count) {
  CHECK(count <= size_);
  size_ -= count;
  while (count > 0) {
    const uint32_t part = std::min(first_.length, count);
    first_.offset += part;
    first_.length -= part;
    count -= part;
    if (first_.length == 0) Pop();
  }
}

void HeldBytes::Clear() {
  first_ = {};
  rest_.reset();
  size_ = 0;
}

}  // namespace weir::engine
