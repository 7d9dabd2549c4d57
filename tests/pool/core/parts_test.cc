// The small parts of the pool: budget, placement, routes, the board.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>

#include "pool/core/board.h"
#include "pool/core/budget.h"
#include "pool/core/placement.h"
#include "pool/core/routes.h"

namespace weir::pool {
namespace {

TEST(BudgetTest, PercentAndReservations) {
  EXPECT_EQ(Budget({100, 3, 0}, 100), 97u);
  EXPECT_EQ(Budget({100, 3, 10}, 100), 87u);
  EXPECT_EQ(Budget({100, 3, 0}, 50), 50u);
  EXPECT_EQ(Budget({30, 3, 0}, 1), 1u);
  EXPECT_EQ(Budget({5, 5, 5}, 100), 1u);
}

TEST(PlacementTest, FewestClientsOrHomes) {
  std::atomic<uint32_t> clients[4];
  const uint32_t counts[] = {5, 2, 9, 2};
  for (int i = 0; i < 4; ++i) clients[i] = counts[i];
  EXPECT_EQ(PlaceOn(clients, 4, 0, 100, true, 0), 1u);
  EXPECT_EQ(PlaceOn(clients, 4, 0, 1, false, 2), 3u);
  // A budget of 8 on 4 shards makes two homes, beginning with the steward.
  EXPECT_EQ(PlaceOn(clients, 4, 2, 8, true, 0), 3u);
  EXPECT_EQ(PlaceOn(clients, 4, 2, 1, true, 0), 2u);
  // Staying is preferred when it is as good.
  EXPECT_EQ(PlaceOn(clients, 4, 0, 100, true, 3), 3u);
}

TEST(RoutesTest, EqualKeysAreOneRoute) {
  RouteTable table;
  RouteCache one(table), other(table);
  const RouteId a = *one.Intern({TargetRole::kReadWrite, "db", "user", ""});
  EXPECT_EQ(*other.Intern({TargetRole::kReadWrite, "db", "user", ""}), a);
  EXPECT_NE(*one.Intern({TargetRole::kReadWrite, "dbu", "ser", ""}), a);
  EXPECT_NE(*one.Intern({TargetRole::kReadWrite, "db", "user", "x"}), a);
  const RouteId c = *one.Intern({TargetRole::kReadWrite, "c", "user", ""});
  EXPECT_EQ(other.Get(c).key.database, "c");
}

TEST(BoardTest, AWantIsClaimedOnce) {
  BoardLine line;
  EXPECT_FALSE(line.Claim());
  line.Publish({.wanted = 2,
                .logins = 1,
                .oldest_route = 3,
                .oldest_since = 4,
                .idle = 5,
                .free = 6,
                .spare = 7,
                .slice = 8,
                .open = 9},
               true);
  EXPECT_EQ(line.Read(), (BoardState{2, 1, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_TRUE(line.Claim());
  EXPECT_TRUE(line.Claim());
  EXPECT_FALSE(line.Claim());
  const uint32_t epoch = line.epoch();
  line.Publish({.wanted = 1}, false);
  EXPECT_EQ(line.epoch(), epoch);
  line.Publish({.idle = 1}, true);
  EXPECT_NE(line.epoch(), epoch);
}

}  // namespace
}  // namespace weir::pool
