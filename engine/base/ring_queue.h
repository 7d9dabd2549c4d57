// A FIFO over a power-of-two array that grows when full and never shrinks: no allocation once warm.
#pragma once

#include <bit>
#include <cstddef>
#include <memory>
#include <utility>

#include "engine/base/check.h"

namespace weir::engine {

template <class T>
class RingQueue {
 public:
  bool empty() const { return head_ == tail_; }
  size_t size() const { return tail_ - head_; }
  size_t capacity() const { return capacity_; }

  // index 0 is the oldest.
  T& operator[](size_t index) {
    CHECK(index < size());
    return items_[(head_ + index) & (capacity_ - 1)];
  }
  const T& operator[](size_t index) const {
    CHECK(index < size());
    return items_[(head_ + index) & (capacity_ - 1)];
  }
  T& Front() { return (*this)[0]; }
  const T& Front() const { return (*this)[0]; }
  T& Back() { return (*this)[size() - 1]; }

  void PushBack(T item) {
    if (size() == capacity_) Grow();
    items_[tail_++ & (capacity_ - 1)] = std::move(item);
  }

  T PopFront() {
    CHECK(!empty());
    T item = std::move(items_[head_ & (capacity_ - 1)]);
    items_[head_ & (capacity_ - 1)] = T();
    ++head_;
    return item;
  }

  T PopBack() {
    CHECK(!empty());
    --tail_;
    T item = std::move(items_[tail_ & (capacity_ - 1)]);
    items_[tail_ & (capacity_ - 1)] = T();
    return item;
  }

  // Keeps the array.
  void Clear() {
    while (!empty()) PopFront();
  }

  // Gives the array back; only when empty.
  void Release() {
    CHECK(empty());
    items_.reset();
    capacity_ = head_ = tail_ = 0;
  }

 private:
  void Grow() {
    const size_t wanted = capacity_ == 0 ? 4 : capacity_ * 2;
    auto items = std::make_unique<T[]>(wanted);
    const size_t count = size();
    for (size_t i = 0; i < count; ++i) items[i] = std::move((*this)[i]);
    items_ = std::move(items);
    capacity_ = wanted;
    head_ = 0;
    tail_ = count;
  }

  std::unique_ptr<T[]> items_;
  size_t capacity_ = 0;
  size_t head_ = 0;
  size_t tail_ = 0;
};

}  // namespace weir::engine
