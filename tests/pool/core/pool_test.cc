// The pool on one and two shards, step by step.
#include "pool/core/pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "tests/pool/core/scripted.h"

namespace weir::pool {
namespace {

using engine::kMillisecond;
using engine::kSecond;

constexpr ServerFacts kTen{10, 0, 0};
const LaunchFailure kRouteFull{LaunchFailure::Kind::kRouteFull, "too many for the role", {}};
const LaunchFailure kHangs{LaunchFailure::Kind::kTimeout, "not finished in time", {}};

class PoolTest : public testing::Test {
 protected:
  ScriptedWaiter& Wait(ScriptedShard& shard, const std::string& database,
                       engine::Nanos timeout = 100 * kSecond) {
    waiters_.push_back(std::make_unique<ScriptedWaiter>());
    ScriptedWaiter& waiter = *waiters_.back();
    waiter.shard = &shard;
    waiter.route = shard.Route(database);
    waiter.since = shard.Now();
    waiter.deadline = shard.Now() + timeout;
    waiter.backend = shard.pool.Borrow(waiter);
    return waiter;
  }
  void GiveBack(ScriptedWaiter& waiter) {
    Backend* backend = std::exchange(waiter.backend, nullptr);
    waiter.shard->pool.Return(*backend);
  }

  std::vector<std::unique_ptr<ScriptedWaiter>> waiters_;
};

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

// Who has a slot and asks for an idle backend is not answered with slots.
TEST_F(PoolTest, NoSlotsForWhoAsksForAnIdleBackend) {
  ScriptedPools pools(2);
  Wait(pools[0], "a");
  Wait(pools[1], "b");
  pools.Settle(kTen);
  pools[0].pool.Discard(*std::exchange(waiters_[0]->backend, nullptr));
  Wait(pools[0], "b");
  pools.Settle(kTen);
  GiveBack(*waiters_[2]);
  waiters_[1]->shard->pool.Discard(*std::exchange(waiters_[1]->backend, nullptr));
  pools.Settle(kTen);
  // An idle backend of the other route and free slots there, a free slot here.
  const uint32_t slice = pools[0].pool.counts(0).slice;
  ASSERT_GT(slice, 2u);
  ASSERT_GT(pools[1].pool.counts(0).slice, 0u);
  ASSERT_EQ(pools[0].pool.counts(0).idle, 1u);
  Wait(pools[1], "a");
  for (int round = 0; round < 10; ++round) {
    for (auto& shard : pools.shards) shard->Turn();
  }
  EXPECT_EQ(pools[0].pool.counts(0).slice, slice);
  EXPECT_EQ(pools[1].pending.size(), 1u);
}

// A login that hangs, of one route, is taken for the target's failure: the next probe is another
// route's.
TEST_F(PoolTest, TheProbeGoesRound) {
  ScriptedPools pools(1);
  ScriptedWaiter& hanging = Wait(pools[0], "hanging");
  pools.now += kMillisecond;
  ScriptedWaiter& good = Wait(pools[0], "good");
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 1u);
  EXPECT_EQ(pools[0].pending[0].backend->route(), hanging.route);
  pools.now += 10 * kSecond;
  pools[0].Complete(0, kTen, &kHangs);
  pools.now += 200 * kMillisecond;
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 1u);
  EXPECT_EQ(pools[0].pending[0].backend->route(), good.route);
}

// ... also that of a route of another shard, which has to get the only slot for it.
TEST_F(PoolTest, TheProbeGoesRoundTheShards) {
  ScriptedPools pools(3);
  ScriptedWaiter& hanging = Wait(pools[0], "hanging", 1000 * kSecond);
  ScriptedWaiter& good = Wait(pools[1], "good", 1000 * kSecond);
  ScriptedWaiter& also_good = Wait(pools[2], "also good", 1000 * kSecond);
  for (int round = 0; round < 4000; ++round) {
    for (auto& shard : pools.shards) {
      shard->Turn();
      if (shard->pending.empty()) continue;
      const bool hangs = shard->pending[0].backend->route() == hanging.route;
      if (hangs) pools.now += 10 * kSecond;
      shard->Complete(0, kTen, hangs ? &kHangs : nullptr);
    }
    pools.now += 10 * kMillisecond;
  }
  EXPECT_EQ(hanging.backend, nullptr);
  EXPECT_NE(good.backend, nullptr);
  EXPECT_NE(also_good.backend, nullptr);
}

