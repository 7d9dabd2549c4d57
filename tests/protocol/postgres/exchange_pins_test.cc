// Pins in an exchange: texts make suspects, the server is asked, its answer makes or ends a pin.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protocol/postgres/pins.h"
#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

using enum PinReason;

class ExchangePinsTest : public ExchangeTest {
 protected:
  void SetUp() override { pair_.Join(backend_); }

  PinReason reason() const { return static_cast<PinReason>(pair_.requests.marks().pin_reason); }
  void Run(const std::string& text) {
    pair_.Client(Query(text));
    pair_.Server(Complete("X") + Ready('I'));
  }
  bool Ask() { return pair_.requests.AskSession(backend_, pair_.wire); }
  // It is asked exactly this, and told.
  void Asks(PinSet reasons, const std::vector<std::string>& told) {
    pair_.wire.TakeServer();
    pair_.wire.TakeClient();
    ASSERT_TRUE(Ask());
    EXPECT_NE(pair_.wire.TakeServer().find(PinQuestion(reasons) + '\0'), std::string::npos);
    pair_.Server(OwnReply(Values(told)));
    EXPECT_FALSE(Ask());
    EXPECT_EQ(pair_.wire.TakeClient(), "");
  }
};

TEST_P(ExchangePinsTest, WhatStandsKeepsTheBackendUntilItHasGone) {
  Run("CREATE TEMP TABLE t (a int)");
  EXPECT_EQ(reason(), kTemporaryObject);
  Asks(Only(kTemporaryObject), {"t"});
  EXPECT_EQ(reason(), kTemporaryObject);
  EXPECT_TRUE(pair_.requests.discardable());
  pair_.requests.ClearMarks();
  EXPECT_EQ(reason(), kTemporaryObject);
  // Nothing that could end it costs nothing.
  Run("SELECT * FROM t");
  EXPECT_FALSE(Ask());
  Run("UNLISTEN *");
  EXPECT_FALSE(Ask());
  Run("DROP TABLE other");
  Asks(Only(kTemporaryObject), {"t"});
  Run("DROP TABLE t");
  Asks(Only(kTemporaryObject), {"f"});
  EXPECT_EQ(reason(), kNone);
}

TEST_P(ExchangePinsTest, WhatHasGoneBeforeTheEndIsNone) {
  Run("LISTEN x; UNLISTEN x");
  EXPECT_EQ(reason(), kListen);
  ASSERT_NE(pair_.requests.marks().statement, nullptr);
  EXPECT_EQ(pair_.requests.marks().statement->text, "LISTEN x; UNLISTEN x");
  Asks(Only(kListen), {"f"});
  EXPECT_EQ(reason(), kNone);
  EXPECT_EQ(pair_.requests.marks().statement, nullptr);
}

