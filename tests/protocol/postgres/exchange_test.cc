// Both halves of the exchange, driven with messages as a client and a server would send them.
// Prepared statements: exchange_prepared_test.cc.
#include <gtest/gtest.h>

#include <string>

#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

INSTANTIATE_TEST_SUITE_P(Splits, ExchangeTest, testing::ValuesIn(kSplits));

TEST_P(ExchangeTest, ASimpleQueryPassesUnchanged) {
  EXPECT_EQ(pair_.Client(Query("SELECT 1")).status, TakeStatus::kNeedsBackend);
  pair_.Join(backend_);
  EXPECT_EQ(pair_.Pump().status, TakeStatus::kMore);
  EXPECT_EQ(pair_.wire.TakeServer(), Query("SELECT 1"));
  EXPECT_FALSE(backend_.quiet());
  const std::string reply = Message('T', "columns") + Row("1") + Complete("SELECT 1") + Ready('I');
  EXPECT_EQ(pair_.Server(reply), ReplyStatus::kOk);
  EXPECT_EQ(pair_.wire.TakeClient(), reply);
  EXPECT_TRUE(backend_.quiet());
  EXPECT_EQ(backend_.transaction_status(), TransactionStatus::kIdle);
}

TEST_P(ExchangeTest, NothingNeedsABackendBeforeTheMessageIsWhole) {
  const std::string query = Query("SELECT 1");
  EXPECT_EQ(pair_.Client(query.substr(0, query.size() - 1)).status, TakeStatus::kMore);
  EXPECT_EQ(pair_.Client(query.substr(query.size() - 1)).status, TakeStatus::kNeedsBackend);
}

TEST_P(ExchangeTest, ALoneSyncAndStrayCopyDataNeverBorrow) {
  EXPECT_EQ(
      pair_.Client(Sync() + Message('d', "late") + Message('c', "") + Message('H', "")).status,
      TakeStatus::kMore);
  EXPECT_EQ(pair_.wire.TakeClient(), Ready('I'));
  EXPECT_TRUE(pair_.held.empty());
}

TEST_P(ExchangeTest, GarbageIsMalformed) {
  EXPECT_EQ(pair_.Client(Message('!', "x")).status, TakeStatus::kMalformed);
  Pair other(context_, GetParam());
  EXPECT_EQ(other.Client(std::string("Q\0\0\0\3", 5)).status, TakeStatus::kMalformed);
  Pair third(context_, GetParam());
  EXPECT_EQ(third.Client(std::string("Q\x80\0\0\0", 5)).status, TakeStatus::kMalformed);
}

TEST_P(ExchangeTest, AfterAnErrorEverythingUpToSyncIsDropped) {
  pair_.Join(backend_);
  pair_.Client(Parse("", "SELEC") + Message('H', ""));
  pair_.Server(Error("ERROR", "42601", "syntax error"));
  pair_.wire = {};
  EXPECT_FALSE(backend_.quiet());
  pair_.Client(Bind("") + Query("SELECT 1") + Execute());
  EXPECT_EQ(pair_.wire.TakeServer(), "");
  pair_.Client(Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Sync());
  pair_.Server(Ready('I'));
  EXPECT_TRUE(backend_.quiet());
}

