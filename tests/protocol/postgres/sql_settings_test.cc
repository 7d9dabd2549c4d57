// The settings that a text names; every form of SET.
#include "protocol/postgres/sql_settings.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/base/text.h"

namespace weir::postgres {
namespace {

// "names | placeholders", then what else was found.
std::string Read(std::string_view text) {
  const SettingNames found = SettingsOf(text, {});
  std::string out;
  for (const std::string& each : found.names) engine::Append(out, out.empty() ? "" : " ", each);
  for (const std::string& each : found.placeholders) engine::Append(out, " (", each, ")");
  if (found.all) out += " ALL";
  if (found.roles) out += " ROLES";
  if (found.unknown) out += " UNKNOWN";
  if (found.shapes_lexing) out += " LEXING";
  if (found.shapes_literals) out += " LITERALS";
  return out;
}

TEST(SqlSettingsTest, FormsOfSet) {
  EXPECT_EQ(Read("SET work_mem = 1"), "work_mem");
  EXPECT_EQ(Read("set session Work_Mem to '1MB'; SET a.b = c"), "work_mem a.b");
  EXPECT_EQ(Read("SET \"Work_Mem\" = 1"), "work_mem");
  EXPECT_EQ(Read("SET a . \"B\" = 1"), "a.b");
  EXPECT_EQ(Read("SET TIME ZONE 'UTC'"), "timezone LITERALS");
  EXPECT_EQ(Read("SET NAMES 'UTF8'"), "client_encoding LEXING");
  EXPECT_EQ(Read("SET SCHEMA 'x'"), "search_path");
  EXPECT_EQ(Read("SET XML OPTION DOCUMENT"), "xmloption LITERALS");
  EXPECT_EQ(Read("SET ROLE x"), "role");
  EXPECT_EQ(Read("SET SESSION ROLE x"), "role");
  EXPECT_EQ(Read("SET SESSION AUTHORIZATION x"), "session_authorization role");
  EXPECT_EQ(Read("SET LOCAL SESSION AUTHORIZATION x"), "");
  EXPECT_EQ(Read("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"),
            "default_transaction_isolation default_transaction_read_only "
            "default_transaction_deferrable");
  EXPECT_EQ(Read("SET SEED TO 1"), "seed");
  EXPECT_EQ(Read("SET \"\" = 1"), "");
  EXPECT_EQ(Read("SET TRANSACTION READ ONLY; SET CONSTRAINTS ALL DEFERRED"), "");
  EXPECT_EQ(Read("SET transaction_isolation = 'serializable'"), "");
  EXPECT_EQ(Read("SELECT 'SET x = 1'; -- SET y = 1\nSET z TO DEFAULT"), "z");
}

TEST(SqlSettingsTest, WhatIsLocalLeavesOnlyPlaceholders) {
  EXPECT_EQ(Read("SET LOCAL work_mem = 1"), "");
  EXPECT_EQ(Read("SET LOCAL app.tenant = 1"), " (app.tenant)");
  EXPECT_EQ(Read("SET LOCAL TIME ZONE 'UTC'"), " LITERALS");
  EXPECT_EQ(Read("SET LOCAL standard_conforming_strings = off"), " LEXING");
  EXPECT_EQ(Read("SELECT set_config('work_mem', '1', true), set_config('app.x', '1', true)"),
            " (app.x)");
}

// What goes back to what the session began with; "only" if that is all.
std::string Resets(std::string_view text) {
  const SettingNames found = SettingsOf(text, {});
  std::string out = found.only_resets ? "only" : "";
  for (const SettingNames::Reset& each : found.resets)
    engine::Append(out, out.empty() ? "" : " ", each.name, each.local ? "/local" : "");
  return found.all ? out + " ALL" : out;
}

TEST(SqlSettingsTest, WhatIsReset) {
  EXPECT_EQ(Resets("RESET work_mem"), "only work_mem");
  EXPECT_EQ(Resets(" RESET A.B ;"), "only a.b");
  EXPECT_EQ(Resets("RESET TIME ZONE"), "only timezone");
  EXPECT_EQ(Resets("RESET ALL"), "only ALL");
  EXPECT_EQ(Resets("DISCARD ALL"), "only ALL");
  EXPECT_EQ(Resets("SET work_mem TO DEFAULT"), "only work_mem");
  EXPECT_EQ(Resets("SET work_mem=default"), "only work_mem");
  EXPECT_EQ(Resets("SET SESSION a.b = DEFAULT"), "only a.b");
  EXPECT_EQ(Resets("SET LOCAL work_mem TO DEFAULT"), "only work_mem/local");
  EXPECT_EQ(Resets("SET TIME ZONE DEFAULT"), "only timezone");
  EXPECT_EQ(Resets("SET TIME ZONE LOCAL"), "only timezone");
  EXPECT_EQ(Resets("SET NAMES"), "only client_encoding");
  EXPECT_EQ(Resets("SET NAMES DEFAULT"), "only client_encoding");
  EXPECT_EQ(Resets("RESET work_mem; SELECT 1"), "work_mem");
  EXPECT_EQ(Resets("SET a.b = 1; SET c TO DEFAULT; RESET d"), "c d");
  EXPECT_EQ(Resets("SELECT set_config('a', NULL, false)"), "a");
  EXPECT_EQ(Resets("SELECT set_config('a', $1, true)"), "a/local");
}

TEST(SqlSettingsTest, WhatIsResetAndSetForTheTransaction) {
  const auto masked = [](std::string_view text) {
    std::string names;
    for (const std::string& each : SettingsOf(text, {}).masked)
      engine::Append(names, names.empty() ? "" : " ", each);
    return names;
  };
  EXPECT_EQ(masked("RESET a; SET LOCAL a = 1"), "a");
  EXPECT_EQ(masked("SET TIME ZONE LOCAL; SET LOCAL TIME ZONE 'UTC'"), "timezone");
  EXPECT_EQ(masked("RESET ALL; SELECT set_config('a', '1', true)"), "a");
  EXPECT_EQ(masked("SET a = 1; SELECT set_config('a', NULL, false); SET LOCAL a = 2"), "a");
  for (const char* each : {"RESET a", "SET LOCAL a = 1", "RESET a; SET LOCAL b = 1",
                           "RESET a; SET LOCAL a = 1; SET a = 2",
                           "RESET ALL; SET a = 1; SET LOCAL a = 2", "SET LOCAL a TO DEFAULT",
                           "SET LOCAL a = 1; SET a TO DEFAULT", "SET LOCAL a = 1; RESET ALL"})
    EXPECT_EQ(masked(each), "") << each;
}

TEST(SqlSettingsTest, WhatIsNotReset) {
  for (const char* each :
       {"SET work_mem = '1MB'", "SET a TO 'default'", "SET a TO \"default\"", "SET TIME ZONE 'UTC'",
        "SET NAMES 'UTF8'", "SET TRANSACTION READ ONLY", "SELECT set_config('a', 'b', false)",
        "SELECT set_config('a', '1', true)", "SELECT 'RESET x'", "SET search_path = a, default_x"})
    EXPECT_EQ(Resets(each), "") << each;
}

TEST(SqlSettingsTest, FormsOfReset) {
  EXPECT_EQ(Read("RESET work_mem"), "work_mem");
  EXPECT_EQ(Read("RESET ALL"), " ALL LEXING LITERALS");
  EXPECT_EQ(Read("DISCARD ALL"), " ALL ROLES LEXING LITERALS");
  EXPECT_EQ(Read("DISCARD PLANS"), "");
  EXPECT_EQ(Read("RESET SESSION AUTHORIZATION"), "session_authorization role");
  EXPECT_EQ(Read("RESET TIME ZONE"), "timezone LITERALS");
  EXPECT_EQ(Read("RESET ROLE; RESET a.b"), "role a.b");
}

TEST(SqlSettingsTest, SetConfigNeedsAPlainName) {
  EXPECT_EQ(Read("SELECT set_config('Work_Mem', $1, false)"), "work_mem");
  EXPECT_EQ(Read("SELECT pg_catalog.set_config('a', f(1, 2), is_local)"), "a");
  EXPECT_EQ(Read("SELECT set_config($1, $2, false)"), " UNKNOWN");
  EXPECT_EQ(Read("SELECT set_config('a' || 'b', 'c', false)"), " UNKNOWN");
  EXPECT_EQ(Read("SELECT set_config(E'\\x61', 'c', false)"), " UNKNOWN");
  EXPECT_EQ(Read("SELECT set_config(U&'\\0061', 'c', false)"), " UNKNOWN");
  EXPECT_EQ(Read("SELECT set_config($$a$$, 'c', false)"), " UNKNOWN");
  EXPECT_EQ(Read("SELECT set_config('a', set_config('b', 'c', false), false)"), "a UNKNOWN");
  EXPECT_EQ(Read("SELECT set_config(setting_name => 'a', new_value => 'b', is_local => true)"),
            " UNKNOWN");
}

TEST(SqlSettingsTest, ANameThatTheLexerCutsIsNotKnown) {
  EXPECT_EQ(Read("SET " + std::string(70, 'a') + " = 1"), " UNKNOWN");
}

}  // namespace
}  // namespace weir::postgres
