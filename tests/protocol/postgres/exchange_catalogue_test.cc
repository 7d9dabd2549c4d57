// Texts and statements in an exchange are judged by the catalogue that is known now.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/postgres/pins.h"
#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

std::unique_ptr<Catalogue> With(std::string_view source, uint64_t number) {
  CatalogueBuilder builder;
  builder.AddFunction(
      {.oid = 16385, .name = "f", .language = "plpgsql", .source = source, .source_known = true},
      false);
  auto catalogue = builder.Build("");
  catalogue->number = number;
  return catalogue;
}

class CatalogueExchangeTest : public ExchangeTest {
 protected:
  CatalogueExchangeTest() { backend_.UseCatalogue(&view_); }
  // Whether it may leave something behind; the request is answered and forgotten.
  bool Pins(const std::string& request, const std::string& answer) {
    pair_.Client(request);
    const bool pins = pair_.requests.leaves_state();
    EXPECT_EQ(pair_.Server(answer + Ready('I')), ReplyStatus::kOk);
    pair_.requests.OnBackendLost(false);
    pair_.requests.ClearMarks();
    return pins;
  }

  const std::unique_ptr<Catalogue> harmless_ = With("begin return 1; end", 1);
  const std::unique_ptr<Catalogue> opaque_ = With("begin set x = 1; end", 2);
  protocol::CatalogueView view_;
};
INSTANTIATE_TEST_SUITE_P(Splits, CatalogueExchangeTest, testing::ValuesIn(kSplits));

TEST_P(CatalogueExchangeTest, AQueryIsJudgedByWhatIsKnown) {
  pair_.Join(backend_);
  EXPECT_TRUE(Pins(Query("SELECT f()"), Complete("SELECT 1")));
  view_.now = harmless_.get();
  EXPECT_FALSE(Pins(Query("SELECT f()"), Complete("SELECT 1")));
  view_.now = opaque_.get();
  EXPECT_TRUE(Pins(Query("SELECT f()"), Complete("SELECT 1")));
}

TEST_P(CatalogueExchangeTest, APreparedStatementIsJudgedAnew) {
  for (const std::string name : {"", "s"}) {
    view_.now = harmless_.get();
    pair_.Join(backend_);
    const std::string done = Message('1', "") + Message('2', "") + Complete("SELECT 1");
    const std::string again = Message('2', "") + Complete("SELECT 1");
    EXPECT_FALSE(Pins(Parse(name, "SELECT f()") + Bind(name) + Execute() + Sync(), done));
    EXPECT_FALSE(Pins(Bind(name) + Execute() + Sync(), again));
    view_.now = opaque_.get();
    EXPECT_TRUE(Pins(Bind(name) + Execute() + Sync(), again));
    view_.now = harmless_.get();
    EXPECT_FALSE(Pins(Bind(name) + Execute() + Sync(), again));
    view_.now = nullptr;
    EXPECT_TRUE(Pins(Bind(name) + Execute() + Sync(), again));
    pair_.Part();
  }
}

// A message that calls the function of this oid, with no arguments.
std::string FunctionCall(uint32_t oid) {
  std::string body;
  for (int shift = 24; shift >= 0; shift -= 8) body.push_back(static_cast<char>(oid >> shift));
  return Message('F', body.append(6, '\0'));
}
const std::string kNothing = Message('V', std::string(4, '\xff'));

TEST_P(CatalogueExchangeTest, AFunctionCallIsJudgedAsInAText) {
  enum : uint32_t { kLower = 870, kLock = 2880, kUnlock = 2884, kSeed = 1599, kSetConfig = 2078 };
  CatalogueBuilder builder;
  builder.AddBuiltIn(kLower, "lower");
  builder.AddBuiltIn(kLock, "pg_advisory_lock");
  builder.AddBuiltIn(kUnlock, "pg_advisory_unlock");
  builder.AddBuiltIn(kSeed, "setseed");
  builder.AddBuiltIn(kSetConfig, "set_config");
  const auto add = [&](uint32_t oid, std::string_view name, std::string_view source) {
    builder.AddFunction(
        {.oid = oid, .name = name, .language = "plpgsql", .source = source, .source_known = true},
        false);
  };
  add(16385, "plain", "begin return 1; end");
  add(16386, "sets", "begin set x = 1; end");
  const std::unique_ptr<Catalogue> catalogue = builder.Build("");
  catalogue->number = 3;
  const struct {
    uint32_t function;
    bool pins, known;
    const char* reason;
  } cases[] = {{kLower, false, true, ""},
               {kLock, true, true, "advisory_lock"},
               {kUnlock, false, true, ""},
               {kSeed, true, true, "seed"},
               {kSetConfig, true, true, "settings"},
               {16385, false, true, ""},
               {16386, true, true, ""},
               {16387, true, false, "function_call"},
               {952, false, false, ""},
               {0, true, false, "function_call"}};
  pair_.Join(backend_);
  for (const auto& each : cases) {
    for (const bool known : {true, false}) {
      view_.now = known ? catalogue.get() : nullptr;
      const bool large_object = each.function == 952;
      pair_.Client(FunctionCall(each.function));
      const std::string_view reason =
          WordsOf(static_cast<PinReason>(pair_.requests.marks().pin_reason)).name;
      if (known && each.known) {
        EXPECT_EQ(reason, each.pins && each.reason[0] != 0 ? each.reason : WordsOf({}).name)
            << each.function;
      } else {
        EXPECT_EQ(reason, large_object ? WordsOf({}).name : "function_call") << each.function;
      }
      EXPECT_EQ(pair_.requests.leaves_state(), known ? each.pins : !large_object) << each.function;
      EXPECT_EQ(pair_.Server(kNothing + Ready('I')), ReplyStatus::kOk);
      pair_.requests.OnBackendLost(false);
      pair_.requests.ClearMarks();
    }
  }
}

