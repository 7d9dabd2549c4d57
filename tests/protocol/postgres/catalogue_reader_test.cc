// The answers of a server in, questions and a catalogue out.
#include "protocol/postgres/catalogue_reader.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::postgres {
namespace {

using Next = protocol::CatalogueReader::Next;
using Row = std::vector<std::optional<std::string>>;

std::string DataRow(const Row& row) {
  std::string out;
  const auto put = [&out](uint32_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
      out.push_back(static_cast<char>(value >> shift));
  };
  put(static_cast<uint32_t>(row.size()), 2);
  for (const std::optional<std::string>& each : row) {
    put(each.has_value() ? static_cast<uint32_t>(each->size()) : UINT32_MAX, 4);
    out += each.value_or("");
  }
  return out;
}

Row Function(int oid, const char* name, const char* source) {
  return {std::to_string(oid), name, "plpgsql", std::nullopt, "f", "f", source, std::nullopt};
}

// Asks, checks what for, answers.
Next Answer(PostgresCatalogueReader& reader, std::string_view about, const std::vector<Row>& rows) {
  const std::string question(reader.Question(false));
  EXPECT_NE(question.find(about), std::string::npos) << question;
  EXPECT_TRUE(question.starts_with("SET LOCAL search_path TO pg_catalog")) << question;
  for (const Row& row : rows) reader.OnRow(DataRow(row));
  return reader.OnAnswered(false);
}

// Up to the functions.
void Begin(PostgresCatalogueReader& reader) {
  EXPECT_EQ(Answer(reader, "hashtext", {{"1/2"}}), Next::kAsk);
  EXPECT_EQ(Answer(reader, "SELECT oid, proname", {{"870", "lower"}, {"952", "lo_open"}}),
            Next::kAsk);
}

Next AnswerExpressions(PostgresCatalogueReader& reader) {
  Next next = Next::kAsk;
  for (const char* table : {"pg_rewrite", "pg_attrdef", "pg_policy", "pg_trigger", "pg_constraint",
                            "pg_constraint", "pg_type"}) {
    EXPECT_EQ(next, Next::kAsk);
    next = Answer(reader, table, {{"0", std::nullopt}});
  }
  return next;
}

std::unique_ptr<protocol::Catalogue> Made(PostgresCatalogueReader& reader) { return reader.Make(); }

TEST(CatalogueReaderTest, ReadsPageByPage) {
  PostgresCatalogueReader reader("", {.page = 2});
  Begin(reader);
  EXPECT_EQ(
      Answer(reader, "p.oid > 0 ",
             {Function(16385, "a", "begin return b(); end"), Function(16390, "c", "begin end")}),
      Next::kAsk);
  EXPECT_EQ(Answer(reader, "p.oid > 16390 ", {Function(16391, "b", "begin set x = 1; end")}),
            Next::kAsk);
  EXPECT_EQ(Answer(reader, "pg_depend", {{"use", "1", "16391"}, {"built-in", "2", "set_config"}}),
            Next::kAsk);
  EXPECT_EQ(Answer(reader, "pg_rewrite", {{"0", "setseed"}, {"2", "17000"}}), Next::kAsk);
  EXPECT_EQ(Answer(reader, "oid > 17000 ", {{"0", std::nullopt}}), Next::kAsk);
  EXPECT_EQ(Answer(reader, "pg_attrdef", {{"1", "nextval"}, {"1", "currval"}, {"1", "17001"}}),
            Next::kAsk);
  for (const char* table : {"pg_policy", "pg_trigger", "pg_constraint", "pg_constraint"})
    EXPECT_EQ(Answer(reader, table, {{"0", std::nullopt}}), Next::kAsk);
  EXPECT_EQ(Answer(reader, "pg_type", {{"0", std::nullopt}}), Next::kRead);
  const auto made = Made(reader);
  const auto& catalogue = static_cast<const Catalogue&>(*made);
  EXPECT_EQ(catalogue.fingerprint(), "1/2");
  EXPECT_EQ(catalogue.Find("a")->effect, Effect::kOpaque);
  EXPECT_EQ(catalogue.Find("c")->effect, Effect::kHarmless);
  EXPECT_EQ(catalogue.Unseen(Scope::kAll).effect, Effect::kUnaskable);
  EXPECT_EQ(catalogue.Unseen(Scope::kWrites).effect, Effect::kOpaque);
  EXPECT_EQ(catalogue.Unseen(Scope::kDdl).effect, Effect::kOpaque);
  EXPECT_TRUE(catalogue.Unseen(Scope::kWrites).reads_sequence);
  // Defaults of that kind are everywhere; INSERT says it itself.
  EXPECT_FALSE(catalogue.Unseen(Scope::kWrites).writes_sequence);
}

TEST(CatalogueReaderTest, AsksNoMoreIfNothingHasChanged) {
  PostgresCatalogueReader reader("1/2");
  EXPECT_EQ(Answer(reader, "hashtext", {{"1/2"}}), Next::kSame);
  PostgresCatalogueReader other("1/3");
  EXPECT_EQ(Answer(other, "hashtext", {{"1/2"}}), Next::kAsk);
}

TEST(CatalogueReaderTest, APageMayBeAskedForTwice) {
  PostgresCatalogueReader reader("", {.page = 2});
  Begin(reader);
  EXPECT_FALSE(reader.Question(false).empty());
  reader.OnRow(DataRow(Function(16385, "a", "begin end")));
  // The backend was lost.
  EXPECT_EQ(Answer(reader, "p.oid > 16385 ", {}), Next::kAsk);
  EXPECT_EQ(Answer(reader, "pg_depend", {}), Next::kAsk);
  EXPECT_EQ(AnswerExpressions(reader), Next::kRead);
  EXPECT_NE(static_cast<const Catalogue&>(*Made(reader)).Find("a"), nullptr);
}

TEST(CatalogueReaderTest, AnErrorAndAnAnswerOfAnotherShapeAreRefusals) {
  PostgresCatalogueReader refused("");
  EXPECT_FALSE(refused.Question(false).empty());
  EXPECT_EQ(refused.OnAnswered(true), Next::kRefused);
  PostgresCatalogueReader wide("");
  EXPECT_EQ(Answer(wide, "hashtext", {{"1", "2"}}), Next::kRefused);
  PostgresCatalogueReader empty("");
  EXPECT_EQ(Answer(empty, "hashtext", {}), Next::kRefused);
  PostgresCatalogueReader cut("");
  EXPECT_FALSE(cut.Question(false).empty());
  cut.OnRow(std::string_view("\0\1\0\0", 4));
  EXPECT_EQ(cut.OnAnswered(false), Next::kRefused);
}

TEST(CatalogueReaderTest, BeyondALimitNothingIsRead) {
  PostgresCatalogueReader functions("", {.functions_max = 1});
  Begin(functions);
  EXPECT_EQ(Answer(functions, "pg_proc",
                   {Function(16385, "a", "begin end"), Function(16386, "b", "begin end")}),
            Next::kTooMuch);
  PostgresCatalogueReader names("", {.names_max = 1});
  Begin(names);
  EXPECT_EQ(Answer(names, "pg_proc", {Function(16385, "a", "begin perform b(1), c(1); end")}),
            Next::kTooMuch);
  PostgresCatalogueReader bytes("", {.bytes_max = 1000});
  Begin(bytes);
  const std::string source(1000, ' ');
  EXPECT_EQ(Answer(bytes, "pg_proc", {Function(16385, "a", source.c_str())}), Next::kTooMuch);
}

TEST(CatalogueReaderTest, ASourceInAnEncodingThatEndsInAsciiIsNotRead) {
  PostgresCatalogueReader reader("");
  Begin(reader);
  EXPECT_FALSE(reader.Question(true).empty());
  reader.OnRow(DataRow(Function(16385, "a", "begin return '\x83\x5c'; end")));
  reader.OnRow(DataRow(Function(16386, "b", "begin return 'plain'; end")));
  EXPECT_EQ(reader.OnAnswered(false), Next::kAsk);
  EXPECT_EQ(Answer(reader, "pg_depend", {}), Next::kAsk);
  EXPECT_EQ(AnswerExpressions(reader), Next::kRead);
  const auto made = Made(reader);
  const auto& catalogue = static_cast<const Catalogue&>(*made);
  EXPECT_EQ(catalogue.Find("a")->effect, Effect::kUnaskable);
  EXPECT_EQ(catalogue.Find("b")->effect, Effect::kHarmless);
}

}  // namespace
}  // namespace weir::postgres
