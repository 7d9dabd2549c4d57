#include "protocol/postgres/pins.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "protocol/postgres/sql_scan.h"

namespace weir::postgres {
namespace {

using enum PinReason;

TEST(PinsTest, AQuestionHasAColumnForEachReason) {
  const std::string one = PinQuestion(Only(kListen));
  EXPECT_EQ(one, "SELECT " + std::string(WordsOf(kListen).question));
  const std::string two = PinQuestion(Only(kListen) | Only(kTemporaryObject));
  EXPECT_EQ(two, "SELECT " + std::string(WordsOf(kTemporaryObject).question) + ", " +
                     std::string(WordsOf(kListen).question));
}

TEST(PinsTest, WhatNoQuestionTellsOfIsNotAsked) {
  EXPECT_TRUE(Has(kAskable, kAdvisoryLock));
  EXPECT_FALSE(Has(kAskable, kSeed));
  EXPECT_FALSE(Has(kAskable, kNone));
  EXPECT_TRUE(Has(kDiscardable, kListen));
  EXPECT_FALSE(Has(kDiscardable, kLoad));
}

TEST(PinsTest, TheFirstOfSeveral) {
  EXPECT_EQ(FirstOf(0), kNone);
  EXPECT_EQ(FirstOf(Only(kLoad) | Only(kHoldCursor)), kHoldCursor);
}

struct Ends {
  const char* text;
  PinSet pins;
  PinSet ends;
};

TEST(PinsTest, WhatTextsBeginAndEnd) {
  const Ends cases[] = {
      {"CREATE TEMP TABLE t (a int); LISTEN x", Only(kTemporaryObject) | Only(kListen), 0},
      {"DROP TABLE t", 0, Only(kTemporaryObject)},
      {"DISCARD TEMPORARY", 0, Only(kTemporaryObject)},
      {"DISCARD PLANS", 0, 0},
      {"DISCARD ALL", 0, kAskable},
      {"CLOSE c", 0, Only(kHoldCursor)},
      {"UNLISTEN *", 0, Only(kListen)},
      {"DEALLOCATE p", 0, Only(kPreparedStatement)},
      {"SELECT pg_advisory_unlock(1)", 0, Only(kAdvisoryLock)},
      {"SELECT pg_advisory_lock(1), pg_advisory_unlock_all()", Only(kAdvisoryLock),
       Only(kAdvisoryLock)},
      {"SELECT 'drop table t; unlisten x' -- close c", 0, 0},
      {"BEGIN; INSERT INTO t VALUES (1); COMMIT", 0, 0},
  };
  for (const Ends& each : cases) {
    const Verdict verdict = Scan(each.text, {});
    EXPECT_EQ(verdict.pins, each.pins) << each.text;
    EXPECT_EQ(verdict.ends, each.ends) << each.text;
  }
}

}  // namespace
}  // namespace weir::postgres