// A probe that gives no answer is not waited for; but not many are sent after it.
TEST_F(PoolTest, AHangingProbeIsNotTheOnlyOne) {
  ScriptedPools pools(2);
  Wait(pools[0], "db");
  pools.Settle(kTen);
  Wait(pools[0], "hanging");
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 1u);
  pools[0].Complete(0, kTen, &kHangs);
  pools.now += 200 * kMillisecond;
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 1u);
  // The target is down and its probe hangs.
  ScriptedWaiter& good = Wait(pools[1], "good");
  for (const char* more : {"a", "b", "c", "d", "e"}) Wait(pools[0], more);
  const auto turn = [&](int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (auto& shard : pools.shards) shard->Turn();
      pools.now += 10 * kMillisecond;
    }
  };
  turn(50);
  EXPECT_EQ(pools[0].pending.size() + pools[1].pending.size(), 1u);
  turn(900);
  EXPECT_EQ(pools[0].pending.size() + pools[1].pending.size(), 4u);
  ASSERT_EQ(pools[1].pending.size(), 1u);
  pools[1].Complete(0, kTen);
  EXPECT_NE(good.backend, nullptr);
  EXPECT_EQ(pools.shared.targets[0]->failures.load(), 0u);
}

// Logins of one route that hang do not keep other routes from logging in.
TEST_F(PoolTest, HangingLoginsOfOneRouteLeaveRoomForAnother) {
  ScriptedPools pools(1);
  Wait(pools[0], "hanging");
  pools.Settle(kTen);
  for (int i = 0; i < 8; ++i) Wait(pools[0], "hanging");
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 4u);
  ScriptedWaiter& good = Wait(pools[0], "good");
  for (int round = 0; round < 120; ++round) {
    pools.now += 10 * kMillisecond;
    pools[0].Turn();
  }
  ASSERT_EQ(pools[0].pending.size(), 5u);
  ASSERT_EQ(pools[0].pending[4].backend->route(), good.route);
  pools[0].Complete(4, kTen);
  EXPECT_NE(good.backend, nullptr);
}

// Two shards that refuse each other do not ask again because of what the other one needs: both log
// in.
TEST_F(PoolTest, ShardsThatRefuseEachOtherGoOn) {
  constexpr ServerFacts kFour{4, 0, 0};
  ScriptedPools pools(2);
  ScriptedWaiter& first = Wait(pools[0], "a");
  pools.Settle(kFour);
  Wait(pools[0], "b");
  ScriptedWaiter& second = Wait(pools[1], "b");
  Wait(pools[1], "b");
  pools.Settle(kFour);
  for (ScriptedWaiter* each : {&first, &second})
    each->shard->pool.Discard(*std::exchange(each->backend, nullptr));
  for (size_t i : {1u, 3u}) GiveBack(*waiters_[i]);
  pools.Settle(kFour);
  // An idle backend of the other route and a free slot on both.
  for (size_t shard : {0u, 1u}) {
    ASSERT_EQ(pools[shard].pool.counts(0).idle, 1u);
    ASSERT_EQ(pools[shard].pool.counts(0).slice, 2u);
    Wait(pools[shard], "a");
  }
  for (int round = 0; round < 50; ++round) {
    for (auto& shard : pools.shards) shard->Turn();
  }
  EXPECT_EQ(pools[0].pending.size(), 1u);
  EXPECT_EQ(pools[1].pending.size(), 1u);
}

