#include "protocol/postgres/harmless_functions.h"

#include <algorithm>
#include <iterator>

namespace weir::postgres {
namespace {

constexpr std::string_view kHarmless[] = {
#include "protocol/postgres/harmless_functions.inc"
};
static_assert(std::is_sorted(std::begin(kHarmless), std::end(kHarmless)));

}  // namespace

bool IsHarmlessFunction(std::string_view name) {
  return std::binary_search(std::begin(kHarmless), std::end(kHarmless), name);
}

FunctionFamily FamilyOf(std::string_view name) {
  if (name == "nextval" || name == "setval") return FunctionFamily::kWritesSequence;
  if (name == "currval" || name == "lastval") return FunctionFamily::kReadsSequence;
  if (name.starts_with("pg_advisory_unlock")) return FunctionFamily::kUnlocks;
  if (IsHarmlessFunction(name)) return FunctionFamily::kHarmless;
  if (name == "set_config") return FunctionFamily::kSetConfig;
  if (name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_"))
    return FunctionFamily::kLocks;
  if (name == "setseed") return FunctionFamily::kSeed;
  return FunctionFamily::kUnknown;
}

}  // namespace weir::postgres
