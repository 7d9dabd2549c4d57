// The pool on one and two shards, step by step.
#include "pool/core/pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "tests/pool/core/pool_fixture.h"

namespace weir::pool {
namespace {

TEST_F(PoolTest, TheFirstBackendTellsTheBudget) {
  ScriptedPools pools(1);
  ScriptedWaiter& first = Wait(pools[0], "db");
  ScriptedWaiter& second = Wait(pools[0], "db");
  pools[0].Turn();
  EXPECT_EQ(pools[0].pending.size(), 1u);  // one, until the server has said how many
  pools[0].Complete(0, kTen);
  EXPECT_NE(first.backend, nullptr);
  EXPECT_EQ(pools[0].pool.counts(0).budget, 10u);
  pools.Settle(kTen);
  EXPECT_NE(second.backend, nullptr);
  EXPECT_NE(second.backend, first.backend);
}

TEST_F(PoolTest, TheOldestWaiterIsServedFirst) {
  ScriptedPools pools(1);
  ScriptedWaiter& holder = Wait(pools[0], "db");
  pools.Settle({1, 0, 0});
  ScriptedWaiter& a = Wait(pools[0], "db");
  ScriptedWaiter& b = Wait(pools[0], "db");
  EXPECT_TRUE(pools[0].pool.OthersWait(0));
  GiveBack(holder);
  EXPECT_NE(a.backend, nullptr);
  EXPECT_EQ(b.backend, nullptr);
  GiveBack(a);
  EXPECT_NE(b.backend, nullptr);
  EXPECT_FALSE(pools[0].pool.OthersWait(0));
}

TEST_F(PoolTest, ADeadlineFailsOnlyItsWaiter) {
  ScriptedPools pools(1);
  ScriptedWaiter& holder = Wait(pools[0], "db");
  pools.Settle({1, 0, 0});
  ScriptedWaiter& late = Wait(pools[0], "db", 50 * kMillisecond);
  ScriptedWaiter& patient = Wait(pools[0], "db");
  pools.now += 60 * kMillisecond;
  pools[0].Turn();
  EXPECT_EQ(late.failed, 1);
  EXPECT_EQ(late.failure, BorrowFailure::kTimedOut);
  GiveBack(holder);
  EXPECT_EQ(late.served, 0);
  EXPECT_NE(patient.backend, nullptr);
}

TEST_F(PoolTest, ARefusedDatabaseIsToldAndRemembered) {
  ScriptedPools pools(1);
  ScriptedWaiter& good = Wait(pools[0], "db");
  pools.Settle(kTen);
  GiveBack(good);
  ScriptedWaiter& bad = Wait(pools[0], "nowhere");
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 1u);
  const LaunchFailure failure{LaunchFailure::Kind::kDatabase, "does not exist", {'E'}};
  pools[0].Complete(0, kTen, &failure);
  EXPECT_EQ(bad.failure, BorrowFailure::kRefused);
  // Within a second nothing is tried; no warm backend was lost for it.
  ScriptedWaiter& again = Wait(pools[0], "nowhere");
  pools[0].Turn();
  EXPECT_EQ(again.failure, BorrowFailure::kRefused);
  EXPECT_TRUE(pools[0].pending.empty());
  EXPECT_EQ(pools[0].pool.counts(0).idle, 1u);
}

TEST_F(PoolTest, WaitersAreHeldWhileTheServerIsDown) {
  ScriptedPools pools(1);
  ScriptedWaiter& waiter = Wait(pools[0], "db");
  const LaunchFailure failure{LaunchFailure::Kind::kUnreachable, "refused", {}};
  int attempts = 0;
  for (int i = 0; i < 200; ++i) {
    pools.now += 50 * kMillisecond;
    pools[0].Turn();
    if (!pools[0].pending.empty()) {
      ++attempts;
      pools[0].Complete(0, kTen, &failure);
    }
  }
  EXPECT_EQ(waiter.failed, 0);
  EXPECT_GE(attempts, 4);
  EXPECT_LE(attempts, 15);  // it backs off
  for (int i = 0; i < 100 && waiter.backend == nullptr; ++i) {
    pools.now += 50 * kMillisecond;
    pools[0].Turn();
    if (!pools[0].pending.empty()) pools[0].Complete(0, kTen);
  }
  EXPECT_NE(waiter.backend, nullptr);
}

// Each shard has an idle backend of a route that the other does not want, and so many free slots.
TEST_F(PoolTest, TwoShardsThatAskEachOtherHelpThemselves) {
  for (const size_t free : {0, 1, 3}) {
    const ServerFacts facts{static_cast<uint32_t>(4 + 2 * free), 0, 0};
    ScriptedPools pools(2);
    ScriptedWaiter* idle[2];
    std::vector<ScriptedWaiter*> gone;
    for (size_t i = 0; i < 2; ++i) {
      Wait(pools[i], i == 0 ? "c" : "d");
      pools.Settle(facts);
      idle[i] = &Wait(pools[i], i == 0 ? "a" : "b");
      pools.Settle(facts);
      for (size_t n = 0; n < free; ++n) gone.push_back(&Wait(pools[i], "e"));
      pools.Settle(facts);
    }
    for (ScriptedWaiter* each : idle) GiveBack(*each);
    for (ScriptedWaiter* each : gone) each->shard->pool.Discard(*std::exchange(each->backend, {}));
    pools.Settle(facts);
    ASSERT_EQ(pools[0].pool.counts(0).slice - pools[0].pool.counts(0).open, free);
    ASSERT_EQ(pools[1].pool.counts(0).slice - pools[1].pool.counts(0).open, free);
    ScriptedWaiter& c = Wait(pools[0], "c");
    ScriptedWaiter& d = Wait(pools[1], "d");
    pools.Settle(facts);
    EXPECT_NE(c.backend, nullptr) << free;
    EXPECT_NE(d.backend, nullptr) << free;
    EXPECT_EQ(pools.open(), free == 0 ? 4u : 6u);
  }
}

TEST_F(PoolTest, ARotatedClientGetsAnotherBackendEveryTime) {
  PoolOptions options;
  options.rotate = true;
  ScriptedPools pools(1, options);
  ScriptedWaiter& client = Wait(pools[0], "db");
  pools.Settle(kTen);
  for (int i = 0; i < 5; ++i) {
    Backend* last = client.backend;
    GiveBack(client);
    client.backend = pools[0].pool.Borrow(client);
    pools.Settle(kTen);
    ASSERT_NE(client.backend, nullptr);
    EXPECT_NE(client.backend, last);
    EXPECT_EQ(client.last, client.backend->number);
    EXPECT_EQ(client.before, last->number);
  }
  EXPECT_EQ(pools.open(), 2u);
}

TEST_F(PoolTest, ARotatedClientGetsItsLastBackendWhereThereIsNoOther) {
  PoolOptions options;
  options.rotate = true;
  for (const bool room : {false, true}) {
    ScriptedPools pools(2, options);
    const ServerFacts facts{room ? 10u : 1u, 0, 0};
    ScriptedWaiter& client = Wait(pools[0], "db");
    pools.Settle(facts);
    Backend* only = client.backend;
    GiveBack(client);
    client.backend = pools[0].pool.Borrow(client);
    EXPECT_EQ(client.backend, nullptr);
    const LaunchFailure failure{LaunchFailure::Kind::kUnreachable, "refused", {}};
    for (int turn = 0; turn < 3; ++turn) {
      pools[0].Turn();
      pools[1].Turn();
    }
    EXPECT_EQ(pools[0].pending.size(), room ? 1u : 0u);
    if (room) pools[0].Complete(0, facts, &failure);
    pools[0].Turn();
    EXPECT_EQ(client.backend, only);
    EXPECT_EQ(client.before, client.last);
  }
}

TEST_F(PoolTest, AnotherRouteGetsASlotWhenItHasWaited) {
  ScriptedPools pools(1);
  ScriptedWaiter& holder = Wait(pools[0], "a");
  pools.Settle({1, 0, 0});
  ScriptedWaiter& other = Wait(pools[0], "b");
  pools.now += 60 * kMillisecond;
  Wait(pools[0], "a");
  GiveBack(holder);
  pools.Settle({1, 0, 0});
  EXPECT_NE(other.backend, nullptr);
}

TEST_F(PoolTest, ABackendGoesToTheOtherShard) {
  ScriptedPools pools(2);
  ScriptedWaiter& holder = Wait(pools[0], "db");
  pools.Settle({1, 0, 0});
  ScriptedWaiter& far = Wait(pools[1], "db");
  pools.Settle({1, 0, 0});
  EXPECT_EQ(far.backend, nullptr);
  GiveBack(holder);
  pools.Settle({1, 0, 0});
  EXPECT_NE(far.backend, nullptr);
  EXPECT_EQ(pools.open(), 1u);
  EXPECT_EQ(pools.slices(), 1u);
}

TEST_F(PoolTest, TheBudgetShrinksAndGrows) {
  ScriptedPools pools(2);
  std::vector<ScriptedWaiter*> holders;
  for (int i = 0; i < 8; ++i) holders.push_back(&Wait(pools[static_cast<size_t>(i % 2)], "db"));
  pools.Settle(kTen);
  EXPECT_EQ(pools.open(), 8u);
  pools[0].pool.OnMessage([] {
    engine::Message message;
    message.kind = Pool::kMessages + 6;  // facts
    message.words[1] = 4;
    return message;
  }());
  pools.Settle({4, 0, 0});
  for (ScriptedWaiter* holder : holders) {
    if (holder->backend != nullptr) GiveBack(*holder);
    pools.Settle({4, 0, 0});
  }
  EXPECT_EQ(pools.slices(), 4u);
  EXPECT_LE(pools.open(), 4u);
}

TEST_F(PoolTest, LongIdleBackendsAreClosedBeyondTheirShare) {
  ScriptedPools pools(1, {.max_idle_percent = 20, .idle_timeout = 5 * kSecond});
  std::vector<ScriptedWaiter*> holders;
  for (int i = 0; i < 8; ++i) holders.push_back(&Wait(pools[0], "db"));
  pools.Settle(kTen);
  for (ScriptedWaiter* holder : holders) GiveBack(*holder);
  for (int i = 0; i < 10; ++i) {
    pools.now += kSecond;
    pools.Settle(kTen);
  }
  EXPECT_EQ(pools.open(), 2u);
}

TEST_F(PoolTest, AQuestionOfItsCatalogueLeavesABackendAsIdleAsItWas) {
  ScriptedPools pools(1, {.max_idle_percent = 0, .idle_timeout = 5 * kSecond});
  Wait(pools[0], "db");
  pools.Settle(kTen);
  GiveBack(*waiters_.back());
  for (int i = 0; i < 4; ++i) {
    pools[0].catalogue_due = true;
    pools.now += kSecond;
    pools.Settle(kTen);
    EXPECT_FALSE(pools[0].catalogue_due);
    EXPECT_EQ(pools.open(), 1u);
  }
  pools.now += 2 * kSecond;
  pools.Settle(kTen);
  EXPECT_EQ(pools.open(), 0u);
}

// Another route's waiter that may not switch yet does not stand in the way of the next one.
TEST_F(PoolTest, AnUnknownRouteDoesNotHoldUpOthers) {
  ScriptedPools pools(1);
  Wait(pools[0], "old");
  pools.Settle({1, 0, 0});
  GiveBack(*waiters_.back());
  ScriptedWaiter& holder = Wait(pools[0], "db");
  pools.now += 60 * kMillisecond;  // it has never logged in
  pools.Settle({1, 0, 0});
  ASSERT_NE(holder.backend, nullptr);
  pools.shared.targets[0]->new_route_at.store(pools.now);
  ScriptedWaiter& unknown = Wait(pools[0], "unknown");
  pools.now += kMillisecond;
  ScriptedWaiter& old = Wait(pools[0], "old");
  pools.now += 200 * kMillisecond;
  Wait(pools[0], "db");
  pools[0].Turn();
  GiveBack(holder);
  pools.Settle({1, 0, 0});
  EXPECT_EQ(unknown.backend, nullptr);
  EXPECT_NE(old.backend, nullptr);
}

// Slots that nobody here needs go to another shard, also while somebody here waits for a login.
TEST_F(PoolTest, SpareSlotsAreGivenWhileALoginGoesOn) {
  ScriptedPools pools(2);
  Wait(pools[0], "db");
  pools.Settle(kTen);
  ScriptedWaiter& slow = Wait(pools[0], "db");
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 1u);
  ScriptedWaiter& there = Wait(pools[1], "db");
  for (int round = 0; round < 20; ++round) {
    pools[1].Turn();
    pools[0].Turn();
    while (!pools[1].pending.empty()) pools[1].Complete(0, kTen);
  }
  EXPECT_EQ(slow.backend, nullptr);
  EXPECT_NE(there.backend, nullptr);
}

