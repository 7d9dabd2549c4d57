// Statements that SQL has made, in an exchange: made again where the client runs next, and never
// found by another client.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

using enum PinReason;

constexpr const char* kPrepare = "PREPARE p AS SELECT 1";

class StatementsTest : public ExchangeTest {
 protected:
  static bool Has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
  // How the server answers a PREPARE of weir's own, ahead of a client's message.
  static std::string Placed() {
    return Message('1', "") + Message('2', "") + Complete("PREPARE") + Message('3', "") +
           Message('3', "");
  }
  static std::string Closed() { return Message('3', ""); }
  static std::string NotThere(const std::string& name) {
    return Error("ERROR", "26000", "prepared statement \"" + name + "\" does not exist");
  }

  void Run(Pair& pair, const std::string& text, const std::string& reply = Complete("X")) {
    pair.Client(Query(text));
    pair.Server(reply + Ready('I'));
    EXPECT_FALSE(pair.requests.AskSession(*pair.replies, pair.wire));
    pair.requests.ClearMarks();
    pair.wire.TakeServer();
    pair.wire.TakeClient();
  }
  // The client has made its statement, and has another backend.
  void Make() {
    pair_.Join(backend_);
    Run(pair_, kPrepare, Complete("PREPARE"));
    EXPECT_EQ(pair_.requests.marks().pin_reason, 0);
    pair_.Part();
    pair_.Join(another_);
  }

