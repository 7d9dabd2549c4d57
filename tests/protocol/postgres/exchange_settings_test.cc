// A client's settings in an exchange: asked after its transaction, replayed where it runs next.
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

using protocol::kUnknownProfile;

class SettingsTest : public ExchangeTest {
 protected:
  // The client has set one setting, and it has been asked.
  void Set(Pair& pair, const std::string& name, const std::string& value,
           const std::string& given) {
    pair.Client(Query("SET " + name + " = '" + value + "'"));
    pair.Server(Complete("SET") + Ready('I'));
    EXPECT_TRUE(pair.requests.AskSession(*pair.replies, pair.wire));
    pair.Server(OwnReply(Values({value})));
    EXPECT_TRUE(pair.requests.AskSession(*pair.replies, pair.wire));
    pair.Server(OwnReply(Values({given})));
    EXPECT_FALSE(pair.requests.AskSession(*pair.replies, pair.wire));
    pair.wire.TakeServer();
    pair.wire.TakeClient();
  }
  // It has set one setting, and another client has its backend.
  void HandOver(const std::string& name, const std::string& value, const std::string& given) {
    pair_.Join(backend_);
    Set(pair_, name, value, given);
    pair_.Part();
    other_.Join(backend_);
  }
  static bool Has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }

  Pair other_{context_, GetParam()};
};

