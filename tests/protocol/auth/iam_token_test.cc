// Tokens: known ones, and each way in which one may be wrong.
#include "protocol/auth/iam_token.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/base/text.h"

namespace weir::protocol {
namespace {

using engine::Cat;
using engine::kSecond;

constexpr const char* kHost = "prod-instance.us-east-1.rds.amazonaws.com:3306";

AccessKey Key(std::string id, std::string secret, std::string session_token = {}) {
  AccessKey key;
  key.id = std::move(id);
  key.secret = std::move(secret);
  key.session_token = std::move(session_token);
  return key;
}

struct Asked {
  std::string user = "someusername";
  std::string region = "us-east-1";
  std::vector<std::string> host_names = {kHost};
  std::string time = "20161107T173933Z";
  int64_t later = 0;  // seconds behind `time`
};

IamFault Verify(const std::string& text, const AccessKey& key, const Asked& asked = {}) {
  IamToken token;
  if (const IamFault fault = ParseIamToken(text, token); fault != IamFault::kNone) return fault;
  const IamTerms terms{asked.user, asked.region, asked.host_names,
                       (*ParseBasicTime(asked.time) + asked.later) * kSecond};
  if (const IamFault fault = CheckIamToken(token, terms); fault != IamFault::kNone) return fault;
  return IsSignedBy(token, key);
}

const AccessKey& Known() {
  static const AccessKey key = Key("akid", "skid");
  return key;
}
const std::string kKnown =
    Cat(kHost,
        "/?Action=connect&DBUser=someusername&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
        "akid%2F20161107%2Fus-east-1%2Frds-db%2Faws4_request&X-Amz-Date=20161107T173933Z&"
        "X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "d1138cdbc0ca63eec012ec0fc6c2267e03642168f5884a7795320d4c18374c61");

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// The known token's query with other values, signed by the known key.
std::string Signed(const QueryParameters& changes, std::string_view host = kHost) {
  QueryParameters parameters = {
      {"Action", "connect"},
      {"DBUser", "someusername"},
      {"X-Amz-Algorithm", "AWS4-HMAC-SHA256"},
      {"X-Amz-Credential", "akid/20161107/us-east-1/rds-db/aws4_request"},
      {"X-Amz-Date", "20161107T173933Z"},
      {"X-Amz-Expires", "900"},
      {"X-Amz-SignedHeaders", "host"},
  };
  for (const auto& [name, value] : changes) {
    const auto found =
        std::find_if(parameters.begin(), parameters.end(),
                     [&name = name](const auto& each) { return each.first == name; });
    if (found == parameters.end()) {
      parameters.emplace_back(name, value);
    } else {
      found->second = value;
    }
  }
  std::string time;
  SigningScope scope;
  for (const auto& [name, value] : parameters) {
    if (name == "X-Amz-Date") time = value;
    if (name != "X-Amz-Credential") continue;
    std::vector<std::string> parts = {""};
    for (const char c : value) {
      if (c == '/') {
        parts.emplace_back();
      } else {
        parts.back().push_back(c);
      }
    }
    parts.resize(5);
    scope = {parts[1], parts[2], parts[3]};
  }
  const std::string query = CanonicalQuery(parameters);
  return Cat(host, "/?", query,
             "&X-Amz-Signature=", SignatureOf(SigningKey("skid", scope), scope, time, query, host));
}

TEST(IamTokenTest, KnownTokens) {
  EXPECT_EQ(Verify(kKnown, Known()), IamFault::kNone);
  EXPECT_EQ(Signed({}), kKnown);
  const Asked peccy{.user = "peccy", .time = "20240826T220000Z"};
  const std::string token =
      Cat(kHost,
          "/?Action=connect&DBUser=peccy&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
          "akid%2F20240826%2Fus-east-1%2Frds-db%2Faws4_request&X-Amz-Date=20240826T220000Z&"
          "X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature="
          "dd0cba843009474347af724090233265628ace491ea17ce3eb3da098b983ad89");
  EXPECT_EQ(Verify(token, Key("akid", "secret"), peccy), IamFault::kNone);
  EXPECT_EQ(Verify(token, Known(), peccy), IamFault::kSignature);
}

TEST(IamTokenTest, MadeOnesAreTheKnownOnes) {
  EXPECT_EQ(MakeIamToken(Known(), kHost, "someusername", "us-east-1",
                         *ParseBasicTime("20161107T173933Z") * kSecond),
            kKnown);
  EXPECT_EQ(Verify(MakeIamToken(Known(), kHost, "a b/\xc3\xa9&=", "us-east-1",
                                *ParseBasicTime("20161107T173933Z") * kSecond + 1),
                   Known(), {.user = "a b/\xc3\xa9&="}),
            IamFault::kNone);
}

TEST(IamTokenTest, OrderAndEncodingDoNotMatterNorTheSlash) {
  const std::string query = kKnown.substr(kKnown.find('?') + 1);
  std::vector<std::string> pairs;
  for (size_t at = 0; at != std::string::npos;) {
    const size_t end = query.find('&', at);
    pairs.push_back(query.substr(at, end == std::string::npos ? end : end - at));
    at = end == std::string::npos ? end : end + 1;
  }
  ASSERT_EQ(pairs.size(), 8u);
  for (size_t turn = 0; turn < pairs.size(); ++turn) {
    std::rotate(pairs.begin(), pairs.begin() + 1, pairs.end());
    std::string text;
    for (const std::string& pair : pairs) engine::Append(text, text.empty() ? "" : "&", pair);
    EXPECT_EQ(Verify(Cat(kHost, "/?", text), Known()), IamFault::kNone) << text;
    EXPECT_EQ(Verify(Cat(kHost, "?", text), Known()), IamFault::kNone) << text;
  }
  EXPECT_EQ(Verify(Replaced(kKnown, "Action=", "%41%63tion="), Known()), IamFault::kNone);
  EXPECT_EQ(Verify(Replaced(kKnown, "akid%2F", "akid/"), Known()), IamFault::kNone);
  EXPECT_EQ(Verify(Replaced(kKnown, "akid%2F", "akid%2f"), Known()), IamFault::kNone);
}

TEST(IamTokenTest, WhatWasChangedIsRefused) {
  for (size_t i = 0; i < kKnown.size(); ++i) {
    std::string text = kKnown;
    text[i] = text[i] == 'a' ? 'b' : 'a';
    EXPECT_NE(Verify(text, Known()), IamFault::kNone) << text;
  }
  // Signed as someone else's.
  EXPECT_EQ(Verify(Replaced(kKnown, "DBUser=someusername", "DBUser=postgres"), Known(),
                   {.user = "postgres"}),
            IamFault::kSignature);
  EXPECT_EQ(Verify(kKnown, Known(), {.user = "postgres"}), IamFault::kUser);
  EXPECT_EQ(Verify(Replaced(kKnown, "Expires=900", "Expires=899"), Known()), IamFault::kSignature);
}

TEST(IamTokenTest, WhatWasAddedOrRepeatedIsRefused) {
  EXPECT_EQ(Verify(kKnown + "&X-Amz-Security-Token=x", Known()), IamFault::kSignature);
  EXPECT_EQ(Verify(kKnown + "&X-Amz-Security-Token=", Known()), IamFault::kSessionToken);
  EXPECT_EQ(Verify(kKnown + "&x=1", Known()), IamFault::kUnknownParameter);
  EXPECT_EQ(Verify(kKnown + "&action=connect", Known()), IamFault::kUnknownParameter);
  EXPECT_EQ(Verify(Signed({{"x", "1"}}), Known()), IamFault::kUnknownParameter);
  EXPECT_EQ(Verify(kKnown + "&", Known()), IamFault::kNotAToken);
  EXPECT_EQ(Verify(kKnown + "&x", Known()), IamFault::kNotAToken);
  for (const char* name : {"Action=connect", "DBUser=someusername", "X-Amz-Expires=900",
                           "%41ction=connect", "X-Amz-Signature=00"}) {
    EXPECT_EQ(Verify(Cat(kKnown, "&", name), Known()), IamFault::kRepeatedParameter) << name;
  }
}

TEST(IamTokenTest, WhatWasRemovedIsRefused) {
  const size_t question = kKnown.find('?');
  for (size_t at = question + 1; at < kKnown.size();) {
    const size_t end = std::min(kKnown.size(), kKnown.find('&', at));
    std::string text = kKnown;
    text.erase(at, std::min(text.size(), end + 1) - at);
    if (text.ends_with('&')) text.pop_back();
    EXPECT_EQ(Verify(text, Known()), IamFault::kMissingParameter) << text;
    at = end + 1;
  }
  for (const char* text : {"", "?", "/?", "secret", "a/?", "a?Action", "http://a/?Action=connect",
                           "a b/?Action=connect", "/?Action=connect", "a/?Action=%4"}) {
    EXPECT_EQ(Verify(text, Known()), IamFault::kNotAToken) << text;
  }
}

TEST(IamTokenTest, Expiry) {
  const auto at = [](int64_t later, const std::string& token = kKnown) {
    return Verify(token, Known(), {.later = later});
  };
  EXPECT_EQ(at(900), IamFault::kNone);
  EXPECT_EQ(at(901), IamFault::kExpired);
  EXPECT_EQ(at(-300), IamFault::kNone);
  EXPECT_EQ(at(-301), IamFault::kAhead);
  const std::string brief = Signed({{"X-Amz-Expires", "60"}});
  EXPECT_EQ(at(60, brief), IamFault::kNone);
  EXPECT_EQ(at(61, brief), IamFault::kExpired);
  for (const char* more : {"901", "604800", "99999999999999999999999999"}) {
    EXPECT_EQ(at(900, Signed({{"X-Amz-Expires", more}})), IamFault::kNone) << more;
    EXPECT_EQ(at(901, Signed({{"X-Amz-Expires", more}})), IamFault::kExpired) << more;
  }
  for (const char* none : {"0", "000", "", "-1", "+900", "900.0", " 900", "0x384", "9e2"}) {
    EXPECT_EQ(at(0, Signed({{"X-Amz-Expires", none}})), IamFault::kExpires) << none;
  }
}

TEST(IamTokenTest, ScopeAndFixedValues) {
  const auto credential = [](const std::string& value) {
    return Verify(Signed({{"X-Amz-Credential", value}}), Known());
  };
  EXPECT_EQ(credential("akid/20161108/us-east-1/rds-db/aws4_request"), IamFault::kScopeDate);
  EXPECT_EQ(credential("akid/20161107/us-east-2/rds-db/aws4_request"), IamFault::kRegion);
  EXPECT_EQ(credential("akid/20161107/us-east-1/s3/aws4_request"), IamFault::kService);
  for (const char* bad :
       {"akid", "akid/20161107/us-east-1/rds-db", "akid/20161107/us-east-1/rds-db/aws5_request",
        "/20161107/us-east-1/rds-db/aws4_request", "akid/20161107//rds-db/aws4_request",
        "akid/20161107/us-east-1/rds-db/aws4_request/",
        "a/akid/20161107/us-east-1/rds-db/aws4_request"}) {
    EXPECT_EQ(credential(bad), IamFault::kCredential) << bad;
  }
  EXPECT_EQ(Verify(Signed({{"Action", "CONNECT"}}), Known()), IamFault::kAction);
  EXPECT_EQ(Verify(Signed({{"X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"}}), Known()),
            IamFault::kAlgorithm);
  EXPECT_EQ(Verify(Signed({{"X-Amz-SignedHeaders", "host;x"}}), Known()), IamFault::kSignedHeaders);
  EXPECT_EQ(Verify(Signed({{"X-Amz-Date", "20161107T1739"}}), Known()), IamFault::kDate);
  EXPECT_EQ(Verify(kKnown, Known(), {.region = "eu-west-1"}), IamFault::kRegion);
}

TEST(IamTokenTest, HostAndPortAreOneOfTheEndpoints) {
  const auto named = [](std::vector<std::string> names, const std::string& token = kKnown) {
    return Verify(token, Known(), {.host_names = std::move(names)});
  };
  EXPECT_EQ(named({"other:3306", kHost}), IamFault::kNone);
  EXPECT_EQ(named({}), IamFault::kHost);
  EXPECT_EQ(named({"prod-instance.us-east-1.rds.amazonaws.com:3307"}), IamFault::kHost);
  EXPECT_EQ(named({"instance.us-east-1.rds.amazonaws.com:3306"}), IamFault::kHost);
  EXPECT_EQ(named({kHost}, Signed({}, "PROD-instance.us-east-1.rds.amazonaws.com:3306")),
            IamFault::kNone);
  // A presigned request without a port is one to that of https.
  EXPECT_EQ(named({"h:443"}, Signed({}, "h")), IamFault::kNone);
  EXPECT_EQ(named({"h:5432"}, Signed({}, "h")), IamFault::kHost);
  EXPECT_EQ(named({"[::1]:6432"}, Signed({}, "[::1]:6432")), IamFault::kNone);
  EXPECT_EQ(IamHostName("Db.Example", 6432), "db.example:6432");
  EXPECT_EQ(IamHostName("db:1", 6432), "db:1");
  EXPECT_EQ(IamHostName("[::1]", 6432), "[::1]:6432");
}

TEST(IamTokenTest, SessionTokens) {
  const AccessKey temporary = Key("akid", "skid", std::string(3000, '+') + "/=");
  const std::string token = MakeIamToken(temporary, kHost, "someusername", "us-east-1",
                                         *ParseBasicTime("20161107T173933Z") * kSecond);
  EXPECT_GT(token.size(), 9000u);
  EXPECT_EQ(Verify(token, temporary), IamFault::kTooLong);
  const AccessKey held = Key("akid", "skid", std::string(2000, 'x') + "+/=");
  const std::string good = MakeIamToken(held, kHost, "someusername", "us-east-1",
                                        *ParseBasicTime("20161107T173933Z") * kSecond);
  EXPECT_EQ(Verify(good, held), IamFault::kNone);
  EXPECT_EQ(Verify(good, Known()), IamFault::kSessionToken);
  EXPECT_EQ(Verify(good, Key("akid", "skid", "another")), IamFault::kSessionToken);
  EXPECT_EQ(Verify(kKnown, held), IamFault::kSessionToken);
  EXPECT_EQ(Verify(Replaced(good, "xxx", "xxy"), held), IamFault::kSignature);
}

TEST(IamTokenTest, LengthLimit) {
  // With a user's name that makes it as long as it may be, and one longer.
  const size_t fixed = kKnown.size() - std::string("someusername").size();
  const std::string longest(kIamTokenBytesMax - fixed, 'u');
  EXPECT_EQ(Verify(Signed({{"DBUser", longest}}), Known(), {.user = longest}), IamFault::kNone);
  EXPECT_EQ(Verify(Signed({{"DBUser", longest + "u"}}), Known(), {.user = longest + "u"}),
            IamFault::kTooLong);
}

TEST(IamTokenTest, EveryFaultHasItsText) {
  std::vector<std::string_view> texts;
  for (int i = 0; i <= static_cast<int>(IamFault::kPolicy); ++i) {
    const std::string_view text = IamFaultText(static_cast<IamFault>(i));
    EXPECT_FALSE(text.empty()) << i;
    EXPECT_EQ(std::find(texts.begin(), texts.end(), text), texts.end()) << text;
    texts.push_back(text);
  }
}

}  // namespace
}  // namespace weir::protocol
