// A pg_hba.conf: what its lines mean, and that none is passed over.
#include "pool/config/pg_hba.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir::pool {
namespace {

AccessRule One(std::string_view text) {
  const PgHba file = ParsePgHba(text, "pg_hba.conf");
  EXPECT_EQ(file.errors, std::vector<std::string>()) << text;
  EXPECT_EQ(file.rules.size(), 1u) << text;
  return file.rules.empty() ? AccessRule() : file.rules[0];
}
std::string ErrorOf(std::string_view text) {
  const PgHba file = ParsePgHba(text, "pg_hba.conf");
  EXPECT_TRUE(file.rules.empty()) << text;
  EXPECT_EQ(file.errors.size(), 1u) << text;
  return file.errors.empty() ? "" : file.errors[0];
}
// Where the rules stand that decide for a client.
std::string Decided(const PgHba& file, const AccessQuestion& question) {
  const AccessRules rules(file.rules);
  const AccessRule* rule = rules.Decide(question);
  return rule == nullptr ? "none" : rule->place;
}

TEST(PgHbaTest, KindsAddressesAndMethods) {
  const PgHba file = ParsePgHba(
      "# TYPE  DATABASE  USER  ADDRESS  METHOD\r\n"
      "local   all       all            trust\r\n"
      "host    orders    app   10.0.0.0/8            scram-sha-256\n"
      "hostssl all       app   192.0.2.0 255.255.255.0 md5   # any password\n"
      "hostnossl all     all   192.0.2.0/24          reject\n"
      "\t\n"
      "host    all       all   fd00::/8              trust\n"
      "hostssl all       all   all                   cert",
      "hba");
  ASSERT_EQ(file.errors, std::vector<std::string>());
  ASSERT_EQ(file.rules.size(), 6u);
  EXPECT_EQ(file.rules[0].method, AccessMethod::kTrust);
  EXPECT_EQ(file.rules[1].method, AccessMethod::kScram);
  EXPECT_EQ(file.rules[2].method, AccessMethod::kPassword);
  EXPECT_EQ(file.rules[3].method, AccessMethod::kReject);
  EXPECT_EQ(file.rules[5].method, AccessMethod::kCertificate);
  const auto from = [&file](std::string_view host, bool encrypted, std::string_view user = "app",
                            std::string_view database = "orders") {
    return Decided(file,
                   {.host = host, .user = user, .database = database, .encrypted = encrypted});
  };
  EXPECT_EQ(from("unix", false), "hba line 2");
  EXPECT_EQ(from("10.1.1.1", false), "hba line 3");
  EXPECT_EQ(from("10.1.1.1", false, "app", "other"), "none");
  EXPECT_EQ(from("192.0.2.77", true), "hba line 4");
  EXPECT_EQ(from("192.0.2.77", false), "hba line 5");
  EXPECT_EQ(from("[fd00::1]", true), "hba line 7");
  EXPECT_EQ(from("8.8.8.8", true), "hba line 8");
  EXPECT_EQ(from("8.8.8.8", false), "none");
}

TEST(PgHbaTest, Names) {
  AccessRule rule = One("local a,b , c trust");
  // The blank before a comma ends the field.
  EXPECT_EQ(rule.databases.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(rule.users.names, std::vector<std::string>{"c"});
  rule = One("local a, b,\tc \"d e\",\"all\",\"q\"\"q\",x\"y #\"z trust");
  EXPECT_EQ(rule.databases.names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(rule.users.names, (std::vector<std::string>{"d e", "all", "q\"q", "xy #z"}));
  EXPECT_FALSE(rule.users.all);
  rule = One("local sameuser,replication,all,\"sameuser\",\"+x\",a+ all,\"+g\",\"@f\" trust");
  EXPECT_TRUE(rule.databases.all && rule.databases.same_user && rule.databases.replication);
  EXPECT_EQ(rule.databases.names, (std::vector<std::string>{"sameuser", "+x", "a+"}));
  EXPECT_TRUE(rule.users.all);
  EXPECT_EQ(rule.users.names, (std::vector<std::string>{"+g", "@f"}));
}

TEST(PgHbaTest, ContinuedLines) {
  const PgHba file = ParsePgHba(
      "local all \\\n all \\\r\n trust\n# a comment \\\nlocal x y trust\nlocal a b reject\\",
      "hba");
  ASSERT_EQ(file.errors, std::vector<std::string>());
  ASSERT_EQ(file.rules.size(), 2u);
  EXPECT_EQ(file.rules[0].place, "hba line 1");
  EXPECT_EQ(file.rules[1].place, "hba line 6");
  EXPECT_EQ(file.rules[1].users.names, std::vector<std::string>{"b"});
}

TEST(PgHbaTest, WhatCannotBeHonouredIsAnErrorWithItsLine) {
  const auto error = [](const std::string& line, std::string_view part) {
    const std::string message = ErrorOf("\n\n" + line + "\n");
    EXPECT_TRUE(message.starts_with("line 3: ")) << message;
    EXPECT_NE(message.find(part), std::string::npos) << line << ": " << message;
  };
  error("local all +admins trust", "groups");
  error("local samerole all trust", "groups");
  error("local samegroup all trust", "groups");
  error("local @names all trust", "a file of names");
  error("local all @names trust", "a file of names");
  error("local /^a all trust", "regular expression");
  error("local all /^a trust", "regular expression");
  error("local all \"/^a\" trust", "regular expression");
  error("host all all db.example trust", "host names");
  error("host all all .example trust", "host names");
  error("host all all samehost trust", "samehost");
  error("host all all samenet trust", "samenet");
  error("hostgssenc all all all gss", "GSSAPI");
  error("include other.conf", "include");
  error("include_if_exists other.conf", "include_if_exists");
  error("include_dir conf.d", "include_dir");
  for (const char* method : {"ident", "peer", "ldap", "gss", "sspi", "pam", "bsd", "radius",
                             "oauth", "iam", "SCRAM-SHA-256", "password"}) {
    error(std::string("hostssl all all all ") + method, "cannot be honoured");
  }
  error("hostssl all all all cert clientcert=verify-full", "the option \"clientcert=verify-full\"");
  error("hostssl all all all scram-sha-256 clientcert=1", "option");
  error("host all all all cert", "hostssl lines only");
  error("local all all cert", "hostssl lines only");
}

TEST(PgHbaTest, FormErrors) {
  const auto error = [](std::string_view line, std::string_view part) {
    const std::string message = ErrorOf(line);
    EXPECT_NE(message.find(part), std::string::npos) << line << ": " << message;
  };
  error("hosts all all all trust", "unknown kind");
  error("host,local all all all trust", "more than one kind");
  error("host", "before the database");
  error("host all", "before the user");
  error("host all all", "before the address");
  error("host all all 1.2.3.4/8,1.2.3.5/8 trust", "more than one address");
  error("host all all 1.2.3.4", "before the netmask");
  error("host all all 1.2.3.4 trust", "no netmask");
  error("host all all 1.2.3.4 ffff::", "no netmask");
  error("host all all 1.2.3.4/33 trust", "prefix");
  error("host all all 1.2.3.4/8", "before the method");
  error("local all all trust,md5", "more than one method");
  error("local all all", "before the method");
  error("local all \"a trust", "a quote is not closed");
  error(std::string_view("local all all\0 trust", 20), "NUL");
  const PgHba file = ParsePgHba("x\nlocal all all trust\ny\n", "hba");
  EXPECT_EQ(file.errors.size(), 2u);
  EXPECT_TRUE(file.errors[1].starts_with("line 3: ")) << file.errors[1];
  EXPECT_TRUE(ParsePgHba("", "hba").rules.empty());
}

}  // namespace
}  // namespace weir::pool