  PostgresReplies another_;
  Pair other_{context_, GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Splits, StatementsTest, testing::ValuesIn(kSplits));

TEST_P(StatementsTest, WhatSqlHasMadeIsMadeAgainAheadOfItsUse) {
  Make();
  pair_.Client(Query("SELECT 2"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("SELECT 2"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.wire.TakeClient();
  pair_.Client(Query("EXECUTE p"));
  const std::string sent = pair_.wire.TakeServer();
  EXPECT_TRUE(Has(sent, kPrepare));
  EXPECT_FALSE(Has(sent, Sync()));
  EXPECT_TRUE(sent.ends_with(Query("EXECUTE p")));
  pair_.Server(Placed() + Row("1") + Complete("SELECT 1") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Row("1") + Complete("SELECT 1") + Ready('I'));
  // It is there now.
  pair_.Client(Query("EXPLAIN EXECUTE p"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("EXPLAIN EXECUTE p"));
  EXPECT_EQ(pair_.requests.marks().pin_reason, 0);
}

TEST_P(StatementsTest, WhereItIsThereItIsNotMadeAgain) {
  Make();
  pair_.Part();
  pair_.Join(backend_);
  pair_.Client(Query("EXECUTE p"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("EXECUTE p"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.Part();
  // An equal one of another client is the same.
  other_.Join(another_);
  Run(other_, kPrepare);
  other_.Part();
  other_.Join(backend_);
  other_.Client(Query("EXECUTE p"));
  EXPECT_EQ(other_.wire.TakeServer(), Query("EXECUTE p"));
}

TEST_P(StatementsTest, AnotherClientDoesNotFindIt) {
  pair_.Join(backend_);
  Run(pair_, kPrepare);
  pair_.Part();
  other_.Join(backend_);
  for (const std::string& request :
       {Query("EXECUTE p"), Bind("p") + Execute() + Sync(), Describe("p") + Sync(),
        Query("PREPARE p AS SELECT 2"), Query("DEALLOCATE p"),
        Query("SELECT * FROM pg_prepared_statements"), Query("SELECT unknown()")}) {
    Pair third(context_, GetParam());
    PostgresReplies backend;
    pair_.Join(backend);
    Run(pair_, "EXECUTE p", Placed() + Complete("SELECT 1"));
    pair_.Part();
    third.Join(backend);
    third.Client(request);
    const std::string sent = third.wire.TakeServer();
    EXPECT_TRUE(sent.starts_with(Close("p"))) << request;
    EXPECT_TRUE(sent.ends_with(request)) << request;
    EXPECT_EQ(backend.named().Find("p"),
              request == Query("PREPARE p AS SELECT 2") ? &kOwnChange : &kClosedName);
    EXPECT_FALSE(Has(sent, kPrepare));
  }
  other_.Client(Query("EXECUTE p"));
  EXPECT_EQ(other_.wire.TakeServer(), Close("p") + Query("EXECUTE p"));
  other_.Server(Closed() + NotThere("p") + Ready('I'));
  EXPECT_EQ(other_.wire.TakeClient(), NotThere("p") + Ready('I'));
}

// Neither that one is closed, nor that one is made, is sure before it is answered.
TEST_P(StatementsTest, WhatTheServerMaySkipIsNotReliedOn) {
  pair_.Join(backend_);
  Run(pair_, kPrepare);
  pair_.Part();
  other_.Join(backend_);
  other_.Client(Parse("", "SELEC") + Bind("p") + Execute() + Sync() + Query("EXECUTE p"));
  EXPECT_TRUE(other_.wire.TakeServer().ends_with(Close("p") + Bind("p") + Execute() + Sync()));
  other_.Server(Error("ERROR", "42601", "syntax error") + Ready('I'));
  other_.Pump();
  EXPECT_EQ(other_.wire.TakeServer(), Close("p") + Query("EXECUTE p"));
  other_.Server(Closed() + NotThere("p") + Ready('I'));
  other_.Part();
  EXPECT_EQ(backend_.named().size(), 0u);
}

TEST_P(StatementsTest, WhatAnotherClientClosesIsMadeAgain) {
  pair_.Join(backend_);
  Run(pair_, kPrepare);
  pair_.Part();
  other_.Join(backend_);
  other_.Client(Close("p") + Sync());
  EXPECT_EQ(other_.wire.TakeServer(), Close("p") + Sync());
  other_.Server(Closed() + Ready('I'));
  other_.Part();
  pair_.Join(backend_);
  pair_.Client(Query("EXECUTE p"));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), kPrepare));
}

TEST_P(StatementsTest, WhatFailsMakesNothing) {
  pair_.Join(backend_);
  const std::string error = Error("ERROR", "42P01", "relation \"t\" does not exist");
  Run(pair_, "PREPARE p AS SELECT * FROM t", error);
  EXPECT_EQ(pair_.requests.StatementOf("p"), nullptr);
  pair_.Part();
  EXPECT_EQ(backend_.named().size(), 0u);
  // A second one of the same name: the first one stands.
  pair_.Join(backend_);
  Run(pair_, kPrepare);
  const Statement* first = pair_.requests.StatementOf("p");
  Run(pair_, "PREPARE p AS SELECT 2", Error("ERROR", "42P05", "already exists"));
  EXPECT_EQ(pair_.requests.StatementOf("p"), first);
  pair_.Part();
  EXPECT_EQ(backend_.named().Find("p"), first);
}

// Nothing can be made in a transaction that has failed.
TEST_P(StatementsTest, WhatAFailedTransactionRefusesIsNotThere) {
  Make();
  pair_.Client(Query("BEGIN") + Query("SELECT 1/0"));
  pair_.Server(Complete("BEGIN") + Ready('T') + Error("ERROR", "22012", "by zero") + Ready('E'));
  pair_.wire = {};
  pair_.Client(Query(kPrepare));
  EXPECT_EQ(pair_.wire.TakeServer(), Query(kPrepare));
  pair_.Server(Error("ERROR", "25P02", "aborted") + Ready('E'));
  // A Bind would be refused for the transaction, not for the name.
  pair_.wire = {};
  pair_.Client(Bind("p") + Execute() + Sync());
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), kPrepare));
  pair_.Server(Message('3', "") + Error("ERROR", "25P02", "aborted") + Ready('E'));
  EXPECT_EQ(pair_.wire.TakeClient(), Error("ERROR", "25P02", "aborted") + Ready('E'));
  // Behind what ends it, it is made.
  pair_.Client(Query("ROLLBACK") + Query("EXECUTE p"));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), kPrepare));
}

TEST_P(StatementsTest, ARollbackTakesNothingBack) {
  pair_.Join(backend_);
  pair_.Client(Query("BEGIN") + Query(kPrepare) + Query("ROLLBACK"));
  pair_.Server(Complete("BEGIN") + Ready('T') + Complete("PREPARE") + Ready('T') +
               Complete("ROLLBACK") + Ready('I'));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Part();
  pair_.Join(another_);
  pair_.wire.TakeServer();
  pair_.Client(Query("EXECUTE p"));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), kPrepare));
}

