// What the tests of the pool begin with: waiters on scripted shards.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/pool/core/scripted.h"

namespace weir::pool {

using engine::kMillisecond;
using engine::kSecond;

inline constexpr ServerFacts kTen{10, 0, 0};
inline const LaunchFailure kRouteFull{LaunchFailure::Kind::kRouteFull, "too many for the role", {}};
inline const LaunchFailure kHangs{LaunchFailure::Kind::kTimeout, "not finished in time", {}};

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

}  // namespace weir::pool