TEST_P(CatalogueExchangeTest, DdlIsMarked) {
  pair_.Join(backend_);
  pair_.Client(Query("CREATE TABLE t (a int)"));
  EXPECT_TRUE(pair_.requests.marks().ddl);
  pair_.requests.ClearMarks();
  EXPECT_FALSE(pair_.requests.marks().ddl);
}

// What the session tells of its settings: name, value, and what it is if it has been set.
using Told = std::vector<std::optional<std::string>>;
const Told kLogin = {"role", "none", std::nullopt, "session_authorization", "app", std::nullopt};
std::string TellsOf(Told told) {
  told.insert(told.end(), kLogin.begin(), kLogin.end());
  std::string rows;
  for (size_t i = 0; i < told.size(); i += 3) rows += Nullable({&told[i], 3});
  return OwnReply(rows);
}

// What else is there; a name that the first question may have left is closed ahead.
std::string Else(const std::string& last) {
  return Message('3', "") + OwnReply(Values({"f", "f", "f", "f", last}));
}

// Behind opaque code the session is asked for its settings and for what else may be there, in one
// round trip.
TEST_P(CatalogueExchangeTest, BehindOpaqueCodeTheSessionIsAskedOnce) {
  view_.now = opaque_.get();
  pair_.Join(backend_);
  pair_.Client(Query("SELECT f()"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.wire.TakeServer();
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  const std::string sent = pair_.wire.TakeServer();
  EXPECT_NE(sent.find("source = 'session'"), std::string::npos);
  EXPECT_NE(sent.find(PinQuestion(kAskable)), std::string::npos);
  pair_.Server(TellsOf({"work_mem", "9MB", "user", "exit_on_error", "off", "user"}) + Else("t"));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(pair_.wire.TakeServer(), "");
  EXPECT_EQ(static_cast<PinReason>(pair_.requests.marks().pin_reason), PinReason::kListen);
  ASSERT_NE(pair_.requests.marks().statement, nullptr);
  EXPECT_EQ(pair_.requests.marks().statement->text, "SELECT f()");
  ASSERT_EQ(backend_.settings().size(), 1u);
  EXPECT_EQ(backend_.settings()[0], (Setting{"work_mem", "9MB"}));
  EXPECT_EQ(backend_.profile(), pair_.requests.profile());
}

// Code may have become other code than it was judged by: then nothing of the session is believed.
TEST_P(CatalogueExchangeTest, WhatRanByAnOldCatalogueIsAskedFor) {
  view_.now = harmless_.get();
  pair_.Join(backend_);
  EXPECT_FALSE(pair_.requests.DoubtCode(/*must_ask=*/false));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire)) << "nothing has run";
  for (const bool doubted : {false, true}) {
    pair_.Client(Query("SELECT f()"));
    pair_.Server(Complete("SELECT 1") + Ready('I'));
    pair_.wire.TakeServer();
    if (doubted) {
      ASSERT_TRUE(pair_.requests.DoubtCode(/*must_ask=*/false));
    }
    ASSERT_EQ(pair_.requests.AskSession(backend_, pair_.wire), doubted);
    if (!doubted) continue;
    EXPECT_NE(pair_.wire.TakeServer().find("source = 'session'"), std::string::npos);
    EXPECT_FALSE(pair_.requests.DoubtCode(/*must_ask=*/false)) << "once is enough";
    pair_.Server(TellsOf({"work_mem", "9MB", "user"}) + Message('3', "") +
                 OwnReply(Values({"f", "f", "f", "f"})));
    EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  }
  EXPECT_EQ(pair_.requests.marks().pin_reason, 0);
  EXPECT_NE(pair_.requests.profile(), 0u);
  EXPECT_EQ(backend_.profile(), protocol::kUnknownProfile);
}

