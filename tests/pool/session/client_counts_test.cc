// Limits of a user's clients, over all shards.
#include "pool/session/client_counts.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace weir::pool {
namespace {

using engine::kMillisecond;
using engine::kSecond;

TEST(ClientCountsTest, SoManyAtATime) {
  ClientCounts counts;
  ClientCount& app = counts.Of("app");
  EXPECT_EQ(&counts.Of("app"), &app);
  EXPECT_TRUE(app.Enter(2));
  EXPECT_TRUE(app.Enter(2));
  EXPECT_FALSE(app.Enter(2));
  EXPECT_TRUE(counts.Of("other").Enter(1));
  EXPECT_TRUE(app.Enter(3));
  app.Leave();
  EXPECT_FALSE(app.Enter(2));
  app.Leave();
  EXPECT_TRUE(app.Enter(2));
  // Counted also while there is no limit.
  EXPECT_TRUE(app.Enter(0));
  EXPECT_FALSE(app.Enter(3));
}

TEST(ClientCountsTest, SoManyASecond) {
  ClientCount count;
  engine::Nanos now = 7 * kSecond;
  EXPECT_TRUE(count.TakeTurn(2, now));
  EXPECT_TRUE(count.TakeTurn(2, now + 900 * kMillisecond));
  EXPECT_FALSE(count.TakeTurn(2, now + 999 * kMillisecond));
  EXPECT_TRUE(count.TakeTurn(0, now));
  EXPECT_TRUE(count.TakeTurn(2, now + kSecond));
  // A shard that has not come to the second yet.
  EXPECT_TRUE(count.TakeTurn(2, now));
  EXPECT_FALSE(count.TakeTurn(2, now));
  EXPECT_FALSE(count.TakeTurn(2, now + kSecond));
  EXPECT_TRUE(count.TakeTurn(2, now + 100 * kSecond));
}

TEST(ClientCountsTest, OfManyShardsExactlyAsManyAsMay) {
  ClientCounts counts;
  constexpr uint64_t kMost = 1000;
  std::vector<uint64_t> entered(4);
  std::vector<uint64_t> turns(4);
  {
    std::vector<std::jthread> shards;
    for (size_t shard = 0; shard < entered.size(); ++shard) {
      shards.emplace_back([&, shard] {
        for (uint64_t i = 0; i < kMost; ++i) {
          entered[shard] += counts.Of("app").Enter(kMost) ? 1 : 0;
          turns[shard] += counts.Of("app").TakeTurn(kMost, kSecond) ? 1 : 0;
        }
      });
    }
  }
  EXPECT_EQ(entered[0] + entered[1] + entered[2] + entered[3], kMost);
  EXPECT_EQ(turns[0] + turns[1] + turns[2] + turns[3], kMost);
}

}  // namespace
}  // namespace weir::pool
