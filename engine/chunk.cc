#include "engine/chunk.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

namespace weir::engine {
namespace {

// Blocks of one size that stay ready after a trim, in bytes.
constexpr uint64_t kKeptBytes = uint64_t{256} * 1024;

Chunk* NewChunk(uint32_t size, uint8_t size_class, ChunkOwner* owner) {
  // The chunk and its bytes are one allocation.
  void* memory = std::malloc(sizeof(Chunk) + size);
  CHECK(memory != nullptr);
  Chunk* chunk = new (memory) Chunk;
  chunk->data = static_cast<uint8_t*>(memory) + sizeof(Chunk);
  chunk->size = size;
  chunk->origin = ChunkOrigin::kPrivate;
  chunk->size_class = size_class;
  chunk->owner = owner;
  return chunk;
}

}  // namespace

ChunkPool::ChunkPool(uint64_t bytes_max) : bytes_max_(bytes_max) {}

ChunkPool::~ChunkPool() {
  CHECK(chunks_in_use_ == 0);
  for (auto& list : free_) {
    for (Chunk* chunk : list) std::free(chunk);
  }
}

ChunkRef ChunkPool::Allocate(uint32_t size) {
  const uint32_t rounded = std::bit_ceil(std::max(size, kSmallest));
  const int size_class = std::countr_zero(rounded) - std::countr_zero(kSmallest);
  ++chunks_in_use_;
  if (size_class >= kClasses) {
    bytes_in_use_ += size;
    return ChunkRef(NewChunk(size, kClasses, this));
  }
  bytes_in_use_ += rounded;
  std::vector<Chunk*>& list = free_[size_class];
  if (list.empty()) return ChunkRef(NewChunk(rounded, static_cast<uint8_t>(size_class), this));
  Chunk* chunk = list.back();
  list.pop_back();
  return ChunkRef(chunk);
}

Slice ChunkPool::Copy(Bytes bytes) {
  const uint32_t size = static_cast<uint32_t>(bytes.size());
  Slice slice{Allocate(size), 0, size};
  if (size > 0) std::memcpy(slice.chunk->data, bytes.data(), size);
  return slice;
}

void ChunkPool::Release(Chunk& chunk) {
  CHECK(chunks_in_use_ > 0 && bytes_in_use_ >= chunk.size);
  --chunks_in_use_;
  bytes_in_use_ -= chunk.size;
  if (chunk.size_class >= kClasses) {
    std::free(&chunk);
    return;
  }
  free_[chunk.size_class].push_back(&chunk);
}

void ChunkPool::Trim() {
  for (int size_class = 0; size_class < kClasses; ++size_class) {
    std::vector<Chunk*>& list = free_[size_class];
    const size_t kept = kKeptBytes / (uint64_t{kSmallest} << size_class) + 1;
    while (list.size() > kept) {
      std::free(list.back());
      list.pop_back();
    }
    if (list.capacity() > 4 * (kept + 64)) list.shrink_to_fit();
  }
}

}  // namespace weir::engine
