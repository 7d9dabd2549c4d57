// The unnamed statement when requests are sent before the earlier ones are answered.
#include <gtest/gtest.h>

#include <string>

#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

class UnnamedTest : public ExchangeTest {};
INSTANTIATE_TEST_SUITE_P(Splits, UnnamedTest, testing::ValuesIn(kSplits));

// Changes of the unnamed statement that the server skips never were, however many there are.
TEST_P(UnnamedTest, SkippedChangesOfTheUnnamedStatementAreUndone) {
  for (const std::string& skipped :
       {Parse("", "SELECT 2") + Parse("", "SELECT 3"), Close(""), Close("") + Parse("", "SELECT 2"),
        Parse("", "SELECT 2") + Sync() + Bind("x") + Parse("", "SELECT 3"),
        Parse("", "SELECT 2") + Sync() + Bind("x") + Close("")}) {
    Pair pair(context_, GetParam());
    PostgresReplies backend;
    pair.Join(backend);
    pair.Client(Parse("", "SELECT 1") + Sync());
    pair.Server(Message('1', "") + Ready('I'));
    pair.Client(Bind("x") + skipped + Sync());
    while (backend.owed() > 0) pair.Server(Error("ERROR", "26000", "no such") + Ready('I'));
    pair.wire = {};
    pair.Client(Bind("") + Sync());
    EXPECT_EQ(pair.wire.TakeServer(), Parse("", "SELECT 1") + Bind("") + Sync());
  }
}

TEST_P(UnnamedTest, AnUnnamedStatementBehindSkippedOnesStands) {
  pair_.Join(backend_);
  pair_.Client(Parse("", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Client(Bind("x") + Parse("", "SELECT 2") + Sync() + Parse("", "SELECT 3") + Sync());
  pair_.Server(Error("ERROR", "26000", "no such") + Ready('I') + Message('1', "") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Bind("") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("", "SELECT 3") + Bind("") + Sync());
}

// A Parse that the server refuses has destroyed the older statement; so has a Query.
TEST_P(UnnamedTest, ARefusedParseLeavesNoUnnamedStatement) {
  for (const std::string& failed :
       {Parse("", "SELEC") + Sync(), Parse("", "SELEC") + Parse("", "SELECT 2") + Sync(),
        Parse("", "SELEC") + Sync() + Bind("x") + Close("") + Sync(),
        Bind("x") + Parse("", "SELECT 2") + Sync() + Query("SELEC")}) {
    Pair pair(context_, GetParam());
    PostgresReplies backend;
    pair.Join(backend);
    pair.Client(Parse("", "SELECT 1") + Sync());
    pair.Server(Message('1', "") + Ready('I'));
    pair.Client(failed);
    while (backend.owed() > 0) pair.Server(Error("ERROR", "42601", "syntax error") + Ready('I'));
    pair.wire = {};
    pair.Client(Bind("") + Sync());
    EXPECT_EQ(pair.wire.TakeServer(), Close("") + Bind("") + Sync());
  }
}

TEST_P(UnnamedTest, RequestsThatMakeTheirOwnUnnamedStatementWaitForNothing) {
  pair_.Join(backend_);
  const std::string requests = Parse("", "SELECT 1") + Bind("") + Execute() + Sync() +
                               Parse("", "SELECT 2") + Bind("") + Execute() + Sync();
  EXPECT_EQ(pair_.Client(requests).status, TakeStatus::kMore);
  EXPECT_EQ(pair_.wire.TakeServer(), requests);
}

TEST_P(UnnamedTest, AnUnnamedStatementWhoseChangeIsOnItsWayIsWaitedFor) {
  for (const std::string& change : {Parse("", "SELECT 2"), Bind("x") + Close("")}) {
    Pair pair(context_, GetParam());
    PostgresReplies backend;
    pair.Join(backend);
    EXPECT_EQ(pair.Client(change + Sync() + Bind("") + Sync()).status, TakeStatus::kAwaitReady);
    EXPECT_EQ(pair.wire.TakeServer(), change + Sync());
  }
}

}  // namespace
}  // namespace weir::postgres