TEST_P(ExchangeTest, YieldHoldsWhatStandsBehindARequest) {
  pair_.Join(backend_);
  EXPECT_EQ(pair_.Client(Query("SELECT 1") + Query("SELECT 2"), true).status,
            TakeStatus::kAwaitReady);
  EXPECT_EQ(pair_.wire.TakeServer(), Query("SELECT 1"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  EXPECT_TRUE(backend_.quiet());
  EXPECT_EQ(pair_.held, Query("SELECT 2"));
}

TEST_P(ExchangeTest, CopyInWithSyncSentAhead) {
  pair_.Join(backend_);
  pair_.Client(Parse("", "COPY t FROM STDIN") + Bind("") + Execute() + Sync());
  pair_.Server(Message('1', "") + Message('2', "") + Message('G', "xxx"));
  EXPECT_TRUE(backend_.copy_in());
  EXPECT_EQ(backend_.requests_owed(), 0u);  // that Sync is eaten by the COPY
  pair_.wire = {};
  pair_.Client(Message('d', "1\n") + Message('c', "") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Message('d', "1\n") + Message('c', "") + Sync());
  pair_.Server(Complete("COPY 1") + Ready('I'));
  EXPECT_TRUE(backend_.quiet());
}

// What is sent ahead of the server's CopyInResponse, its end included, is not taken for data that
// the server still waits for.
TEST_P(ExchangeTest, CopyInSentAheadToItsEnd) {
  for (const std::string& end : {Message('c', ""), Message('f', Z("no"))}) {
    pair_.Join(backend_);
    const std::string sent = Query("COPY t FROM STDIN") + Message('d', "1\n") + end +
                             Parse("", "SELECT 1") + Bind("") + Execute() + Sync();
    pair_.Client(sent.substr(0, sent.size() - Sync().size()));
    pair_.Server(Message('G', "xxx"));
    EXPECT_FALSE(backend_.copy_in());
    pair_.Client(Sync());
    EXPECT_EQ(pair_.wire.TakeServer(), sent);
    pair_.Server(Complete("COPY 1") + Ready('I') + Message('1', "") + Message('2', "") +
                 Complete("SELECT 1") + Ready('I'));
    EXPECT_TRUE(backend_.quiet());
    pair_.Part();
  }
}

TEST_P(ExchangeTest, ExtendedCopyInSentAheadToItsEnd) {
  pair_.Join(backend_);
  pair_.Client(Parse("", "COPY t FROM STDIN") + Bind("") + Execute() + Sync());
  pair_.Client(Message('d', "1\n") + Message('c', "") + Sync() + Query("SELECT 2"));
  pair_.Server(Message('1', "") + Message('2', "") + Message('G', "xxx"));
  EXPECT_FALSE(backend_.copy_in());
  EXPECT_EQ(backend_.requests_owed(), 2u);  // the first Sync is eaten by the COPY
  pair_.Server(Complete("COPY 1") + Ready('I') + Complete("SELECT 1") + Ready('I'));
  EXPECT_TRUE(backend_.quiet());
}

TEST_P(ExchangeTest, ANameLongerThanWhatIsReadIsMalformedHoweverItComes) {
  pair_.Join(backend_);
  EXPECT_EQ(pair_.Client(Bind(std::string(20000, 'n'))).status, TakeStatus::kMalformed);
}

TEST_P(ExchangeTest, CopyInByAQueryEatsASyncToo) {
  pair_.Join(backend_);
  pair_.Client(Query("COPY t FROM STDIN") + Sync());
  pair_.Server(Message('G', "xxx"));
  EXPECT_EQ(backend_.requests_owed(), 1u);
  pair_.Client(Message('d', "1\n") + Message('c', ""));
  pair_.Server(Complete("COPY 1") + Ready('I'));
  EXPECT_TRUE(backend_.quiet());
}

TEST_P(ExchangeTest, CopyInOfAClientThatDoesNotWaitToBeAsked) {
  const std::string data = Message('d', "1\n") + Message('c', "");
  for (const std::string& request :
       {Query("COPY t FROM STDIN"),
        Parse("", "COPY t FROM STDIN") + Bind("") + Execute() + Sync()}) {
    PostgresReplies backend;
    pair_.Join(backend);
    pair_.Client(request + data + Sync());
    EXPECT_EQ(pair_.wire.TakeServer(), request + data + Sync());
    if (request[0] == 'P') pair_.Server(Message('1', "") + Message('2', ""));
    pair_.Server(Message('G', "xxx"));
    EXPECT_FALSE(backend.copy_in());
    // A Sync now is not eaten by the COPY.
    pair_.Client(Sync());
    EXPECT_EQ(pair_.wire.TakeServer(), Sync());
    if (request[0] == 'Q') pair_.Server(Complete("COPY 1") + Ready('I') + Ready('I') + Ready('I'));
    if (request[0] == 'P') pair_.Server(Complete("COPY 1") + Ready('I') + Ready('I'));
    EXPECT_TRUE(backend.quiet());
    pair_.Part();
  }
}

TEST_P(ExchangeTest, NoticesAndParametersPassAtAnyMoment) {
  pair_.Join(backend_);
  pair_.Client(Query("SELECT 1"));
  const std::string reply = Message('N', Z("SNOTICE") + '\0') +
                            Message('S', Z("TimeZone") + Z("UTC")) + Message('A', "note") +
                            Complete("SELECT 1") + Ready('T');
  EXPECT_EQ(pair_.Server(reply), ReplyStatus::kOk);
  EXPECT_EQ(pair_.wire.TakeClient(), reply);
  EXPECT_EQ(backend_.transaction_status(), TransactionStatus::kInTransaction);
}

// A backend may be borrowed while a message that nobody asked for is half here.
TEST_P(ExchangeTest, AClientMayJoinWithinAMessageOfTheServer) {
  const std::string notice = Message('N', Z("SNOTICE") + '\0');
  const std::string parameter = Message('S', Z("TimeZone") + Z("UTC"));
  for (const std::string& early : {notice, parameter}) {
    for (size_t cut = 1; cut < early.size(); ++cut) {
      Pair pair(context_, GetParam());
      PostgresReplies backend;
      Wire nobody;
      nobody.input = early.substr(0, cut);
      EXPECT_EQ(backend.Take(engine::AsBytes(nobody.input), nobody), ReplyStatus::kOk);
      EXPECT_TRUE(backend.settled());
      EXPECT_FALSE(backend.quiet());
      pair.Join(backend);
      pair.Client(Query("SELECT 1"));
      const std::string reply = Complete("SELECT 1") + Ready('I');
      EXPECT_EQ(pair.Server(early.substr(cut) + reply), ReplyStatus::kOk);
      const std::string got = pair.wire.TakeClient();
      // A parameter is told whole, a notice to nobody is told to nobody or whole.
      if (early == parameter) {
        EXPECT_EQ(got, parameter + reply);
      } else {
        EXPECT_TRUE(got == reply || got == notice + reply);
      }
      EXPECT_TRUE(backend.quiet());
    }
  }
}

TEST_P(ExchangeTest, AReplyThatNobodyIsOwedIsMalformed) {
  pair_.Join(backend_);
  EXPECT_EQ(pair_.Server(Row("stray")), ReplyStatus::kMalformed);
}

TEST_P(ExchangeTest, AReadyForQueryTooManyIsMalformed) {
  pair_.Join(backend_);
  pair_.Client(Query("SELECT 1"));
  EXPECT_EQ(pair_.Server(Complete("SELECT 1") + Ready('I') + Ready('I')), ReplyStatus::kMalformed);
}

TEST_P(ExchangeTest, AFatalErrorIsKeptForTheOwner) {
  pair_.Join(backend_);
  pair_.Client(Query("SELECT 1") + Query("SELECT 2"));
  EXPECT_EQ(pair_.Server(Error("FATAL", "57P01", "going down") + Message('!', "")),
            ReplyStatus::kFatal);
  EXPECT_EQ(backend_.fatal_sqlstate(), "57P01");
  EXPECT_EQ(pair_.wire.TakeClient(), "");
  EXPECT_FALSE(backend_.FailOwed(engine::AsBytes(Error("ERROR", "57P01", "x")), pair_.wire));
  const std::string each = Error("ERROR", "57P01", "x") + Ready('I');
  EXPECT_EQ(pair_.wire.TakeClient(), each + each);
}

TEST_P(ExchangeTest, AnOpenBatchIsAnsweredAtItsSync) {
  pair_.Join(backend_);
  pair_.Client(Parse("", "SELECT 1") + Bind("") + Message('H', ""));
  const std::string error = Error("ERROR", "08006", "lost");
  EXPECT_TRUE(backend_.FailOwed(engine::AsBytes(error), pair_.wire));
  pair_.requests.OnBackendLost(true);
  pair_.Part();
  EXPECT_EQ(pair_.wire.TakeClient(), error);
  EXPECT_EQ(pair_.Client(Execute() + Sync()).status, TakeStatus::kMore);
  EXPECT_EQ(pair_.wire.TakeClient(), Ready('I'));
  EXPECT_EQ(pair_.Client(Query("SELECT 1")).status, TakeStatus::kNeedsBackend);
}

TEST_P(ExchangeTest, ABatchThatHasFailedGetsNoSecondErrorWithItsBackend) {
  pair_.Join(backend_);
  const std::string syntax = Error("ERROR", "42601", "x");
  const std::string lost = Error("ERROR", "08006", "lost");
  // The Sync is on its way when the error comes, or follows it.
  pair_.Client(Parse("", "x") + Sync() + Parse("", "y"));
  pair_.Server(syntax);
  EXPECT_TRUE(backend_.FailOwed(engine::AsBytes(lost), pair_.wire));
  EXPECT_EQ(pair_.wire.TakeClient(), syntax + Ready('I') + lost);
  pair_.Client(Sync());
  pair_.Server(Ready('I'));
  pair_.Client(Parse("", "x"));
  pair_.Server(syntax);
  pair_.Client(Sync() + Query("SELECT 1"));
  pair_.wire.TakeClient();
  EXPECT_FALSE(backend_.FailOwed(engine::AsBytes(lost), pair_.wire));
  EXPECT_EQ(pair_.wire.TakeClient(), Ready('I') + lost + Ready('I'));
}

TEST_P(ExchangeTest, ARefusedRequestGetsItsErrorAndTheNextIsServed) {
  const std::string error = Error("ERROR", "08000", "timed out");
  EXPECT_EQ(pair_.Client(Parse("", "SELECT 1")).status, TakeStatus::kNeedsBackend);
  pair_.requests.Refuse(engine::AsBytes(error));
  pair_.Pump();
  EXPECT_EQ(pair_.wire.TakeClient(), error);
  pair_.Client(Bind("") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeClient(), Ready('I'));
  EXPECT_EQ(pair_.Client(Query("SELECT 2")).status, TakeStatus::kNeedsBackend);
  pair_.requests.Refuse(engine::AsBytes(error));
  pair_.Pump();
  EXPECT_EQ(pair_.wire.TakeClient(), error + Ready('I'));
  EXPECT_TRUE(pair_.held.empty());
}

TEST_P(ExchangeTest, WhatAGoneClientLeftIsSwallowed) {
  pair_.Join(backend_);
  pair_.Client(Query("BEGIN"));
  pair_.Server(Complete("BEGIN") + Ready('T'));
  pair_.Client(Parse("", "SELECT 1") + Bind("") + Execute());
  pair_.Part();
  pair_.wire = {};
  EXPECT_TRUE(backend_.FinishAbandoned(false, pair_.wire));
  EXPECT_EQ(pair_.wire.TakeServer(), Sync());
  Wire wire;
  wire.input = Message('1', "") + Message('2', "") + Row("1") + Complete("SELECT 1") + Ready('T');
  EXPECT_EQ(backend_.Take(engine::AsBytes(wire.input), wire), ReplyStatus::kOk);
  EXPECT_EQ(wire.client, "");
  EXPECT_TRUE(backend_.quiet());
  backend_.OwnStatement("ROLLBACK", wire);
  wire.input = Own() + Ready('I');
  EXPECT_EQ(backend_.Take(engine::AsBytes(wire.input), wire), ReplyStatus::kOk);
  EXPECT_EQ(wire.client, "");
  EXPECT_TRUE(backend_.quiet());
  EXPECT_EQ(backend_.transaction_status(), TransactionStatus::kIdle);
}

TEST_P(ExchangeTest, AStatementThatLeavesSomethingBehindPins) {
  pair_.Join(backend_);
  pair_.Client(Query("LISTEN x"));
  EXPECT_NE(pair_.requests.marks().pin_reason, 0);
}

// Weir's own answer is not put into a message that the client has a part of.
TEST_P(ExchangeTest, AnAnswerOfWeirsWaitsForTheEndOfANotice) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.wire = {};
  const std::string notice = Message('N', "SNOTICE" + std::string(2, '\0'));
  pair_.Server(notice.substr(0, 8));
  pair_.Client(Parse("b", "SELECT $1"));
  EXPECT_EQ(pair_.wire.client, notice.substr(0, 8));
  pair_.Client(Sync());
  pair_.Server(notice.substr(8) + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), notice + Message('1', "") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeServer(), Sync());
  EXPECT_TRUE(backend_.quiet());
}

// What weir answers itself cannot ask for data.
TEST_P(ExchangeTest, CopyDataBehindAnAnswerOfWeirsIsStray) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Parse("b", "SELECT $1") + Message('f', Z("no")) + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Sync());
  pair_.Server(Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Message('1', "") + Ready('I'));
}

}  // namespace
}  // namespace weir::postgres
