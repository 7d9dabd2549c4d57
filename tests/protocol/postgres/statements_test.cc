#include "protocol/postgres/statements.h"

#include <gtest/gtest.h>

namespace weir::postgres {
namespace {

TEST(StatementTableTest, EqualTextsAreOneStatement) {
  StatementTable table;
  StatementCache one(table);
  StatementCache other(table);
  const Statement* a = one.Intern("SELECT 1", {}, {});
  EXPECT_EQ(other.Find("SELECT 1", {}), nullptr);
  EXPECT_EQ(other.Intern("SELECT 1", {}, {}), a);
  EXPECT_EQ(other.Find("SELECT 1", {}), a);
  EXPECT_NE(one.Intern("SELECT 2", {}, {}), a);
}

TEST(StatementTableTest, UnderOtherSettingsATextIsAnotherStatement) {
  StatementTable table;
  StatementCache cache(table);
  const Statement* plain = cache.Intern("SELECT 1", {}, {});
  const Statement* other = cache.Intern("SELECT 1", "timezone=UTC", {});
  EXPECT_NE(plain, other);
  EXPECT_EQ(cache.Find("SELECT 1", "timezone=UTC"), other);
  EXPECT_EQ(cache.Find("SELECT 1", "timezone=PST"), nullptr);
  EXPECT_EQ(other->parse_tail(), "SELECT 1");
  EXPECT_EQ(other->parse_key(), "timezone=UTC");
}

TEST(StatementTableTest, ItHasALimit) {
  StatementTable table(20);
  EXPECT_NE(table.Intern("0123456789", {}, {}), nullptr);
  EXPECT_EQ(table.Intern("01234567890", {}, {}), nullptr);
  EXPECT_NE(table.Intern("0123456789", {}, {}), nullptr);
}

TEST(StatementNamesTest, NamesOfTheServer) {
  EXPECT_EQ(IdOfServerName(ServerName(42)), 42u);
  EXPECT_EQ(IdOfServerName("__weir_s"), 0u);
  EXPECT_EQ(IdOfServerName("__weir_s1x"), 0u);
  EXPECT_EQ(IdOfServerName("mine"), 0u);
}

TEST(StatementNamesTest, SetFindRemove) {
  Statement statement;
  statement.id = 7;
  StatementNames names;
  names.Set("a", &statement);
  names.Set("b", &statement);
  EXPECT_EQ(names.Find("a"), &statement);
  EXPECT_EQ(names.NameOf(7), "a");
  names.Set("a", nullptr);
  EXPECT_EQ(names.Find("a"), nullptr);
  EXPECT_EQ(names.NameOf(7), "b");
}

TEST(PreparedSetTest, TheOneUsedLeastRecentlyGivesWay) {
  PreparedSet set;
  for (StatementId id = 1; id <= 3; ++id) set.Add(id);
  // All have been used since they came: the first turn of the hand only marks them.
  const StatementId first = set.Victim(0);
  EXPECT_NE(first, 0u);
  set.Remove(first);
  EXPECT_FALSE(set.Contains(first));
  set.Add(100);
  for (StatementId id = 1; id <= 3; ++id) {
    if (set.Contains(id)) set.Touch(id);
  }
  EXPECT_NE(set.Victim(100), 100u);
  set.Clear();
  EXPECT_EQ(set.Victim(0), 0u);
}

}  // namespace
}  // namespace weir::postgres
