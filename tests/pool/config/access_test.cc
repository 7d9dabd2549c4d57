// Which rule decides.
#include "pool/config/access.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir::pool {
namespace {

AccessRule Rule(std::string place, std::string_view address, AccessMethod method,
                AccessTls tls = AccessTls::kAny) {
  AccessRule rule;
  rule.place = std::move(place);
  const absl::StatusOr<AccessAddress> parsed = AccessAddress::Parse(address);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  rule.address = *parsed;
  rule.tls = tls;
  rule.users.all = rule.databases.all = true;
  rule.method = method;
  return rule;
}

std::string Decided(const std::vector<AccessRule>& rules, const AccessQuestion& question) {
  const AccessRules all(rules);
  const AccessRule* rule = all.Decide(question);
  return rule == nullptr ? "none" : rule->place;
}

// The one rule fits.
bool Fits(std::string_view address, std::string_view host, bool encrypted = true) {
  return Decided({Rule("it", address, AccessMethod::kTrust)},
                 {.host = host, .user = "u", .database = "d", .encrypted = encrypted}) == "it";
}

TEST(AccessTest, Addresses) {
  EXPECT_TRUE(Fits("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(Fits("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(Fits("10.1.2.3/8", "10.9.9.9"));
  EXPECT_TRUE(Fits("192.0.2.128/25", "192.0.2.200"));
  EXPECT_FALSE(Fits("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(Fits("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(Fits("192.0.2.1", "192.0.2.2"));
  EXPECT_TRUE(Fits("0.0.0.0/0", "1.2.3.4"));
  EXPECT_FALSE(Fits("0.0.0.0/0", "[::1]"));
  EXPECT_FALSE(Fits("0.0.0.0/0", "unix"));
  EXPECT_TRUE(Fits("fd00::/8", "[fd12::1]"));
  EXPECT_FALSE(Fits("fd00::/8", "[fe80::1]"));
  EXPECT_TRUE(Fits("::/0", "[2001:db8::1]"));
  EXPECT_FALSE(Fits("::/0", "1.2.3.4"));
  EXPECT_TRUE(Fits("::1", "[::1]"));
  // A listener on [::] sees IPv4 clients so.
  EXPECT_TRUE(Fits("10.0.0.0/8", "[::ffff:10.0.0.1]"));
  EXPECT_FALSE(Fits("::/0", "[::ffff:10.0.0.1]"));
  EXPECT_TRUE(Fits("unix", "unix"));
  EXPECT_FALSE(Fits("unix", "127.0.0.1"));
  for (const char* host : {"unix", "127.0.0.1", "[::1]"}) EXPECT_TRUE(Fits("all", host)) << host;
  // Somebody whose address is not known any more.
  EXPECT_FALSE(Fits("0.0.0.0/0", ""));
  EXPECT_FALSE(Fits("::/0", ""));
}

TEST(AccessTest, WhatIsNoAddress) {
  for (const char* bad :
       {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.0/4294967296",
        "::/129", "db.example", "10.0.0/8", "ALL", "10.0.0.0/8/8", "10.0.0.0/ 8"}) {
    EXPECT_FALSE(AccessAddress::Parse(bad).ok()) << bad;
  }
  EXPECT_FALSE(HostAddress::Parse(std::string_view("1.2.3.4\0x", 9)));
}

TEST(AccessTest, Encryption) {
  const auto decided = [](AccessTls tls, std::string_view host, bool encrypted) {
    return Decided({Rule("it", "all", AccessMethod::kTrust, tls)},
                   {.host = host, .user = "u", .database = "d", .encrypted = encrypted}) == "it";
  };
  EXPECT_TRUE(decided(AccessTls::kAny, "10.0.0.1", false));
  EXPECT_TRUE(decided(AccessTls::kAny, "10.0.0.1", true));
  EXPECT_FALSE(decided(AccessTls::kRequired, "10.0.0.1", false));
  EXPECT_TRUE(decided(AccessTls::kRequired, "10.0.0.1", true));
  EXPECT_TRUE(decided(AccessTls::kRequired, "unix", false));
  EXPECT_TRUE(decided(AccessTls::kNone, "10.0.0.1", false));
  EXPECT_FALSE(decided(AccessTls::kNone, "10.0.0.1", true));
}

TEST(AccessTest, UsersAndDatabases) {
  AccessRule rule = Rule("it", "all", AccessMethod::kPassword);
  const auto fits = [&rule](std::string_view user, std::string_view database,
                            bool replication = false) {
    return Decided({rule}, {.host = "unix",
                            .user = user,
                            .database = database,
                            .physical_replication = replication}) == "it";
  };
  EXPECT_TRUE(fits("u", "d"));
  EXPECT_FALSE(fits("u", "d", true));
  rule.users = {.names = {"a", "b"}};
  rule.databases = {.names = {"orders"}};
  EXPECT_TRUE(fits("b", "orders"));
  EXPECT_FALSE(fits("c", "orders"));
  EXPECT_FALSE(fits("a", "Orders"));
  EXPECT_FALSE(fits("A", "orders"));
  rule.databases = {.same_user = true};
  EXPECT_TRUE(fits("a", "a"));
  EXPECT_FALSE(fits("a", "b"));
  rule.databases = {.replication = true};
  EXPECT_TRUE(fits("a", "a", true));
  EXPECT_FALSE(fits("a", "replication"));
}

TEST(AccessTest, TheFirstThatFitsDecides) {
  std::vector<AccessRule> rules = {Rule("first", "10.0.0.1", AccessMethod::kReject),
                                   Rule("second", "10.0.0.0/8", AccessMethod::kPassword),
                                   Rule("third", "10.0.0.0/16", AccessMethod::kTrust)};
  const auto from = [&rules](std::string_view host) {
    return Decided(rules, {.host = host, .user = "u", .database = "d"});
  };
  EXPECT_EQ(from("10.0.0.1"), "first");
  EXPECT_EQ(from("10.0.0.2"), "second");
  EXPECT_EQ(from("11.0.0.2"), "none");
  std::swap(rules[0], rules[2]);
  EXPECT_EQ(from("10.0.0.1"), "third");
  EXPECT_EQ(from("10.1.0.1"), "second");
}

TEST(AccessTest, NoRulesAreNotNoneThatFits) {
  EXPECT_FALSE(AccessRules().in_force());
  EXPECT_TRUE(AccessRules(std::vector<AccessRule>()).in_force());
}

}  // namespace
}  // namespace weir::pool
