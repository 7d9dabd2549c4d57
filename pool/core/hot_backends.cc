#include "pool/core/hot_backends.h"

#include <algorithm>
#include <cmath>

#include "engine/base/check.h"

namespace weir::pool {
namespace {

using engine::kMillisecond;
using engine::Nanos;

constexpr Nanos kWindow = 20 * kMillisecond;
constexpr Nanos kJitter = 4 * kMillisecond;
constexpr uint64_t kWindowReads = 200;
constexpr Nanos kSettle = 2 * kMillisecond;
// A window's reads that take longer are no load; only if they take half of that it begins.
constexpr Nanos kIdleAfter = 100 * kMillisecond;
constexpr Nanos kLoadWithin = kIdleAfter / 2;
constexpr double kAlone = 1.5;  // in flight
constexpr double kFirst = 16;   // in flight on each, to begin with

constexpr uint32_t kPairs = 8;
constexpr uint32_t kPairsMin = 3;
constexpr double kMore = 0.015;
constexpr double kClear = 0.08;
constexpr double kWeight = 0.25;  // of what is in flight
// One pair tells no more than this.
constexpr double kRateMax = 0.3;
constexpr double kInFlightMax = 1;

constexpr Nanos kRestFirst = 60 * kMillisecond;
constexpr uint32_t kRestDoublings = 4;
constexpr double kUnlike = 0.2;
constexpr uint32_t kUnlikeWindows = 3;

double Logarithm(double a, double b, double max) {
  if (a <= 0 || b <= 0) return 0;
  return std::clamp(std::log(a / b), -max, max);
}

}  // namespace

HotBackends::HotBackends(uint32_t seed) : prng_(seed) {}

// Windows begin and end in any order; only a trial or a rest changes the number.
void HotBackends::Move(State to) {
  if (to == State::kSettle) {
    CHECK(state_ == State::kTry || state_ == State::kRest);
    behind_settling_ = state_;
  }
  state_ = to;
}

uint32_t HotBackends::Neighbour(bool up) const {
  if (up) return std::min(std::max(number_ + 1, (number_ * 3 + 1) / 2), most_);
  return std::max(std::min(number_ - 1, (number_ * 2 + 1) / 3), 1U);
}

void HotBackends::OnEnded(uint32_t ended, uint32_t in_flight, uint32_t most, Nanos now) {
  CHECK(most > 0 && now >= last_);
  area_ += static_cast<double>(in_flight_) * static_cast<double>(now - last_);
  last_ = now;
  in_flight_ = in_flight;
  most_ = most;
  if (length_ == 0) Begin(now);
  if (state_ == State::kIdle) {
    target_ = most_;
  } else if (std::max(number_, trial_) > most_) {
    number_ = std::min(number_, most_);
    StartTrial(now);
  }
  if (state_ == State::kSettle) {
    if (now < settled_) return;
    Move(behind_settling_);
    Begin(now);
    return;
  }
  ended_ += ended;
  const Nanos passed = now - begin_;
  if (ended_ < kWindowReads) {
    if (passed >= (state_ == State::kIdle ? kLoadWithin : kIdleAfter)) GoIdle(now);
    return;
  }
  if (passed < length_) return;
  const auto time = static_cast<double>(passed);
  OnWindow({static_cast<double>(ended_) / time, area_ / time}, now);
}

void HotBackends::Begin(Nanos now) {
  begin_ = now;
  length_ = kWindow + static_cast<Nanos>(prng_.Below(kJitter));
  ended_ = 0;
  area_ = 0;
}

void HotBackends::SetTarget(uint32_t number, Nanos now) {
  if (target_ == number) return;
  target_ = number;
  Move(State::kSettle);
  settled_ = now + kSettle;
}

void HotBackends::GoIdle(Nanos now) {
  Move(State::kIdle);
  target_ = most_;
  lost_ = 0;
  Begin(now);
}

void HotBackends::OnWindow(const Window& window, Nanos now) {
  if (window.in_flight < kAlone) {
    GoIdle(now);
    return;
  }
  Begin(now);
  switch (state_) {
    case State::kIdle:
      if (number_ == 0) number_ = static_cast<uint32_t>(std::ceil(window.in_flight / kFirst));
      number_ = std::min(number_, most_);
      StartTrial(now);
      return;
    case State::kSettle:
      return;
    case State::kTry:
      OnTried(window, now);
      return;
    case State::kRest:
      OnRested(window, now);
      return;
  }
}

// In its direction, or else in the other one, if there is one at all.
void HotBackends::StartTrial(Nanos now) {
  Move(State::kTry);
  Begin(now);
  if (Neighbour(up_) == number_) up_ = !up_;
  trial_ = Neighbour(up_);
  windows_ = pairs_ = better_ = worse_ = 0;
  gains_ = usual_rate_ = 0;
  if (trial_ == number_) {
    StartRest(now);
    return;
  }
  SetTarget(number_, now);
}

// A window with the one or the other has ended.
void HotBackends::OnTried(const Window& window, Nanos now) {
  (target_ == trial_ ? of_trial_ : of_number_) = window;
  if (target_ == number_) usual_rate_ = window.rate;
  ++windows_;
  if (windows_ % 2 == 0) {
    const double gain =
        Logarithm(of_trial_.rate, of_number_.rate, kRateMax) -
        kWeight * Logarithm(of_trial_.in_flight, of_number_.in_flight, kInFlightMax);
    gains_ += gain;
    ++pairs_;
    better_ += gain > kMore ? 1 : 0;
    worse_ += gain < -kMore ? 1 : 0;
    if (Decided()) {
      Decide(now);
      return;
    }
  }
  // A B B A A B B A ...
  SetTarget(windows_ % 4 == 1 || windows_ % 4 == 2 ? trial_ : number_, now);
}

bool HotBackends::Decided() const {
  if (pairs_ < kPairsMin) return false;
  const bool clear = std::abs(gains_) > kClear * pairs_;
  return pairs_ == kPairs || (clear && (better_ == pairs_ || worse_ == pairs_));
}

void HotBackends::Decide(Nanos now) {
  const double gain = gains_ / pairs_;
  const bool more = gain > kMore && better_ > worse_;
  if (more || (!up_ && gain >= 0)) {
    number_ = trial_;
  } else {
    up_ = !up_;
  }
  lost_ = more ? 0 : lost_ + 1;
  if (more) {
    StartTrial(now);
  } else {
    StartRest(now);
  }
}

void HotBackends::StartRest(Nanos now) {
  Move(State::kRest);
  unlike_ = 0;
  rest_end_ = now + (kRestFirst << std::min(lost_, kRestDoublings));
  SetTarget(number_, now);
}

void HotBackends::OnRested(const Window& window, Nanos now) {
  const bool unlike = std::abs(Logarithm(window.rate, usual_rate_, 1)) > kUnlike;
  unlike_ = unlike ? unlike_ + 1 : 0;
  if (unlike_ >= kUnlikeWindows) lost_ = 0;
  if (unlike_ >= kUnlikeWindows || now >= rest_end_) StartTrial(now);
}

}  // namespace weir::pool
