// Deadlines of one shard: a hierarchical wheel, so that arming, moving and cancelling cost the same
// for any number.
//
// Resolution 1 ms: a timer fires at its deadline or up to 1 ms later, never before. Timers of one
// deadline fire in the order in which they were armed. Nothing allocates.
#pragma once

#include <array>
#include <cstdint>

#include "engine/base/callback.h"
#include "engine/base/clock.h"
#include "engine/base/intrusive_list.h"

namespace weir::engine {

// A member of its owner. Cancelled before it dies.
class Timer {
 public:
  ~Timer() { CHECK(!armed()); }
  void Bind(Callback callback) { callback_ = callback; }
  bool armed() const { return link_.linked(); }

 private:
  friend class TimerWheel;
  ListLink link_;
  Callback callback_;
  uint64_t tick_ = 0;
};

class TimerWheel {
 public:
  explicit TimerWheel(Nanos now);

  // An armed timer is moved.
  void Arm(Timer& timer, Nanos deadline);
  void Cancel(Timer& timer);
  // When Fire is due next, at the latest; kForever if no timer is armed. May be early (a slot to be
  // looked into).
  Nanos NextDeadline() const;
  // Calls what is due, at most `most`. Returns whether some are left.
  bool Fire(Nanos now, int most);
  size_t size() const { return size_; }

 private:
  static constexpr int kBits = 6;
  static constexpr int kSlots = 1 << kBits;
  static constexpr int kLevels = 6;  // 64^6 ms: two years
  using List = IntrusiveList<Timer, &Timer::link_>;

  void Place(Timer& timer);
  void Cascade(int level);
  List& ListOf(Timer& timer);

  uint64_t now_tick_;  // all before it have fired
  size_t size_ = 0;
  std::array<std::array<List, kSlots>, kLevels> slots_;
  std::array<uint64_t, kLevels> occupied_{};  // a bit a slot
  List due_;
};

}  // namespace weir::engine
