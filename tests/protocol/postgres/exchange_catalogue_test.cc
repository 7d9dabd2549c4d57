// Texts and statements in an exchange are judged by the catalogue that is known now.
#include <gtest/gtest.h>

#include <memory>
#include <string>

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
  // Whether it pins the client; the request is answered and forgotten.
  bool Pins(const std::string& request, const std::string& answer) {
    pair_.Client(request);
    const bool pins = pair_.requests.marks().pin_reason != 0;
    pair_.requests.ClearMarks();
    EXPECT_EQ(pair_.Server(answer + Ready('I')), ReplyStatus::kOk);
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

}  // namespace
}  // namespace weir::postgres
