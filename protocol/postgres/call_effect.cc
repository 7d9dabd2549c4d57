#include "protocol/postgres/call_effect.h"

#include <iterator>

#include "protocol/postgres/harmless_functions.h"
#include "protocol/postgres/words.h"

namespace weir::postgres {
namespace {

// What they leave in the session cannot be asked for.
constexpr std::string_view kUnaskable[] = {"pg_backup_start",
                                           "pg_backup_stop",
                                           "pg_copy_logical_replication_slot",
                                           "pg_copy_physical_replication_slot",
                                           "pg_create_logical_replication_slot",
                                           "pg_create_physical_replication_slot",
                                           "pg_replication_origin_session_reset",
                                           "pg_replication_origin_session_setup",
                                           "pg_start_backup",
                                           "pg_stop_backup",
                                           "setseed"};
static_assert(std::is_sorted(std::begin(kUnaskable), std::end(kUnaskable)));

// They run SQL that they are given as text.
bool RunsTexts(std::string_view name) {
  return name == "ts_rewrite" || name == "ts_stat" || name.ends_with("_to_xml") ||
         name.ends_with("_to_xml_and_xmlschema") || name.ends_with("_to_xmlschema");
}

// Extensions whose functions in C change no session state.
constexpr std::string_view kHarmless[] = {"address_standardizer",
                                          "amcheck",
                                          "autoinc",
                                          "bloom",
                                          "btree_gin",
                                          "btree_gist",
                                          "citext",
                                          "cube",
                                          "dict_int",
                                          "dict_xsyn",
                                          "earthdistance",
                                          "file_fdw",
                                          "fuzzystrmatch",
                                          "hstore",
                                          "insert_username",
                                          "intagg",
                                          "intarray",
                                          "ip4r",
                                          "isn",
                                          "lo",
                                          "ltree",
                                          "moddatetime",
                                          "pageinspect",
                                          "pg_buffercache",
                                          "pg_freespacemap",
                                          "pg_prewarm",
                                          "pg_stat_statements",
                                          "pg_trgm",
                                          "pg_visibility",
                                          "pg_walinspect",
                                          "pgaudit",
                                          "pgcrypto",
                                          "pgrowlocks",
                                          "pgstattuple",
                                          "plpgsql",
                                          "postgis",
                                          "postgis_raster",
                                          "postgis_sfcgal",
                                          "postgis_topology",
                                          "postgres_fdw",
                                          "prefix",
                                          "refint",
                                          "rum",
                                          "seg",
                                          "semver",
                                          "sslinfo",
                                          "tcn",
                                          "tsm_system_rows",
                                          "tsm_system_time",
                                          "unaccent",
                                          "unit",
                                          "uuid-ossp",
                                          "vector"};
static_assert(std::is_sorted(std::begin(kHarmless), std::end(kHarmless)));

// Their functions run SQL that they are given as text.
constexpr std::string_view kRunTexts[] = {"pgrouting", "tablefunc", "xml2"};
static_assert(std::is_sorted(std::begin(kRunTexts), std::end(kRunTexts)));

}  // namespace

CallEffect EffectOfBuiltIn(std::string_view name) {
  CallEffect effect;
  switch (FamilyOf(name)) {
    case FunctionFamily::kHarmless:
      break;
    case FunctionFamily::kActs:
      effect.acts = true;
      break;
    case FunctionFamily::kUnknown:
      effect.effect = In(kUnaskable, name) ? Effect::kUnaskable : Effect::kOpaque;
      break;
    case FunctionFamily::kLocks:
    case FunctionFamily::kUnlocks:
    case FunctionFamily::kSetConfig:
      effect.effect = Effect::kOpaque;
      break;
    case FunctionFamily::kSeed:
      effect.effect = Effect::kUnaskable;
      break;
    case FunctionFamily::kReadsSequence:
      effect.reads_sequence = true;
      break;
    case FunctionFamily::kWritesSequence:
      effect.writes_sequence = true;
      break;
  }
  return effect;
}

CallEffect EffectOfHiddenBuiltIn(std::string_view name) {
  const bool known = FamilyOf(name) != FunctionFamily::kUnknown;
  return known || In(kUnaskable, name) || RunsTexts(name) ? EffectOfBuiltIn(name) : CallEffect();
}

Effect EffectOfExtension(std::string_view extension) {
  if (In(kHarmless, extension)) return Effect::kHarmless;
  return In(kRunTexts, extension) ? Effect::kOpaque : Effect::kUnaskable;
}

}  // namespace weir::postgres
