// Resets in an exchange go back to what the client began with.
#include <gtest/gtest.h>

#include <string>

#include "protocol/postgres/pins.h"
#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

class BaseTest : public ExchangeTest {
 protected:
  void SetUp() override {
    pair_.requests.BeginWith({{"work_mem", "5MB"}, {"application_name", "mine"}});
    pair_.Join(backend_);
    backend_.set_profile(
        context_.profiles.Intern({{"application_name", "mine"}, {"work_mem", "5MB"}}));
  }
  static bool Has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
  static std::string Report(const std::string& value) {
    return Message('S', Z("application_name") + Z(value));
  }
  // What a statement that restores the base is answered with.
  static std::string Restored(const std::string& reports = "", char status = 'I') {
    return Message('1', "") + Message('2', "") + Values({"x"}) + Complete("SELECT 1") +
           Message('3', "") + Message('3', "") + reports + Ready(status);
  }
};

TEST_P(BaseTest, TheClientBeginsInItsBase) {
  EXPECT_EQ(pair_.requests.profile(), backend_.profile());
  pair_.Client(Query("SELECT 1"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("SELECT 1"));
  EXPECT_EQ(*pair_.requests.BaseValue("Work_Mem"), "5MB");
  EXPECT_EQ(pair_.requests.BaseValue("datestyle"), nullptr);
}

TEST_P(BaseTest, AResetIsFollowedBeforeTheNextMessage) {
  for (const char* text : {"RESET work_mem", "RESET ALL", "SET work_mem TO DEFAULT"}) {
    const bool all = std::string(text) == "RESET ALL";
    pair_.Client(Query(text));
    EXPECT_EQ(pair_.wire.TakeServer(), Query(text));
    // Not before it is known what has become of it.
    EXPECT_EQ(pair_.Client(Query("SELECT 1")).status, TakeStatus::kAwaitReady);
    EXPECT_EQ(pair_.wire.TakeServer(), "");
    pair_.Server(Complete("RESET") + Ready('T'));
    pair_.Pump();
    std::string sent = pair_.wire.TakeServer();
    EXPECT_TRUE(Has(sent, "set_config") && Has(sent, "5MB") && !Has(sent, "pg_settings"));
    EXPECT_EQ(Has(sent, "mine"), all);
    pair_.wire.TakeClient();
    pair_.Server(Restored("", 'T'));
    // (After RESET ALL, which may change how texts are lexed, only now.)
    pair_.Pump();
    sent += pair_.wire.TakeServer();
    EXPECT_TRUE(sent.ends_with(Query("SELECT 1"))) << text;
    pair_.Server(Complete("SELECT 1") + Ready('T'));
    EXPECT_EQ(pair_.wire.TakeClient(), Complete("SELECT 1") + Ready('T'));
  }
}

TEST_P(BaseTest, ALocalOneIsForTheTransactionOnly) {
  pair_.Client(Query("SET LOCAL work_mem TO DEFAULT"));
  pair_.Server(Complete("SET") + Ready('T'));
  pair_.wire.TakeServer();
  pair_.Client(Query("COMMIT"));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), ",true)"));
}

TEST_P(BaseTest, AfterATextOfSeveralStatementsTheServerKnowsWhatIsReset) {
  pair_.Client(Query("RESET work_mem; SET work_mem = '9MB'"));
  pair_.Server(Complete("RESET") + Complete("SET") + Ready('T'));
  pair_.wire.TakeServer();
  pair_.Client(Query("SELECT 1"));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "source <> 'session'"));
}