// The server skips the text behind what it has refused, up to a Sync.
TEST_P(StatementsTest, WhatCannotBeMadeAgainIsTheClientsErrorAndItsTextDoesNotRun) {
  Make();
  const std::string error = Error("ERROR", "42P01", "relation \"t\" does not exist");
  for (const char status : {'I', 'T'}) {
    if (status == 'T') {
      pair_.Client(Query("BEGIN"));
      pair_.Server(Complete("BEGIN") + Ready('T'));
      pair_.wire = {};
    }
    pair_.Client(Query("EXECUTE p") + Query("INSERT"));
    const std::string sent = pair_.wire.TakeServer();
    EXPECT_TRUE(sent.ends_with(Query("EXECUTE p")));
    const std::string before = status == 'T' ? Closed() + Closed() : "";
    pair_.Server(before + Message('1', "") + Message('2', "") + error);
    EXPECT_EQ(pair_.wire.TakeServer(), Sync());
    EXPECT_EQ(pair_.wire.TakeClient(), error);
    pair_.Server(Ready(status == 'T' ? 'E' : 'I'));
    EXPECT_EQ(pair_.wire.TakeClient(), Ready(status == 'T' ? 'E' : 'I'));
    // Nothing runs before that is known.
    pair_.Pump();
    EXPECT_EQ(pair_.wire.TakeServer(), Query("INSERT"));
    pair_.Server(Complete("INSERT") + Ready(status == 'T' ? 'E' : 'I'));
    pair_.wire.TakeClient();
  }
  pair_.Client(Query("ROLLBACK"));
  pair_.Server(Complete("ROLLBACK") + Ready('I'));
  pair_.wire = {};
  // It can be taken away.
  pair_.Client(Query("DEALLOCATE p"));
  EXPECT_FALSE(Has(pair_.wire.TakeServer(), kPrepare));
  pair_.Server(Closed() + Message('1', "") + Complete("DEALLOCATE") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Complete("DEALLOCATE") + Ready('I'));
  EXPECT_EQ(pair_.requests.StatementOf("p"), nullptr);
}

TEST_P(StatementsTest, InABatchItsErrorIsTheBatchs) {
  Make();
  const std::string batch = Parse("", "EXECUTE p") + Bind("") + Execute() + Sync();
  pair_.Client(batch);
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), kPrepare));
  const std::string error = Error("ERROR", "42P01", "relation \"t\" does not exist");
  pair_.Server(Message('1', "") + Message('2', "") + error + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeServer(), "");
  EXPECT_EQ(pair_.wire.TakeClient(), error + Ready('I'));
  // It is made again next time.
  pair_.Client(batch);
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), kPrepare));
}

TEST_P(StatementsTest, OneOfTheProtocolIsThereForSql) {
  pair_.Join(backend_);
  pair_.Client(Parse("p", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Query("EXECUTE p"));
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("p", "SELECT 1") + Query("EXECUTE p"));
  pair_.Server(Message('1', "") + Complete("SELECT 1") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Complete("SELECT 1") + Ready('I'));
  const std::string taken = Error("ERROR", "42P05", "prepared statement \"p\" already exists");
  pair_.Client(Query(kPrepare));
  EXPECT_EQ(pair_.wire.TakeServer(), Query(kPrepare));
  pair_.Server(taken + Ready('I'));
  // Gone from one is gone from the other.
  pair_.Client(Query("DEALLOCATE p"));
  pair_.Server(Closed() + Message('1', "") + Complete("DEALLOCATE") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Query("EXECUTE p"));
  EXPECT_EQ(pair_.wire.TakeServer(), Close("p") + Query("EXECUTE p"));
}

