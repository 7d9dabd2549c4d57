#include "protocol/postgres/catalogue_reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "protocol/wire/cursor.h"

namespace weir::postgres {

using protocol::Cursor;
using Next = protocol::CatalogueReader::Next;

namespace {

// What is the server's own has an oid below this; it is not asked for.
#define USERS "16384"

// For this question only. Own words for the path: a user's may put an operator of theirs first.
constexpr std::string_view kFront =
    "SET LOCAL search_path TO pg_catalog, pg_temp; SET LOCAL statement_timeout TO 10000; "
    "SET LOCAL jit TO off; ";

// Every row that counts, in its version, and the relation that it belongs to: temporary ones are a
// session's own, which keeps its backend.
constexpr std::string_view kFingerprint =
    "SELECT pg_catalog.concat_ws('/', pg_catalog.count(*), "
    "pg_catalog.sum(pg_catalog.hashtext(pg_catalog.concat_ws('/', kind, id, version)))) FROM ("
    "SELECT 'p', oid, xmin, 0::oid FROM pg_catalog.pg_proc"
    " UNION ALL SELECT 'a', aggfnoid::oid, xmin, 0 FROM pg_catalog.pg_aggregate"
    " UNION ALL SELECT 'o', oid, xmin, 0 FROM pg_catalog.pg_operator"
    " UNION ALL SELECT 'c', oid, xmin, 0 FROM pg_catalog.pg_cast"
    " UNION ALL SELECT 't', oid, xmin, tgrelid FROM pg_catalog.pg_trigger WHERE NOT tgisinternal"
    " UNION ALL SELECT 'e', oid, xmin, 0 FROM pg_catalog.pg_event_trigger"
    " UNION ALL SELECT 'r', oid, xmin, ev_class FROM pg_catalog.pg_rewrite"
    " UNION ALL SELECT 'd', oid, xmin, adrelid FROM pg_catalog.pg_attrdef"
    " UNION ALL SELECT 'l', oid, xmin, polrelid FROM pg_catalog.pg_policy"
    " UNION ALL SELECT 'k', oid, xmin, conrelid FROM pg_catalog.pg_constraint WHERE contype = 'c'"
    " UNION ALL SELECT 'i', indexrelid, xmin, indrelid FROM pg_catalog.pg_index WHERE indexprs IS "
    "NOT NULL OR indpred IS NOT NULL"
    " UNION ALL SELECT 'y', oid, xmin, 0 FROM pg_catalog.pg_type WHERE typtype IN ('d', 'r') OR "
    "typtype = 'b' AND typcategory <> 'A'"
    " UNION ALL SELECT 'x', oid, xmin, 0 FROM pg_catalog.pg_extension"
    ") AS rows (kind, id, version, relation) WHERE id >= " USERS
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = relation AND "
    "c.relpersistence = 't')";

constexpr std::string_view kBuiltIns =
    "SELECT oid, proname FROM pg_catalog.pg_proc WHERE oid < " USERS;

constexpr std::string_view kFunctions =
    // (A join would read all of pg_depend for each page.)
    "SELECT p.oid, p.proname, l.lanname, (SELECT e.extname FROM pg_catalog.pg_depend d JOIN "
    "pg_catalog.pg_extension e ON e.oid = d.refobjid WHERE d.classid = "
    "'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.objsubid = 0 AND d.deptype = 'e' "
    "LIMIT 1), p.prokind = 'a', "
    // Arguments of a composite type, or of any.
    "p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1 AND (a.typtype = 'c' OR a.oid IN "
    "(2249, 2276, 2283, 2776, 5077, 5079)), "
    "CASE WHEN p.prokind = 'a' THEN (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(f.proname)"
    " || '(', ' ') FROM pg_catalog.pg_aggregate g JOIN pg_catalog.pg_proc f ON f.oid IN "
    "(g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, "
    "g.aggminvtransfn, g.aggmfinalfn) WHERE g.aggfnoid = p.oid AND f.oid < " USERS
    ") "
    "WHEN l.lanname NOT IN ('sql', 'plpgsql') OR pg_catalog.length(p.prosrc) > 200000 THEN NULL "
    // The body of BEGIN ATOMIC is no text.
    "WHEN l.lanname = 'sql' AND p.prosrc = '' THEN pg_catalog.pg_get_functiondef(p.oid) "
    "ELSE p.prosrc END, "
    "pg_catalog.left(pg_catalog.pg_get_expr(p.proargdefaults, 0), 100000) "
    "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang "
    "LEFT JOIN pg_catalog.pg_type a ON a.oid = p.proargtypes[0] "
    "WHERE p.oid >= " USERS " AND p.oid > ";

// Kind, then: a function and the one that it is made of; a scope and a function; a scope and the
// name of a built-in function.
constexpr std::string_view kUses =
    "SELECT 'edge', d.objid::text, d.refobjid::text FROM pg_catalog.pg_depend d WHERE "
    "d.classid = 'pg_catalog.pg_proc'::regclass AND d.refclassid = 'pg_catalog.pg_proc'::regclass "
    "AND d.refobjid >= " USERS
    " UNION SELECT 'use', CASE WHEN d.classid IN ('pg_catalog.pg_trigger'::regclass, "
    "'pg_catalog.pg_attrdef'::regclass) OR d.classid = 'pg_catalog.pg_constraint'::regclass AND "
    "EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.oid = d.objid AND c.conrelid <> 0) "
    "THEN '1' WHEN d.classid = 'pg_catalog.pg_event_trigger'::regclass THEN '2' ELSE '0' END, "
    "d.refobjid::text FROM pg_catalog.pg_depend d "
    "WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass AND d.refobjid >= " USERS
    " AND d.classid NOT IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_language'::regclass, "
    "'pg_catalog.pg_foreign_data_wrapper'::regclass, 'pg_catalog.pg_am'::regclass, "
    "'pg_catalog.pg_transform'::regclass, 'pg_catalog.pg_publication_rel'::regclass)"
    // Those run while weir logs in.
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger e WHERE "
    "d.classid = 'pg_catalog.pg_event_trigger'::regclass AND e.oid = d.objid AND "
    "e.evtevent = 'login')"
    " UNION SELECT 'built-in', '0', p.proname::text FROM pg_catalog.pg_operator o JOIN "
    "pg_catalog.pg_proc p ON p.oid = o.oprcode WHERE o.oid >= " USERS " AND p.oid < " USERS
    " UNION SELECT 'built-in', '0', p.proname::text FROM pg_catalog.pg_cast c JOIN "
    "pg_catalog.pg_proc p ON p.oid = c.castfunc WHERE c.oid >= " USERS " AND p.oid < " USERS;

// Expressions that the server keeps, and whom they concern.
struct Table {
  const char* scope;
  const char* tree;
  const char* rows;
};
constexpr Table kTables[] = {
    {"'0'", "pg_catalog.concat(ev_qual::text, ev_action::text)",
     "pg_catalog.pg_rewrite WHERE true"},
    {"'1'", "adbin::text", "pg_catalog.pg_attrdef WHERE true"},
    {"'0'", "pg_catalog.concat(polqual::text, polwithcheck::text)",
     "pg_catalog.pg_policy WHERE true"},
    {"'1'", "tgqual::text", "pg_catalog.pg_trigger WHERE tgqual IS NOT NULL"},
    {"'0'", "conbin::text", "pg_catalog.pg_constraint WHERE contype = 'c' AND contypid <> 0"},
    {"'1'", "conbin::text", "pg_catalog.pg_constraint WHERE contype = 'c' AND conrelid <> 0"},
    {"'0'", "typdefaultbin::text", "pg_catalog.pg_type WHERE typdefaultbin IS NOT NULL"},
};

// A page: names of the built-in functions in it, then its last oid and its number of rows.
std::string ExpressionsOf(const Table& table, uint32_t after, uint32_t page) {
  return engine::Cat(
      kFront, "WITH page AS MATERIALIZED (SELECT oid, ", std::string_view(table.tree),
      " AS tree FROM ", std::string_view(table.rows), " AND oid >= " USERS " AND oid > ", after,
      " ORDER BY oid LIMIT ", page,
      "), found AS (SELECT DISTINCT (pg_catalog.regexp_matches(tree, ':funcid ([0-9]+)', "
      "'g'))[1]::oid AS id FROM page) SELECT ",
      std::string_view(table.scope),
      ", p.proname::text FROM found JOIN pg_catalog.pg_proc p ON p.oid = found.id WHERE p.oid "
      "< " USERS
      " UNION ALL SELECT pg_catalog.count(*)::text, pg_catalog.max(oid)::text FROM page");
}

uint32_t NumberIn(std::optional<std::string_view> text) {
  uint32_t number = 0;
  if (text.has_value()) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

std::string_view TextIn(std::optional<std::string_view> text) { return text.value_or(""); }

}  // namespace

PostgresCatalogueReader::PostgresCatalogueReader(std::string known, CatalogueLimits limits)
    : known_(std::move(known)), limits_(limits) {}

std::string_view PostgresCatalogueReader::Question(bool ascii_trailing_bytes) {
  ascii_trailing_bytes_ = ascii_trailing_bytes;
  count_ = 0;
  switch (step_) {
    case Step::kFingerprint:
      question_ = engine::Cat(kFront, kFingerprint);
      break;
    case Step::kBuiltIns:
      question_ = engine::Cat(kFront, kBuiltIns);
      break;
    case Step::kFunctions:
      question_ = engine::Cat(kFront, kFunctions, after_, " ORDER BY p.oid LIMIT ", limits_.page);
      break;
    case Step::kUses:
      question_ = engine::Cat(kFront, kUses);
      break;
    case Step::kExpressions:
      question_ = ExpressionsOf(kTables[table_], after_, limits_.page);
      break;
    case Step::kDone:
      UNREACHABLE();
  }
  return question_;
}

// A DataRow: number of columns, then length and value of each.
void PostgresCatalogueReader::OnRow(std::string_view body) {
  bytes_ += body.size();
  if (bytes_ > limits_.bytes_max) return;
  Cursor cursor(body);
  Row row;
  for (uint16_t columns = cursor.U16(); columns > 0 && cursor.ok(); --columns) {
    const uint32_t length = cursor.U32();
    row.emplace_back();
    if (length != UINT32_MAX) row.back() = cursor.Bytes(length);
  }
  static constexpr size_t kColumns[] = {1, 2, 8, 3, 2, 0};
  if (!cursor.ok() || row.size() != kColumns[static_cast<size_t>(step_)]) {
    malformed_ = true;
    return;
  }
  switch (step_) {
    case Step::kFingerprint:
      fingerprint_ = TextIn(row[0]);
      return;
    case Step::kBuiltIns:
      builder_.AddBuiltIn(NumberIn(row[0]), TextIn(row[1]));
      return;
    case Step::kFunctions:
      OnFunction(row);
      return;
    case Step::kUses:
      OnUse(row);
      return;
    case Step::kExpressions:
      OnExpression(row);
      return;
    case Step::kDone:
      return;
  }
}

void PostgresCatalogueReader::OnFunction(const Row& row) {
  ++count_;
  after_ = NumberIn(row[0]);
  builder_.AddFunction({.oid = after_,
                        .name = TextIn(row[1]),
                        .language = TextIn(row[2]),
                        .extension = TextIn(row[3]),
                        .aggregate = row[4] == "t",
                        .attribute = row[5] == "t",
                        .source = TextIn(row[6]),
                        .source_known = row[6].has_value(),
                        .defaults = TextIn(row[7])},
                       ascii_trailing_bytes_);
}

void PostgresCatalogueReader::OnUse(const Row& row) {
  if (row[0] == "edge") {
    builder_.AddEdge(NumberIn(row[1]), NumberIn(row[2]));
    return;
  }
  const auto scope = static_cast<Scope>(std::min<uint32_t>(NumberIn(row[1]), kScopes - 1));
  if (row[0] == "use") {
    builder_.AddUse(scope, NumberIn(row[2]));
  } else {
    builder_.AddUseOfBuiltIn(scope, TextIn(row[2]));
  }
}

void PostgresCatalogueReader::OnExpression(const Row& row) {
  // The last row.
  if (!row[1].has_value() || (row[1]->front() >= '0' && row[1]->front() <= '9')) {
    count_ = NumberIn(row[0]);
    if (row[1].has_value()) after_ = NumberIn(row[1]);
    return;
  }
  const Scope scope = static_cast<Scope>(NumberIn(row[0]));
  // A default of that kind is for INSERT, of which its text tells.
  if (scope == Scope::kWrites && row[1] == "nextval") return;
  builder_.AddUseOfBuiltIn(scope, *row[1]);
}

Next PostgresCatalogueReader::OnAnswered(bool failed) {
  if (failed || malformed_) return Next::kRefused;
  if (bytes_ > limits_.bytes_max || builder_.functions() > limits_.functions_max ||
      builder_.calls() > limits_.names_max)
    return Next::kTooMuch;
  switch (step_) {
    case Step::kFingerprint:
      if (fingerprint_.empty()) return Next::kRefused;
      if (fingerprint_ == known_) return Next::kSame;
      step_ = Step::kBuiltIns;
      break;
    case Step::kBuiltIns:
      step_ = Step::kFunctions;
      break;
    case Step::kFunctions:
      if (count_ >= limits_.page) break;
      step_ = Step::kUses;
      break;
    case Step::kUses:
      step_ = Step::kExpressions;
      after_ = 0;
      break;
    case Step::kExpressions:
      if (count_ >= limits_.page) break;
      after_ = 0;
      if (++table_ < std::size(kTables)) break;
      step_ = Step::kDone;
      return Next::kRead;
    case Step::kDone:
      UNREACHABLE();
  }
  return Next::kAsk;
}

std::unique_ptr<protocol::Catalogue> PostgresCatalogueReader::Make() {
  CHECK(step_ == Step::kDone);
  return builder_.Build(std::move(fingerprint_));
}

}  // namespace weir::postgres
