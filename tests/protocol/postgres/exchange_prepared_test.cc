// Prepared statements and sequence values between clients that share backends.
#include <gtest/gtest.h>

#include <string>

#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

class PreparedTest : public ExchangeTest {};
INSTANTIATE_TEST_SUITE_P(Splits, PreparedTest, testing::ValuesIn(kSplits));

TEST_P(PreparedTest, NamedStatementsGetNamesOfTheServer) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT $1") + Bind("a") + Describe("a") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("__weir_s1", "SELECT $1") + Bind("__weir_s1") +
                                         Describe("__weir_s1") + Execute() + Sync());
  const std::string reply = Message('1', "") + Message('2', "") + Message('t', "x") +
                            Message('T', "y") + Row("1") + Complete("SELECT 1") + Ready('I');
  EXPECT_EQ(pair_.Server(reply), ReplyStatus::kOk);
  EXPECT_EQ(pair_.wire.TakeClient(), reply);
  EXPECT_TRUE(backend_.quiet());
}

TEST_P(PreparedTest, AStatementIsPreparedAheadOnAnotherBackend) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  pair_.wire = {};
  PostgresReplies other;
  pair_.Join(other);
  pair_.Client(Bind("a") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(),
            Parse("__weir_s1", "SELECT $1") + Bind("__weir_s1") + Execute() + Sync());
  pair_.Server(Message('1', "") + Message('2', "") + Complete("SELECT 0") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Message('2', "") + Complete("SELECT 0") + Ready('I'));
}

TEST_P(PreparedTest, AParseThatTheBackendHasIsAnsweredByWeir) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  Pair second(context_, GetParam());
  second.Join(backend_);
  second.Client(Parse("b", "SELECT $1") + Bind("b") + Execute() + Sync());
  EXPECT_EQ(second.wire.TakeServer(), Bind("__weir_s1") + Execute() + Sync());
  second.Server(Message('2', "") + Complete("SELECT 0") + Ready('I'));
  EXPECT_EQ(second.wire.TakeClient(),
            Message('1', "") + Message('2', "") + Complete("SELECT 0") + Ready('I'));
}

TEST_P(PreparedTest, AFailedParseIsForgotten) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELEC") + Bind("a") + Execute() + Sync());
  pair_.wire.TakeServer();
  pair_.Server(Error("ERROR", "42601", "syntax error") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Error("ERROR", "42601", "syntax error") + Ready('I'));
  EXPECT_TRUE(backend_.quiet());
  EXPECT_FALSE(backend_.prepared().Contains(1));
  // The name is free: the server itself says that it does not exist.
  pair_.Client(Bind("a") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Bind("a") + Sync());
}

TEST_P(PreparedTest, WhatTheServerSkipsIsUndone) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.wire = {};
  // The Close and the Parse behind the failing Bind never happen: "a" stays, "b" never is.
  pair_.Client(Bind("a") + Close("a") + Parse("b", "SELECT 2") + Sync());
  pair_.Server(Error("ERROR", "22P02", "bad") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Bind("a") + Bind("b") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Bind("__weir_s1") + Bind("b") + Sync());
}

