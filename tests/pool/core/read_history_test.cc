// Which kinds of reads others may wait behind, and how far away a server is.
#include "pool/core/read_history.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "pool/core/distance.h"

namespace weir::pool {
namespace {

using engine::kMillisecond;
using engine::kSecond;
using engine::Nanos;

constexpr Nanos kMicrosecond = 1000;
constexpr Nanos kQuick = 500 * kMicrosecond;
constexpr uint64_t kKind = 0x1234'5678'9abc'def0;

class ReadHistoryTest : public testing::Test {
 protected:
  void Observe(int times, Nanos time = 20 * kMicrosecond, uint32_t bytes = 100,
               uint64_t kind = kKind) {
    for (int i = 0; i < times; ++i)
      history_.Observe(kind, time, bytes, time >= kQuick, now_ += kMillisecond);
  }
  bool Quick(uint64_t kind = kKind) const { return history_.Of(kind).quick; }
  // Quick ones until it is quick.
  int UntilQuick() {
    int count = 0;
    for (; !Quick() && count < 100'000; ++count) Observe(1);
    return count;
  }

  ReadHistory history_{kQuick};
  Nanos now_ = kSecond;
};

TEST_F(ReadHistoryTest, AKindIsKnownWhenTwoHaveBeenSeen) {
  EXPECT_EQ(history_.Of(kKind), ReadCost());
  Observe(1);
  EXPECT_FALSE(history_.Of(kKind).known);
  EXPECT_FALSE(Quick());
  Observe(1);
  EXPECT_EQ(history_.Of(kKind), (ReadCost{true, true, 20 * kMicrosecond, 100}));
  EXPECT_EQ(history_.Of(kKind + 1), ReadCost());
}

TEST_F(ReadHistoryTest, ZeroIsNoKind) {
  Observe(5, 1, 1, 0);
  history_.ObserveSlow(0, now_);
  EXPECT_EQ(history_.Of(0), ReadCost());
}

// Times fall fast and rise slowly.
TEST_F(ReadHistoryTest, CostsAreMovingAverages) {
  Observe(1, 80 * kMicrosecond, 800);
  Observe(1, 208 * kMicrosecond, 1600);
  EXPECT_EQ(history_.Of(kKind), (ReadCost{true, true, 81 * kMicrosecond, 900}));
  Observe(1, 9 * kMicrosecond, 100);
  EXPECT_EQ(history_.Of(kKind), (ReadCost{true, true, 72 * kMicrosecond, 800}));
  Observe(200, 10 * kMicrosecond, 100);
  EXPECT_NEAR(static_cast<double>(history_.Of(kKind).time), 10'000, 10);
  EXPECT_NEAR(history_.Of(kKind).bytes, 100, 10);
}

TEST_F(ReadHistoryTest, BoundsOfWhatIsQuick) {
  Observe(2, kQuick - 1);
  EXPECT_TRUE(Quick());
  Observe(2, kQuick, 100, 7);
  EXPECT_FALSE(Quick(7));
  EXPECT_TRUE(history_.Of(7).known);
  Observe(2, 1, ReadHistory::kUsualBytesMax - 1, 8);
  EXPECT_TRUE(Quick(8));
  Observe(2, 1, ReadHistory::kUsualBytesMax, 9);
  EXPECT_FALSE(Quick(9));
  // One long reply counts like a slow one.
  Observe(100, 1, 1, 10);
  Observe(1, 1, ReadHistory::kBytesMax, 10);
  EXPECT_TRUE(Quick(10));
  Observe(2, 1, ReadHistory::kBytesMax + 1, 10);
  Observe(99, 1, 1, 10);
  EXPECT_FALSE(Quick(10));
}

TEST_F(ReadHistoryTest, NoCostIsTooGreat) {
  for (const Nanos time : {Nanos{-1}, Nanos{0}, 100 * kSecond, INT64_MAX})
    Observe(3, time, UINT32_MAX);
  EXPECT_FALSE(Quick());
  EXPECT_LE(history_.Of(kKind).time, Nanos{UINT32_MAX});
  EXPECT_GT(UntilQuick(), 500);
}

// Once is no habit.
TEST_F(ReadHistoryTest, WhatWasSlowTwiceComesBack) {
  Observe(1000);
  Observe(1, 50 * kMillisecond);
  EXPECT_TRUE(Quick());
  Observe(1, 50 * kMillisecond);
  EXPECT_FALSE(Quick());
  const int count = UntilQuick();
  EXPECT_GE(count, 100);
  EXPECT_LE(count, 110);
}

TEST_F(ReadHistoryTest, OneThatKeepsOthersWaitingCountsAtOnce) {
  Observe(1000);
  history_.ObserveSlow(kKind, now_);
  EXPECT_TRUE(Quick());
  history_.ObserveSlow(kKind, now_);
  EXPECT_FALSE(Quick());
  EXPECT_EQ(history_.Of(kKind).time, 20 * kMicrosecond);
  EXPECT_EQ(UntilQuick(), 101);
  // One that was never seen before.
  for (int i = 0; i < 2; ++i) history_.ObserveSlow(5, now_);
  Observe(99, 1, 1, 5);
  EXPECT_FALSE(Quick(5));
}

TEST_F(ReadHistoryTest, OneInAHundredIsTooMany) {
  int quick = 0;
  for (int i = 0; i < 200; ++i) {
    Observe(1, 50 * kMillisecond);
    for (int j = 0; j < 99; ++j) {
      Observe(1);
      if (i > 2) quick += Quick() ? 1 : 0;
    }
  }
  EXPECT_EQ(quick, 0);
  // However long that went on, it ends.
  const int count = UntilQuick();
  EXPECT_GT(count, 500);
  EXPECT_LT(count, 10'001);
}

TEST_F(ReadHistoryTest, OneInTenThousandIsNot) {
  int quick = 0;
  for (int i = 0; i < 20; ++i) {
    Observe(1, 50 * kMillisecond);
    for (int j = 0; j < 10'000; ++j) {
      Observe(1);
      quick += Quick() ? 1 : 0;
    }
  }
  EXPECT_GT(quick, 185'000);
}

TEST_F(ReadHistoryTest, KindsOfOneSetDoNotMix) {
  // They differ only in bits that do not choose the set.
  for (uint64_t i = 1; i <= ReadHistory::kWays; ++i)
    Observe(2, static_cast<Nanos>(i) * kMicrosecond, 1, i * ReadHistory::kSets);
  for (uint64_t i = 1; i <= ReadHistory::kWays; ++i)
    EXPECT_EQ(history_.Of(i * ReadHistory::kSets).time, static_cast<Nanos>(i) * kMicrosecond);
}

TEST_F(ReadHistoryTest, TheLeastRecentlyUsedGivesWay) {
  const auto kind = [](uint64_t i) { return i * ReadHistory::kSets + 3; };
  for (uint64_t i = 1; i <= 4; ++i) Observe(2, 1, 1, kind(i));
  Observe(1, 1, 1, kind(1));
  history_.ObserveSlow(kind(2), now_ += kMillisecond);
  Observe(2, 1, 1, kind(5));
  EXPECT_EQ(history_.Of(kind(3)), ReadCost());
  for (const uint64_t i : {1, 2, 4, 5}) EXPECT_TRUE(history_.Of(kind(i)).known) << i;
  // Nothing of the one before is left.
  Observe(2, 1, 1, kind(6));
  EXPECT_EQ(history_.Of(kind(4)), ReadCost());
  Observe(1, 7, 7, kind(4));
  EXPECT_EQ(history_.Of(kind(4)), (ReadCost{false, false, 7, 7}));
}

TEST_F(ReadHistoryTest, TheLeastRecentlyUsedGivesWayWhenTheTimeWraps) {
  const auto kind = [](uint64_t i) { return i * ReadHistory::kSets; };
  now_ = (Nanos{UINT32_MAX} - 5) * kMillisecond;
  for (uint64_t i = 1; i <= 4; ++i) Observe(2, 1, 1, kind(i));
  ASSERT_GT(now_, Nanos{UINT32_MAX} * kMillisecond);
  Observe(2, 1, 1, kind(5));
  EXPECT_EQ(history_.Of(kind(1)), ReadCost());
  EXPECT_TRUE(history_.Of(kind(4)).known);
}

TEST_F(ReadHistoryTest, HoldsAsManyKindsAsItHasEntries) {
  constexpr uint64_t kEntries = ReadHistory::kSets * ReadHistory::kWays;
  for (uint64_t i = 1; i <= kEntries; ++i) Observe(2, 1, 1, i);
  for (uint64_t i = 1; i <= kEntries; ++i) EXPECT_TRUE(Quick(i)) << i;
  for (uint64_t i = 1; i <= kEntries; ++i) Observe(2, 1, 1, kEntries + i);
  for (uint64_t i = 1; i <= kEntries; ++i) EXPECT_EQ(history_.Of(i), ReadCost()) << i;
}

TEST(DistanceEstimateTest, TheLeastOfLate) {
  DistanceEstimate estimate;
  EXPECT_EQ(estimate.distance(), 0);
  Nanos now = 100 * kSecond;
  estimate.Observe(500, now);
  estimate.Observe(400, now += kSecond);
  estimate.Observe(600, now += kSecond);
  EXPECT_EQ(estimate.distance(), 400);
  // It stands in the bucket behind its own, and no longer.
  estimate.Observe(700, now += 9 * kSecond);
  EXPECT_EQ(estimate.distance(), 400);
  estimate.Observe(800, now += 9 * kSecond);
  EXPECT_EQ(estimate.distance(), 400);
  estimate.Observe(900, now += kSecond);
  EXPECT_EQ(estimate.distance(), 700);
  estimate.Observe(50, now);
  EXPECT_EQ(estimate.distance(), 50);
}

TEST(DistanceEstimateTest, AfterALongPauseOnlyWhatIsNewCounts) {
  DistanceEstimate estimate;
  estimate.Observe(10, 100 * kSecond);
  estimate.Observe(500, 100 * kSecond + 2 * DistanceEstimate::kBucket);
  EXPECT_EQ(estimate.distance(), 500);
}

TEST(DistanceEstimateTest, ServiceTimes) {
  DistanceEstimate estimate;
  EXPECT_EQ(estimate.ServiceTime(1000, 0, 1700), 700);
  estimate.Observe(500, kSecond);
  // Alone; behind another that was answered when it had long arrived; as near as never before.
  EXPECT_EQ(estimate.ServiceTime(1000, 0, 1700), 200);
  EXPECT_EQ(estimate.ServiceTime(1000, 1650, 1700), 50);
  EXPECT_EQ(estimate.ServiceTime(1000, 0, 1400), 0);
}

}  // namespace
}  // namespace weir::pool
