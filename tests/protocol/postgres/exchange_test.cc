// Both halves of the exchange, driven with messages as a client and a server would send them, in
// every split.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/postgres/replies.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {
namespace {

using protocol::ReplyStatus;
using protocol::Taken;
using protocol::TakeStatus;
using protocol::TransactionStatus;

std::string Message(char type, std::string_view body) {
  std::string out(1, type);
  const uint32_t length = static_cast<uint32_t>(body.size()) + 4;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  return out.append(body);
}

std::string Z(std::string_view text) { return std::string(text) + '\0'; }
std::string Query(std::string_view sql) { return Message('Q', Z(sql)); }
std::string Parse(std::string_view name, std::string_view sql) {
  return Message('P', Z(name) + Z(sql) + std::string(2, '\0'));
}
std::string Bind(std::string_view name) {
  return Message('B', Z("") + Z(name) + std::string(6, '\0'));
}
std::string Describe(std::string_view name) { return Message('D', "S" + Z(name)); }
std::string Close(std::string_view name) { return Message('C', "S" + Z(name)); }
std::string Execute() { return Message('E', Z("") + std::string(4, '\0')); }
std::string Sync() { return Message('S', ""); }
std::string Ready(char status) { return Message('Z', std::string(1, status)); }
std::string Complete(std::string_view tag) { return Message('C', Z(tag)); }
std::string Row(std::string_view value) { return Message('D', value); }
std::string Error(std::string_view severity, std::string_view code, std::string_view text) {
  return Message('E', "S" + Z(severity) + "V" + Z(severity) + "C" + Z(code) + "M" + Z(text) +
                          std::string(1, '\0'));
}
std::string Own() {  // what a statement of weir's own is answered with
  return Message('1', "") + Message('2', "") + Complete("X") + Message('3', "");
}

// Collects what the exchange forwards and inserts, in order.
class Wire final : public protocol::ExchangeSink {
 public:
  void ForwardToServer(uint32_t offset, uint32_t length) override {
    server += input.substr(offset, length);
  }
  void InsertToServer(engine::Bytes bytes) override { server += engine::AsText(bytes); }
  void ForwardToClient(uint32_t offset, uint32_t length) override {
    client += input.substr(offset, length);
  }
  void InsertToClient(engine::Bytes bytes) override { client += engine::AsText(bytes); }
  std::string TakeServer() { return std::exchange(server, {}); }
  std::string TakeClient() { return std::exchange(client, {}); }

  std::string input;
  std::string server;
  std::string client;
};

// One client and one backend; bytes arrive in pieces of at most `piece`.
class Pair {
 public:
  Pair(RequestsContext& context, size_t piece = 1 << 20, uint64_t serial = 1)
      : piece_(piece), requests(context, serial) {}

  void Join(PostgresReplies& backend) {
    replies = &backend;
    replies->Join(requests);
  }
  void Part() {
    replies->Part();
    replies = nullptr;
  }

  Taken Client(std::string_view bytes, bool yield = false) {
    Taken taken;
    while (!bytes.empty()) {
      held += bytes.substr(0, piece_);
      bytes.remove_prefix(std::min(piece_, bytes.size()));
      taken = Pump(yield);
    }
    return taken;
  }
  Taken Pump(bool yield = false) {
    Taken taken;
    do {
      wire.input = held;
      taken = requests.Take(engine::AsBytes(wire.input), replies, yield, wire);
      held.erase(0, taken.consumed);
      if (replies != nullptr) replies->Flush(wire);
    } while (taken.consumed > 0 && taken.status == TakeStatus::kMore && taken.need <= held.size());
    return taken;
  }
  ReplyStatus Server(std::string_view bytes) {
    ReplyStatus status = ReplyStatus::kOk;
    while (!bytes.empty()) {
      wire.input = std::string(bytes.substr(0, piece_));
      bytes.remove_prefix(std::min(piece_, bytes.size()));
      status = replies->Take(engine::AsBytes(wire.input), wire);
      if (status != ReplyStatus::kOk) return status;
    }
    return status;
  }

  const size_t piece_;
  PostgresRequests requests;
  PostgresReplies* replies = nullptr;
  Wire wire;
  std::string held;
};

class ExchangeTest : public testing::TestWithParam<size_t> {
 protected:
  StatementTable table_;
  RequestsContext context_{table_};
  PostgresReplies backend_;
  Pair pair_{context_, GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Splits, ExchangeTest,
                         testing::Values(1, 2, 3, 4, 5, 6, 7, 11, 64, 1 << 20));

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

TEST_P(ExchangeTest, NamedStatementsGetNamesOfTheServer) {
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

TEST_P(ExchangeTest, AStatementIsPreparedAheadOnAnotherBackend) {
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

TEST_P(ExchangeTest, AParseThatTheBackendHasIsAnsweredByWeir) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  Pair second(context_, GetParam(), 2);
  second.Join(backend_);
  second.Client(Parse("b", "SELECT $1") + Bind("b") + Execute() + Sync());
  EXPECT_EQ(second.wire.TakeServer(), Bind("__weir_s1") + Execute() + Sync());
  second.Server(Message('2', "") + Complete("SELECT 0") + Ready('I'));
  EXPECT_EQ(second.wire.TakeClient(),
            Message('1', "") + Message('2', "") + Complete("SELECT 0") + Ready('I'));
}

TEST_P(ExchangeTest, AFailedParseIsForgotten) {
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

TEST_P(ExchangeTest, WhatTheServerSkipsIsUndone) {
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

TEST_P(ExchangeTest, ErrorTextsCarryTheClientsName) {
  pair_.Join(backend_);
  pair_.Client(Parse("mine", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.wire = {};
  pair_.Client(Parse("mine", "SELECT 2") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("__weir_s1", "SELECT 2") + Sync());
  pair_.Server(Error("ERROR", "42P05", "prepared statement \"__weir_s1\" already exists") +
               Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(),
            Error("ERROR", "42P05", "prepared statement \"mine\" already exists") + Ready('I'));
}

// Two clients that alternate a split unnamed Parse | Bind over one backend.
TEST_P(ExchangeTest, TheUnnamedStatementIsParsedAgain) {
  Pair second(context_, GetParam(), 2);
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

TEST_P(ExchangeTest, AClientWithoutAnUnnamedStatementNeverRunsAnothers) {
  Pair second(context_, GetParam(), 2);
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
  EXPECT_EQ(pair_.Server(Error("FATAL", "57P01", "going down")), ReplyStatus::kFatal);
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

TEST_P(ExchangeTest, ALimitOnPreparedStatementsMakesTheOldestGiveWay) {
  context_.prepared_max = 2;
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

TEST_P(ExchangeTest, ASetPins) {
  pair_.Join(backend_);
  pair_.Client(Query("SET search_path TO x"));
  EXPECT_NE(pair_.requests.marks().pin_reason, 0);
}

}  // namespace
}  // namespace weir::postgres
