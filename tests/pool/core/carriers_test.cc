// Reads that share backends: where one goes, who joins whom, and that nobody else waits for them.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/pool/core/pool_fixture.h"

namespace weir::pool {
namespace {

using engine::kMicrosecond;
using engine::Nanos;

constexpr Nanos kCost = 50 * kMicrosecond;

class CarriersTest : public PoolTest {
 protected:
  // A waiter whose read others may join starts it as soon as it has a backend.
  class Reader final : public Waiter {
   public:
    void OnBorrowed(Backend& got) override { Start(got); }
    void OnBorrowFailed(BorrowFailure, engine::Bytes) override { ++failed; }
    void Start(Backend& got) {
      backend = &got;
      shard->pool.OnReadStarted(got, read_cost);
    }
    ScriptedShard* shard = nullptr;
    Backend* backend = nullptr;
    int failed = 0;
  };

  static PoolOptions Options(uint32_t hot = 1) {
    PoolOptions options;
    options.hot_backends = hot;
    return options;
  }
  Reader& Read(ScriptedShard& shard, const std::string& database = "db", bool joins = true,
               uint64_t profile = 0) {
    readers_.push_back(std::make_unique<Reader>());
    Reader& reader = *readers_.back();
    reader.shard = &shard;
    reader.route = shard.Route(database);
    reader.since = shard.Now();
    reader.deadline = shard.Now() + 100 * kSecond;
    reader.reads = joins;
    reader.read_cost = kCost;
    reader.profile = profile;
    if (Backend* backend = shard.pool.BorrowToRead(reader); backend != nullptr)
      reader.Start(*backend);
    return reader;
  }
  // It has its answer. The last one returns the backend.
  static void End(Reader& reader) {
    Backend& backend = *std::exchange(reader.backend, nullptr);
    reader.shard->pool.OnReadEnded(backend, reader.read_cost);
    if (backend.reads > 0) {
      reader.shard->pool.OfferRoom(backend);
      return;
    }
    reader.shard->pool.EndReads(backend);
    reader.shard->pool.Return(backend);
  }
  // So many backends are open and idle.
  void Warm(ScriptedPools& pools, size_t count, const std::string& database = "db") {
    std::vector<ScriptedWaiter*> waiting;
    for (size_t i = 0; i < count; ++i) waiting.push_back(&Wait(pools[0], database));
    pools.Settle(kTen);
    for (ScriptedWaiter* each : waiting) GiveBack(*each);
  }