// Slots that are still to come back are not handed out a second time.
TEST_F(PoolTest, TheBudgetGrowsOnlyByWhatHasComeBack) {
  ScriptedPools pools(2);
  for (int i = 0; i < 10; ++i) Wait(pools[1], "db");
  pools.Settle(kTen);
  ASSERT_EQ(pools[1].pool.counts(0).linked, 10u);
  // The server grants less, then as much as before; nothing has returned.
  GiveBack(*waiters_[0]);
  const auto ask = [&](const ServerFacts& facts) {
    pools.now += 61 * kSecond;
    pools.Settle(facts);
  };
  ask({4, 0, 0});
  EXPECT_EQ(pools[0].pool.counts(0).budget, 4u);
  EXPECT_GT(pools.slices(), 4u);
  pools.shared.targets[0]->known.store(false);
  engine::Message facts;
  facts.kind = Pool::kMessages + 6;
  facts.words[1] = 10;
  pools[1].Send(0, std::move(facts));
  pools.Settle(kTen);
  EXPECT_EQ(pools[0].pool.counts(0).budget, 10u);
  EXPECT_LE(pools.slices(), 10u);
  for (size_t i = 1; i < 10; ++i) {
    if (waiters_[i]->backend != nullptr) GiveBack(*waiters_[i]);
  }
  pools.Settle(kTen);
  EXPECT_EQ(pools.slices(), 10u);
}

