// What shards share by address: a word that one writes and others read.
//
// In the program it is std::atomic. In the simulator's build (WEIR_SIM) all shards run in one
// thread, and a store waits in a buffer of the shard that made it until a fence, a
// read-modify-write or the simulator lets the others see it: what a processor may do, chosen by a
// seed.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace weir::engine {

#ifndef WEIR_SIM

template <class T>
using Shared = std::atomic<T>;

// Stores before it are seen by others before loads behind it look.
inline void FullFence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

#else

// Installed by the simulator; none: stores are seen at once.
class StoreBuffers {
 public:
  using Apply = void (*)(void* cell, uint64_t value);
  virtual ~StoreBuffers() = default;
  // Another shard may run now.
  virtual void OnAccess() = 0;
  virtual void Store(void* cell, uint64_t value, Apply apply, bool release) = 0;
  // The last store of this shard to the cell that others do not see yet.
  virtual bool Pending(const void* cell, uint64_t& value) = 0;
  // Stores of this shard to the cell, or to all of them (nullptr), are seen from now on.
  virtual void Drain(const void* cell) = 0;
};
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): the simulator's one thread
extern StoreBuffers* store_buffers;

inline void FullFence() {
  if (store_buffers == nullptr) return;
  store_buffers->Drain(nullptr);
  store_buffers->OnAccess();
}

template <class T>
class Shared {
 public:
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  explicit Shared(T value = {}) : value_(value) {}
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T load(std::memory_order = std::memory_order_seq_cst) const {
    if (store_buffers == nullptr) return value_;
    store_buffers->OnAccess();
    uint64_t word = 0;
    return store_buffers->Pending(this, word) ? FromWord(word) : value_;
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) {
    if (store_buffers == nullptr) {
      value_ = value;
      return;
    }
    store_buffers->Store(this, ToWord(value), &Shared::Apply, order != std::memory_order_relaxed);
    if (order == std::memory_order_seq_cst) store_buffers->Drain(nullptr);
  }
  T exchange(T value, std::memory_order order = std::memory_order_seq_cst) {
    Join(order);
    const T old = value_;
    value_ = value;
    return old;
  }
  T fetch_add(T more, std::memory_order order = std::memory_order_seq_cst) {
    return exchange(static_cast<T>(Joined(order) + more), order);
  }
  T fetch_sub(T less, std::memory_order order = std::memory_order_seq_cst) {
    return exchange(static_cast<T>(Joined(order) - less), order);
  }
  bool compare_exchange_strong(T& expected, T value,
                               std::memory_order order = std::memory_order_seq_cst) {
    if (Joined(order) == expected) {
      value_ = value;
      return true;
    }
    expected = value_;
    return false;
  }
  bool compare_exchange_weak(T& expected, T value,
                             std::memory_order order = std::memory_order_seq_cst) {
    return compare_exchange_strong(expected, value, order);
  }

 private:
  static uint64_t ToWord(T value) {
    uint64_t word = 0;
    std::memcpy(&word, &value, sizeof value);
    return word;
  }
  static T FromWord(uint64_t word) {
    T value;
    std::memcpy(&value, &word, sizeof value);
    return value;
  }
  static void Apply(void* cell, uint64_t word) {
    static_cast<Shared*>(cell)->value_ = FromWord(word);
  }
  // A read-modify-write acts on what all see.
  void Join(std::memory_order order) {
    if (store_buffers != nullptr)
      store_buffers->Drain(order == std::memory_order_relaxed ? this : nullptr);
  }
  T Joined(std::memory_order order) {
    Join(order);
    return value_;
  }

  T value_;
};

#endif

}  // namespace weir::engine
