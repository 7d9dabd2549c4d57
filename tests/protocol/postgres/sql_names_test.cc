#include "protocol/postgres/sql_names.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir::postgres {
namespace {

using Names = std::vector<std::string>;

struct Case {
  const char* text;
  Names runs;
  Names changes;
  const char* prepares = "";
};

TEST(SqlNamesTest, WhatTextsName) {
  const Case cases[] = {
      {"SELECT 1", {}, {}},
      {"PREPARE p AS SELECT 1", {}, {"p"}, "p"},
      {"/* a */ prepare P (int, text) as select $1;", {}, {"p"}, "p"},
      {"PREPARE \"P x\" AS SELECT 1", {}, {"P x"}, "P x"},
      {"PREPARE transaction 'a'", {}, {}},
      {"PREPARE \"transaction\" AS SELECT 1", {}, {"transaction"}, "transaction"},
      {"PREPARE p AS SELECT 1; SELECT 2", {}, {"p"}},
      {"BEGIN; PREPARE p AS SELECT 1; EXECUTE p; DEALLOCATE q; COMMIT", {"p"}, {"p", "q"}},
      {"DEALLOCATE p", {}, {"p"}},
      {"DEALLOCATE PREPARE p", {}, {"p"}},
      {"DEALLOCATE PREPARE", {}, {"prepare"}},
      {"DEALLOCATE ALL", {}, {}},
      {"DEALLOCATE PREPARE ALL", {}, {}},
      {"DEALLOCATE \"all\"; DEALLOCATE PREPARE \"all\"", {}, {"all"}},
      {"EXECUTE p(1, 'x'); EXECUTE p", {"p"}, {}},
      {"EXPLAIN (ANALYZE) EXECUTE p(1)", {"p"}, {}},
      {"CREATE TEMP TABLE t AS EXECUTE \"q\" WITH NO DATA", {"q"}, {}},
      {"SELECT 'EXECUTE p' -- EXECUTE p", {}, {}},
      {"EXECUTE \"\"", {}, {}},
      {"SELECT 'open; EXECUTE p", {}, {}},
  };
  for (const Case& each : cases) {
    const SqlNames found = NamesIn(each.text, {});
    EXPECT_EQ(found.runs, each.runs) << each.text;
    EXPECT_EQ(found.changes, each.changes) << each.text;
    EXPECT_EQ(found.prepares, each.prepares) << each.text;
    EXPECT_FALSE(found.unknown) << each.text;
  }
}

TEST(SqlNamesTest, ANameIsCutAsTheServerCutsIt) {
  const SqlNames found = NamesIn("EXECUTE " + std::string(100, 'x'), {});
  EXPECT_EQ(found.runs, Names{std::string(63, 'x')});
}

TEST(SqlNamesTest, WhatIsSpelledOtherwiseElsewhereIsNotKnown) {
  for (const char* text :
       {"EXECUTE \xc3\xa4", "PREPARE \"\xc3\xa4\" AS SELECT 1", "DEALLOCATE u&\"\\0061\""}) {
    const SqlNames found = NamesIn(text, {});
    EXPECT_TRUE(found.unknown) << text;
    EXPECT_EQ(found.prepares, "") << text;
  }
}

}  // namespace
}  // namespace weir::postgres
