// Texts of one shape have one kind, others have another, however they are cut.
#include "protocol/postgres/sql_kind.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "protocol/postgres/sql_scan.h"

namespace weir::postgres {
namespace {

uint64_t KindOf(std::string_view text) { return Scan(text, {}).kind; }

// Each line is a shape of its own.
const std::vector<std::vector<std::string>> kShapes = {
    {"SELECT abalance FROM pgbench_accounts WHERE aid = 1",
     "select abalance from pgbench_accounts where aid=99999;",
     "  /* a */ SELECT abalance\nFROM pgbench_accounts -- b\nWHERE aid = $1 ; ;",
     "SELECT abalance FROM pgbench_accounts WHERE aid = 'x'",
     "SELECT abalance FROM pgbench_accounts WHERE aid = -5",
     "SELECT abalance FROM pgbench_accounts WHERE aid = $$it$$",
     "SELECT abalance FROM pgbench_accounts WHERE aid = E'\\'' ",
     "SELECT abalance FROM pgbench_accounts WHERE aid = 1.5e10",
     "SELECT abalance FROM pgbench_accounts WHERE aid = 0xff",
     "SELECT abalance FROM pgbench_accounts WHERE aid = 1_000"},
    {"SELECT abalance FROM pgbench_accounts WHERE aid <= 1"},
    {"SELECT abalance FROM pgbench_accounts WHERE aid < 1"},
    {"SELECT abalance FROM pgbench_accounts WHERE aid <> 1"},
    {"SELECT abalance FROM pgbench_accounts WHERE aid < 1 AND aid <= 1"},
    {"SELECT abalance FROM pgbench_accounts WHERE aid <= 1 AND aid < 1"},
    {"SELECT bbalance FROM pgbench_branches WHERE bid = 1"},
    {"SELECT \"Abalance\" FROM pgbench_accounts WHERE aid = 1"},
    {"SELECT \"ABalance\" FROM pgbench_accounts WHERE aid = 1"},
    {"SELECT a FROM t WHERE b IN (1)", "SELECT a FROM t WHERE b IN (1, 2, 3)",
     "SELECT a FROM t WHERE b IN ('x', $1, -2, + 3)"},
    {"SELECT a FROM t WHERE b IN (1, c)"},
    {"SELECT a FROM t WHERE b IN (c, 1)", "SELECT a FROM t WHERE b IN (c, 1, 2)"},
    {"SELECT a FROM t WHERE b IN (1), c"},
    {"SELECT a FROM t WHERE b IN ()"},
    {"VALUES (1, 2), (3, 4)", "VALUES ('a')", "VALUES (1), (2), (3, 4, 5)"},
    {"VALUES (1, 2), (3, a)"},
    {"VALUES (1, 2), (a)", "VALUES (1, 2), (3, 4), (a)"},
    {"VALUES (1, 2), a"},
    {"VALUES (1, 2) (3)"},
    {"SELECT 1", "SELECT 1, 2", "SELECT 'a', 'b'"},
    {"SELECT 1, a", "SELECT 1, 2, a"},
    {"SELECT 1 2"},
    {"SELECT a - 1"},
    {"SELECT a + 1"},
    {"SELECT a(1) - 1"},
    {"SELECT 1; SELECT 2", "SELECT 1;; SELECT 2;"},
    {"SELECT 1 SELECT 2"},
    {"SELECT 'x'::text"},
    {"SELECT a.b"},
    {"SELECT ab"},
    {"SELECT abc"},
    {"SELECT abcd"},
    {"SELECT abcdefg"},
    {"SELECT abcdefgh"},
    {"SELECT abcdefghijklmnop"},
    {"SELECT abcdefghijklmnopq"},
    {"SELECT abcdefghijklmnopr"},
    {"SELECT bbcdefghijklmnopr"},
    {"SELECT abcdefghijklmnopabcdefghijklmnop"},
    {"SELECT a b"},
    {"SELECT 1 else"},
    {"SELECT 1exit"},
    {"SELECT $", "SELECT $ ", "SELECT $a", "SELECT $a;"},
    {"SELECT \"\""},
    {"SET a = 1", "SET a = 2"},
};

TEST(SqlKindTest, OneShapeOneKind) {
  std::map<uint64_t, std::string> kinds;
  for (const auto& texts : kShapes) {
    const uint64_t kind = KindOf(texts.front());
    EXPECT_NE(kind, 0u) << texts.front();
    for (const std::string& text : texts) EXPECT_EQ(KindOf(text), kind) << text;
    const auto [found, added] = kinds.emplace(kind, texts.front());
    EXPECT_TRUE(added) << found->second << " and " << texts.front();
  }
}

TEST(SqlKindTest, EverySplitGivesTheSame) {
  for (const auto& texts : kShapes) {
    for (const std::string& text : texts) {
      const std::string_view whole = text;
      for (size_t cut = 0; cut <= whole.size(); ++cut) {
        SqlScanner scanner;
        scanner.Begin({});
        scanner.Feed(engine::AsBytes(whole.substr(0, cut)));
        scanner.Feed(engine::AsBytes(whole.substr(cut)));
        EXPECT_EQ(scanner.Finish().kind, KindOf(text)) << text << " cut at " << cut;
      }
    }
  }
}

TEST(SqlKindTest, WithoutAStatementThereIsNone) {
  for (const char* text : {"", " ", ";", " ; /* x */ ; -- y"}) EXPECT_EQ(KindOf(text), 0u) << text;
  // Nothing but what does not count.
  for (const char* text : {"(", "1", "\"\"", "''"}) EXPECT_NE(KindOf(text), 0u) << text;
}

TEST(SqlKindTest, ManyTextsHaveKindsOfTheirOwn) {
  std::map<uint64_t, std::string> kinds;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = "SELECT c" + std::to_string(i % 200) + " FROM t" + std::to_string(i / 200);
    const uint64_t kind = KindOf(text);
    EXPECT_TRUE(kinds.emplace(kind, std::move(text)).second);
  }
}

TEST(SqlKindTest, OnlyAPlainReadMayJoin) {
  const Verdict read = Scan("SELECT 1", {});
  EXPECT_TRUE(MayJoin(read));
  const auto with = [&](auto change) {
    Verdict other = read;
    change(other);
    return MayJoin(other);
  };
  EXPECT_FALSE(MayJoin({}));
  EXPECT_FALSE(with([](Verdict& v) { v.flags |= Verdict::kReadsStatements; }));
  EXPECT_FALSE(with([](Verdict& v) { v.flags = 0; }));
  EXPECT_FALSE(with([](Verdict& v) { v.pins = Only(PinReason::kListen); }));
  EXPECT_FALSE(with([](Verdict& v) { v.ends = Only(PinReason::kListen); }));
  EXPECT_FALSE(with([](Verdict& v) { v.pin = PinReason::kListen; }));
  EXPECT_FALSE(with([](Verdict& v) { v.statements = 2; }));
  EXPECT_FALSE(with([](Verdict& v) { v.kind = 0; }));
}

}  // namespace
}  // namespace weir::postgres
