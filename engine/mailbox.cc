#include "engine/mailbox.h"

#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"

namespace weir::engine {

// A cell's sequence is its position when it is free, position + 1 when it is filled.
Mailbox::Mailbox(uint32_t capacity)
    : mask_(capacity - 1), cells_(std::make_unique<Cell[]>(capacity)) {
  CHECK(capacity > 1 && (capacity & (capacity - 1)) == 0);
  for (uint64_t i = 0; i < capacity; ++i) cells_[i].sequence.store(i, std::memory_order_relaxed);
}

bool Mailbox::Push(Message& message) {
  uint64_t position = tail_.load(std::memory_order_relaxed);
  for (;;) {
    Cell& cell = cells_[position & mask_];
    const uint64_t sequence = cell.sequence.load(std::memory_order_acquire);
    if (sequence == position) {
      if (tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) {
        cell.message = std::move(message);
        cell.sequence.store(position + 1, std::memory_order_release);
        return true;
      }
    } else if (sequence < position) {
      return false;
    } else {
      position = tail_.load(std::memory_order_relaxed);
    }
  }
}

bool Mailbox::ClaimWake() {
  // The push above must be seen before the flag is read, as the consumer sets the flag before it
  // looks at the queue.
  FullFence();
  return sleeping_.load(std::memory_order_relaxed) &&
         sleeping_.exchange(false, std::memory_order_relaxed);
}

bool Mailbox::empty() const {
  return cells_[head_ & mask_].sequence.load(std::memory_order_acquire) != head_ + 1;
}

bool Mailbox::Pop(Message& message) {
  Cell& cell = cells_[head_ & mask_];
  if (cell.sequence.load(std::memory_order_acquire) != head_ + 1) return false;
  message = std::move(cell.message);
  cell.message = {};
  cell.sequence.store(head_ + mask_ + 1, std::memory_order_release);
  ++head_;
  return true;
}

bool Mailbox::PrepareSleep() {
  sleeping_.store(true, std::memory_order_relaxed);
  FullFence();
  if (empty() || WEIR_FAULT("sleeps_without_second_look")) return true;
  Awake();
  return false;
}

}  // namespace weir::engine
