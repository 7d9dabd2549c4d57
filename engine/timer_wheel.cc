#include "engine/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace weir::engine {
namespace {

constexpr uint64_t kDue = UINT64_MAX;  // the tick of a timer in the list of those that are due

}  // namespace

TimerWheel::TimerWheel(Nanos now) : now_tick_(static_cast<uint64_t>(now / kMillisecond)) {}

// The level is that of the highest digit in which the tick differs from now; the slot is that
// digit.
void TimerWheel::Place(Timer& timer) {
  timer.tick_ = std::max(timer.tick_, now_tick_);
  const uint64_t difference = timer.tick_ ^ now_tick_;
  const int level =
      difference == 0 ? 0 : std::min((63 - std::countl_zero(difference)) / kBits, kLevels - 1);
  const int slot = static_cast<int>(timer.tick_ >> (level * kBits)) & (kSlots - 1);
  slots_[level][slot].PushBack(timer);
  occupied_[level] |= uint64_t{1} << slot;
}

void TimerWheel::Arm(Timer& timer, Nanos deadline) {
  if (timer.armed()) Cancel(timer);
  // Rounded up: never early.
  constexpr Nanos kFarthest = (Nanos{1} << 35) * kMillisecond;
  const Nanos bounded =
      std::clamp<Nanos>(deadline, 0, static_cast<Nanos>(now_tick_) * kMillisecond + kFarthest);
  timer.tick_ = static_cast<uint64_t>((bounded + kMillisecond - 1) / kMillisecond);
  Place(timer);
  ++size_;
}

TimerWheel::List& TimerWheel::ListOf(Timer& timer) {
  if (timer.tick_ == kDue) return due_;
  const uint64_t difference = timer.tick_ ^ now_tick_;
  const int level =
      difference == 0 ? 0 : std::min((63 - std::countl_zero(difference)) / kBits, kLevels - 1);
  return slots_[level][(timer.tick_ >> (level * kBits)) & (kSlots - 1)];
}

void TimerWheel::Cancel(Timer& timer) {
  if (!timer.armed()) return;
  List& list = ListOf(timer);
  list.Remove(timer);
  --size_;
  if (timer.tick_ == kDue || !list.empty()) return;
  for (int level = 0; level < kLevels; ++level) {
    if (&list < slots_[level].data() || &list >= slots_[level].data() + kSlots) continue;
    occupied_[level] &= ~(uint64_t{1} << (&list - slots_[level].data()));
  }
}

Nanos TimerWheel::NextDeadline() const {
  if (!due_.empty()) return 0;
  for (int level = 0; level < kLevels; ++level) {
    const uint64_t position = (now_tick_ >> (level * kBits)) & (kSlots - 1);
    // On the levels above the first, the slot of now has been spread below.
    const uint64_t ahead = occupied_[level] >> position;
    if (ahead != 0) {
      const uint64_t slot = position + static_cast<uint64_t>(std::countr_zero(ahead));
      const uint64_t base = now_tick_ >> ((level + 1) * kBits) << ((level + 1) * kBits);
      return static_cast<Nanos>(base + (slot << (level * kBits))) * kMillisecond;
    }
  }
  return kForever;
}

// The slot of now on a level is spread over the levels below.
void TimerWheel::Cascade(int level) {
  const int slot = static_cast<int>(now_tick_ >> (level * kBits)) & (kSlots - 1);
  occupied_[level] &= ~(uint64_t{1} << slot);
  List& list = slots_[level][slot];
  while (Timer* timer = list.PopFront()) Place(*timer);
}

bool TimerWheel::Fire(Nanos now, int most) {
  const uint64_t target = static_cast<uint64_t>(now / kMillisecond);
  while (now_tick_ <= target) {
    const Nanos next = NextDeadline();
    if (due_.empty() && (next == kForever || static_cast<uint64_t>(next / kMillisecond) > target)) {
      // Nothing until then: go there at once, through no slot that holds anything.
      now_tick_ = target;
      break;
    }
    if (due_.empty()) {
      now_tick_ = std::max(now_tick_, static_cast<uint64_t>(next / kMillisecond));
      for (int level = kLevels - 1; level > 0; --level) Cascade(level);
      const int slot = static_cast<int>(now_tick_) & (kSlots - 1);
      occupied_[0] &= ~(uint64_t{1} << slot);
      while (Timer* timer = slots_[0][slot].PopFront()) {
        timer->tick_ = kDue;
        due_.PushBack(*timer);
      }
    }
    while (!due_.empty()) {
      if (most-- == 0) return true;
      Timer* timer = due_.PopFront();
      --size_;
      timer->callback_();
    }
    if (now_tick_ == target) break;
  }
  return false;
}

}  // namespace weir::engine
