// The parts of sessions that need no shard.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "engine/base/text.h"
#include "pool/session/bases.h"
#include "pool/session/cancel.h"
#include "pool/session/login_delays.h"
#include "pool/session/startup_parameters.h"

namespace weir::pool {
namespace {

using engine::kMillisecond;
using engine::kSecond;

TEST(LoginDelaysTest, LaterAndLaterAndForgotten) {
  LoginDelays delays;
  engine::Nanos now = 100 * kSecond;
  EXPECT_EQ(delays.OnFailure("a", "u", now), 0);
  EXPECT_EQ(delays.OnFailure("a", "u", now), 50 * kMillisecond);
  EXPECT_EQ(delays.OnFailure("a", "u", now), 100 * kMillisecond);
  for (int i = 0; i < 20; ++i) delays.OnFailure("a", "u", now);
  EXPECT_EQ(delays.OnFailure("a", "u", now), 2 * kSecond);
  EXPECT_EQ(delays.OnFailure("a", "other", now), 0);
  EXPECT_EQ(delays.OnFailure("b", "u", now), 0);
  delays.OnSuccess("a", "u");
  EXPECT_EQ(delays.OnFailure("a", "u", now), 0);
  delays.OnFailure("a", "u", now);
  now += 61 * kSecond;
  EXPECT_EQ(delays.OnFailure("a", "u", now), 0);
}

TEST(LoginDelaysTest, MemoryIsBounded) {
  LoginDelays delays;
  for (size_t i = 0; i < 3 * LoginDelays::kEntriesMax; ++i)
    delays.OnFailure(engine::Cat(i), "u", kSecond);
  EXPECT_EQ(delays.size(), LoginDelays::kEntriesMax);
}

TEST(StartupParametersTest, OrderDoesNotMatterAndTheLastOfTwoCounts) {
  const std::string text = ToCanonical({{"b", "2"}, {"a", "1"}, {"b", "3"}});
  EXPECT_EQ(text, ToCanonical({{"a", "1"}, {"b", "3"}}));
  EXPECT_EQ(FromCanonical(text), (protocol::Parameters{{"a", "1"}, {"b", "3"}}));
  EXPECT_NE(ToCanonical({{"a", "1b"}}), ToCanonical({{"a1", "b"}}));
  EXPECT_TRUE(FromCanonical("").empty());
}

TEST(BasesTest, WhatIsProvenCountsForItsRouteWhileThatBeginsTheSame) {
  Bases bases;
  const auto report = std::make_shared<const protocol::Parameters>();
  bases.Store(1, "a", {.values = {{"a", "1"}}, .began_with = report});
  ASSERT_NE(bases.Find(1, "a", report), nullptr);
  EXPECT_EQ(bases.Find(1, "a", report)->values.size(), 1u);
  EXPECT_EQ(bases.Find(1, "b", report), nullptr);
  EXPECT_EQ(bases.Find(2, "a", report), nullptr);
  bases.Store(1, "a", {.began_with = report});
  EXPECT_TRUE(bases.Find(1, "a", report)->values.empty());
  EXPECT_EQ(bases.Find(1, "a", std::make_shared<const protocol::Parameters>()), nullptr);
  EXPECT_EQ(bases.size(), 0u);
  EXPECT_EQ(bases.bytes(), 0u);
}

TEST(BasesTest, TheOnesUsedLongestAgoGo) {
  Bases bases;
  bases.Store(1, "first", {});
  for (size_t i = 0; i < 2 * Bases::kBasesMax; ++i) {
    bases.Store(1, engine::Cat(i), {});
    ASSERT_NE(bases.Find(1, "first", {}), nullptr);
  }
  EXPECT_EQ(bases.size(), Bases::kBasesMax);
  EXPECT_EQ(bases.Find(1, "0", {}), nullptr);
  for (size_t i = 0; i < 10; ++i)
    bases.Store(2, engine::Cat(i), {.values = {{"x", std::string(Bases::kBytesMax / 4, 'x')}}});
  EXPECT_LE(bases.bytes(), Bases::kBytesMax);
  EXPECT_NE(bases.Find(2, "9", {}), nullptr);
}

TEST(CancelTest, NumbersArePositiveAndDifferent) {
  EXPECT_NE(ClientNumber(0, 0), 0u);
  EXPECT_NE(ClientNumber(1, 0), ClientNumber(0, 0));
  EXPECT_LT(ClientNumber(63, (1 << 20) - 2), 1u << 31);
}

}  // namespace
}  // namespace weir::pool