TEST_P(StatementsTest, OneOfSqlIsThereForTheProtocol) {
  Make();
  pair_.Client(Parse("p", "SELECT 2") + Sync());
  // The server's own error.
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), Parse("__weir_passing", "SELECT 2")));
  pair_.Server(Closed() + Message('1', "") +
               Error("ERROR", "42P05", "prepared statement \"__weir_passing\" already exists") +
               Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(),
            Error("ERROR", "42P05", "prepared statement \"p\" already exists") + Ready('I'));
  const std::string use = Describe("p") + Bind("p") + Execute() + Sync();
  pair_.Client(use);
  const std::string sent = pair_.wire.TakeServer();
  EXPECT_TRUE(Has(sent, kPrepare));
  EXPECT_TRUE(sent.ends_with(use));
  pair_.Server(Placed() + Message('t', "") + Message('T', "") + Message('2', "") +
               Complete("SELECT 1") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Close("p") + Sync());
  pair_.Server(Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Closed() + Ready('I'));
  EXPECT_EQ(pair_.requests.StatementOf("p"), nullptr);
}

TEST_P(StatementsTest, ItIsMadeAgainUnderTheSettingsOfItsMaking) {
  Make();
  pair_.Client(Query("SET TimeZone = 'UTC'"));
  // What is behind a change of these settings would be another statement.
  EXPECT_TRUE(Has(pair_.wire.server, kPrepare));
  pair_.wire.TakeServer();
  pair_.Server(Placed() + Ready('I') + Complete("SET") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(another_, pair_.wire));
  pair_.Server(OwnReply(Values({"UTC"})));
  ASSERT_TRUE(pair_.requests.AskSession(another_, pair_.wire));
  pair_.Server(OwnReply(Values({"GMT"})));
  EXPECT_FALSE(pair_.requests.AskSession(another_, pair_.wire));
  pair_.Part();
  PostgresReplies third;
  pair_.Join(third);
  pair_.wire = {};
  pair_.Client(Query("EXECUTE p"));
  const std::string sent = pair_.wire.TakeServer();
  const size_t local = sent.find("set_config($1,$2,true)");
  ASSERT_NE(local, std::string::npos);
  EXPECT_LT(local, sent.find(kPrepare));
  EXPECT_NE(sent.find("set_config($1,$2,true)", sent.find(kPrepare)), std::string::npos);
  // What is made now is another one.
  pair_.Server(Message('1', "") + Message('2', "") + Complete("SELECT 1") + Ready('I') + Own() +
               Closed() + Placed() + Own() + Closed() + Complete("SELECT 1") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Complete("SELECT 1") + Ready('I'));
}

class AskedTest : public StatementsTest {
 protected:
  void SetUp() override { pair_.Join(backend_); }
  PinReason reason() const { return static_cast<PinReason>(pair_.requests.marks().pin_reason); }
  // It is asked of these names, and told.
  void Asks(const std::vector<std::string>& parameters, const std::vector<std::string>& told) {
    pair_.wire = {};
    ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
    const std::string sent = pair_.wire.TakeServer();
    size_t at = sent.find("pg_prepared_statements");
    for (const std::string& each : parameters) {
      at = sent.find(each, at);
      EXPECT_NE(at, std::string::npos) << each;
    }
    pair_.Server(OwnReply(Values(told)));
    EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
    EXPECT_EQ(pair_.wire.TakeClient(), "");
  }
};
INSTANTIATE_TEST_SUITE_P(Splits, AskedTest, testing::ValuesIn(kSplits));

