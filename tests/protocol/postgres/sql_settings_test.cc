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
