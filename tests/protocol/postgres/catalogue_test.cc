// Rows of a server's catalogue in, verdicts on names and texts out.
#include "protocol/postgres/catalogue.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "protocol/postgres/sql_scan.h"

namespace weir::postgres {
namespace {

using enum Effect;
using PinReason::kFunction;
using PinReason::kNone;

constexpr PinReason kOpaquePin = PinReason::kOpaque;

// A database whose functions are added one by one.
class Database {
 public:
  Database() {
    uint32_t oid = 0;
    for (const char* name :
         {"lower", "set_config", "setseed", "lo_open", "query_to_xml", "nextval"})
      builder_.AddBuiltIn(++oid, name);
  }
  uint32_t Add(FunctionRow row) {
    row.oid = ++oid_;
    builder_.AddFunction(row, false);
    return oid_;
  }
  uint32_t Sql(std::string_view name, std::string_view source) {
    return Add({.name = name, .language = "sql", .source = source, .source_known = true});
  }
  uint32_t PlPgSql(std::string_view name, std::string_view source) {
    return Add({.name = name, .language = "plpgsql", .source = source, .source_known = true});
  }
  uint32_t C(std::string_view name, std::string_view extension) {
    return Add({.name = name, .language = "c", .extension = extension});
  }
  CatalogueBuilder& builder() { return builder_; }
  std::unique_ptr<Catalogue> Build() { return builder_.Build("1"); }

