// Texts beyond the scan limit are scanned as they stream; errors beyond what is held stream, too.
#include <gtest/gtest.h>

#include <string>

#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

// A named statement beyond the scan limit is under its own name on the backend that it pins.
class LongPreparedTest : public ExchangeTest {
 protected:
  LongPreparedTest() { context_.options.scan_limit = 64; }
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

// What a deep recursion leaves in an error's context.
class LongErrorTest : public ExchangeTest {
 protected:
  const std::string long_ = std::string(size_t{3} * PostgresReplies::kHeldMax, 'x');
};
INSTANTIATE_TEST_SUITE_P(Splits, LongErrorTest, testing::Values(1, 5, 1000, 64 * 1024, 1 << 20));

TEST_P(LongErrorTest, ReachesTheClient) {
  pair_.Join(backend_);
  for (const std::string& text : {long_, long_.substr(0, PostgresReplies::kHeldMax - 30)}) {
    pair_.Client(Query("SELECT f()") + Query("SELECT 2"));
    pair_.Server(Error("ERROR", "54001", text));
    EXPECT_TRUE(backend_.at_boundary());
    pair_.Server(Ready('I') + Complete("SELECT 1"));
    EXPECT_EQ(pair_.Server(Ready('I')), ReplyStatus::kOk);
    EXPECT_EQ(pair_.wire.TakeClient(),
              Error("ERROR", "54001", text) + Ready('I') + Complete("SELECT 1") + Ready('I'));
    EXPECT_TRUE(backend_.quiet());
  }
}

TEST_P(LongErrorTest, HasTheClientsNamesInItsBeginning) {
  pair_.Join(backend_);
  pair_.Client(Parse("mine", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Bind("mine") + Sync());
  const std::string sent = pair_.wire.TakeServer();
  const std::string name = sent.substr(sent.find("__weir_"), std::string("__weir_s1").size());
  pair_.Server(Error("ERROR", "26000", "\"" + name + "\" " + long_) + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Error("ERROR", "26000", "\"mine\" " + long_) + Ready('I'));
}

TEST_P(LongErrorTest, AFatalOneIsKnownByItsBeginning) {
  pair_.Join(backend_);
  pair_.Client(Query("SELECT 1"));
  EXPECT_EQ(pair_.Server(Error("FATAL", "57P01", long_) + Message('!', "")), ReplyStatus::kFatal);
  EXPECT_EQ(backend_.fatal_sqlstate(), "57P01");
  EXPECT_EQ(pair_.wire.TakeClient(), "");
}

TEST_P(LongErrorTest, OfAClientThatHasGoneIsDropped) {
  pair_.Join(backend_);
  pair_.Client(Query("SELECT f()"));
  PostgresReplies& backend = *pair_.replies;
  const std::string error = Error("ERROR", "54001", long_);
  pair_.Server(error.substr(0, error.size() / 2));
  pair_.Part();
  pair_.replies = &backend;
  pair_.wire = {};
  EXPECT_EQ(pair_.Server(error.substr(error.size() / 2) + Ready('I')), ReplyStatus::kOk);
  EXPECT_EQ(pair_.wire.TakeClient(), "");
  EXPECT_TRUE(backend.quiet());
}

}  // namespace
}  // namespace weir::postgres