TEST_P(BaseTest, WhatIsAlsoSetForTheTransactionIsKnownWhenThatIsOver) {
  pair_.Client(Query("RESET work_mem; SET LOCAL work_mem = '9MB'"));
  pair_.Server(Complete("RESET") + Complete("SET") + Ready('T'));
  pair_.wire.TakeServer();
  pair_.Client(Query("COMMIT"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("COMMIT"));
  pair_.Server(Complete("COMMIT") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  const std::string sent = pair_.wire.TakeServer();
  EXPECT_TRUE(Has(sent, "(SELECT gone_or_masked FROM") && Has(sent, "5MB"));
}

TEST_P(BaseTest, BetweenTransactionsItIsRestoredBeforeTheValuesAreAsked) {
  pair_.Client(Query("RESET ALL"));
  pair_.Server(Complete("RESET") + Ready('I'));
  pair_.wire.TakeServer();
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "set_config"));
  pair_.Server(Restored());
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "current_setting"));
  pair_.Server(OwnReply(Values({"mine", "5MB"})));
  // What is in the base has no other default.
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(*pair_.requests.BaseValue("work_mem"), "5MB");
  EXPECT_EQ(backend_.profile(), pair_.requests.profile());
  EXPECT_EQ(backend_.settings().size(), 2u);
}

