#include "engine/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/prng.h"

namespace weir::engine {
namespace {

struct Alarm {
  void Ring() {
    fired_at = *now;
    ++fired;
  }
  const Nanos* now = nullptr;
  Nanos deadline = 0;
  Nanos fired_at = 0;
  int fired = 0;
  Timer timer;
};

class TimerWheelTest : public testing::Test {
 protected:
  std::unique_ptr<Alarm> NewAlarm() {
    auto alarm = std::make_unique<Alarm>();
    alarm->now = &now_;
    alarm->timer.Bind(Callback::To<&Alarm::Ring>(*alarm));
    return alarm;
  }
  void AdvanceTo(Nanos now) {
    now_ = now;
    while (wheel_.Fire(now_, 1000)) {
    }
  }

  Nanos now_ = 12345 * kSecond + 678;
  TimerWheel wheel_{now_};
};

TEST_F(TimerWheelTest, NeverEarlyAndAtMostAMillisecondLate) {
  Prng prng(1);
  std::vector<std::unique_ptr<Alarm>> alarms;
  for (int i = 0; i < 2000; ++i) {
    alarms.push_back(NewAlarm());
    // From microseconds to days.
    const Nanos delay = static_cast<Nanos>(prng.Below(uint64_t{1} << (10 + prng.Below(38))));
    alarms.back()->deadline = now_ + delay;
    wheel_.Arm(alarms.back()->timer, now_ + delay);
  }
  while (wheel_.size() > 0) {
    const Nanos next = wheel_.NextDeadline();
    ASSERT_NE(next, kForever);
    AdvanceTo(std::max(next, now_ + 1));
  }
  for (const auto& alarm : alarms) {
    EXPECT_EQ(alarm->fired, 1);
    EXPECT_GE(alarm->fired_at, alarm->deadline);
    EXPECT_LE(alarm->fired_at, alarm->deadline + 2 * kMillisecond);
  }
  EXPECT_EQ(wheel_.NextDeadline(), kForever);
}

TEST_F(TimerWheelTest, CancelledAndMovedTimers) {
  auto a = NewAlarm();
  auto b = NewAlarm();
  wheel_.Arm(a->timer, now_ + 10 * kMillisecond);
  wheel_.Arm(b->timer, now_ + 20 * kMillisecond);
  wheel_.Cancel(a->timer);
  wheel_.Arm(b->timer, now_ + 5 * kSecond);
  AdvanceTo(now_ + 100 * kMillisecond);
  EXPECT_EQ(a->fired + b->fired, 0);
  AdvanceTo(now_ + 5 * kSecond);
  EXPECT_EQ(b->fired, 1);
  EXPECT_EQ(wheel_.size(), 0u);
}

TEST_F(TimerWheelTest, ManyAtOnceAreBoundedPerCall) {
  std::vector<std::unique_ptr<Alarm>> alarms;
  for (int i = 0; i < 100; ++i) {
    alarms.push_back(NewAlarm());
    wheel_.Arm(alarms.back()->timer, now_ + kMillisecond);
  }
  now_ += 10 * kMillisecond;
  EXPECT_TRUE(wheel_.Fire(now_, 60));
  EXPECT_EQ(wheel_.size(), 40u);
  // One of those that are due can still be cancelled.
  wheel_.Cancel(alarms[99]->timer);
  EXPECT_FALSE(wheel_.Fire(now_, 60));
  EXPECT_EQ(alarms[99]->fired, 0);
  EXPECT_EQ(alarms[98]->fired, 1);
}

}  // namespace
}  // namespace weir::engine
