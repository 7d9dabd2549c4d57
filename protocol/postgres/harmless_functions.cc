#include "protocol/postgres/harmless_functions.h"

#include <algorithm>
#include <iterator>

#include "protocol/postgres/words.h"

namespace weir::postgres {
namespace {

constexpr std::string_view kHarmless[] = {
#include "protocol/postgres/harmless_functions.inc"
};
static_assert(std::is_sorted(std::begin(kHarmless), std::end(kHarmless)));

constexpr std::string_view kActs[] = {"autoprewarm_dump_now",
                                      "autoprewarm_start_worker",
                                      "brin_desummarize_range",
                                      "brin_summarize_new_values",
                                      "brin_summarize_range",
                                      "gin_clean_pending_list",
                                      "pg_advisory_xact_lock",
                                      "pg_advisory_xact_lock_shared",
                                      "pg_cancel_backend",
                                      "pg_create_restore_point",
                                      "pg_current_xact_id",
                                      "pg_import_system_collations",
                                      "pg_log_backend_memory_contexts",
                                      "pg_notify",
                                      "pg_prewarm",
                                      "pg_promote",
                                      "pg_reload_conf",
                                      "pg_rotate_logfile",
                                      "pg_rotate_logfile_old",
                                      "pg_stat_clear_snapshot",
                                      "pg_stat_statements_reset",
                                      "pg_switch_wal",
                                      "pg_terminate_backend",
                                      "pg_truncate_visibility_map",
                                      "pg_try_advisory_xact_lock",
                                      "pg_try_advisory_xact_lock_shared",
                                      "pg_wal_replay_pause",
                                      "pg_wal_replay_resume",
                                      "txid_current"};
static_assert(std::is_sorted(std::begin(kActs), std::end(kActs)));

}  // namespace

bool IsHarmlessFunction(std::string_view name) {
  return std::binary_search(std::begin(kHarmless), std::end(kHarmless), name);
}

bool ActsFunction(std::string_view name) {
  return name.starts_with("pg_sleep") || name.starts_with("pg_stat_reset") ||
         name.starts_with("pg_buffercache_evict") || name.starts_with("postgres_fdw_disconnect") ||
         In(kActs, name);
}

FunctionFamily FamilyOf(std::string_view name) {
  if (name == "nextval" || name == "setval") return FunctionFamily::kWritesSequence;
  if (name == "currval" || name == "lastval") return FunctionFamily::kReadsSequence;
  if (name.starts_with("pg_advisory_unlock")) return FunctionFamily::kUnlocks;
  if (IsHarmlessFunction(name))
    return ActsFunction(name) ? FunctionFamily::kActs : FunctionFamily::kHarmless;
  if (name == "set_config") return FunctionFamily::kSetConfig;
  if (name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_"))
    return FunctionFamily::kLocks;
  if (name == "setseed") return FunctionFamily::kSeed;
  return FunctionFamily::kUnknown;
}

}  // namespace weir::postgres