  std::vector<std::unique_ptr<Reader>> readers_;
};

TEST_F(CarriersTest, ReadsJoinWhereOthersAre) {
  ScriptedPools pools(1, Options());
  Warm(pools, 3);
  Reader& first = Read(pools[0]);
  Reader& second = Read(pools[0]);
  EXPECT_EQ(first.backend, second.backend);
  EXPECT_EQ(first.backend->reads, 2u);
  EXPECT_EQ(pools[0].pool.counts(0).linked, 1u);
  EXPECT_EQ(pools[0].pool.counts(0).idle, 2u);
  End(first);
  EXPECT_EQ(pools[0].pool.counts(0).linked, 1u);
  End(second);
  EXPECT_EQ(pools[0].pool.counts(0).idle, 3u);
}

TEST_F(CarriersTest, AsManyBackendsCarryAsAreWorthIt) {
  ScriptedPools pools(1, Options(2));
  Warm(pools, 3);
  for (int i = 0; i < 6; ++i) Read(pools[0]);
  EXPECT_EQ(pools[0].pool.counts(0).linked, 2u);
  // On each as many.
  for (int i = 0; i < 6; ++i) EXPECT_EQ(readers_[static_cast<size_t>(i)]->backend->reads, 3u);
}

TEST_F(CarriersTest, NoMoreThanTheDepth) {
  PoolOptions options = Options();
  options.pipeline_depth = 2;
  ScriptedPools pools(1, options);
  Warm(pools, 2);
  for (int i = 0; i < 4; ++i) Read(pools[0]);
  EXPECT_EQ(pools[0].pool.counts(0).linked, 2u);
  pools[0].Turn();
  Reader& waits = Read(pools[0]);
  EXPECT_EQ(waits.backend, nullptr);
  End(*readers_[0]);
  EXPECT_NE(waits.backend, nullptr);
}

TEST_F(CarriersTest, NobodyIsExpectedToWaitLongerThanThat) {
  PoolOptions options = Options();
  options.pipeline_max_wait = 2 * kCost;
  ScriptedPools pools(1, options);
  Warm(pools, 2);
  for (int i = 0; i < 3; ++i) Read(pools[0]);
  EXPECT_EQ(readers_[0]->backend, readers_[1]->backend);
  EXPECT_NE(readers_[0]->backend, readers_[2]->backend);
}

TEST_F(CarriersTest, OnlyWithEqualSettingsAndInTheSameRoute) {
  ScriptedPools pools(1, Options());
  Warm(pools, 2);
  Warm(pools, 2, "other");
  Reader& first = Read(pools[0]);
  Reader& settings = Read(pools[0], "db", true, 7);
  Reader& route = Read(pools[0], "other");
  EXPECT_NE(first.backend, settings.backend);
  EXPECT_NE(first.backend, route.backend);
  EXPECT_EQ(route.backend->route(), route.route);
}

TEST_F(CarriersTest, WhoIsNotKnownToBeQuickJoinsNobody) {
  ScriptedPools pools(1, Options());
  Warm(pools, 2);
  Reader& first = Read(pools[0]);
  Reader& slow = Read(pools[0], "db", /*joins=*/false);
  EXPECT_NE(first.backend, slow.backend);
  slow.backend->closed_to_reads = true;
  Reader& last = Read(pools[0]);
  EXPECT_EQ(last.backend, first.backend);
}

TEST_F(CarriersTest, NobodyJoinsWhileSomebodyWaits) {
  ScriptedPools pools(1, Options());
  Warm(pools, 10);
  for (int i = 0; i < 9; ++i) Wait(pools[0], "db");
  Reader& first = Read(pools[0]);
  ScriptedWaiter& waits = Wait(pools[0], "db");
  Reader& late = Read(pools[0]);
  ASSERT_NE(first.backend, nullptr);
  EXPECT_EQ(late.backend, nullptr);
  Backend* backend = first.backend;
  End(first);
  EXPECT_EQ(waits.backend, backend);
  EXPECT_EQ(late.backend, nullptr);
  GiveBack(waits);
  EXPECT_EQ(late.backend, backend);
  End(late);
}

// It is their turn: all who read, up to the first who does not.
TEST_F(CarriersTest, ThoseWhoWaitToReadAreLetInTogether) {
  ScriptedPools pools(1, Options());
  ScriptedWaiter& holder = Wait(pools[0], "db");
  pools.Settle({1, 0, 0});
  Reader& first = Read(pools[0]);
  Reader& second = Read(pools[0]);
  ScriptedWaiter& exclusive = Wait(pools[0], "db");
  Reader& third = Read(pools[0]);
  Backend* backend = holder.backend;
  GiveBack(holder);
  EXPECT_EQ(first.backend, backend);
  EXPECT_EQ(second.backend, backend);
  EXPECT_EQ(exclusive.backend, nullptr);
  EXPECT_EQ(third.backend, nullptr);
  End(first);
  EXPECT_EQ(exclusive.backend, nullptr);
  End(second);
  EXPECT_EQ(exclusive.backend, backend);
  GiveBack(exclusive);
  EXPECT_EQ(third.backend, backend);
}

// What carries reads is open to nobody else, and is not lent, before the last has ended.
TEST_F(CarriersTest, ACarrierIsNotLentOut) {
  ScriptedPools pools(2, Options());
  Warm(pools, 1);
  Reader& reader = Read(pools[0]);
  ASSERT_NE(reader.backend, nullptr);
  ScriptedWaiter& elsewhere = Wait(pools[1], "db");
  for (int round = 0; round < 5; ++round) {
    for (auto& shard : pools.shards) shard->Turn();
  }
  EXPECT_EQ(reader.backend->state(), BackendState::kLinked);
  End(reader);
  pools.Settle(kTen);
  EXPECT_NE(elsewhere.backend, nullptr);
}

TEST_F(CarriersTest, AMissingBackendIsOpenedMeanwhile) {
  ScriptedPools pools(1, Options(3));
  Warm(pools, 1);
  Read(pools[0]);
  Reader& second = Read(pools[0]);
  EXPECT_EQ(second.backend, readers_[0]->backend);
  ASSERT_EQ(pools[0].pending.size(), 1u);
  EXPECT_EQ(pools[0].pending[0].kind, Pending::Kind::kOpen);
  pools.Settle(kTen);
  EXPECT_NE(Read(pools[0]).backend, second.backend);
}

TEST_F(CarriersTest, WhatIsTooOldTakesNoMore) {
  PoolOptions options = Options();
  options.lifetime = kSecond;
  ScriptedPools pools(1, options);
  Warm(pools, 2);
  Reader& first = Read(pools[0]);
  pools.now += 2 * kSecond;
  EXPECT_NE(Read(pools[0]).backend, first.backend);
  Backend* old = first.backend;
  End(first);
  EXPECT_EQ(old->state(), BackendState::kClosing);
}

}  // namespace
}  // namespace weir::pool
