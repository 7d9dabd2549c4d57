// What of a startup message is the client's base, and what belongs to its route.
#include "protocol/postgres/base_settings.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/base/text.h"

namespace weir::postgres {
namespace {

std::string Text(const protocol::Parameters& parameters) {
  std::string out;
  for (const auto& [name, value] : parameters)
    engine::Append(out, out.empty() ? "" : " ", name, "=", value);
  return out;
}

std::string Options(std::string_view options) {
  const std::optional<protocol::Parameters> settings = SettingsOfOptions(options);
  return settings.has_value() ? Text(*settings) : "(not read)";
}

// "base | route".
std::string Split(protocol::Parameters parameters, bool replication = false) {
  protocol::ClientIdentity identity;
  identity.parameters = std::move(parameters);
  identity.replication = replication;
  const protocol::StartupSettings split = SplitStartup(identity);
  return engine::Cat(Text(split.base), " | ", Text(split.route));
}

TEST(BaseSettingsTest, FormsOfOptions) {
  EXPECT_EQ(Options(""), "");
  EXPECT_EQ(Options("-c a=1 -cb=2 --c=3"), "a=1 b=2 c=3");
  EXPECT_EQ(Options("  -c\ta=1\n-c  b=  "), "a=1 b=");
  EXPECT_EQ(Options("--Work-Mem=1-2 -c Date-Style=A"), "work_mem=1-2 date_style=A");
  EXPECT_EQ(Options("-c a=x=y"), "a=x=y");
  EXPECT_EQ(Options(R"(-c a=b\ c\\d\)"), R"(a=b c\d)");
  EXPECT_EQ(Options(R"(\-c a=\-c)"), "a=-c");
  EXPECT_EQ(Options("-c a=1 -c a=2"), "a=1 a=2");
}

TEST(BaseSettingsTest, OtherOptionsAreNotRead) {
  for (const char* each :
       {"-c", "-c a", "-c =1", "--a", "--", "--=1", "-d 5", "-O", "a=1", "-e -c a=1", "-ca"})
    EXPECT_EQ(Options(each), "(not read)") << each;
}

TEST(BaseSettingsTest, ParametersWinOverOptionsWhateverTheirOrder) {
  EXPECT_EQ(Split({{"DateStyle", "ISO"}, {"options", "-c datestyle=German -c x.y=1"}}),
            "x.y=1 datestyle=ISO | ");
  EXPECT_EQ(Split({{"options", "-c a=1"}, {"options", "-c b=2"}}), "b=2 | ");
  EXPECT_EQ(Split({{"a", "1"}, {"A", "2"}}), "a=2 | ");
}

TEST(BaseSettingsTest, WhatStaysWithTheBackend) {
  EXPECT_EQ(Split({{"application_name", "x"}, {"options", "-O -c a=1"}}),
            "application_name=x | options=-O -c a=1");
  EXPECT_EQ(Split({{"role", "r"}, {"a", "1"}, {"temp_buffers", "8MB"}}),
            "a=1 | role=r temp_buffers=8MB");
  EXPECT_EQ(Split({{"options", "-c transaction_isolation=serializable -c a=1"}}),
            "a=1 | transaction_isolation=serializable");
  EXPECT_EQ(Split({{"replication", "database"}, {"a", "1"}}, true), " | replication=database a=1");
  EXPECT_EQ(Split({{"replication", "off"}, {"a", "1"}}), "a=1 | ");
}

TEST(BaseSettingsTest, ManyStayWithTheBackend) {
  protocol::Parameters parameters;
  for (size_t i = 0; i <= kBaseSettingsMax; ++i)
    parameters.emplace_back(engine::Cat("app.n", i), "1");
  EXPECT_EQ(Split(parameters), engine::Cat(" | ", Text(parameters)));
}

}  // namespace
}  // namespace weir::postgres