// The answer to a question is to that; what is doubted while it is under way is asked then.
TEST_P(CatalogueExchangeTest, WhatIsDoubtedWhileTheSessionIsAskedIsAskedNext) {
  pair_.Join(backend_);
  pair_.Client(Query("SELECT pg_advisory_lock(1)"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  pair_.wire.TakeServer();
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_NE(pair_.wire.TakeServer().find("pg_locks"), std::string::npos);
  EXPECT_FALSE(pair_.requests.DoubtCode(/*must_ask=*/false));
  pair_.Server(OwnReply(Values({"f"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_FALSE(pair_.requests.leaves_state());
  ASSERT_TRUE(pair_.requests.DoubtCode(/*must_ask=*/false));
  ASSERT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_NE(pair_.wire.TakeServer().find("source = 'session'"), std::string::npos);
  pair_.Server(TellsOf({}) + Message('3', "") + OwnReply(Values({"f", "f", "f", "f"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_FALSE(pair_.requests.leaves_state());
  EXPECT_EQ(pair_.requests.marks().pin_reason, 0);
}

// What it has set earlier is gone if the session says so.
TEST_P(CatalogueExchangeTest, OpaqueCodeMayTakeSettingsBack) {
  view_.now = opaque_.get();
  pair_.Join(backend_);
  for (const bool set : {true, false}) {
    pair_.Client(Query("SELECT f()"));
    pair_.Server(Complete("SELECT 1") + Ready('I'));
    EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
    pair_.Server(TellsOf({"work_mem", "9MB", set ? Told::value_type("user") : std::nullopt}) +
                 Else("f"));
    EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
    EXPECT_EQ(pair_.requests.profile() != 0, set);
    EXPECT_EQ(pair_.requests.marks().pin_reason, 0);
    pair_.requests.ClearMarks();
  }
}

// Only for what not everybody may set there is more to ask: whether the client may.
TEST_P(CatalogueExchangeTest, WhatTheClientMayNotSetPins) {
  view_.now = opaque_.get();
  pair_.Join(backend_);
  pair_.Client(Query("SELECT f()"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(TellsOf({"log_statement", "all", "superuser"}) + Else("f"));
  const std::string denied =
      Message('1', "") + Message('2', "") + Error("ERROR", "42501", "denied") + Ready('I');
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(denied);
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(Message('3', "") + OwnReply(Values({"f"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(static_cast<PinReason>(pair_.requests.marks().pin_reason), PinReason::kSettings);
}

// Of two questions each has an answer of its own.
TEST_P(CatalogueExchangeTest, AQuestionThatFailsLeavesTheOthersAnswer) {
  view_.now = opaque_.get();
  pair_.Join(backend_);
  const std::string failed =
      Message('1', "") + Message('2', "") + Error("ERROR", "53200", "no memory") + Ready('I');
  pair_.Client(Query("SELECT f()"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(TellsOf({}) + Message('3', "") + failed);
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(pair_.requests.profile(), 0u);
  EXPECT_EQ(static_cast<PinReason>(pair_.requests.marks().pin_reason), PinReason::kTemporaryObject);
  pair_.requests.ClearMarks();
  pair_.Client(Query("SELECT f()"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
  pair_.Server(Message('3', "") + failed + Else("f"));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(static_cast<PinReason>(pair_.requests.marks().pin_reason), PinReason::kSettings);
}

// '' is what a name of the user's own reads where another client has made it.
TEST_P(CatalogueExchangeTest, WhatAnotherClientHasMadeIsNotItsOwn) {
  context_.options.custom_settings = {"app.x"};
  view_.now = opaque_.get();
  pair_.Join(backend_);
  for (const std::string value : {"", "mine"}) {
    pair_.Client(Query("SELECT f()"));
    pair_.Server(Complete("SELECT 1") + Ready('I'));
    pair_.wire.TakeServer();
    EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
    EXPECT_NE(pair_.wire.TakeServer().find("app.x"), std::string::npos);
    pair_.Server(TellsOf({"app.x", value, std::nullopt}) + Else("f"));
    EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
    EXPECT_EQ(pair_.requests.profile() != 0, value == "mine");
    pair_.requests.ClearMarks();
  }
}

TEST_P(CatalogueExchangeTest, OpaqueCodeIsTrustedOrPins) {
  view_.now = opaque_.get();
  pair_.Join(backend_);
  context_.options.opaque_calls = protocol::ExchangeOptions::OpaqueCalls::kTrust;
  EXPECT_FALSE(Pins(Query("SELECT f()"), Complete("SELECT 1")));
  context_.options.opaque_calls = protocol::ExchangeOptions::OpaqueCalls::kPin;
  pair_.Client(Query("SELECT f()"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(static_cast<PinReason>(pair_.requests.marks().pin_reason), PinReason::kFunction);
  EXPECT_FALSE(pair_.requests.discardable());
}

}  // namespace
}  // namespace weir::postgres