// Notifications come at any time, also while the server answers weir.
TEST_P(ExchangePinsTest, WhatTheClientListensForReachesIt) {
  const std::string notification = Message('A', std::string(4, 'p') + Z("x") + Z(""));
  Run("LISTEN x");
  Asks(Only(kListen), {"t"});
  Run("LISTEN y");
  pair_.wire.TakeClient();
  ASSERT_TRUE(Ask());
  pair_.Server(notification + OwnReply(Values({"t"})));
  EXPECT_FALSE(Ask());
  EXPECT_EQ(pair_.wire.TakeClient(), notification);
  pair_.Client(Parse("mine", "SELECT 1") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  pair_.wire.TakeClient();
  pair_.Client(Parse("mine", "SELECT 2") + Sync());
  pair_.Server(notification + Message('3', "") + notification + Message('1', ""));
  EXPECT_EQ(pair_.wire.TakeClient(), notification + notification);
}

TEST_P(ExchangePinsTest, EachReasonIsAskedOnce) {
  Run("CREATE TEMP TABLE t (a int); LISTEN x; SELECT pg_advisory_lock(1)");
  const PinSet all = Only(kTemporaryObject) | Only(kAdvisoryLock) | Only(kListen);
  Asks(all, {"f", "t", "t"});
  EXPECT_EQ(reason(), kAdvisoryLock);
  Run("SELECT pg_advisory_unlock(1)");
  Asks(Only(kAdvisoryLock), {"f"});
  EXPECT_EQ(reason(), kListen);
  Run("DISCARD ALL");
  // Settings first: none were made, so that there is nothing to ask.
  Asks(Only(kListen), {"f"});
  EXPECT_EQ(reason(), kNone);
}

// One round trip asks for settings and for pins.
TEST_P(ExchangePinsTest, SettingsAreAskedBesidePins) {
  Run("SET work_mem = '9MB'; LISTEN x");
  pair_.wire.TakeServer();
  ASSERT_TRUE(Ask());
  const std::string sent = pair_.wire.TakeServer();
  EXPECT_NE(sent.find("current_setting"), std::string::npos);
  EXPECT_NE(sent.find(PinQuestion(Only(kListen))), std::string::npos);
  pair_.Server(OwnReply(Values({"9MB"})) + Message('3', "") + OwnReply(Values({"t"})));
  // A value that is new is compared with what RESET would give.
  ASSERT_TRUE(Ask());
  EXPECT_EQ(pair_.wire.TakeServer().find(PinQuestion(Only(kListen))), std::string::npos);
  pair_.Server(OwnReply(Values({"4MB"})));
  EXPECT_FALSE(Ask());
  EXPECT_EQ(reason(), kListen);
  EXPECT_NE(pair_.requests.profile(), 0u);
}

TEST_P(ExchangePinsTest, AnAnswerThatDoesNotComeKeepsTheBackend) {
  Run("LISTEN x");
  ASSERT_TRUE(Ask());
  pair_.Server(Error("ERROR", "42501", "permission denied") + Ready('I'));
  EXPECT_FALSE(Ask());
  EXPECT_EQ(reason(), kListen);
  // Until it is asked again.
  Run("UNLISTEN x");
  ASSERT_TRUE(Ask());
  pair_.Server(Message('3', "") + OwnReply(Values({"f"})));
  EXPECT_FALSE(Ask());
  EXPECT_EQ(reason(), kNone);
}

TEST_P(ExchangePinsTest, WhatNoQuestionEndsIsNotAskedBeside) {
  Run("LOAD 'x'; LISTEN y");
  pair_.wire.TakeServer();
  EXPECT_FALSE(Ask());
  EXPECT_EQ(reason(), kLoad);
  EXPECT_FALSE(pair_.requests.discardable());
  EXPECT_EQ(pair_.wire.TakeServer(), "");
}

TEST_P(ExchangePinsTest, WhatTheServerCannotReadHasNotRun) {
  const std::string error = Error("ERROR", "42601", "syntax error") + Ready('I');
  for (const std::string& request :
       {Query("SELEC 1"), Parse("", "SELEC 1") + Bind("") + Execute() + Sync()}) {
    pair_.Client(request);
    EXPECT_EQ(reason(), kUnknownStatement);
    pair_.Server(error);
    EXPECT_FALSE(Ask());
    EXPECT_EQ(reason(), kNone);
    pair_.requests.ClearMarks();
  }
  // Not of what runs a text that cannot be read, nor behind one that could.
  pair_.Client(Query("SELECT setseed(1), f()"));
  pair_.Server(error);
  EXPECT_NE(reason(), kNone);
  pair_.requests.OnBackendLost(false);
  pair_.requests.ClearMarks();
  Run("INVENT STATEMENT");
  pair_.Client(Query("SELEC 1"));
  pair_.Server(error);
  EXPECT_FALSE(Ask());
  EXPECT_EQ(reason(), kUnknownStatement);
}

TEST_P(ExchangePinsTest, AnyDefinitionMayBeTemporary) {
  // pg_temp may be the first in search_path.
  Run("CREATE TABLE t (a int)");
  EXPECT_EQ(reason(), kNone);
  Asks(Only(kTemporaryObject), {"t"});
  EXPECT_EQ(reason(), kTemporaryObject);
}

TEST_P(ExchangePinsTest, BesideTemporaryObjectsStatementsAreParsedAnew) {
  pair_.Client(Parse("s", "SELECT * FROM t") + Sync());
  pair_.Server(Message('1', "") + Ready('I'));
  Run("CREATE TEMP TABLE t (a int)");
  Asks(Only(kTemporaryObject), {"t"});
  EXPECT_EQ(backend_.prepared().size(), 0u);
  pair_.Client(Bind("s") + Execute() + Sync());
  EXPECT_NE(pair_.wire.TakeServer().find("SELECT * FROM t"), std::string::npos);
  pair_.Server(Message('3', "") + Message('1', "") + Message('2', "") + Complete("SELECT 0") +
               Ready('I'));
  EXPECT_EQ(backend_.prepared().size(), 1u);
  Run("DROP TABLE t");
  Asks(Only(kTemporaryObject), {"f"});
  EXPECT_EQ(backend_.prepared().size(), 0u);
}

TEST_P(ExchangePinsTest, UnknownSettingsEndWithDiscardAll) {
  Run("SELECT set_config(a, b, false) FROM t");
  EXPECT_FALSE(Ask());
  EXPECT_EQ(reason(), kSettings);
  EXPECT_TRUE(pair_.requests.discardable());
  Run("RESET ALL");
  EXPECT_FALSE(Ask());
  EXPECT_EQ(reason(), kSettings);
  pair_.Client(Query("DISCARD ALL"));
  pair_.Server(Error("ERROR", "25001", "in a block") + Ready('I'));
  EXPECT_FALSE(Ask());
  EXPECT_EQ(reason(), kSettings);
  Run("DISCARD ALL");
  EXPECT_FALSE(Ask());
  EXPECT_EQ(reason(), kNone);
}

INSTANTIATE_TEST_SUITE_P(Splits, ExchangePinsTest, testing::ValuesIn(kSplits));

}  // namespace
}  // namespace weir::postgres
