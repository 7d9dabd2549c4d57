// Counted blocks of bytes, and slices of them.
//
// Everything that is received or will be sent lies in a chunk. Its origin decides where it goes
// when the last reference has gone: back to the ring of receive buffers, or to the pool's free
// lists. References are not atomic: a chunk never leaves its shard.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/check.h"

namespace weir::engine {

enum class ChunkOrigin : uint8_t {
  kRing,     // a receive buffer that the kernel filled; scarce, must go back soon
  kPrivate,  // a block of the pool
  kStatic,   // bytes that live as long as the program; not counted
};

struct Chunk;

// Takes back a chunk whose last reference has gone.
class ChunkOwner {
 public:
  virtual void Release(Chunk& chunk) = 0;

 protected:
  ~ChunkOwner() = default;
};

struct Chunk {
  uint8_t* data = nullptr;
  uint32_t size = 0;
  uint32_t references = 0;
  ChunkOrigin origin = ChunkOrigin::kStatic;
  uint8_t size_class = 0;  // of the pool
  uint16_t ring_id = 0;    // of the buffer ring
  ChunkOwner* owner = nullptr;
};

class ChunkRef {
 public:
  ChunkRef() = default;
  explicit ChunkRef(Chunk* chunk) : chunk_(chunk) {
    if (chunk_ != nullptr) ++chunk_->references;
  }
  ChunkRef(const ChunkRef& other) : ChunkRef(other.chunk_) {}
  ChunkRef(ChunkRef&& other) noexcept : chunk_(std::exchange(other.chunk_, nullptr)) {}
  ChunkRef& operator=(ChunkRef other) noexcept {
    std::swap(chunk_, other.chunk_);
    return *this;
  }
  ~ChunkRef() {
    if (chunk_ == nullptr) return;
    CHECK(chunk_->references > 0);
    if (--chunk_->references == 0 && chunk_->owner != nullptr) chunk_->owner->Release(*chunk_);
  }

  Chunk* get() const { return chunk_; }
  Chunk* operator->() const { return chunk_; }
  explicit operator bool() const { return chunk_ != nullptr; }

 private:
  Chunk* chunk_ = nullptr;
};

// A part of a chunk, and a reference to it.
struct Slice {
  ChunkRef chunk;
  uint32_t offset = 0;
  uint32_t length = 0;

  const uint8_t* data() const { return chunk->data + offset; }
  Bytes bytes() const { return length == 0 ? Bytes() : Bytes(data(), length); }
  Slice Sub(uint32_t from, uint32_t count) const {
    CHECK(from <= length && count <= length - from);
    return {chunk, offset + from, count};
  }
};

// Private blocks of one shard, right-sized, from free lists. `bytes_max` bounds what streams may
// hold: beyond it the pool is exhausted, which is back-pressure (reading stops), never an error;
// blocks are still given out.
class ChunkPool final : public ChunkOwner {
 public:
  explicit ChunkPool(uint64_t bytes_max);
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  // A block of at least `size` bytes, to be written by the caller.
  ChunkRef Allocate(uint32_t size);
  // A block that holds a copy.
  Slice Copy(Bytes bytes);

  uint64_t bytes_in_use() const { return bytes_in_use_; }
  bool exhausted() const { return bytes_in_use_ >= bytes_max_; }
  // Gives free blocks back to the system but for a few of each size. Now and then.
  void Trim();

  void Release(Chunk& chunk) override;

 private:
  static constexpr int kClasses = 14;  // 64 B .. 512 KiB, doubling; larger blocks are not kept
  static constexpr uint32_t kSmallest = 64;

  const uint64_t bytes_max_;
  uint64_t bytes_in_use_ = 0;
  uint64_t chunks_in_use_ = 0;
  std::vector<Chunk*> free_[kClasses];
};

}  // namespace weir::engine
