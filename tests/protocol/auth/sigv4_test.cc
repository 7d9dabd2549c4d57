// Signing keys, canonical queries, times.
#include "protocol/auth/sigv4.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::protocol {
namespace {

// The examples of AWS's documentation ("Examples of how to derive a signing key").
TEST(SigV4Test, SigningKeyOfTheDocumentation) {
  const SigningScope scope{"20150830", "us-east-1", "iam"};
  EXPECT_EQ(scope.Text(), "20150830/us-east-1/iam/aws4_request");
  EXPECT_EQ(LowerHex(AsText(SigningKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope))),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
}

TEST(SigV4Test, CanonicalQueryIsSortedAndEncodedAnew) {
  EXPECT_EQ(CanonicalQuery({}), "");
  EXPECT_EQ(CanonicalQuery({{"b", "2"}, {"a", "x y+z/~"}, {"B", "\xc3\xa9"}, {"a", ""}}),
            "B=%C3%A9&a=&a=x%20y%2Bz%2F~&b=2");
  // Sorted as they are encoded.
  EXPECT_EQ(CanonicalQuery({{"a-", "1"}, {"a/", "2"}}), "a%2F=2&a-=1");
}

TEST(SigV4Test, Percents) {
  EXPECT_EQ(PercentDecode("a%2Fb%2fc+d"), "a/b/c+d");
  EXPECT_EQ(PercentDecode("%00").value(), std::string(1, '\0'));
  for (const char* bad : {"%", "%4", "a%4g", "%%41", "%+1"})
    EXPECT_FALSE(PercentDecode(bad)) << bad;
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  EXPECT_EQ(PercentDecode(PercentEncode(all)), all);
  EXPECT_EQ(PercentEncode("Az09-._~"), "Az09-._~");
  EXPECT_EQ(PercentEncode("!*'()"), "%21%2A%27%28%29");
}

TEST(SigV4Test, Times) {
  EXPECT_EQ(ParseBasicTime("19700101T000000Z"), 0);
  EXPECT_EQ(ParseBasicTime("20161107T173933Z"), 1478540373);
  EXPECT_EQ(ParseBasicTime("20240229T235959Z"), 1709251199);
  for (const char* bad :
       {"", "20240230T000000Z", "20230229T000000Z", "20241301T000000Z", "20240100T000000Z",
        "20240101T240000Z", "20240101T006000Z", "20240101T000060Z", "20240101 000000Z",
        "20240101T000000", "2024-01-01T00:00", "20240101T000000z", "2024010 T000000Z"}) {
    EXPECT_FALSE(ParseBasicTime(bad)) << bad;
  }
  for (int64_t seconds = 0; seconds < int64_t{4'100'000'000}; seconds += 40'000'003) {
    EXPECT_EQ(ParseBasicTime(FormatBasicTime(seconds)), seconds) << FormatBasicTime(seconds);
  }
  EXPECT_EQ(FormatBasicTime(1709251199), "20240229T235959Z");
  EXPECT_EQ(FormatBasicTime(-1), "19691231T235959Z");
}

// "post-vanilla" and "post-x-www-form-urlencoded" of AWS's signature test suite.
TEST(SigV4Test, Posts) {
  const SigningScope scope{"20150830", "us-east-1", "service"};
  const Digest256 key = SigningKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope);
  const std::string time = "20150830T123600Z";
  const std::string begin =
      "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
      "SignedHeaders=";
  EXPECT_EQ(AuthorizationOf(key, "AKIDEXAMPLE", scope, time,
                            {{"host", "example.amazonaws.com"}, {"x-amz-date", time}}, ""),
            begin +
                "host;x-amz-date, "
                "Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
  EXPECT_EQ(AuthorizationOf(key, "AKIDEXAMPLE", scope, time,
                            {{"content-type", "application/x-www-form-urlencoded"},
                             {"host", "example.amazonaws.com"},
                             {"x-amz-date", time}},
                            "Param1=value1"),
            begin +
                "content-type;host;x-amz-date, "
                "Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
}

TEST(SigV4Test, IsoTimes) {
  EXPECT_EQ(ParseIsoTime("2026-01-01T06:00:00Z"), ParseBasicTime("20260101T060000Z"));
  for (const char* bad : {"", "2026-01-01T06:00:00", "2026-01-01 06:00:00Z", "2026-13-01T06:00:00Z",
                          "2026-01-01T06:00:00.5Z", "20260101T060000Z", "2026x01-01T06:00:00Z"})
    EXPECT_FALSE(ParseIsoTime(bad)) << bad;
}

}  // namespace
}  // namespace weir::protocol