TEST_P(SettingsTest, WhatATransactionHasSetIsAsked) {
  pair_.Join(backend_);
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Client(Query("SET work_mem = '9MB'"));
  EXPECT_TRUE(pair_.requests.SettingsUncertain());
  EXPECT_FALSE(pair_.requests.session_at_risk());
  pair_.Server(Complete("SET") + Ready('I'));
  EXPECT_TRUE(pair_.requests.session_at_risk());
  pair_.wire = {};
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "SELECT pg_catalog.current_setting($1,true)"));
  pair_.Server(OwnReply(Values({"9MB"})));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "SELECT pg_catalog.set_config($1,NULL,true)"));
  pair_.Server(OwnReply(Values({"4MB"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(pair_.wire.TakeClient(), "");
  EXPECT_NE(pair_.requests.profile(), 0u);
  EXPECT_EQ(backend_.profile(), pair_.requests.profile());
  EXPECT_EQ(pair_.requests.marks().pin_reason, 0);
}

TEST_P(SettingsTest, WhatWillPinIsAtRiskOnceTheClientKnowsOfIt) {
  pair_.Join(backend_);
  pair_.Client(Query("CREATE TEMP TABLE t ()"));
  EXPECT_FALSE(pair_.requests.session_at_risk());
  pair_.Client(Parse("", "SELECT 1"));
  pair_.Server(Complete("CREATE TABLE") + Ready('I'));
  EXPECT_TRUE(pair_.requests.session_at_risk());
  pair_.requests.ClearMarks();
  EXPECT_FALSE(pair_.requests.session_at_risk());
}

TEST_P(SettingsTest, AnAnswerWithoutABodyIsMalformedHoweverItComes) {
  pair_.Join(backend_);
  pair_.Client(Query("SET work_mem = '9MB'"));
  pair_.Server(Complete("SET") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(pair_.Server(Message('1', "") + Message('2', "") + Message('D', "") + Complete("X")),
            ReplyStatus::kMalformed);
}

TEST_P(SettingsTest, WhatEqualsTheDefaultIsNoSetting) {
  pair_.Join(backend_);
  Set(pair_, "work_mem", "4MB", "4MB");
  EXPECT_EQ(pair_.requests.profile(), 0u);
}

TEST_P(SettingsTest, TheServersDefaultIsASettingWhereInitQueryHasSetAnother) {
  backend_.set_initial({{"work_mem", "8MB"}});
  pair_.Join(backend_);
  Set(pair_, "work_mem", "4MB", "4MB");
  EXPECT_NE(pair_.requests.profile(), 0u);
  EXPECT_EQ(backend_.profile(), pair_.requests.profile());
  Set(pair_, "work_mem", "8MB", "4MB");
  EXPECT_EQ(pair_.requests.profile(), 0u);
}

TEST_P(SettingsTest, EqualSettingsAreOneProfile) {
  pair_.Join(backend_);
  Set(pair_, "work_mem", "9MB", "4MB");
  pair_.Part();
  Pair other(context_, GetParam());
  PostgresReplies another;
  other.Join(another);
  Set(other, "work_mem", "9MB", "4MB");
  EXPECT_EQ(other.requests.profile(), pair_.requests.profile());
  EXPECT_EQ(context_.profiles.size(), 1u);
}

TEST_P(SettingsTest, AnotherClientsSettingsAreTakenBackAheadOfItsMessage) {
  HandOver("application_name", "mine", "");
  other_.Client(Query("SELECT 1"));
  const std::string sent = other_.wire.TakeServer();
  EXPECT_TRUE(Has(sent, "exit_on_error"));
  EXPECT_TRUE(sent.ends_with(Sync() + Query("SELECT 1")));
  EXPECT_EQ(backend_.profile(), 0u);
  // The report of weir's own change is not for the client.
  other_.Server(Message('1', "") + Message('2', "") + Values({"on", "", "off"}) +
                Complete("SELECT 1") + Message('S', std::string("application_name\0\0", 18)) +
                Ready('I') + Row("1") + Complete("SELECT 1") + Ready('I'));
  EXPECT_EQ(other_.wire.TakeClient(), Row("1") + Complete("SELECT 1") + Ready('I'));
}

TEST_P(SettingsTest, OthersWaitingDoNotKeepTheFirstMessageBehindItsReplay) {
  HandOver("work_mem", "9MB", "4MB");
  other_.Client(Query("SELECT 1"), /*yield=*/true);
  EXPECT_TRUE(other_.wire.TakeServer().ends_with(Query("SELECT 1")));
}

TEST_P(SettingsTest, AReplayThatFailedIsFromThenOnWaitedFor) {
  pair_.Join(backend_);
  Set(pair_, "work_mem", "9MB", "4MB");
  pair_.Part();
  PostgresReplies another;
  pair_.Join(another);
  pair_.Client(Query("INSERT"));
  const std::string fatal = Error("FATAL", "22023", "no such value");
  ASSERT_EQ(pair_.Server(Message('1', "") + Message('2', "") + fatal), ReplyStatus::kFatal);
  EXPECT_FALSE(another.FailOwed(engine::AsBytes(std::string("E")), pair_.wire));
  pair_.requests.OnBackendLost(false);
  EXPECT_EQ(pair_.wire.TakeClient(), "E" + Ready('I'));
  pair_.Part();
  pair_.wire = {};

  PostgresReplies third;
  pair_.Join(third);
  EXPECT_EQ(pair_.Client(Query("INSERT")).status, TakeStatus::kAwaitReady);
  EXPECT_TRUE(pair_.requests.entering());
  EXPECT_FALSE(Has(pair_.wire.server, "exit_on_error"));
  EXPECT_FALSE(Has(pair_.wire.TakeServer(), "INSERT"));
  const std::string error = Error("ERROR", "22023", "no such value");
  pair_.Server(Message('1', "") + Message('2', "") + error + Ready('I'));
  EXPECT_EQ(pair_.Pump().status, TakeStatus::kRefused);
  EXPECT_EQ(third.own_error(), error);
  EXPECT_EQ(third.profile(), kUnknownProfile);
  EXPECT_EQ(pair_.wire.TakeServer(), "");
  EXPECT_EQ(pair_.wire.TakeClient(), "");
  pair_.Part();

  // What changes the setting is let through.
  PostgresReplies fourth;
  pair_.held.clear();
  pair_.Join(fourth);
  pair_.Client(Query("RESET work_mem"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("RESET work_mem"));
}

class CarefulTest : public SettingsTest {
 protected:
  // A client whose settings cannot be replayed has got another backend.
  void SetUp() override {
    pair_.Join(backend_);
    Set(pair_, "work_mem", "9MB", "4MB");
    pair_.Part();
    pair_.requests.OnReplayFailed();
    pair_.Join(another_);
  }
  PostgresReplies another_;
};
INSTANTIATE_TEST_SUITE_P(Splits, CarefulTest, testing::ValuesIn(kSplits));

TEST_P(CarefulTest, NothingRunsBehindAChangeBeforeItIsKnownToBeMade) {
  EXPECT_EQ(pair_.Client(Query("RESET work_mem") + Query("INSERT")).status,
            TakeStatus::kAwaitReady);
  EXPECT_EQ(pair_.wire.TakeServer(), Query("RESET work_mem"));
}

TEST_P(CarefulTest, ABatchThatOnlyChangesASettingIsLetThrough) {
  const std::string batch =
      Parse("", "SET work_mem = '1MB'") + Bind("") + Describe("") + Execute() + Sync();
  EXPECT_EQ(pair_.Client(batch + Query("INSERT")).status, TakeStatus::kAwaitReady);
  EXPECT_EQ(pair_.wire.TakeServer(), batch);
}

TEST_P(CarefulTest, ABatchThatDoesSomethingElseIsNot) {
  const std::string set = Parse("a", "SET work_mem = '1MB'");
  for (const std::string& more : {Sync(), Bind("") + Execute(), Bind("a") + Bind("a"),
                                  Describe("b"), Bind("a") + Execute() + Parse("", "INSERT")}) {
    pair_.Client(set + more);
    const std::string sent = pair_.wire.TakeServer();
    EXPECT_TRUE(Has(sent, "set_config") && Has(sent, "9MB"));
    EXPECT_FALSE(Has(sent, "1MB"));
    // It begins anew.
    pair_.Part();
    pair_.held.clear();
    another_ = {};
    pair_.Join(another_);
  }
}

TEST_P(SettingsTest, AFenceThatDoesNotHoldCostsTheBackend) {
  pair_.Join(backend_);
  Set(pair_, "work_mem", "9MB", "4MB");
  pair_.Part();
  PostgresReplies another;
  pair_.Join(another);
  pair_.Client(Query("INSERT"));
  EXPECT_EQ(pair_.Server(Error("ERROR", "53200", "out of memory") + Ready('I') +
                         Complete("INSERT 0 1") + Ready('I')),
            ReplyStatus::kFatal);
  EXPECT_EQ(pair_.wire.TakeClient(), "");
}

TEST_P(SettingsTest, ARoleIsWaitedFor) {
  pair_.Join(backend_);
  Set(pair_, "role", "bob", "none");
  pair_.Part();
  PostgresReplies another;
  pair_.Join(another);
  EXPECT_EQ(pair_.Client(Query("SELECT 1")).status, TakeStatus::kAwaitReady);
  const std::string sent = pair_.wire.TakeServer();
  EXPECT_TRUE(Has(sent, "session_authorization") && Has(sent, "bob"));
  pair_.Server(OwnReply(Values({"none", "app", "bob"})));
  pair_.Pump();
  EXPECT_EQ(pair_.wire.TakeServer(), Query("SELECT 1"));
}

// Where an extension is not loaded, anybody may make a setting of any name that begins so.
TEST_P(SettingsTest, ASettingThatIsNoneOnAnotherBackendIsDropped) {
  pair_.Join(backend_);
  Set(pair_, "work_mem", "9MB", "4MB");
  for (const char* name : {"geo.foo", "geo.foo_bar"}) {
    pair_.Client(Query("SET " + std::string(name) + " = '7MB'"));
    pair_.Server(Complete("SET") + Ready('I'));
    EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
    pair_.Server(OwnReply(Values({"7MB"})));
    EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  }
  pair_.Part();
  PostgresReplies another;
  pair_.Join(another);
  pair_.wire = {};
  // The first to hear of it is the client.
  pair_.requests.OnReplayFailed();
  EXPECT_EQ(pair_.Client(Query("SELECT 1")).status, TakeStatus::kAwaitReady);
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "foo_bar"));
  pair_.Server(Message('1', "") + Message('2', "") +
               Error("ERROR", "42602", "invalid name \"geo.foo_bar\"") + Ready('I'));
  EXPECT_EQ(pair_.Pump().status, TakeStatus::kAwaitReady);
  const std::string sent = pair_.wire.TakeServer();
  EXPECT_TRUE(Has(sent, "9MB") && Has(sent, "geo.foo"));
  EXPECT_FALSE(Has(sent, "foo_bar"));
  pair_.Server(Message('3', "") + Own() + Ready('I') + Own() + Ready('I') +
               OwnReply(Values({"9MB", "7MB"})));
  pair_.Pump();
  EXPECT_EQ(pair_.wire.TakeServer(), Query("SELECT 1"));
  EXPECT_EQ(another.profile(), pair_.requests.profile());
  EXPECT_EQ(another.settings().size(), 2u);
}

// One of plpgsql is refused without a word to anybody: it is not known whether the name is one.
TEST_P(SettingsTest, SettingsOfPlpgsqlAreWaitedFor) {
  pair_.Join(backend_);
  pair_.Client(Query("SET plpgsql.extra_warnings = 'x'"));
  pair_.Server(Complete("SET") + Ready('I'));
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnReply(Values({"x"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(pair_.requests.marks().pin_reason, 0);
  pair_.Part();
  PostgresReplies another;
  pair_.Join(another);
  EXPECT_EQ(pair_.Client(Query("SELECT 1")).status, TakeStatus::kAwaitReady);
}

// What the next session that loads plpgsql would be warned of keeps its backend, and ends with it.
TEST_P(SettingsTest, WhatPlpgsqlDoesNotKnowPins) {
  pair_.Join(backend_);
  pair_.Client(Query("SET plpgsql.foo = 'x'"));
  EXPECT_NE(pair_.requests.marks().pin_reason, 0);
  EXPECT_FALSE(pair_.requests.discardable());
}

TEST_P(SettingsTest, WhatAGoneClientHasSetIsResetForTheNext) {
  pair_.Join(backend_);
  pair_.Client(Query("SET work_mem = '9MB'"));
  pair_.Server(Complete("SET") + Ready('I'));
  pair_.Part();
  EXPECT_EQ(backend_.profile(), kUnknownProfile);
  Pair other(context_, GetParam());
  other.Join(backend_);
  EXPECT_EQ(other.Client(Query("SELECT 1")).status, TakeStatus::kAwaitReady);
  EXPECT_TRUE(Has(other.wire.TakeServer(), "RESET ALL"));
}

TEST_P(SettingsTest, TheFirstErrorOfAReplayIsTheOneThatIsTold) {
  pair_.Join(backend_);
  pair_.Client(Query("SET work_mem = '9MB'"));
  pair_.Server(Complete("SET") + Ready('I'));
  pair_.Part();
  other_.Join(backend_);
  EXPECT_EQ(other_.Client(Query("SELECT 1")).status, TakeStatus::kAwaitReady);
  const std::string error = Error("ERROR", "53200", "out of memory");
  other_.Server(Message('1', "") + error + Ready('I'));
  other_.Server(Error("ERROR", "42P05", "\"__weir_own\" already exists") + Ready('I'));
  EXPECT_EQ(other_.Pump().status, TakeStatus::kRefused);
  EXPECT_EQ(backend_.own_error(), error);
}

TEST_P(SettingsTest, ATextBehindAChangeOfLexingWaitsForIt) {
  pair_.Join(backend_);
  pair_.Client(Query("SET standard_conforming_strings = off"));
  pair_.wire.TakeServer();
  EXPECT_EQ(pair_.Client(Query("SELECT '\\'; SET x = 1 --'")).status, TakeStatus::kAwaitReady);
  EXPECT_EQ(pair_.wire.TakeServer(), "");
  pair_.Server(Complete("SET") +
               Message('S', std::string("standard_conforming_strings\0off\0", 32)) + Ready('I'));
  pair_.Pump();
  EXPECT_NE(pair_.wire.TakeServer(), "");
}

TEST_P(SettingsTest, APreparedStatementIsSharedUnderEqualSettingsOnly) {
  pair_.Join(backend_);
  Set(pair_, "timezone", "UTC", "PST");
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "__weir_s1"));
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  Pair other(context_, GetParam());
  other.Join(backend_);
  other.Client(Parse("a", "SELECT $1") + Sync());
  const std::string sent = other.wire.TakeServer();
  EXPECT_TRUE(sent.ends_with(Sync()));
  EXPECT_FALSE(Has(sent, Parse("__weir_s1", "SELECT $1")));
  EXPECT_TRUE(Has(sent, "SELECT $1"));
}

TEST_P(SettingsTest, WhatIsParsedUnderSettingsOfATransactionIsNotShared) {
  pair_.Join(backend_);
  pair_.Client(Query("BEGIN") + Query("SET LOCAL TIME ZONE 'UTC'"));
  pair_.Server(Complete("BEGIN") + Ready('T') + Complete("SET") + Ready('T'));
  pair_.wire.TakeServer();
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Parse("a", "SELECT $1") + Sync());
  EXPECT_NE(pair_.requests.marks().pin_reason, 0);
}

TEST_P(SettingsTest, AMissingStatementIsParsedForThatTransactionOnly) {
  pair_.Join(backend_);
  pair_.Client(Parse("a", "SELECT $1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  PostgresReplies another;
  pair_.Join(another);
  pair_.Client(Query("BEGIN") + Query("SET LOCAL TIME ZONE 'UTC'"));
  pair_.Server(Complete("BEGIN") + Ready('T') + Complete("SET") + Ready('T'));
  pair_.wire.TakeServer();
  pair_.Client(Bind("a") + Execute() + Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Close("__weir_s1") + Parse("__weir_s1", "SELECT $1") +
                                         Bind("__weir_s1") + Execute() + Sync());
  EXPECT_FALSE(another.prepared().Contains(1));
  EXPECT_EQ(pair_.requests.marks().pin_reason, 0);
}

// What one way of reading takes for a string, the other takes for a call.
constexpr const char* kTwoWays = "SELECT '\\', set_config('role','x',false) --'";

TEST_P(SettingsTest, ATextThatIsLexedInTwoWaysIsTwoStatements) {
  PostgresReplies escaping;
  escaping.set_parameter("standard_conforming_strings", "off");
  pair_.Join(escaping);
  pair_.Client(Parse("a", kTwoWays) + Bind("a") + Execute() + Sync());
  EXPECT_FALSE(pair_.requests.SettingsUncertain());
  Pair other(context_, GetParam());
  other.Join(backend_);
  other.Client(Parse("a", kTwoWays) + Bind("a") + Execute() + Sync());
  EXPECT_TRUE(other.requests.SettingsUncertain());
}

TEST_P(SettingsTest, AnUnnamedStatementIsReadAgainWhereItIsLexedOtherwise) {
  PostgresReplies escaping;
  escaping.set_parameter("standard_conforming_strings", "off");
  pair_.Join(escaping);
  pair_.Client(Parse("", kTwoWays) + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.Part();
  pair_.Join(backend_);
  pair_.Client(Bind("") + Execute() + Sync());
  EXPECT_TRUE(pair_.requests.SettingsUncertain());
}

// What a replay that stays prepared is answered with.
std::string OwnReplay() {
  return Message('1', "") + Message('2', "") + Values({"x"}) + Complete("SELECT 1") + Ready('I');
}

// The client has tried to set something that it may not set: its default is not told.
std::string OwnError() {
  return Message('1', "") + Message('2', "") + Error("ERROR", "42501", "denied") + Ready('I');
}

TEST_P(SettingsTest, WhatCouldNotBeSetIsNoReasonToPin) {
  pair_.Join(backend_);
  pair_.Client(Query("SET log_statement = 'all'"));
  pair_.Server(Error("ERROR", "42501", "denied") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnReply(Values({"none"})));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnError());
  pair_.wire = {};
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "pg_settings"));
  pair_.Server(Message('3', "") + OwnReply(Values({"t"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(pair_.requests.profile(), 0u);
  EXPECT_EQ(pair_.requests.marks().pin_reason, 0);
}

TEST_P(SettingsTest, WhatMayNotBeTakenBackPins) {
  pair_.Join(backend_);
  pair_.Client(Query("SET log_statement = 'all'"));
  pair_.Server(Complete("SET") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnReply(Values({"all"})));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnError());
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(Message('3', "") + OwnReply(Values({"f"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_NE(pair_.requests.marks().pin_reason, 0);
}

// Else the server would end the next client's session for it.
TEST_P(SettingsTest, HowLongTheClientMayBeIdleDoesNotStayOnTheBackend) {
  pair_.Join(backend_);
  EXPECT_EQ(pair_.requests.idle_timeout_ms(), 0u);
  pair_.Client(Query("SET idle_session_timeout = '90s'"));
  pair_.Server(Complete("SET") + Ready('I'));
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnReply(Values({"90s"})));
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnReply(Values({"0"})));
  pair_.wire = {};
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(pair_.requests.idle_timeout_ms(), 90'000u);
  const std::string sent = pair_.wire.TakeServer();
  EXPECT_TRUE(Has(sent, "set_config") && Has(sent, "idle_session_timeout") && !Has(sent, "90s"));
  pair_.Server(OwnReply(Values({"0"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(*ValueOf(backend_.settings(), "idle_session_timeout"), "0");
  // If it goes on there, it has its own.
  pair_.Client(Query("SELECT 1"));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "90s"));
}

TEST_P(SettingsTest, HowLongTheClientMayBeIdleIsToldInAnyUnit) {
  const std::pair<const char*, uint64_t> told[] = {
      {"0", 0},          {"250ms", 250},     {"90s", 90'000},           {"5min", 300'000},
      {"2h", 7'200'000}, {"1d", 86'400'000}, {"99d", INT32_MAX},        {"never", 0},
      {"", 0},           {"1s", 1000},       {"99999999999", INT32_MAX}};
  for (const auto& [value, milliseconds] : told) {
    EXPECT_EQ(context_.profiles.Intern({{"idle_session_timeout", value}}).idle_timeout_ms(),
              milliseconds)
        << value;
  }
}

TEST_P(SettingsTest, WhereItCannotBeTakenFromTheBackendItIsReset) {
  HandOver("work_mem", "9MB", "4MB");
  other_.requests.BeginWith({{"idle_session_timeout", "1min"}});
  other_.Client(Query("SELECT 1"));
  other_.Server(OwnReplay() + Complete("SELECT 1") + Ready('I'));
  EXPECT_TRUE(other_.requests.AskSession(backend_, other_.wire));
  other_.Server(Error("ERROR", "53200", "no memory") + Ready('I'));
  EXPECT_FALSE(other_.requests.AskSession(backend_, other_.wire));
  EXPECT_EQ(backend_.profile(), kUnknownProfile);
  EXPECT_EQ(other_.requests.idle_timeout_ms(), 60'000u);
}

TEST_P(SettingsTest, SettingsOfAnotherRoleAreTakenBackByResetAll) {
  HandOver("role", "bob", "none");
  other_.Client(Query("SELECT 1"));
  const std::string sent = other_.wire.TakeServer();
  EXPECT_TRUE(Has(sent, "RESET SESSION AUTHORIZATION") && Has(sent, "RESET ALL"));
}

TEST_P(SettingsTest, ManySettingsPin) {
  pair_.Join(backend_);
  std::string text;
  for (int i = 0; i < 100; ++i) text += "SET app.n" + std::to_string(i) + " = 1;";
  pair_.Client(Query(text));
  EXPECT_NE(pair_.requests.marks().pin_reason, 0);
}

INSTANTIATE_TEST_SUITE_P(Splits, SettingsTest, testing::ValuesIn(kSplits));

}  // namespace
}  // namespace weir::postgres
