// Texts beyond the scan limit: they are scanned as they stream.
#include <gtest/gtest.h>

#include <string>

#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

// A named statement beyond the scan limit is under its own name on the backend that it pins.
class LongPreparedTest : public ExchangeTest {
 protected:
  LongPreparedTest() { context_.scan_limit = 64; }
  const std::string long_text_ = "SELECT '" + std::string(100, 'x') + "'";
};
INSTANTIATE_TEST_SUITE_P(Splits, LongPreparedTest, testing::ValuesIn(kSplits));

TEST_P(LongPreparedTest, TheNameIsTheClientsOwn) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", long_text_) + Bind("a") + Describe("a") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("a", long_text_) + Bind("a") + Describe("a") + Sync());
  pair_.Server(Message('1', "") + Message('2', "") + Message('t', "") + Message('n', "") +
               Ready('I'));
  pair_.wire = {};
  const std::string taken = Close("__weir_passing") + Parse("__weir_passing", "");
  pair_.Client(Parse("a", "SELECT 1") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), taken + Parse("__weir_passing", "SELECT 1") + Sync());
  pair_.Server(Message('3', "") + Message('1', "") + Error("ERROR", "42P05", "exists") +
               Ready('I'));
  pair_.wire = {};
  pair_.Client(Close("a") + Parse("a", "SELECT 1") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Close("a") + Parse("__weir_s1", "SELECT 1") + Sync());
  pair_.Server(Message('3', "") + Message('1', "") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Parse("a", long_text_) + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), taken + Parse("__weir_passing", long_text_) + Sync());
}

TEST_P(LongPreparedTest, WhatTheServerSkipsIsUndone) {
  pair_.Join(backend_);
  pair_.Client(Bind("x") + Parse("a", long_text_) + Sync());
  pair_.Server(Error("ERROR", "26000", "no such") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Parse("a", "SELECT 1") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("__weir_s1", "SELECT 1") + Sync());
}

TEST_P(LongPreparedTest, DeallocateTakesIt) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", long_text_) + Parse("b", long_text_) + Sync());
  pair_.Server(Message('1', "") + Message('1', "") + Ready('I'));
  pair_.wire = {};
  const std::string unnamed = Parse("", "DEALLOCATE b") + Bind("") + Execute() + Sync();
  pair_.Client(Query("DEALLOCATE a"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("DEALLOCATE a"));
  pair_.Server(Complete("DEALLOCATE") + Ready('I'));
  pair_.Client(unnamed);
  EXPECT_EQ(pair_.wire.TakeServer(), unnamed);
  pair_.Server(Message('1', "") + Message('2', "") + Complete("DEALLOCATE") + Ready('I'));
  for (const char* name : {"a", "b"}) {
    pair_.wire = {};
    pair_.Client(Parse(name, std::string("SELECT '") + name + "'") + Sync());
    EXPECT_TRUE(pair_.wire.TakeServer().starts_with("P"));
    pair_.Server(Message('1', "") + Ready('I'));
  }
}

TEST_P(LongPreparedTest, ReservedNamesAreRefused) {
  pair_.Join(backend_);
  EXPECT_EQ(pair_.Client(Parse("__weir_s1", long_text_)).status, TakeStatus::kMalformed);
}

TEST_P(LongPreparedTest, ALongQueryThatDropsStatementsIsKnownToDoSo) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  EXPECT_TRUE(backend_.prepared().Contains(1));
  pair_.Client(Query("DEALLOCATE ALL /* " + std::string(100, 'x') + " */"));
  EXPECT_FALSE(backend_.prepared().Contains(1));
}

}  // namespace
}  // namespace weir::postgres