// A role or a database with a limit of its own: that is no reason to take anything from others.
TEST_F(PoolTest, TheLimitOfARouteIsItsOwn) {
  ScriptedPools pools(2);
  ScriptedWaiter& holder = Wait(pools[0], "limited");
  pools.Settle(kTen);
  ScriptedWaiter& other = Wait(pools[0], "other");
  pools.Settle(kTen);
  int attempts = 0;
  const auto turn = [&](int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (auto& shard : pools.shards) {
        shard->Turn();
        while (!shard->pending.empty()) {
          const bool limited = shard->pending[0].kind == Pending::Kind::kOpen &&
                               shard->pending[0].backend->route() == holder.route;
          attempts += limited ? 1 : 0;
          shard->Complete(0, kTen, limited ? &kRouteFull : nullptr);
        }
      }
      pools.now += kMillisecond;
    }
  };
  ScriptedWaiter& waiter = Wait(pools[0], "limited");
  turn(20);
  for (int i = 0; i < 7; ++i) Wait(pools[0], "limited");
  turn(30);
  EXPECT_EQ(attempts, 1);
  EXPECT_EQ(pools[0].pool.counts(0).budget, 10u);
  // All slots are the other route's if it needs them, on the other shard, too.
  const size_t first = waiters_.size();
  for (int i = 0; i < 8; ++i) Wait(pools[1], "other");
  turn(20);
  for (size_t i = first; i < first + 8; ++i) EXPECT_NE(waiters_[i]->backend, nullptr) << i;
  // It keeps its idle backend, but for one that is taken for an attempt in ten seconds at most.
  GiveBack(other);
  turn(20);
  EXPECT_EQ(pools[0].pool.counts(0).idle, 1u);
  for (size_t i = first; i < first + 4; ++i) GiveBack(*waiters_[i]);
  turn(5000);
  EXPECT_GE(pools[0].pool.counts(0).idle + pools[1].pool.counts(0).idle, 4u);
  EXPECT_GE(attempts, 3);
  EXPECT_LE(attempts, 15);
  // Its own backends serve it.
  GiveBack(holder);
  EXPECT_NE(waiter.backend, nullptr);
}

// ... whose waiters on another shard get what is idle.
TEST_F(PoolTest, WhoHasItsLimitIsLentIdleBackends) {
  ScriptedPools pools(2);
  ScriptedWaiter& holder = Wait(pools[0], "limited");
  pools.Settle(kTen);
  ScriptedWaiter& there = Wait(pools[1], "limited");
  const auto turn = [&] {
    for (int round = 0; round < 10; ++round) {
      for (auto& shard : pools.shards) {
        shard->Turn();
        while (!shard->pending.empty()) {
          const bool login = shard->pending[0].kind == Pending::Kind::kOpen;
          shard->Complete(0, kTen, login ? &kRouteFull : nullptr);
        }
      }
    }
  };
  turn();
  EXPECT_EQ(there.backend, nullptr);
  GiveBack(holder);
  turn();
  EXPECT_NE(there.backend, nullptr);
}

// A route whose logins hang, while others log in, does not make the target count as down; who waits
// for it in vain is told.
TEST_F(PoolTest, ALoginThatHangsAloneIsItsRoutesFailure) {
  ScriptedPools pools(1);
  Wait(pools[0], "db");
  pools.Settle(kTen);
  ScriptedWaiter& hanging = Wait(pools[0], "hanging", 20 * kSecond);
  pools[0].Turn();
  pools.now += kSecond;
  Wait(pools[0], "db");
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 2u);
  pools[0].Complete(1, kTen);
  pools.now += 9 * kSecond;
  pools[0].Complete(0, kTen, &kHangs);
  EXPECT_EQ(pools.shared.targets[0]->failures.load(), 0u);
  pools[0].Turn();
  EXPECT_TRUE(pools[0].pending.empty());
  // Its next one, of which nobody knows whether it is the route or the target.
  pools.now += 200 * kMillisecond;
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 1u);
  pools.now += 10 * kSecond;
  pools[0].Turn();
  EXPECT_EQ(hanging.failure, BorrowFailure::kTimedOut);
  EXPECT_EQ(hanging.why, kHangs.text);
  pools[0].Complete(0, kTen, &kHangs);
  EXPECT_EQ(pools.shared.targets[0]->failures.load(), 1u);
}

// Nobody waits for what will not come any more.
TEST_F(PoolTest, WhoComesAfterTheDrainIsToldAtOnce) {
  ScriptedPools pools(1);
  ScriptedWaiter& holder = Wait(pools[0], "db");
  pools.Settle(kTen);
  pools[0].pool.Drain();
  ScriptedWaiter& late = Wait(pools[0], "db");
  EXPECT_EQ(late.failed, 0);  // not before Borrow has returned
  pools.now += kMillisecond;
  pools[0].Turn();
  EXPECT_EQ(late.failed, 1);
  EXPECT_EQ(late.failure, BorrowFailure::kShutdown);
  GiveBack(holder);
}

