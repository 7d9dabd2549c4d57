// Objects in numbered seats. A handle is (seat, generation) and may be stale: Find then says
// nullptr.
//
// Seats are allocated in blocks that never move, so that a T& stays good until Erase. A freed seat
// is used again with a new generation. Iteration (ForEach) is in seat order: repeatable. Single
// shard.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "engine/base/check.h"

namespace weir::engine {

template <class T>
struct Handle {
  uint32_t seat = 0;
  uint32_t generation = 0;  // 0: no object
  explicit operator bool() const { return generation != 0; }
  bool operator==(const Handle&) const = default;
};

template <class T>
class Slab {
 public:
  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    for (uint32_t seat = 0; seat < seats_; ++seat) {
      if (At(seat).live) Destroy(At(seat));
    }
  }

  size_t size() const { return live_; }
  uint32_t seats() const { return seats_; }

  // Constructs T(args...). The handle is known inside the constructor through HandleOf only after
  // it returns.
  template <class... Args>
  T& Emplace(Args&&... args) {
    if (free_.empty()) AddBlock();
    const uint32_t seat = free_.back();
    free_.pop_back();
    Seat& place = At(seat);
    T* object = new (place.storage) T(std::forward<Args>(args)...);
    place.live = 1;
    if (++place.generation == 0) place.generation = 1;
    ++live_;
    return *object;
  }

  void Erase(T& object) {
    Seat& place = SeatOf(object);
    CHECK(place.live);
    Destroy(place);
    free_.push_back(place.number);
    --live_;
  }

  Handle<T> HandleOf(const T& object) const {
    const Seat& place = SeatOf(const_cast<T&>(object));
    CHECK(place.live);
    return {place.number, place.generation};
  }

  // nullptr if the object is gone.
  T* Find(Handle<T> handle) {
    if (handle.generation == 0 || handle.seat >= seats_) return nullptr;
    Seat& place = At(handle.seat);
    return place.live && place.generation == handle.generation ? Object(place) : nullptr;
  }

  T* FindSeat(uint32_t seat) { return seat < seats_ && At(seat).live ? Object(At(seat)) : nullptr; }

  // In seat order. The callback may erase the object it is given, and no other.
  template <class Callback>
  void ForEach(Callback&& callback) {
    for (uint32_t seat = 0; seat < seats_; ++seat) {
      if (At(seat).live) callback(*Object(At(seat)));
    }
  }

 private:
  static constexpr uint32_t kBlock = 32;
  struct Seat {
    alignas(T) unsigned char storage[sizeof(T)];
    uint32_t number = 0;
    uint32_t live : 1 = 0;
    uint32_t generation : 31 = 0;
  };

  static T* Object(Seat& place) { return std::launder(reinterpret_cast<T*>(place.storage)); }
  static Seat& SeatOf(T& object) { return *reinterpret_cast<Seat*>(&object); }
  Seat& At(uint32_t seat) { return blocks_[seat / kBlock][seat % kBlock]; }

  void Destroy(Seat& place) {
    Object(place)->~T();
    place.live = 0;
  }

  void AddBlock() {
    blocks_.push_back(std::make_unique<Seat[]>(kBlock));
    for (uint32_t i = 0; i < kBlock; ++i) blocks_.back()[i].number = seats_ + i;
    for (uint32_t i = kBlock; i > 0; --i) free_.push_back(seats_ + i - 1);
    seats_ += kBlock;
  }

  std::vector<std::unique_ptr<Seat[]>> blocks_;
  std::vector<uint32_t> free_;
  uint32_t seats_ = 0;
  size_t live_ = 0;
};

}  // namespace weir::engine
