// Several pools, interleaved by a seed, over a server that opens, fails, closes and moves backends
// in any order. After every step the invariants hold; when all is quiet nobody is left waiting and
// nothing is lost.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "tests/pool/core/scripted.h"

namespace weir::pool {
namespace {

using engine::kMillisecond;
using engine::kSecond;

class Fuzz {
 public:
  explicit Fuzz(uint64_t seed)
      : prng_(seed),
        budget_(static_cast<uint32_t>(1 + prng_.Below(12))),
        pools_(static_cast<uint32_t>(1 + prng_.Below(4))) {}

  int served() const { return served_; }

  void Run() {
    for (int step = 0; step < 1500; ++step) {
      Step();
      ASSERT_LE(pools_.slices(), budget_max_) << "step " << step;
    }
    Quiet();
  }

 private:
  ServerFacts Facts() { return {budget_, 0, 0}; }

  void Step() {
    ScriptedShard& shard = pools_[prng_.Below(pools_.shards.size())];
    switch (prng_.Below(8)) {
      case 0:
        Borrow(shard);
        return;
      case 1:
      case 2:
        Return();
        return;
      case 3:
        Complete(shard);
        return;
      case 4:
        if (!waiters_.empty()) Leave(*waiters_[prng_.Below(waiters_.size())]);
        return;
      case 5:
        pools_.now += static_cast<engine::Nanos>(prng_.Below(20 * kMillisecond));
        return;
      default:
        shard.Turn(prng_.Below(4));
        return;
    }
  }

  void Borrow(ScriptedShard& shard) {
    if (waiters_.size() > 60) return;
    auto waiter = std::make_unique<ScriptedWaiter>();
    waiter->shard = &shard;
    waiter->route = shard.Route(prng_.Below(4) == 0 ? "b" : "a");
    waiter->since = shard.Now();
    waiter->deadline = shard.Now() + 300 * kSecond;
    waiter->backend = shard.pool.Borrow(*waiter);
    if (waiter->backend != nullptr) ++served_;
    waiters_.push_back(std::move(waiter));
  }

  void Return() {
    if (waiters_.empty()) return;
    ScriptedWaiter& waiter = *waiters_[prng_.Below(waiters_.size())];
    if (waiter.backend == nullptr) return;
    if (waiter.served > 0) ++served_;
    Backend* backend = std::exchange(waiter.backend, nullptr);
    if (prng_.Below(20) == 0) {
      waiter.shard->pool.Discard(*backend);
    } else {
      waiter.shard->pool.Return(*backend);
    }
    Forget(waiter);
  }

  void Leave(ScriptedWaiter& waiter) {
    if (!waiter.waiting() || prng_.Below(4) != 0) return;
    waiter.shard->pool.Leave(waiter);
    ASSERT_EQ(waiter.served + waiter.failed, 0);
    Forget(waiter);
  }

  void Complete(ScriptedShard& shard) {
    if (shard.pending.empty()) return;
    const size_t n = prng_.Below(shard.pending.size());
    const LaunchFailure unreachable{LaunchFailure::Kind::kUnreachable, "refused", {}};
    const LaunchFailure too_many{LaunchFailure::Kind::kTooManyConnections, "too many", {}};
    const uint64_t luck = prng_.Below(30);
    shard.Complete(n, Facts(), luck == 0 ? &unreachable : luck == 1 ? &too_many : nullptr);
    ReapFailed();
  }

  void ReapFailed() {
    std::erase_if(waiters_, [](const auto& each) { return each->failed > 0; });
  }
  void Forget(ScriptedWaiter& waiter) {
    std::erase_if(waiters_, [&waiter](const auto& each) { return each.get() == &waiter; });
  }

  // Everybody who has a backend gives it back, time passes: in the end all have been served.
  void Quiet() {
    // Time stands still at first: nobody may wait while there is an idle backend, and no timer
    // helps.
    for (int round = 0; round < 60; ++round) {
      for (auto& shard : pools_.shards) {
        shard->Turn();
        while (!shard->pending.empty()) shard->Complete(0, Facts());
      }
    }
    const TargetBoard& board = *pools_.shared.targets[0];
    uint32_t idle = 0;
    for (auto& shard : pools_.shards) idle += shard->pool.counts(0).idle;
    for (const auto& waiter : waiters_) {
      const bool proven = waiter->waiting() && waiter->route == pools_[0].Route("a") &&
                          pools_[0].Proven(waiter->route);
      ASSERT_FALSE(proven && idle > 0 && board.failures.load() == 0 &&
                   board.retry_at.load() <= pools_.now)
          << "stranded beside " << idle << " idle backends";
    }
    for (int round = 0; round < 400 && !waiters_.empty(); ++round) {
      for (size_t i = 0; i < waiters_.size();) {
        if (waiters_[i]->backend == nullptr) {
          ++i;
          continue;
        }
        Backend* backend = std::exchange(waiters_[i]->backend, nullptr);
        waiters_[i]->shard->pool.Return(*backend);
        waiters_.erase(waiters_.begin() + static_cast<ptrdiff_t>(i));
      }
      for (auto& shard : pools_.shards) {
        shard->Turn();
        while (!shard->pending.empty()) shard->Complete(0, Facts());
        shard->Turn();
      }
      pools_.now += 200 * kMillisecond;
    }
    ASSERT_TRUE(waiters_.empty()) << waiters_.size() << " left waiting";
    for (int round = 0; round < 300; ++round) {
      for (auto& shard : pools_.shards) {
        shard->Turn();
        while (!shard->pending.empty()) shard->Complete(0, Facts());
      }
      pools_.now += 200 * kMillisecond;
    }
    // What was cut for want of connections has come back.
    ASSERT_EQ(pools_.slices(), budget_);
    for (auto& shard : pools_.shards) shard->pool.Drain();
    for (auto& shard : pools_.shards) {
      shard->Turn();
      while (!shard->pending.empty()) shard->Complete(0, Facts());
      shard->Turn();
      ASSERT_TRUE(shard->pool.empty());
      ASSERT_TRUE(shard->backends.empty());
    }
  }

  engine::Prng prng_;
  uint32_t budget_;
  uint32_t budget_max_ = 12;
  int served_ = 0;
  ScriptedPools pools_;
  std::vector<std::unique_ptr<ScriptedWaiter>> waiters_;
};

TEST(PoolFuzzTest, HundredsOfSeeds) {
  int served = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Fuzz fuzz(seed);
    fuzz.Run();
    served += fuzz.served();
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(served, 10000);
}

}  // namespace
}  // namespace weir::pool