// A backend that has ended on its way here is lent to nobody; its slot serves.
TEST_F(PoolTest, ABackendThatEndedOnTheWayIsClosed) {
  ScriptedPools pools(2);
  pools[1].breaks_on_the_way = true;
  ScriptedWaiter& holder = Wait(pools[0], "db");
  pools.Settle({1, 0, 0});
  ScriptedWaiter& far = Wait(pools[1], "db");
  pools.now += kMillisecond;
  for (auto& shard : pools.shards) shard->Turn();
  GiveBack(holder);
  pools[0].Turn();
  ASSERT_EQ(pools[0].pending.size(), 1u);
  ASSERT_EQ(pools[0].pending[0].kind, Pending::Kind::kDetach);
  pools[0].Complete(0, {1, 0, 0});
  pools[1].Turn();
  EXPECT_EQ(far.backend, nullptr);
  ASSERT_EQ(pools[1].pending.size(), 1u);
  EXPECT_EQ(pools[1].pending[0].kind, Pending::Kind::kClose);
  pools.Settle({1, 0, 0});
  EXPECT_NE(far.backend, nullptr);
}

// An idle backend goes to who waits for it elsewhere, also while the target counts as down.
TEST_F(PoolTest, IdleBackendsAreLentWhileTheServerIsDown) {
  ScriptedPools pools(2);
  ScriptedWaiter& holder = Wait(pools[0], "db");
  pools.Settle(kTen);
  ScriptedWaiter& there = Wait(pools[1], "db");
  const auto turn = [&](int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (auto& shard : pools.shards) {
        shard->Turn();
        while (!shard->pending.empty()) {
          const bool login = shard->pending[0].kind == Pending::Kind::kOpen;
          shard->Complete(0, kTen, login ? &kHangs : nullptr);
        }
      }
    }
  };
  turn(10);
  EXPECT_GT(pools.shared.targets[0]->failures.load(), 0u);
  EXPECT_EQ(there.backend, nullptr);
  GiveBack(holder);
  turn(10);
  EXPECT_NE(there.backend, nullptr);
}

// A route that has never logged in may cost others a warm backend once in a while: a request that
// is refused has cost nothing.
TEST_F(PoolTest, WhatIsRefusedIsNotOnceInAWhile) {
  ScriptedPools pools(3);
  constexpr ServerFacts kTwo{2, 0, 0};
  Wait(pools[0], "a");
  pools.Settle(kTwo);
  Wait(pools[1], "a");
  pools.now += 60 * kMillisecond;
  pools.Settle(kTwo);
  ASSERT_EQ(pools[1].pool.counts(0).linked, 1u);
  GiveBack(*waiters_[1]);
  pools.Settle(kTwo);
  ScriptedWaiter& fresh = Wait(pools[2], "new");
  pools[2].Turn();
  pools.now += 60 * kMillisecond;
  pools[2].Turn();
  ASSERT_EQ(pools[1].inbox.size(), 1u);
  // The backend is taken before the request comes.
  ScriptedWaiter& quick = Wait(pools[1], "a");
  ASSERT_NE(quick.backend, nullptr);
  pools.Settle(kTwo);
  EXPECT_EQ(fresh.backend, nullptr);
  GiveBack(quick);
  pools.now += 60 * kMillisecond;
  pools.Settle(kTwo);
  EXPECT_NE(fresh.backend, nullptr);
}

// Who waits for a login takes an idle backend that is there first, from whatever shard.
TEST_F(PoolTest, ASlowLoginIsNotWaitedFor) {
  ScriptedPools pools(2);
  ScriptedWaiter& holder = Wait(pools[0], "db");
  pools.Settle(kTen);
  ScriptedWaiter& there = Wait(pools[1], "db");
  const auto turn = [&] {
    for (int round = 0; round < 10; ++round) {
      for (auto& shard : pools.shards) {
        shard->Turn();
        for (size_t n = 0; n < shard->pending.size();) {
          if (shard->pending[n].kind == Pending::Kind::kOpen) {
            ++n;
          } else {
            shard->Complete(n, kTen);
          }
        }
      }
    }
  };
  turn();
  ASSERT_EQ(pools[1].pending.size(), 1u);
  ScriptedWaiter& proves = Wait(pools[0], "new");
  turn();
  GiveBack(holder);
  turn();
  EXPECT_NE(there.backend, nullptr);
  // Also if the route had never logged in when the login began.
  ScriptedWaiter& also_there = Wait(pools[1], "new");
  turn();
  ASSERT_EQ(pools[1].pending.size(), 2u);
  ASSERT_EQ(pools[0].pending.size(), 1u);
  pools[0].Complete(0, kTen);
  ASSERT_NE(proves.backend, nullptr);
  GiveBack(proves);
  turn();
  EXPECT_NE(also_there.backend, nullptr);
}

