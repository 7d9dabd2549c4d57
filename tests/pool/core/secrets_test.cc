// What the pool does when a server refuses a secret: who waits, who is told, what is tried again.
#include <gtest/gtest.h>

#include "pool/core/pool.h"
#include "tests/pool/core/pool_fixture.h"

namespace weir::pool {
namespace {

const LaunchFailure kRefused{LaunchFailure::Kind::kAuthentication, "wrong password", {'E'}};
const LaunchFailure kOther{LaunchFailure::Kind::kOtherSecret, "wrong password", {'E'}};
const LaunchFailure kNone{LaunchFailure::Kind::kNoSecret, "no key yet", {'K'}};

TEST_F(PoolTest, AnotherSecretIsTriedAtOnce) {
  ScriptedPools pools(1);
  ScriptedWaiter& waiter = Wait(pools[0], "db");
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 1u);
  pools[0].Complete(0, kTen, &kOther);
  pools[0].Turn();
  EXPECT_EQ(waiter.failed, 0);
  pools.Settle(kTen);
  EXPECT_NE(waiter.backend, nullptr);
}

// A route that nobody has ever been let in by is told at once.
TEST_F(PoolTest, AStrangersSecretIsRefusedAtOnce) {
  ScriptedPools pools(1);
  ScriptedWaiter& waiter = Wait(pools[0], "db");
  pools[0].Turn();
  pools[0].Complete(0, kTen, &kRefused);
  EXPECT_EQ(waiter.failure, BorrowFailure::kRefused);
}

// Where it was accepted before, a new one is on its way: those who wait are not lost.
TEST_F(PoolTest, ASecretThatIsNoLongerTakenIsWaitedFor) {
  ScriptedPools pools(1);
  ScriptedWaiter& first = Wait(pools[0], "db");
  pools.Settle(kTen);
  ASSERT_NE(first.backend, nullptr);
  ScriptedWaiter& waiter = Wait(pools[0], "db");
  int attempts = 0;
  const auto refuse_for = [&](engine::Nanos time) {
    for (const engine::Nanos end = pools.now + time; pools.now < end;
         pools.now += 10 * kMillisecond) {
      pools[0].Turn();
      while (!pools[0].pending.empty()) {
        attempts += pools[0].pending[0].kind == Pending::Kind::kOpen ? 1 : 0;
        pools[0].Complete(0, kTen, &kRefused);
      }
    }
  };
  refuse_for(3 * kSecond);
  EXPECT_EQ(waiter.failed, 0);
  EXPECT_GE(attempts, 3);
  EXPECT_LE(attempts, 10);
  // The secrets are others now: no time is lost.
  pools[0].pool.Forgive();
  pools[0].Turn();
  EXPECT_FALSE(pools[0].pending.empty());
  pools.Settle(kTen);
  EXPECT_NE(waiter.backend, nullptr);
  // If nothing comes, they are told in the end.
  ScriptedWaiter& late = Wait(pools[0], "db");
  refuse_for(8 * kSecond);
  EXPECT_EQ(late.failure, BorrowFailure::kRefused);
}

// That there is nothing to log in with yet is not remembered: in the next moment there is.
TEST_F(PoolTest, WithoutASecretNothingIsRemembered) {
  ScriptedPools pools(1);
  ScriptedWaiter& early = Wait(pools[0], "db");
  pools[0].Turn();
  pools[0].Complete(0, kTen, &kNone);
  EXPECT_EQ(early.failure, BorrowFailure::kRefused);
  ScriptedWaiter& next = Wait(pools[0], "db");
  EXPECT_EQ(next.failed, 0);
  pools[0].Turn();
  EXPECT_EQ(next.failed, 0);
  pools.Settle(kTen);
  EXPECT_NE(next.backend, nullptr);
}

}  // namespace
}  // namespace weir::pool
