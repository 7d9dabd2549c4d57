// What in a text is the call of a function, and what that may do.
#include <algorithm>
#include <iterator>
#include <string_view>

#include "protocol/postgres/harmless_functions.h"
#include "protocol/postgres/sql_scan.h"
#include "protocol/postgres/words.h"

namespace weir::postgres {
namespace {

// Words that can never be the name of a function without quotes: reserved words, and those that
// name types or constructs ("SQL Key Words": reserved, and "cannot be function or type").
constexpr std::string_view kNotCalled[] = {
    "all",       "analyse",    "analyze",  "and",        "any",     "array",      "as",
    "asc",       "asymmetric", "between",  "bit",        "both",    "case",       "cast",
    "char",      "character",  "check",    "collate",    "column",  "constraint", "create",
    "dec",       "decimal",    "default",  "deferrable", "desc",    "distinct",   "do",
    "else",      "end",        "except",   "false",      "fetch",   "float",      "for",
    "foreign",   "from",       "grant",    "group",      "having",  "in",         "initially",
    "intersect", "interval",   "into",     "lateral",    "leading", "limit",      "national",
    "nchar",     "not",        "null",     "numeric",    "offset",  "on",         "only",
    "or",        "order",      "placing",  "precision",  "primary", "references", "returning",
    "row",       "select",     "some",     "symmetric",  "table",   "then",       "time",
    "timestamp", "to",         "trailing", "true",       "union",   "unique",     "user",
    "using",     "values",     "varchar",  "variadic",   "when",    "where",      "window",
    "with"};
static_assert(std::is_sorted(std::begin(kNotCalled), std::end(kNotCalled)));

}  // namespace

// A word that may also name a function, in the one place where a parenthesis behind it means
// something else.
bool SqlScanner::IsConstruct(std::string_view name) const {
  const bool behind_word = before_ == Before::kWord;
  const std::string_view word = behind_word ? before() : std::string_view();
  // Behind an operand: a value, or a word that is not reserved.
  const bool behind_value = before_ == Before::kValue || before_ == Before::kClosed;
  const bool behind_operand = behind_value || (behind_word && !In(kNotCalled, word));
  if (name == "by") return word == "group" || word == "order" || word == "partition";
  if (name == "filter" || name == "over") return behind_value;
  if (name == "join" || name == "like" || name == "ilike") return behind_operand;
  if (name == "set") return behind_operand && std::string_view(first_, first_length_) != "select";
  if (name == "conflict") return word == "on";
  if (name == "sets") return word == "grouping";
  if (name == "rollup" || name == "cube") return word == "by";
  if (name == "system" || name == "bernoulli") return word == "tablesample";
  if (name == "materialized") return word == "as" || word == "not";
  if (name == "first" || name == "next") return word == "fetch";
  if (name == "zone") return word == "time";
  if (name == "explain") return words_ == 1;
  return false;
}

// A name, then a parenthesis: a call, unless it is a column list.
void SqlScanner::OnCall() {
  const std::string_view name = last();
  if (name_list_) {
    name_list_ = false;
    return;
  }
  if (!last_quoted_ && !qualified_ && (In(kNotCalled, name) || IsConstruct(name))) return;
  const uint64_t here = uint64_t{1} << std::min(depth_, kDepthMax);
  // The columns of a WITH query, or of an alias: behind AS, WITH ORDINALITY or a parenthesis's end,
  // where no call can stand. An alias behind a name cannot be told from a call with certainty: it
  // is taken for one, which can only pin too much.
  const std::string_view behind = before_ == Before::kWord ? before() : std::string_view();
  const bool alias = before_ == Before::kClosed || behind == "as" || behind == "ordinality";
  if (!qualified_ && ((with_ & here) != 0 || alias)) return;
  const std::string_view schema(qualifier_, qualifier_length_);
  const bool built_in = !qualified_ || schema == "pg_catalog" ||
                        (schema == "information_schema" && name.starts_with("_pg_"));
  const FunctionFamily family = built_in ? FamilyOf(name) : FunctionFamily::kUnknown;
  if (catalogue_ != nullptr && OnCallOfUser(name, family != FunctionFamily::kUnknown)) return;
  if (family == FunctionFamily::kUnknown && name == "operator" && !last_quoted_ && !qualified_) {
    operator_ = Operator::kOpen;
  } else {
    TakeFamily(family);
  }
}

// Behind a value and a dot stands a field of it, or a function of that one argument:
// (1::bigint).pg_advisory_lock. A user's own counts only if it is known: fields have any name.
void SqlScanner::OnAttribute(std::string_view name) {
  const FunctionFamily family = FamilyOf(name);
  if (catalogue_ != nullptr && OnCallOfUser(name, family != FunctionFamily::kUnknown)) return;
  const bool built_in = name.starts_with("pg_") || name.starts_with("lo_") ||
                        EffectOfHiddenBuiltIn(name) != CallEffect();
  if (family != FunctionFamily::kUnknown || built_in) TakeFamily(family);
}

void SqlScanner::TakeFamily(FunctionFamily family) {
  const bool later = prepares_ != 0;
  switch (family) {
    case FunctionFamily::kHarmless:
      return;
    case FunctionFamily::kActs:
      reads_only_ = false;
      return;
    case FunctionFamily::kUnknown:
      Pin(PinReason::kFunction);
      return;
    case FunctionFamily::kLocks:
      Pin(later ? PinReason::kFunction : PinReason::kAdvisoryLock);
      return;
    case FunctionFamily::kUnlocks:
      End(PinReason::kAdvisoryLock);
      reads_only_ = false;
      return;
    case FunctionFamily::kSeed:
      Pin(PinReason::kSeed);
      return;
    case FunctionFamily::kReadsSequence:
      verdict_.flags |= Verdict::kReadsSequence;
      reads_only_ = false;
      return;
    case FunctionFamily::kWritesSequence:
      verdict_.flags |= Verdict::kWritesSequence;
      reads_only_ = false;
      return;
    case FunctionFamily::kSetConfig:
      reads_only_ = false;
      if (later) Pin(PinReason::kFunction);
      verdict_.flags |= Verdict::kSets;
      return;
  }
}

}  // namespace weir::postgres