// Hundreds of routes that cannot be helped hide none that can.
TEST_F(PoolTest, AmongHundredsOfRoutesNobodyIsForgotten) {
  ScriptedPools pools(2);
  constexpr ServerFacts kOne{1, 0, 0};
  ScriptedWaiter& holder = Wait(pools[1], "db");
  pools.Settle(kOne);
  ASSERT_NE(holder.backend, nullptr);
  // It has a waiter of its own, who may not take a slot yet: so it closes nothing for others.
  Wait(pools[1], "new");
  for (int i = 0; i < 600; ++i) {
    ScriptedWaiter& waiter = Wait(pools[0], engine::Cat("old ", i));
    pools.shared.routes.ById(waiter.route).proven.store(true);
  }
  pools.now += 100 * engine::kMicrosecond;
  ScriptedWaiter& last = Wait(pools[0], "db");
  pools[0].Turn();
  GiveBack(holder);
  for (int round = 0; round < 1500; ++round) {
    pools.now += 10 * engine::kMicrosecond;
    for (auto& shard : pools.shards) {
      shard->Turn();
      while (!shard->pending.empty()) shard->Complete(0, kOne);
    }
  }
  EXPECT_NE(last.backend, nullptr);
}

// What a session begins with has been changed (ALTER ROLE ... SET): those that began before go.
TEST_F(PoolTest, WhatBeganBeforeAChangeGoes) {
  ScriptedPools pools(1);
  constexpr ServerFacts kOld{10, 0, 0, 7};
  constexpr ServerFacts kNew{10, 0, 0, 8};
  ScriptedWaiter* waiters[3];
  for (ScriptedWaiter*& each : waiters) each = &Wait(pools[0], "db");
  pools.Settle(kOld);
  ScriptedWaiter& other_route = Wait(pools[0], "other");
  pools.Settle(kOld);
  GiveBack(other_route);
  GiveBack(*waiters[0]);
  pools.Settle(kOld);
  ASSERT_EQ(pools.open(), 4u);
  // One that holds the idle one, so that a new one is opened.
  ScriptedWaiter& again = Wait(pools[0], "db");
  ASSERT_NE(again.backend, nullptr);
  ScriptedWaiter& newest = Wait(pools[0], "db");
  GiveBack(*waiters[1]);
  ASSERT_NE(newest.backend, nullptr);
  ScriptedWaiter& opened = Wait(pools[0], "db");
  pools.Settle(kNew);
  ASSERT_NE(opened.backend, nullptr);
  const Backend* fresh = opened.backend;
  // Linked ones go when they return, the new one stays; the other route's is its own affair.
  for (ScriptedWaiter* each : {&again, &newest, waiters[2], &opened}) GiveBack(*each);
  pools.Settle(kNew);
  EXPECT_EQ(pools.open(), 2u);
  EXPECT_EQ(Wait(pools[0], "db").backend, fresh);
  EXPECT_NE(Wait(pools[0], "other").backend, nullptr);
}

// Without a new backend an idle one of each route is asked; one that is not told compares with
// nothing.
TEST_F(PoolTest, WhatSessionsBeginWithIsAskedOnceAMinute) {
  for (const bool told : {true, false}) {
    ScriptedPools pools(1);
    const ServerFacts before{10, 0, 0, told ? 7u : 0u};
    for (const char* database : {"a", "b"}) {
      ScriptedWaiter& waiter = Wait(pools[0], database);
      pools.Settle(before);
      GiveBack(waiter);
    }
    pools.Settle(before);
    ASSERT_EQ(pools.open(), 2u);
    pools.now += 61 * kSecond;
    pools.Settle(before);
    EXPECT_EQ(pools.open(), 2u);
    pools.now += 61 * kSecond;
    pools.Settle({10, 0, 0, told ? 8u : 0u});
    EXPECT_EQ(pools.open(), told ? 0u : 2u);
  }
}

}  // namespace
}  // namespace weir::pool
