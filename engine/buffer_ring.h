// One group of receive buffers that the kernel fills: a provided buffer ring
// (io_uring_register_buf_ring, kernel 5.19).
//
// A buffer that comes with a completion becomes a counted chunk; when its last reference has gone
// it is put back, and the kernel sees it with the next Publish. The distance between buffers is not
// a power of two, so that their beginnings spread over the cache's sets.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "engine/chunk.h"

namespace weir::engine {

class BufferRing final : public ChunkOwner {
 public:
  static constexpr uint32_t kBufferBytes = 4096;

  BufferRing() = default;
  ~BufferRing();
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;

  // `buffers`: a power of two.
  absl::Status Register(io_uring& ring, uint16_t group, uint32_t buffers);
  void Unregister(io_uring& ring);

  // The buffer that a completion names, holding `length` bytes.
  Slice Take(uint16_t id, uint32_t length);
  // The kernel sees what was released since the last time.
  void Publish();

  uint32_t size() const { return size_; }
  // Not held by anybody, published or not.
  uint32_t free() const { return free_; }

  void Release(Chunk& chunk) override;

 private:
  static constexpr uint32_t kStride = kBufferBytes + 64;

  io_uring_buf_ring* ring_ = nullptr;
  size_t ring_bytes_ = 0;
  uint8_t* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  std::unique_ptr<Chunk[]> chunks_;
  uint32_t size_ = 0;
  uint32_t free_ = 0;
  uint32_t unpublished_ = 0;
  uint16_t group_ = 0;
};

}  // namespace weir::engine