TEST_P(AskedTest, SeveralStatementsInOneTextAreAskedFor) {
  pair_.Client(Query("BEGIN; PREPARE p AS SELECT 1; COMMIT"));
  pair_.Server(Complete("X") + Ready('I'));
  EXPECT_TRUE(pair_.requests.session_at_risk());
  Asks({"p"}, {"x", "0", "0"});
  // The server has another text than what is to be run.
  EXPECT_EQ(reason(), kPreparedStatement);
  pair_.requests.ClearMarks();
  pair_.Client(Query("EXECUTE p"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("EXECUTE p"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(reason(), kPreparedStatement);
  pair_.Client(Query("DEALLOCATE p"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("DEALLOCATE p"));
  pair_.Server(Complete("DEALLOCATE") + Ready('I'));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(reason(), kNone);
}

TEST_P(AskedTest, APrepareInTheExtendedProtocolIsAskedFor) {
  pair_.Client(Parse("", kPrepare) + Bind("") + Execute() + Sync());
  pair_.Server(Message('1', "") + Message('2', "") + Complete("PREPARE") + Ready('I'));
  Asks({"p", kPrepare}, {"n", "0", "0"});
  EXPECT_EQ(reason(), kNone);
  ASSERT_NE(pair_.requests.StatementOf("p"), nullptr);
  EXPECT_EQ(pair_.requests.StatementOf("p")->text(), kPrepare);
  pair_.Part();
  pair_.Join(another_);
  pair_.Client(Query("EXECUTE p"));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), kPrepare));
}

// Then it is missing for another reason than that it has been taken away.
TEST_P(AskedTest, WhatCouldNotBeMadeIsNotGone) {
  Run(pair_, kPrepare);
  pair_.Part();
  pair_.Join(another_);
  pair_.Client(Query("EXECUTE p; DEALLOCATE p"));
  pair_.Server(Message('1', "") + Message('2', "") + Error("ERROR", "42P01", "no such table") +
               Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(another_, pair_.wire));
  const std::string absent =
      Message('D', std::string("\0\3\xff\xff\xff\xff\0\0\0\0010\0\0\0\0010", 16));
  pair_.Server(Message('3', "") + OwnReply(absent));
  EXPECT_FALSE(pair_.requests.AskSession(another_, pair_.wire));
  EXPECT_NE(pair_.requests.StatementOf("p"), nullptr);
  EXPECT_EQ(reason(), kNone);
  pair_.requests.ClearMarks();
  // It was there, and is not.
  pair_.Part();
  pair_.Join(backend_);
  pair_.Client(Query("EXECUTE p; DEALLOCATE p"));
  pair_.Server(Complete("DEALLOCATE") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnReply(absent));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(pair_.requests.StatementOf("p"), nullptr);
}

TEST_P(AskedTest, WhatIsMadeBesideTemporaryObjectsKeepsTheBackend) {
  pair_.Client(Query("CREATE TEMP TABLE t (a int)"));
  pair_.Server(Complete("CREATE TABLE") + Ready('I'));
  pair_.Client(Query(kPrepare));
  pair_.Server(Complete("PREPARE") + Ready('I'));
  EXPECT_EQ(pair_.requests.StatementOf("p"), &kNotShared);
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnReply(Values({"f"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(reason(), kPreparedStatement);
}

TEST_P(AskedTest, BeyondTheLimitsTheBackendIsKept) {
  Run(pair_, "PREPARE big AS SELECT '" + std::string(60000, 'x') + "'");
  EXPECT_EQ(reason(), kNone);
  Run(pair_, "PREPARE more AS SELECT '" + std::string(6000, 'x') + "'");
  EXPECT_EQ(pair_.requests.StatementOf("more"), &kNotShared);
  EXPECT_EQ(reason(), kPreparedStatement);
}

TEST_P(AskedTest, AClientThatVanishesLeavesWhatIsNotKnown) {
  pair_.Client(Query(kPrepare));
  pair_.Part();
  EXPECT_EQ(backend_.named().Find("p"), &kUnknownName);
  const std::string reply = Complete("PREPARE") + Ready('I');
  ASSERT_EQ(backend_.Take(engine::AsBytes(reply), pair_.wire), ReplyStatus::kOk);
  other_.Join(backend_);
  other_.Client(Query("EXECUTE p"));
  EXPECT_EQ(other_.wire.TakeServer(), Close("p") + Query("EXECUTE p"));
}

TEST_P(AskedTest, AllThatTheServerHasIsTheClientsOwnWhereItIsShown) {
  pair_.Client(Parse("a", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  Run(pair_, kPrepare);
  const std::string text = "SELECT * FROM pg_prepared_statements";
  pair_.Client(Query(text));
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("a", "SELECT 1") + Close("__weir_s1") +
                                         Close("__weir_passing") + Close("__weir_own") + Sync() +
                                         Query(text));
  EXPECT_EQ(backend_.prepared().size(), 0u);
}

TEST_P(AskedTest, WeirsOwnThatAreGoneAreForgotten) {
  pair_.Client(Parse("a", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  EXPECT_EQ(backend_.prepared().size(), 1u);
  pair_.Client(Bind("a") + Execute() + Sync());
  pair_.Server(Error("ERROR", "26000", "prepared statement \"__weir_s1\" does not exist") +
               Ready('I'));
  EXPECT_EQ(backend_.prepared().size(), 0u);
}

}  // namespace
}  // namespace weir::postgres
