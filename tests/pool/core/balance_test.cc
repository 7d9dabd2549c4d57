// Who is helped first, with what, when several routes and shards need something.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "tests/pool/core/pool_fixture.h"

namespace weir::pool {
namespace {

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