TEST_P(BaseTest, AValueOfTheServersOwnStaysInTheProfile) {
  pair_.Client(Query("SET work_mem = '4MB'"));
  pair_.Server(Complete("SET") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnReply(Values({"4MB"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(backend_.settings().size(), 2u);
}

TEST_P(BaseTest, InABatchItFollowsAtOnce) {
  pair_.Client(Parse("", "RESET work_mem") + Bind("") + Execute() + Sync());
  const std::string sent = pair_.wire.TakeServer();
  EXPECT_TRUE(sent.starts_with(Parse("", "RESET work_mem") + Bind("") + Execute()));
  EXPECT_TRUE(sent.ends_with(Sync()) && Has(sent, "5MB") && sent.size() > 100);
  // Only one Sync.
  EXPECT_EQ(sent.find(Sync()), sent.size() - Sync().size());
  pair_.Server(Message('1', "") + Message('2', "") + Complete("RESET") + Message('1', "") +
               Message('2', "") + Values({"5MB"}) + Complete("SELECT 1") + Message('3', "") +
               Message('3', "") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(),
            Message('1', "") + Message('2', "") + Complete("RESET") + Ready('I'));
}

TEST_P(BaseTest, InABatchThatHasFailedNothingFollows) {
  pair_.Client(Parse("", "RESET work_mem") + Bind("") + Execute());
  pair_.wire.TakeServer();
  pair_.Server(Error("ERROR", "25P02", "aborted"));
  pair_.Client(Sync());
  EXPECT_EQ(pair_.wire.TakeServer(), Sync());
  pair_.Server(Ready('E'));
  pair_.Client(Query("ROLLBACK"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("ROLLBACK"));
}

TEST_P(BaseTest, InAFailedTransactionItWaitsForTheEnd) {
  pair_.Client(Query("BEGIN; RESET work_mem; SELECT 1 / 0"));
  pair_.Server(Complete("BEGIN") + Complete("RESET") + Error("ERROR", "22012", "zero") +
               Ready('E'));
  pair_.wire.TakeServer();
  pair_.Client(Query("ROLLBACK"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("ROLLBACK"));
  pair_.Server(Complete("ROLLBACK") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_TRUE(Has(pair_.wire.TakeServer(), "source <> 'session'"));
}

TEST_P(BaseTest, TheClientIsToldOfItsOwnBase) {
  pair_.Client(Query("RESET ALL"));
  pair_.Server(Complete("RESET") + Report("") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Complete("RESET") + Report("mine") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(Restored(Report("mine")));
  EXPECT_EQ(pair_.wire.TakeClient(), "");
}

TEST_P(BaseTest, TheClientIsNotToldOfWhatItKnows) {
  pair_.Client(Query("SELECT 1"));
  pair_.Server(Complete("SELECT 1") + Report("mine") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Complete("SELECT 1") + Report("mine") + Ready('I'));
  pair_.Client(Query("RESET ALL"));
  pair_.Server(Complete("RESET") + Report("") + Ready('I'));
  EXPECT_EQ(pair_.wire.TakeClient(), Complete("RESET") + Ready('I'));
}

TEST_P(BaseTest, WhatIsNotInTheBaseIsTheServersToReset) {
  pair_.Client(Query("RESET datestyle"));
  pair_.Server(Complete("RESET") + Ready('T'));
  pair_.wire.TakeServer();
  pair_.Client(Query("SELECT 1"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("SELECT 1"));
}

// A base that decides what a text does.
class EarlyResetTest : public ExchangeTest {
 protected:
  void SetUp() override {
    pair_.requests.BeginWith({{"search_path", "annex"}, {"work_mem", "5MB"}});
    pair_.Join(backend_);
    backend_.set_profile(context_.profiles.Intern({{"search_path", "annex"}, {"work_mem", "5MB"}}));
  }
  const std::string text_ = "RESET search_path; SELECT 1";
};

TEST_P(EarlyResetTest, ItsClientMovesToBackendsThatBeginWithIt) {
  EXPECT_EQ(pair_.Client(Query(text_)).status, TakeStatus::kNeedsAnother);
  EXPECT_EQ(pair_.wire.TakeServer(), "");
  EXPECT_EQ(pair_.requests.MoveBase(),
            (protocol::Parameters{{"search_path", "annex"}, {"work_mem", "5MB"}}));
  EXPECT_EQ(pair_.requests.profile(), 0u);
  backend_.set_profile({});
  pair_.Pump();
  EXPECT_EQ(pair_.wire.TakeServer(), Query(text_));
}

TEST_P(EarlyResetTest, WhatTheClientHasSetGoesAlong) {
  pair_.Client(Query("SET work_mem = '9MB'"));
  pair_.Server(Complete("SET") + Ready('I'));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(OwnReply(Values({"9MB"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.requests.ClearMarks();
  ASSERT_EQ(pair_.Client(Query(text_)).status, TakeStatus::kNeedsAnother);
  EXPECT_EQ(pair_.requests.MoveBase().size(), 2u);
  EXPECT_EQ(pair_.requests.profile(), context_.profiles.Intern({{"work_mem", "9MB"}}).id());
}

TEST_P(EarlyResetTest, WhatIsUnderWayIsWaitedFor) {
  pair_.Client(Query("SELECT 1"));
  EXPECT_EQ(pair_.Client(Query(text_)).status, TakeStatus::kAwaitReady);
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.requests.ClearMarks();
  pair_.Pump();
  EXPECT_EQ(pair_.wire.TakeServer(), Query("SELECT 1"));
}

TEST_P(EarlyResetTest, InATransactionBlockItIsRefusedAndTheClientMovesLater) {
  pair_.Client(Query("BEGIN"));
  pair_.Server(Complete("BEGIN") + Ready('T'));
  pair_.wire.TakeServer();
  pair_.Client(Query(text_));
  EXPECT_NE(pair_.wire.TakeServer().find("0A000"), std::string::npos);
  pair_.Server(Error("ERROR", "0A000", "no") + Ready('E'));
  pair_.Client(Query("ROLLBACK"));
  EXPECT_EQ(pair_.wire.TakeServer(), Query("ROLLBACK"));
  pair_.Server(Complete("ROLLBACK") + Ready('I'));
  pair_.requests.ClearMarks();
  EXPECT_EQ(pair_.Client(Query("BEGIN")).status, TakeStatus::kNeedsAnother);
  EXPECT_FALSE(pair_.requests.MoveBase().empty());
  backend_.set_profile({});
  pair_.Pump();
  EXPECT_EQ(pair_.wire.TakeServer(), Query("BEGIN"));
}

TEST_P(EarlyResetTest, WhoCannotMoveIsRefused) {
  backend_.set_initial({{"search_path", "public"}});
  for (int i = 0; i < 2; ++i) {
    pair_.Client(Query(text_));
    EXPECT_NE(pair_.wire.TakeServer().find("0A000"), std::string::npos);
    pair_.Server(Error("ERROR", "0A000", "no") + Ready('I'));
    pair_.requests.ClearMarks();
  }
  backend_.set_initial({});
  pair_.requests.Pin(static_cast<uint8_t>(PinReason::kReplication));
  pair_.Client(Query(text_));
  EXPECT_NE(pair_.wire.TakeServer().find("0A000"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Splits, EarlyResetTest, testing::ValuesIn(kSplits));
INSTANTIATE_TEST_SUITE_P(Splits, BaseTest, testing::ValuesIn(kSplits));

}  // namespace
}  // namespace weir::postgres
