// Texts and statements in an exchange are judged by the catalogue that is known now.
#include <gtest/gtest.h>

#include <memory>
#include <string>

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

TEST_P(CatalogueExchangeTest, DdlIsMarked) {
  pair_.Join(backend_);
  pair_.Client(Query("CREATE TABLE t (a int)"));
  EXPECT_TRUE(pair_.requests.marks().ddl);
  pair_.requests.ClearMarks();
  EXPECT_FALSE(pair_.requests.marks().ddl);
}

// Behind opaque code the session is asked: for its settings, then for what else may be there.
TEST_P(CatalogueExchangeTest, BehindOpaqueCodeTheSessionIsAsked) {
  view_.now = opaque_.get();
  pair_.Join(backend_);
  pair_.Client(Query("SELECT f()"));
  pair_.Server(Complete("SELECT 1") + Ready('I'));
  const auto asks = [this](const std::string& sql, const std::string& reply) {
    pair_.wire.TakeServer();
    EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
    EXPECT_NE(pair_.wire.TakeServer().find(sql), std::string::npos) << sql;
    pair_.Server(reply);
  };
  asks("source = 'session'", OwnReply(Values({"work_mem"})));
  asks("current_setting($1,true),pg_catalog.current_setting($2,true),pg_catalog.current_setting($3",
       OwnReply(Values({"none", "app", "9MB"})));
  asks("set_config($1,NULL,true)", OwnReply(Values({"none", "app", "4MB"})));
  asks(PinQuestion(kAskable), OwnReply(Values({"f", "f", "f", "f", "t"})));
  EXPECT_FALSE(pair_.requests.AskSession(backend_, pair_.wire));
  EXPECT_EQ(static_cast<PinReason>(pair_.requests.marks().pin_reason), PinReason::kListen);
  ASSERT_NE(pair_.requests.marks().statement, nullptr);
  EXPECT_EQ(pair_.requests.marks().statement->text, "SELECT f()");
  EXPECT_NE(pair_.requests.profile(), 0u);
}

// '' is what a name of the user's own reads where another client has made it.
TEST_P(CatalogueExchangeTest, WhatAnotherClientHasMadeIsNotItsOwn) {
  context_.options.custom_settings = {"app.x"};
  view_.now = opaque_.get();
  pair_.Join(backend_);
  for (const std::string value : {"", "mine"}) {
    pair_.Client(Query("SELECT f()"));
    pair_.Server(Complete("SELECT 1") + Ready('I'));
    EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
    pair_.Server(OwnReply(Values({""})));
    EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
    pair_.Server(OwnReply(Values({value, "none", "app"})));
    EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
    pair_.Server(OwnReply(Values({"none", "app"})));
    EXPECT_TRUE(pair_.requests.AskSession(backend_, pair_.wire));
    pair_.Server(OwnReply(Values({"f", "f", "f", "f", "f"})));
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