// Two clients that alternate a split unnamed Parse | Bind over one backend.
TEST_P(PreparedTest, TheUnnamedStatementIsParsedAgain) {
  Pair second(context_, GetParam());
  pair_.Join(backend_);
  pair_.Client(Parse("", "SELECT 'one'") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  second.Join(backend_);
  second.Client(Parse("", "SELECT 'two'") + Sync());
  second.Server(Message('1', "") + Ready('I'));
  second.Part();
  pair_.wire = {};
  pair_.Join(backend_);
  pair_.Client(Bind("") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("", "SELECT 'one'") + Bind("") + Execute() + Sync());
  pair_.Server(Message('1', "") + Message('2', "") + Complete("SELECT 1") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Message('2', "") + Complete("SELECT 1") + Ready('I'));
}

TEST_P(PreparedTest, AClientWithoutAnUnnamedStatementNeverRunsAnothers) {
  Pair second(context_, GetParam());
  pair_.Join(backend_);
  pair_.Client(Parse("", "SELECT 'one'") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  second.Join(backend_);
  second.Client(Bind("") + Execute() + Sync());
  EXPECT_EQ(second.wire.TakeServer(), Close("") + Bind("") + Execute() + Sync());
  second.Server(Message('3', "") +
                Error("ERROR", "26000", "unnamed prepared statement does not exist") + Ready('I'));
  EXPECT_EQ(second.wire.TakeClient(),
            Error("ERROR", "26000", "unnamed prepared statement does not exist") + Ready('I'));
}

TEST_P(PreparedTest, ALimitOnPreparedStatementsMakesTheOldestGiveWay) {
  context_.options.prepared_max = 2;
  pair_.Join(backend_);
  for (const char* name : {"a", "b", "c"}) {
    pair_.Client(Parse(name, std::string("SELECT '") + name + "'") + Sync());
    if (name[0] == 'c') pair_.Server(Message('3', ""));
    pair_.Server(Message('1', "") + Ready('I'));
  }
  EXPECT_EQ(backend_.prepared().size(), 2u);
  EXPECT_TRUE(backend_.prepared().Contains(3));
  EXPECT_TRUE(backend_.quiet());
}

// The server's own error, under the client's name; what would have been prepared never is.
TEST_P(PreparedTest, ASecondParseOfANameGetsTheServersError) {
  pair_.Join(backend_);
  pair_.Client(Parse("mine", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Parse("mine", "SELECT 2") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Close("__weir_passing") + Parse("__weir_passing", "") +
                                         Parse("__weir_passing", "SELECT 2") + Sync());
  pair_.Server(Message('3', "") + Message('1', "") +
               Error("ERROR", "42P05", "prepared statement \"__weir_passing\" already exists") +
               Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(),
            Error("ERROR", "42P05", "prepared statement \"mine\" already exists") + Ready('I'));
}

TEST_P(PreparedTest, OfTwoNamesForOneStatementTheErrorTellsTheRightOne) {
  pair_.Join(backend_);
  pair_.Client(Parse("b", "SELECT $1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  pair_.Server(Ready('I'));
  for (const std::string& name : {std::string("b"), std::string("a")}) {
    pair_.wire = {};
    pair_.Client(Bind(name) + Execute() + Sync());
    pair_.Server(Error("ERROR", "08P01", "prepared statement \"__weir_s1\" requires 1") +
                 Ready('I'));
    EXPECT_EQ(
        pair_.wire.TakeClient(),
        Error("ERROR", "08P01", "prepared statement \"" + name + "\" requires 1") + Ready('I'));
  }
}

// In a failed transaction the server alone knows what a Parse is answered with. The statement that
// others share stays.
TEST_P(PreparedTest, AParseInAFailedTransactionLeavesTheSharedStatement) {
  pair_.Join(backend_);
  pair_.Client(Parse("one", "SELECT 1") + Sync() + Query("BEGIN") + Query("SELECT 1/0"));
  pair_.Server(Message('1', "") + Ready('I') + Complete("BEGIN") + Ready('T') +
               Error("ERROR", "22012", "division by zero") + Ready('E'));
  pair_.wire = {};
  pair_.Client(Parse("two", "SELECT 1") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(),
            Close("__weir_passing") + Parse("__weir_passing", "SELECT 1") + Sync());
  const std::string error = Error("ERROR", "25P02", "current transaction is aborted");
  pair_.Server(Message('3', "") + error + Ready('E'));
  EXPECT_EQ(pair_.wire.TakeClient(), error + Ready('E'));
  EXPECT_TRUE(backend_.prepared().Contains(1));
  pair_.Client(Bind("one") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Bind("__weir_s1") + Execute() + Sync());
}

// What an earlier request prepares, or may fail to, is waited for.
TEST_P(PreparedTest, AStatementWhoseParseIsOnItsWayIsWaitedFor) {
  pair_.Join(backend_);
  const std::string first = Parse("one", "SELECT 1") + Sync();
  EXPECT_EQ(pair_.Client(first + Bind("one") + Execute() + Sync()).status, TakeStatus::kAwaitReady);
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("__weir_s1", "SELECT 1") + Sync());
  pair_.Server(Error("ERROR", "25P02", "current transaction is aborted") + Ready('I'));
  pair_.wire = {};
  pair_.Pump();
  EXPECT_EQ(pair_.wire.TakeServer(), Bind("one") + Execute() + Sync());
}

TEST_P(PreparedTest, WithinOneRequestNothingIsWaitedFor) {
  pair_.Join(backend_);
  pair_.Client(Parse("one", "SELECT 1") + Bind("one") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(),
            Parse("__weir_s1", "SELECT 1") + Bind("__weir_s1") + Execute() + Sync());
}

// What weir parses again and the server refuses is still the client's.
TEST_P(PreparedTest, AnUnnamedStatementSurvivesAFailedTransactionElsewhere) {
  PostgresReplies other;
  pair_.Join(backend_);
  pair_.Client(Parse("", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  pair_.Join(other);
  pair_.Client(Bind("") + Execute() + Sync());
  pair_.Server(Error("ERROR", "25P02", "current transaction is aborted") + Ready('E'));
  pair_.wire = {};
  pair_.Client(Bind("") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("", "SELECT 1") + Bind("") + Execute() + Sync());
}

// DEALLOCATE of a name of the protocol takes the name; the statement is others' too. What the
// server takes away is an empty statement, which it can in every state.
TEST_P(PreparedTest, DeallocateTakesTheNameAlone) {
  PostgresReplies other;
  pair_.Join(backend_);
  pair_.Client(Parse("one", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  pair_.Join(other);
  pair_.wire = {};
  pair_.Client(Query("DEALLOCATE one"));
  EXPECT_EQ(pair_.wire.TakeServer(), Close("__weir_passing") + Parse("__weir_passing", "") +
                                         Query("DEALLOCATE __weir_passing"));
  const std::string error = Error("ERROR", "25P02", "current transaction is aborted");
  pair_.Server(Message('3', "") + Message('1', "") + error + Ready('E'));
  EXPECT_EQ(pair_.wire.TakeClient(), error + Ready('E'));
  EXPECT_TRUE(other.quiet());
  pair_.Client(Query("DEALLOCATE one"));
  pair_.Server(Message('3', "") + Message('1', "") + Complete("DEALLOCATE") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Complete("DEALLOCATE") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Bind("one") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Bind("one") + Sync());
}

TEST_P(PreparedTest, DeallocateThroughTheExtendedProtocol) {
  pair_.Join(backend_);
  pair_.Client(Parse("one", "SELECT 1") + Parse("two", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Parse("", "DEALLOCATE one") + Bind("") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("", "DEALLOCATE __weir_passing") +
                                         Close("__weir_passing") + Parse("__weir_passing", "") +
                                         Bind("") + Execute() + Sync());
  pair_.Server(Message('1', "") + Message('3', "") + Message('1', "") + Message('2', "") +
               Complete("DEALLOCATE") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Bind("one") + Bind("two") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Bind("one") + Bind("__weir_s1") + Sync());
}

TEST_P(PreparedTest, ANameWhoseChangeIsOnItsWayIsWaitedFor) {
  for (const std::string& change : {Close("one") + Sync(), Query("DEALLOCATE one")}) {
    Pair pair(context_, GetParam());
    PostgresReplies backend;
    pair.Join(backend);
    pair.Client(Parse("one", "SELECT 1") + Sync());
    pair.Server(Message('1', "") + Ready('I'));
    EXPECT_EQ(pair.Client(Query("SELECT 2") + change + Bind("one") + Sync()).status,
              TakeStatus::kAwaitReady);
    pair.Server(Complete("SELECT 1") + Ready('I'));
    if (change[0] == 'Q') pair.Server(Message('3', "") + Message('1', "") + Complete("DEALLOCATE"));
    pair.Server(Ready('I'));
    pair.wire = {};
    pair.Pump();
    EXPECT_EQ(pair.wire.TakeServer(), Bind("one") + Sync());
  }
}

TEST_P(PreparedTest, ANameThatIsMadeAndClosedInWhatTheServerSkipsNeverWas) {
  pair_.Join(backend_);
  pair_.Client(Bind("x") + Parse("a", "SELECT 1") + Close("a") + Sync());
  pair_.Server(Error("ERROR", "26000", "x does not exist") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Bind("a") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Bind("a") + Sync());
}

TEST_P(PreparedTest, AnUnnamedStatementThatIsTooLongIsNotParsedAgain) {
  context_.options.scan_limit = 64;
  pair_.Join(backend_);
  pair_.Client(Parse("", "SELECT '" + std::string(100, 'x') + "'") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Client(Bind("unknown") + Parse("", "SELECT 1") + Sync());
  pair_.Server(Error("ERROR", "26000", "no such") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Bind("") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Bind("") + Sync());
}

TEST_P(PreparedTest, ReservedNamesAreRefused) {
  for (const std::string& message : {Parse("__weir_own", "SELECT 1"), Bind("__weir_passing"),
                                     Describe("__weir_s1"), Close("__weir_x")}) {
    Pair pair(context_, GetParam());
    PostgresReplies backend;
    pair.Join(backend);
    EXPECT_EQ(pair.Client(message).status, TakeStatus::kMalformed);
  }
}

// Names that are dropped are free in the same batch already, and stay if that fails.
TEST_P(PreparedTest, ADropOfAllNamesCountsWhenItIsSent) {
  pair_.Join(backend_);
  pair_.Client(Parse("", "DEALLOCATE ALL") + Bind("") + Parse("a", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Message('2', "") + Message('1', "") + Ready('T'));
  pair_.wire = {};
  pair_.Client(Execute() + Parse("a", "SELECT 2") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(),
            Execute() + Close("__weir_s2") + Parse("__weir_s2", "SELECT 2") + Sync());
  pair_.Server(Error("ERROR", "57014", "canceled") + Ready('E'));
  pair_.wire = {};
  pair_.Client(Bind("a") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(),
            Close("__weir_s1") + Parse("__weir_s1", "SELECT 1") + Bind("__weir_s1") + Sync());
}

// Other clients must not be told of statements that are gone, whichever portal did it.
TEST_P(PreparedTest, APortalThatDropsStatementsMayBeExecutedLater) {
  pair_.Join(backend_);
  pair_.Client(Parse("", "DEALLOCATE ALL") + Message('B', Z("p") + Z("") + std::string(6, '\0')) +
               Parse("a", "SELECT 1") + Bind("a"));
  EXPECT_TRUE(backend_.prepared().Contains(1));
  pair_.Client(Message('E', Z("p") + std::string(4, '\0')) + Sync());
  EXPECT_FALSE(backend_.prepared().Contains(1));
  pair_.Server(Message('1', "") + Message('2', "") + Message('1', "") + Message('2', "") +
               Complete("DEALLOCATE") + Ready('I'));
  // No portal outlives its transaction.
  pair_.Client(Bind("a") + Execute() + Sync());
  EXPECT_TRUE(backend_.prepared().Contains(1));
}

TEST_P(PreparedTest, AQueryThatFailsToDropLeavesTheNames) {
  for (const std::string sql : {"DISCARD ALL", "DEALLOCATE a"}) {
    Pair pair(context_, GetParam());
    PostgresReplies backend;
    pair.Join(backend);
    pair.Client(Parse("a", "SELECT 1") + Sync());
    pair.Server(Message('1', "") + Ready('I'));
    pair.Client(Query(sql));
    if (sql == "DEALLOCATE a") pair.Server(Message('3', "") + Message('1', ""));
    pair.Server(Error("ERROR", "25001", "in a transaction") + Ready('E'));
    pair.wire = {};
    pair.Client(Bind("a") + Sync());
    EXPECT_TRUE(pair.wire.TakeServer().ends_with(Bind("__weir_s1") + Sync()));
  }
}

TEST_P(PreparedTest, ADeallocateWaitsForWhatBecomesOfItsName) {
  for (const std::string& request : {Query("DEALLOCATE a"), Parse("", "DEALLOCATE a") + Sync()}) {
    Pair pair(context_, GetParam());
    PostgresReplies backend;
    pair.Join(backend);
    pair.Client(Parse("a", "SELECT 1") + Sync());
    pair.Server(Message('1', "") + Ready('I'));
    EXPECT_EQ(pair.Client(Bind("x") + Close("a") + Sync() + request).status,
              TakeStatus::kAwaitReady);
    pair.Server(Error("ERROR", "26000", "no such") + Ready('I'));
    pair.wire = {};
    pair.Pump();
    EXPECT_NE(pair.wire.TakeServer().find("DEALLOCATE __weir_passing"), std::string::npos);
  }
}

// Its text says the passing name, under which nothing may be there then.
TEST_P(PreparedTest, AnUnnamedDeallocateOfANameThatHasGoneFails) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT 1") + Parse("", "DEALLOCATE a") + Close("a") + Sync());
  pair_.Server(Message('1', "") + Message('1', "") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Bind("") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Close("__weir_passing") + Bind("") + Execute() + Sync());
  pair_.Server(Message('3', "") + Message('2', "") +
               Error("ERROR", "26000", "prepared statement \"__weir_passing\" does not exist") +
               Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(),
            Message('2', "") + Error("ERROR", "26000", "prepared statement \"a\" does not exist") +
                Ready('I'));
}

TEST_P(PreparedTest, APortalThatWasNotBoundDropsNoNames) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "DISCARD ALL") + Sync());
  pair_.Server(Message('1', "") + Ready('T'));
  EXPECT_EQ(pair_.Client(Bind("a") + Sync() + Execute() + Bind("a") + Sync()).status,
            TakeStatus::kAwaitReady);
  pair_.Server(Error("ERROR", "25P02", "current transaction is aborted") + Ready('E'));
  pair_.wire = {};
  pair_.Pump();
  EXPECT_TRUE(pair_.wire.TakeServer().ends_with(Bind("__weir_s1") + Sync()));
}

TEST_P(PreparedTest, AnErrorTellsNoNameThatIsMadeBehindIt) {
  pair_.Join(backend_);
  pair_.Client(Parse("c", "SELECT $1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Client(Bind("c") + Parse("a", "SELECT $1") + Sync());
  pair_.wire = {};
  pair_.Server(Error("ERROR", "08P01", "prepared statement \"__weir_s1\" requires 1") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(),
            Error("ERROR", "08P01", "prepared statement \"c\" requires 1") + Ready('I'));
}

TEST_P(PreparedTest, AnErrorTellsTheNameThatIsClosedBehindIt) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  for (const std::string& behind : {Close("a") + Sync(), Sync() + Query("DEALLOCATE ALL")}) {
    pair_.wire = {};
    pair_.Client(Bind("a") + behind);
    pair_.Server(Error("ERROR", "08P01", "prepared statement \"__weir_s1\" requires 1") +
                 Ready('I'));
    EXPECT_EQ(pair_.wire.TakeClient(),
              Error("ERROR", "08P01", "prepared statement \"a\" requires 1") + Ready('I'));
  }
}

// Another client's sequence value must not be read: a write over another's mark does not make it
// one's own.
TEST_P(PreparedTest, SequenceValuesOfOthersAreDiscardedBeforeARead) {
  Pair second(context_, GetParam());
  pair_.Join(backend_);
  pair_.Client(Query("SELECT nextval('s')"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.Part();
  second.Join(backend_);
  second.Client(Query("INSERT INTO t VALUES (1)"));
  EXPECT_EQ(second.wire.TakeServer(), Query("INSERT INTO t VALUES (1)"));
  second.Server(Complete("INSERT 0 1") + Ready('I'));
  second.Client(Query("SELECT lastval()"));
  EXPECT_NE(second.wire.TakeServer().find("DISCARD SEQUENCES"), std::string::npos);
}

// A client's own older value, left on another backend, is not its last one.
TEST_P(PreparedTest, AnOlderValueOfTheClientsOwnIsNotItsLast) {
  PostgresReplies other;
  pair_.Join(backend_);
  pair_.Client(Query("SELECT nextval('s')"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.Part();
  pair_.Join(other);
  pair_.Client(Query("SELECT nextval('s')"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Query("SELECT currval('s')"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("SELECT currval('s')"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.Part();
  pair_.Join(backend_);
  pair_.wire = {};
  pair_.Client(Query("SELECT currval('s')"));
  EXPECT_NE(pair_.wire.TakeServer().find("DISCARD SEQUENCES"), std::string::npos);
}

// A DISCARD that the server refuses or skips, in a failed transaction, has discarded nothing.
TEST_P(PreparedTest, ADiscardThatFailsIsDoneAgain) {
  Pair second(context_, GetParam());
  pair_.Join(backend_);
  pair_.Client(Query("SELECT nextval('s')"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.Part();
  second.Join(backend_);
  second.requests.KeepSequencesApart();
  second.Client(Query("BEGIN") + Query("SELEC"));
  second.Server(Complete("BEGIN") + Ready('T') + Error("ERROR", "42601", "syntax") + Ready('E'));
  // What reads behind the ROLLBACK waits for what became of the DISCARD.
  EXPECT_EQ(
      second
          .Client(Query("INSERT INTO t VALUES (2)") + Query("ROLLBACK") + Query("SELECT lastval()"))
          .status,
      TakeStatus::kAwaitReady);
  const std::string aborted = Error("ERROR", "25P02", "aborted");
  second.Server(aborted + Ready('E') + aborted + Ready('E') + Complete("ROLLBACK") + Ready('I'));
  second.wire = {};
  second.Pump();
  EXPECT_NE(second.wire.TakeServer().find("DISCARD SEQUENCES"), std::string::npos);
}

// Where they are known to be read, they go before the client makes its own.
TEST_P(PreparedTest, SequenceValuesOfOthersAreDiscardedBeforeAWriteWhereTheyAreRead) {
  Pair second(context_, GetParam());
  pair_.Join(backend_);
  pair_.Client(Query("INSERT INTO t VALUES (1)"));
  pair_.Server(Complete("INSERT 0 1") + Ready('I'));
  pair_.Part();
  second.Join(backend_);
  second.requests.KeepSequencesApart();
  second.Client(Query("INSERT INTO t VALUES (2)"));
  // In a transaction portals stay: weir's own is closed behind it.
  const std::string portal = Message('C', "P" + Z("__weir_own"));
  EXPECT_TRUE(second.wire.TakeServer().ends_with(
      "DISCARD SEQUENCES" + std::string(3, '\0') +
      Message('B', Z("__weir_own") + Z("__weir_own") + std::string(6, '\0')) +
      Message('E', Z("__weir_own") + std::string(4, '\0')) + portal + Close("__weir_own") + Sync() +
      Query("INSERT INTO t VALUES (2)")));
  second.Server(Own() + Message('3', "") + Ready('I') + Complete("INSERT 0 1") + Ready('I'));
  second.Client(Query("SELECT lastval()"));
  EXPECT_EQ(second.wire.TakeServer(), Query("SELECT lastval()"));
}

}  // namespace
}  // namespace weir::postgres