// The server has no connection left, whatever it grants: logins are not tried without a pause.
TEST_F(PoolTest, AFullServerIsNotAskedWithoutAPause) {
  ScriptedPools pools(2);
  constexpr ServerFacts kHundred{100, 0, 0};
  for (int i = 0; i < 10; ++i) Wait(pools[1], "db");
  pools.Settle(kHundred);
  ASSERT_EQ(pools[1].pool.counts(0).linked, 10u);
  for (int i = 0; i < 30; ++i) Wait(pools[1], "db");
  const LaunchFailure too_many{LaunchFailure::Kind::kTooManyConnections, "too many", {}};
  int attempts = 0;
  for (int round = 0; round < 200; ++round) {
    pools[1].Turn();
    pools[0].Turn();
    pools.now += kMillisecond;
    if (pools[1].pending.empty()) continue;
    ++attempts;
    pools[1].Complete(0, kHundred, &too_many);
  }
  EXPECT_LE(attempts, 30);
}

// Logins that fail together are one failure.
TEST_F(PoolTest, LoginsThatFailTogetherAreOneFailure) {
  ScriptedPools pools(1);
  for (int i = 0; i < 2; ++i) Wait(pools[0], "db");
  pools.Settle(kTen);
  for (int i = 0; i < 4; ++i) Wait(pools[0], "db");
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 4u);
  const LaunchFailure unreachable{LaunchFailure::Kind::kUnreachable, "refused", {}};
  for (int i = 0; i < 4; ++i) pools[0].Complete(0, kTen, &unreachable);
  pools.now += 130 * kMillisecond;
  pools[0].Turn();
  EXPECT_EQ(pools[0].pending.size(), 1u);
}

}  // namespace
}  // namespace weir::pool