 private:
  CatalogueBuilder builder_;
  uint32_t oid_ = 16384;
};

Effect EffectOf(const Catalogue& catalogue, std::string_view name) {
  const CallEffect* effect = catalogue.Find(name);
  EXPECT_NE(effect, nullptr) << name;
  return effect == nullptr ? kUnaskable : effect->effect;
}

TEST(CatalogueTest, AFunctionIsFoundByItsOid) {
  Database database;
  const uint32_t first = database.Sql("lower", "SELECT 1");
  const uint32_t second = database.Sql("odd \"name\"", "SELECT 1");
  const uint32_t third = database.Sql("lower", "SELECT 2");
  const std::unique_ptr<Catalogue> catalogue = database.Build();
  EXPECT_EQ(catalogue->CallOf(1), "SELECT pg_catalog.\"lower\"()");
  EXPECT_EQ(catalogue->CallOf(6), "SELECT pg_catalog.\"nextval\"()");
  EXPECT_EQ(catalogue->CallOf(first), "SELECT \"lower\"()");
  EXPECT_EQ(catalogue->CallOf(second), "SELECT \"odd \"\"name\"\"\"()");
  EXPECT_EQ(catalogue->CallOf(third), "SELECT \"lower\"()");
  for (const uint32_t unknown : {uint32_t{0}, uint32_t{7}, third + 1, UINT32_MAX})
    EXPECT_EQ(catalogue->CallOf(unknown), "") << unknown;
}

TEST(CatalogueTest, AFunctionIsJudgedByItsSource) {
  const struct {
    const char* source;
    Effect effect;
  } kCases[] = {
      {"SELECT $1 + 1", kHarmless},
      {"SELECT lower($1) -- set_config(", kHarmless},
      {"BEGIN NEW.at := now(); RETURN NEW; END", kHarmless},
      {"BEGIN INSERT INTO t (a, b) VALUES (f(1), 2); IF (x) THEN RETURN (1); END IF; END",
       kHarmless},
      {"BEGIN UPDATE t SET a = 1 WHERE b = 2; END", kHarmless},
      {"DECLARE x varchar(10); BEGIN SET CONSTRAINTS ALL DEFERRED; END", kHarmless},
      {"SELECT temp, load, listen FROM weather WHERE temp > set_", kHarmless},
      {"SELECT 'it''s; SET x = 1'", kHarmless},
      {"SELECT 'a\\'; SELECT set_config(''a'', 'b', false) --'", kOpaque},
      {"SELECT E'a\\'; SET x = 1 --'", kHarmless},
      {"BEGIN SET x = 1; END", kOpaque},
      {"BEGIN IF true THEN SET LOCAL x = 1; END IF; END", kOpaque},
      {"BEGIN RESET x; END", kOpaque},
      {"BEGIN PERFORM set_config('app.tenant', $1, true); END", kOpaque},
      {"BEGIN PERFORM pg_catalog . set_config('a', $1, true); END", kOpaque},
      {"BEGIN PERFORM \"set_config\"('a', $1, true); END", kOpaque},
      {"SELECT pg_advisory_lock(1)", kOpaque},
      {"SELECT pg_advisory_xact_lock(1)", kHarmless},
      {"BEGIN EXECUTE 'select 1'; END", kOpaque},
      {"BEGIN FOR r IN EXECUTE x LOOP NULL; END LOOP; END", kOpaque},
      {"CREATE TEMP TABLE t (a int)", kOpaque},
      {"BEGIN CREATE LOCAL TEMPORARY TABLE t (a int); END", kOpaque},
      {"SELECT a INTO TEMP b FROM c", kOpaque},
      {"SELECT * FROM pg_temp.t", kOpaque},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", kOpaque},
      {"LISTEN x", kOpaque},
      {"PREPARE x AS SELECT 1", kOpaque},
      {"BEGIN DO $$ x $$; END", kOpaque},
      {"SELECT query_to_xml('select 1', true, true, '')", kOpaque},
      {"SELECT lo_open(1, 2)", kOpaque},
      {"SELECT setseed(0.5)", kUnaskable},
      {"BEGIN SET seed = 0.5; END", kUnaskable},
      {"LOAD 'x'", kUnaskable},
      {"BEGIN DEALLOCATE ALL; END", kUnaskable},
      {"SELECT U&\"\\0073etseed\"(1)", kUnaskable},
      {"SELECT 'open", kUnaskable},
  };
  for (const auto& each : kCases) {
    Database database;
    database.PlPgSql("f", each.source);
    EXPECT_EQ(EffectOf(*database.Build(), "f"), each.effect) << each.source;
  }
}

TEST(CatalogueTest, OtherLanguagesAreUnaskableAndExtensionsAreKnown) {
  Database database;
  database.Add({.name = "perl", .language = "plperl", .source = "1", .source_known = true});
  database.Add({.name = "alias", .language = "internal", .source = "lower", .source_known = true});
  database.Add({.name = "long", .language = "sql"});
  database.C("similarity", "pg_trgm");
  database.C("crosstab", "tablefunc");
  database.C("dblink", "dblink");
  database.C("mine", "");
  const auto catalogue = database.Build();
  EXPECT_EQ(EffectOf(*catalogue, "perl"), kUnaskable);
  EXPECT_EQ(EffectOf(*catalogue, "alias"), kUnaskable);
  EXPECT_EQ(EffectOf(*catalogue, "long"), kUnaskable);
  EXPECT_EQ(EffectOf(*catalogue, "similarity"), kHarmless);
  EXPECT_EQ(EffectOf(*catalogue, "crosstab"), kOpaque);
  EXPECT_EQ(EffectOf(*catalogue, "dblink"), kUnaskable);
  EXPECT_EQ(EffectOf(*catalogue, "mine"), kUnaskable);
  EXPECT_EQ(catalogue->Find("lower"), nullptr);
}

TEST(CatalogueTest, WhatIsCalledCounts) {
  Database database;
  // In whatever order, also in circles.
  database.Sql("a", "SELECT b($1)");
  database.Sql("b", "SELECT c($1), a($1)");
  database.PlPgSql("harmless", "BEGIN PERFORM other(1); END");
  database.Sql("other", "SELECT harmless(1), t(1), no_such_function(2)");
  database.Sql("c", "SELECT d(1)");
  database.PlPgSql("d", "BEGIN PERFORM setseed(0.1); INSERT INTO t VALUES (nextval('s')); END");
  const auto catalogue = database.Build();
  for (const char* name : {"a", "b", "c", "d"}) {
    EXPECT_EQ(EffectOf(*catalogue, name), kUnaskable) << name;
    EXPECT_TRUE(catalogue->Find(name)->writes_sequence) << name;
    EXPECT_TRUE(catalogue->Find(name)->writes) << name;
  }
  EXPECT_EQ(*catalogue->Find("harmless"), CallEffect());
  EXPECT_EQ(*catalogue->Find("other"), CallEffect());
}

TEST(CatalogueTest, AllFunctionsOfANameCount) {
  Database database;
  database.Sql("f", "SELECT 1");
  database.Sql("caller", "SELECT f(1)");
  database.PlPgSql("f", "BEGIN SET x = 1; END");
  database.Sql("lo_open", "SELECT 1");
  const auto catalogue = database.Build();
  EXPECT_EQ(EffectOf(*catalogue, "f"), kOpaque);
  EXPECT_EQ(EffectOf(*catalogue, "caller"), kOpaque);
  // The built-in one may be meant.
  EXPECT_EQ(EffectOf(*catalogue, "lo_open"), kOpaque);
}

TEST(CatalogueTest, DefaultsOfArgumentsAndPartsOfAggregatesCount) {
  Database database;
  database.Add({.name = "f",
                .language = "sql",
                .source = "SELECT 1",
                .source_known = true,
                .defaults = "'x'::text, bad(1)"});
  database.PlPgSql("bad", "BEGIN SET x = 1; END");
  database.Add({.name = "product",
                .language = "internal",
                .aggregate = true,
                .source = "float8mul( int8_avg_accum(",
                .source_known = true});
  database.Add({.name = "evil",
                .language = "internal",
                .aggregate = true,
                .source = "set_config( lower(",
                .source_known = true});
  const uint32_t by_edge = database.Add(
      {.name = "edge", .language = "internal", .aggregate = true, .source_known = true});
  const uint32_t part = database.PlPgSql("part", "BEGIN SET x = 1; END");
  database.builder().AddEdge(by_edge, part);
  const auto catalogue = database.Build();
  EXPECT_EQ(EffectOf(*catalogue, "f"), kOpaque);
  EXPECT_EQ(EffectOf(*catalogue, "product"), kHarmless);
  EXPECT_EQ(EffectOf(*catalogue, "evil"), kOpaque);
  EXPECT_EQ(EffectOf(*catalogue, "edge"), kOpaque);
}

TEST(CatalogueTest, ALongChainIsFollowed) {
  Database database;
  constexpr int kLinks = 50000;
  std::vector<std::string> names;
  for (int i = 0; i <= kLinks; ++i) names.push_back("f" + std::to_string(i));
  for (int i = 0; i < kLinks; ++i) database.Sql(names[i], "SELECT " + names[i + 1] + "(1)");
  database.PlPgSql(names[kLinks], "BEGIN SET x = 1; END");
  const auto catalogue = database.Build();
  EXPECT_EQ(EffectOf(*catalogue, "f0"), kOpaque);
}

TEST(CatalogueTest, CustomSettingsAreCollected) {
  Database database;
  database.PlPgSql("a",
                   "BEGIN PERFORM set_config('App.Tenant', $1, true); SET LOCAL app.x = 1; END");
  database.Sql("b",
               "SELECT set_config('work_mem', '1MB', true), set_config('app.tenant', $1, true)");
  EXPECT_EQ(database.Build()->custom_settings(), (std::vector<std::string>{"app.tenant", "app.x"}));
}

// What a text is worth with such a catalogue.
struct Case {
  const char* text;
  PinReason pin;
  uint16_t flags = 0;
};

constexpr uint16_t kReads = Verdict::kPlainRead;
constexpr uint16_t kAsk = Verdict::kOpaque;
constexpr uint16_t kWritesSequence = Verdict::kWritesSequence;

void ExpectVerdicts(const std::vector<Case>& cases, const Catalogue& catalogue) {
  for (const Case& each : cases) {
    const Verdict verdict = Scan(each.text, {}, &catalogue);
    EXPECT_EQ(verdict.pin, each.pin) << each.text;
    EXPECT_EQ(verdict.flags, each.flags) << each.text;
  }
}

TEST(CatalogueTest, CallsInTexts) {
  Database database;
  database.Sql("plain", "SELECT 1");
  database.Sql("writer", "UPDATE t SET a = 1");
  database.Sql("number", "INSERT INTO t VALUES (1)");
  database.Sql("reader", "SELECT lastval()");
  database.Sql("maker", "CREATE TABLE t (a int)");
  database.PlPgSql("opaque", "BEGIN SET x = 1; END");
  database.PlPgSql("seed", "BEGIN PERFORM setseed(1); END");
  database.Sql("lower", "SELECT pg_advisory_lock(1)::text");
  database.Sql("set_config", "SELECT 1");
  const auto catalogue = database.Build();
  ExpectVerdicts(
      {
          {"SELECT plain(1)", kNone, kReads},
          {"SELECT public.plain(1)", kNone, kReads},
          {"SELECT \"plain\"(1)", kNone, kReads},
          {"SELECT writer()", kNone},
          {"SELECT number()", kNone, kWritesSequence},
          {"SELECT reader()", kNone, Verdict::kReadsSequence},
          {"SELECT maker()", kNone, Verdict::kDdl},
          {"SELECT opaque()", kNone, kAsk},
          {"SELECT app.opaque(), plain(1)", kNone, kAsk},
          {"SELECT seed()", kFunction},
          {"SELECT unknown()", kFunction},
          {"SELECT lower('A')", kNone, kAsk},
          {"SELECT upper('A')", kNone, kReads},
          {"SELECT pg_catalog.lower('A')", kNone, kReads},
          {"SELECT public.lower(1)", kNone, kAsk},
          {"SELECT public.upper(1)", kFunction},
          {"SELECT set_config('a', 'b', false)", kNone, Verdict::kSets},
          {"CALL plain(1)", kNone},
          {"CALL opaque(1)", kNone, kAsk},
          {"CALL seed(1)", kFunction},
          {"CALL unknown(1)", kFunction},
          {"CALL plain(opaque())", kNone, kAsk},
          {"DO $$ BEGIN PERFORM plain(1); END $$", kNone},
          {"DO $x$ BEGIN PERFORM plain(1); END $x$ LANGUAGE plpgsql", kNone},
          {"DO LANGUAGE plpgsql 'BEGIN PERFORM plain(''$$''); END' ;", kNone},
          {"DO $$ BEGIN PERFORM opaque(1); END $$", kNone, kAsk},
          {"DO $$ BEGIN PERFORM plain(1); END $$; DO $$BEGIN SET x = 1; END$$", kNone, kAsk},
          {"DO 'BEGIN SET x = 1; END'", kNone, kAsk},
          {"DO $$ BEGIN PERFORM setseed(1); END $$", kOpaquePin},
          {"DO $$ BEGIN PERFORM query_to_xml('', true, true, ''); END $$", kNone, kAsk},
          {"DO $$ BEGIN INSERT INTO t VALUES (1); END $$", kNone, kWritesSequence},
          {"DO LANGUAGE plperl $$ 1 $$", kOpaquePin},
          {"DO E'BEGIN END'", kNone, kAsk},
          {"DO /* c */ $$ BEGIN END $$", kNone, kAsk},
          {"DO 'BEGIN'\n' END'", kNone, kAsk},
          {"DO 'BEGIN \\ END'", kNone, kAsk},
          {"DO", kNone, kAsk},
          {"UPDATE pg_settings SET setting = 'x' WHERE name = 'y'", kNone, kAsk},
      },
      *catalogue);
}

TEST(CatalogueTest, WithoutItsTextABlockIsOpaque) {
  const auto catalogue = Database().Build();
  SqlScanner scanner;
  scanner.Begin({}, catalogue.get());
  scanner.Feed(engine::AsBytes(std::string_view("DO $$ BEGIN END $$")));
  EXPECT_EQ(scanner.Finish().pin, kOpaquePin);
}

TEST(CatalogueTest, ATriggerThatIsNotHarmlessConcernsAllThatWrites) {
  Database database;
  const uint32_t trigger = database.PlPgSql("audit", "BEGIN SET x = 1; RETURN NEW; END");
  database.Sql("writer", "UPDATE t SET a = 1");
  database.builder().AddUse(Scope::kWrites, trigger);
  const auto catalogue = database.Build();
  ExpectVerdicts({{"SELECT 1", kNone, kReads},
                  {"UPDATE t SET a = 1", kNone, kAsk},
                  {"SELECT 1; COMMIT", kNone},
                  {"BEGIN; DELETE FROM t", kNone, kAsk},
                  {"SELECT writer()", kNone, kAsk},
                  {"COPY t FROM STDIN", kNone, kAsk | kWritesSequence},
                  {"BEGIN", kNone},
                  {"SHOW work_mem", kNone},
                  {"SET work_mem = 1", kNone, Verdict::kSets},
                  {"COMMIT; ROLLBACK", kNone}},
                 *catalogue);
}

TEST(CatalogueTest, AViewThatIsNotHarmlessIsAskedForEverywhere) {
  Database database;
  const uint32_t function = database.PlPgSql("f", "BEGIN PERFORM setseed(1); END");
  database.builder().AddUse(Scope::kAll, function);
  database.builder().AddUseOfBuiltIn(Scope::kWrites, "currval");
  const auto catalogue = database.Build();
  ExpectVerdicts(
      {{"SELECT 1", kNone, kAsk},
       {"INSERT INTO t VALUES (1)", kNone, kAsk | kWritesSequence | Verdict::kReadsSequence},
       {"BEGIN", kNone},
       {"SHOW work_mem", kNone}},
      *catalogue);
}

TEST(CatalogueTest, EventTriggersConcernDdl) {
  Database database;
  database.builder().AddUse(Scope::kDdl, database.PlPgSql("f", "BEGIN EXECUTE x; END"));
  const auto catalogue = database.Build();
  ExpectVerdicts(
      {{"UPDATE t SET a = 1", kNone}, {"CREATE TABLE t (a int)", kNone, kAsk | Verdict::kDdl}},
      *catalogue);
}

TEST(CatalogueTest, AReaderThatWritesRunsTriggersToo) {
  Database database;
  database.builder().AddUse(Scope::kWrites, database.PlPgSql("f", "BEGIN SET x = 1; END"));
  database.builder().AddUse(Scope::kAll, database.Sql("log", "INSERT INTO log VALUES (1)"));
  ExpectVerdicts({{"SELECT 1", kNone, kAsk | kWritesSequence}}, *database.Build());
}

TEST(CatalogueTest, AFunctionMayBeCalledLikeAColumn) {
  Database database;
  database.Add({.name = "f",
                .language = "sql",
                .attribute = true,
                .source = "SELECT set_config('a.b', 'c', false)",
                .source_known = true});
  ExpectVerdicts({{"SELECT t.f FROM t", kNone, kAsk}}, *database.Build());
}

// Those that do something else than write tables are harmless to the session, and yet no reads.
TEST(CatalogueTest, WhatActsDoesNotOnlyRead) {
  Database database;
  database.Sql("tells", "NOTIFY a");
  database.Sql("calls", "SELECT pg_notify('a', 'b')");
  database.PlPgSql("calls_it", "BEGIN PERFORM calls(); END");
  database.Sql("locks", "SELECT a FROM t FOR SHARE");
  database.PlPgSql("vacuums", "BEGIN ANALYZE t; END");
  database.Sql("attribute", "SELECT (0.5).pg_sleep");
  database.PlPgSql("seeds", "BEGIN PERFORM (x).a.setseed; END");
  database.Sql("reads", "SELECT t.lock, pg_backend_pid(), (a).setting, b[1].c FROM t");
  database.C("pg_prewarm", "pg_prewarm");
  const auto catalogue = database.Build();
  ExpectVerdicts({{"SELECT tells()", kNone},
                  {"SELECT calls()", kNone},
                  {"SELECT calls_it()", kNone},
                  {"SELECT locks()", kNone},
                  {"SELECT vacuums()", kNone},
                  {"SELECT attribute()", kNone},
                  {"SELECT (1).attribute", kNone},
                  {"SELECT seeds()", kFunction},
                  {"SELECT (a).seeds FROM t", kFunction},
                  {"SELECT a.seeds FROM t", kNone, kReads},
                  {"SELECT pg_prewarm('t')", kNone},
                  {"SELECT reads()", kNone, kReads}},
                 *catalogue);
}

TEST(CatalogueTest, BehindAViewThatActsNothingIsAPlainRead) {
  Database database;
  database.builder().AddUseOfBuiltIn(Scope::kAll, "pg_notify");
  ExpectVerdicts({{"SELECT 1", kNone}}, *database.Build());
}

TEST(CatalogueTest, AnEmptyDatabaseChangesNothing) {
  const auto catalogue = CatalogueBuilder().Build("1");
  ExpectVerdicts({{"SELECT lower('A')", kNone, kReads},
                  {"SELECT f(1)", kFunction},
                  {"INSERT INTO t (a) VALUES (1)", kNone, kWritesSequence},
                  {"SELECT currval('s')", kNone, Verdict::kReadsSequence}},
                 *catalogue);
  EXPECT_EQ(catalogue->fingerprint(), "1");
}

}  // namespace
}  // namespace weir::postgres
