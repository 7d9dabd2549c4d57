#include "engine/buffer_ring.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace weir::engine {
namespace {

void* Map(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

BufferRing::~BufferRing() {
  CHECK(chunks_ == nullptr || free_ == size_);
  if (ring_ != nullptr) munmap(ring_, ring_bytes_);
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

absl::Status BufferRing::Register(io_uring& ring, uint16_t group, uint32_t buffers) {
  CHECK(buffers > 0 && (buffers & (buffers - 1)) == 0 && buffers <= 32768);
  group_ = group;
  ring_bytes_ = buffers * sizeof(io_uring_buf);
  memory_bytes_ = size_t{buffers} * kStride;
  ring_ = static_cast<io_uring_buf_ring*>(Map(ring_bytes_));
  memory_ = static_cast<uint8_t*>(Map(memory_bytes_));
  if (ring_ == nullptr || memory_ == nullptr)
    return absl::ResourceExhaustedError("no memory for receive buffers");
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uintptr_t>(ring_);
  registration.ring_entries = buffers;
  registration.bgid = group;
  const int error = io_uring_register_buf_ring(&ring, &registration, 0);
  if (error < 0) {
    return absl::UnavailableError(std::string("cannot register receive buffers: ") +
                                  std::strerror(-error) + " (kernel 6.1 or newer is needed)");
  }
  io_uring_buf_ring_init(ring_);
  size_ = buffers;
  chunks_ = std::make_unique<Chunk[]>(buffers);
  for (uint32_t id = 0; id < buffers; ++id) {
    Chunk& chunk = chunks_[id];
    chunk.data = memory_ + size_t{id} * kStride;
    chunk.size = kBufferBytes;
    chunk.origin = ChunkOrigin::kRing;
    chunk.ring_id = static_cast<uint16_t>(id);
    chunk.owner = this;
    Release(chunk);
  }
  Publish();
  return absl::OkStatus();
}

void BufferRing::Unregister(io_uring& ring) {
  if (size_ > 0) io_uring_unregister_buf_ring(&ring, group_);
}

Slice BufferRing::Take(uint16_t id, uint32_t length) {
  CHECK(id < size_ && chunks_[id].references == 0 && free_ > 0 && length <= kBufferBytes);
  --free_;
  return {ChunkRef(&chunks_[id]), 0, length};
}

void BufferRing::Release(Chunk& chunk) {
  io_uring_buf_ring_add(ring_, chunk.data, kBufferBytes, chunk.ring_id, static_cast<int>(size_ - 1),
                        static_cast<int>(unpublished_));
  ++unpublished_;
  ++free_;
  CHECK(free_ <= size_);
}

void BufferRing::Publish() {
  if (unpublished_ == 0) return;
  io_uring_buf_ring_advance(ring_, static_cast<int>(unpublished_));
  unpublished_ = 0;
}

}  // namespace weir::engine
