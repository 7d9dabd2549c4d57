#include "engine/address.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace weir::engine {
namespace {

TEST(AddressTest, GoodAndBad) {
  const std::pair<const char*, const char*> good[] = {
      {"127.0.0.1:6432", "127.0.0.1:6432"},
      {"[::1]:5", "[::1]:5"},
      {"*:80", "0.0.0.0:80"},
      {"localhost:1", "127.0.0.1:1"},
      {"unix:/tmp", "unix:/tmp/.s.PGSQL.5432"},
      {"unix:/run/weir:7000", "unix:/run/weir/.s.PGSQL.7000"}};
  for (const auto& [text, printed] : good) {
    const absl::StatusOr<Address> address = Address::Parse(text, 5432);
    ASSERT_TRUE(address.ok()) << text;
    EXPECT_EQ(address->ToString(), printed);
  }
  for (const char* text : {"", "6432", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x",
                           "::1:5", "[::1:5", "db.example:5432", "unix:tmp", "unix:/tmp:0"}) {
    EXPECT_FALSE(Address::Parse(text, 5432).ok()) << text;
  }
  EXPECT_FALSE(Address::Parse("unix:/" + std::string(200, 'x'), 5432).ok());
}

TEST(AddressTest, WhatIsLocal) {
  EXPECT_TRUE(Address::Parse("127.1.2.3:1", 1)->IsLocal());
  EXPECT_TRUE(Address::Parse("[::1]:1", 1)->IsLocal());
  EXPECT_TRUE(Address::Parse("[::ffff:127.0.0.1]:1", 1)->IsLocal());
  EXPECT_TRUE(Address::Parse("unix:/tmp", 1)->IsLocal());
  EXPECT_FALSE(Address::Parse("0.0.0.0:1", 1)->IsLocal());
  EXPECT_FALSE(Address::Parse("10.0.0.1:1", 1)->IsLocal());
}

}  // namespace
}  // namespace weir::engine
