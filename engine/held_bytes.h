// Bytes that must wait: what came before it could be taken. Oldest first.
//
// Receive buffers are copied to private blocks, so that nothing scarce is held. An empty HeldBytes
// owns no memory.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/ring_queue.h"
#include "engine/chunk.h"

namespace weir::engine {

class HeldBytes {
 public:
  void Append(ChunkPool& pool, const Slice& bytes);
  void Append(ChunkPool& pool, Bytes bytes);
  void Prepend(ChunkPool& pool, Bytes bytes);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // The first contiguous piece; only when not empty.
  Slice Front() const;
  // The first `count` bytes as one contiguous slice, which takes their place: copies only if they
  // span pieces.
  Slice Gather(ChunkPool& pool, uint32_t count);
  void Consume(uint32_t count);
  void Clear();

 private:
  void Push(Slice piece);
  void PushFront(Slice piece);
  void Pop();

  Slice first_;  // the usual case is one piece: no allocation but its block
  std::unique_ptr<RingQueue<Slice>> rest_;
  size_t size_ = 0;
};

}  // namespace weir::engine
