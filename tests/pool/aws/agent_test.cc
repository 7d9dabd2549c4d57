// What the agent asks for and when, what it keeps when there is no good answer, and what it tells.
#include "pool/aws/agent.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "engine/base/log.h"
#include "tests/pool/aws/fake_http.h"

namespace weir::pool {
namespace {

using engine::kSecond;
using engine::Nanos;

constexpr const char* kArn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:orders-AbCdEf";
constexpr const char* kOther = "arn:aws:secretsmanager:us-east-1:111122223333:secret:second-AbCdEf";
constexpr const char* kNotFound = R"({"__type":"ResourceNotFoundException"})";

std::string Answer(const std::string& password, const std::string& version) {
  return R"({"SecretString":"{\"username\":\"app\",\"password\":\")" + password +
         R"(\"}","VersionId":")" + version + "\"}";
}

class AgentTest : public testing::Test {
 protected:
  void SetUp() override {
    lines().clear();
    engine::SetLogSink([](engine::LogLevel, std::string_view line) { lines().emplace_back(line); });
    setenv("AWS_ACCESS_KEY_ID", "AKIA1", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "hidden-key", 1);
    config_.aws.credentials = {"environment"};
    config_.aws.region = "eu-west-1";
    config_.aws.secret_refresh_period = 300 * kSecond;
    config_.auths.emplace_back().secret_arn = kArn;
  }
  void TearDown() override {
    engine::SetLogSink(nullptr);
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    for (const std::string& line : lines())
      EXPECT_EQ(line.find("hidden"), std::string::npos) << line;
  }
  static std::vector<std::string>& lines() {
    static std::vector<std::string> all;
    return all;
  }
  // The key, and the secret's first value.
  void Begin() {
    agent_.Configure(config_);
    EXPECT_FALSE(agent_.asked());
    http_.Will(200, Answer("hidden-1", "v1"));
    Run();
    EXPECT_TRUE(agent_.asked());
    EXPECT_TRUE(Has("hidden-1"));
    http_.asked.clear();
  }
  void Run() {
    while (agent_.Step(now_)) {
    }
  }
  void Later(Nanos by) {
    now_ += by;
    wall_.now += by;
    Run();
  }
  bool Has(const std::string& password) {
    const absl::StatusOr<std::string> text = agent_.Text(kArn);
    return text.ok() && text->find("\"" + password + "\"") != std::string::npos;
  }
  void UseMetadata(const std::string& expiration) {
    config_.aws.credentials = {"metadata"};
    WillBeKey("ASIA1", expiration);
  }
  void WillBeKey(const std::string& id, const std::string& expiration) {
    http_.Will(200, "token");
    http_.Will(200, "role");
    http_.Will(200, R"({"AccessKeyId":")" + id +
                        R"(","SecretAccessKey":"hidden","Token":"hidden","Expiration":")" +
                        expiration + "\"}");
  }

  FakeHttp http_;
  SteeredWallClock wall_;  // 2027-01-15T08:00:00Z
  AwsAgent agent_{http_, wall_};
  Config config_;
  Nanos now_ = 1000 * kSecond;
};

TEST_F(AgentTest, NothingIsAskedForThatNobodyNeeds) {
  config_.auths[0].secret_arn.clear();
  agent_.Configure(config_);
  EXPECT_TRUE(agent_.asked());
  Later(1000 * kSecond);
  EXPECT_TRUE(http_.asked.empty());
}

TEST_F(AgentTest, SecretsAreAskedForInTheirPeriod) {
  Begin();
  const int64_t version = agent_.Version(kArn);
  EXPECT_GT(version, 0);
  Later(299 * kSecond);
  EXPECT_TRUE(http_.asked.empty());
  http_.Will(200, Answer("hidden-1", "v1"));
  Later(kSecond);
  EXPECT_EQ(http_.asked.size(), 1u);
  EXPECT_EQ(agent_.Version(kArn), version);
  http_.Will(200, Answer("hidden-2", "v2"));
  Later(300 * kSecond);
  EXPECT_TRUE(Has("hidden-2"));
  EXPECT_NE(agent_.Version(kArn), version);
}

// The signature is checked end to end, by another implementation.
TEST_F(AgentTest, WhatIsSent) {
  agent_.Configure(config_);
  http_.Will(200, Answer("hidden-1", "v1"));
  Run();
  ASSERT_EQ(http_.asked.size(), 1u);
  const FakeHttp::Asked& asked = http_.asked[0];
  EXPECT_EQ(asked.method, "POST");
  EXPECT_EQ(asked.url, "https://secretsmanager.us-east-1.amazonaws.com");
  EXPECT_EQ(asked.body,
            std::string(R"({"SecretId":")") + kArn + R"(","VersionStage":"AWSCURRENT"})");
  EXPECT_EQ(asked.Header("host"), "secretsmanager.us-east-1.amazonaws.com");
  EXPECT_EQ(asked.Header("x-amz-target"), "secretsmanager.GetSecretValue");
  EXPECT_EQ(asked.Header("x-amz-date"), "20270115T080000Z");
  EXPECT_EQ(asked.Header("x-amz-security-token"), "(none)");
  EXPECT_TRUE(asked.Header("authorization")
                  .starts_with("AWS4-HMAC-SHA256 Credential=AKIA1/20270115/us-east-1/"
                               "secretsmanager/aws4_request, SignedHeaders=content-type;host;"
                               "x-amz-date;x-amz-target, Signature="));
}

TEST_F(AgentTest, WhatFailsLeavesTheValueBeforeAndIsToldOnce) {
  const std::pair<int, std::string> answers[] = {
      {400, R"({"__type":"AccessDeniedException","Message":"User: x is not authorized"})"},
      {400, R"({"__type":"ThrottlingException","message":"Rate exceeded"})"},
      {0, "no answer within 5000 ms"},
      {400, kNotFound},
      {500, "<html>hidden</html>"},
      {200, "garbage hidden"},
      {200, R"({"SecretString":"hidden, no JSON","VersionId":"v2"})"},
      {200, R"({"SecretString":"{\"username\":\"app\"}","VersionId":"v2"})"},
  };
  const char* told[] = {
      "status 400, AccessDeniedException: User: x is not authorized",
      "status 400, ThrottlingException: Rate exceeded",
      "https://secretsmanager.us-east-1.amazonaws.com: no answer within 5000 ms",
      "status 400, ResourceNotFoundException",
      "status 500",
      "the answer is not a JSON object",
      "its text: not a JSON text",
      "its text: the key \"password\" is missing",
  };
  Begin();
  for (size_t i = 0; i < std::size(answers); ++i) {
    lines().clear();
    // 1, 2, 4 ... 60 s.
    for (const int wait : {300, 1, 2, 4, 8, 16, 32, 60, 60}) {
      http_.Will(answers[i].first, answers[i].second);
      Later(wait * kSecond - 1);
      EXPECT_FALSE(http_.empty()) << wait;
      Later(1);
      EXPECT_TRUE(http_.empty()) << wait;
    }
    EXPECT_TRUE(Has("hidden-1"));
    ASSERT_EQ(lines().size(), 1u) << told[i];
    EXPECT_EQ(lines()[0], std::string("event=secret_unavailable: ") + kArn + ": " + told[i] +
                              "; the value before stays in force");
    http_.Will(200, Answer("hidden-1", "v1"));
    Later(60 * kSecond);
  }
}

TEST_F(AgentTest, WithoutAFirstAnswerThereIsNoSecret) {
  config_.auths.emplace_back().secret_arn = kOther;
  agent_.Configure(config_);
  http_.Will(0, "Connection refused");
  Run();
  // The second one is not even tried: it would have to wait as long for nothing.
  EXPECT_EQ(http_.asked.size(), 1u);
  EXPECT_TRUE(agent_.asked());
  EXPECT_EQ(agent_.Version(kArn), 0);
  EXPECT_FALSE(agent_.Text(kArn).ok());
  EXPECT_NE(lines().back().find("; its user cannot log in"), std::string::npos);
  http_.Will(200, Answer("hidden-1", "v1"));
  http_.Will(200, Answer("hidden-1", "v1"));
  Later(kSecond);
  EXPECT_TRUE(Has("hidden-1"));
  EXPECT_GT(agent_.Version(kOther), 0);
}

TEST_F(AgentTest, OneThatIsDeniedHoldsUpNoOther) {
  config_.auths.emplace_back().secret_arn = kOther;
  agent_.Configure(config_);
  http_.Will(400, R"({"__type":"AccessDeniedException"})");
  http_.Will(200, Answer("hidden-1", "v1"));
  Run();
  EXPECT_EQ(agent_.Version(kArn), 0);
  EXPECT_GT(agent_.Version(kOther), 0);
}

TEST_F(AgentTest, ARefusedValueIsLookedForInARotation) {
  Begin();
  // Nothing new, and no rotation.
  agent_.AskAgain();
  http_.Will(200, Answer("hidden-1", "v1"));
  http_.Will(400, kNotFound);
  Later(2 * kSecond);
  EXPECT_TRUE(http_.empty());
  EXPECT_NE(http_.asked.back().body.find("AWSPENDING"), std::string::npos);
  EXPECT_TRUE(Has("hidden-1"));
  // The server has been given the new value, which is not current yet.
  agent_.AskAgain();
  http_.Will(200, Answer("hidden-1", "v1"));
  http_.Will(200, Answer("hidden-2", "v2"));
  Later(2 * kSecond);
  EXPECT_TRUE(Has("hidden-2"));
  // As long as that is so, nothing changes.
  http_.Will(200, Answer("hidden-1", "v1"));
  Later(300 * kSecond);
  EXPECT_TRUE(http_.empty());
  EXPECT_TRUE(Has("hidden-2"));
  http_.Will(200, Answer("hidden-2", "v2"));
  Later(300 * kSecond);
  EXPECT_TRUE(Has("hidden-2"));
}

TEST_F(AgentTest, ARotationThatWasGivenUp) {
  Begin();
  agent_.AskAgain();
  http_.Will(200, Answer("hidden-1", "v1"));
  http_.Will(200, Answer("hidden-2", "v2"));
  Later(2 * kSecond);
  EXPECT_TRUE(Has("hidden-2"));
  agent_.AskAgain();
  http_.asked.clear();
  http_.Will(200, Answer("hidden-1", "v1"));
  Later(2 * kSecond);
  EXPECT_EQ(http_.asked.size(), 1u);
  EXPECT_TRUE(Has("hidden-1"));
}

TEST_F(AgentTest, RefusalsDoNotAskTooOften) {
  Begin();
  for (int i = 0; i < 100; ++i) {
    agent_.AskAgain();
    http_.Will(200, Answer("hidden-1", "v1"));
    http_.Will(400, kNotFound);
    Later(kSecond / 10);
  }
  EXPECT_LE(http_.asked.size(), 2u * 6u);
}

TEST_F(AgentTest, KeysAreRenewedBeforeTheyEnd) {
  UseMetadata("2027-01-15T09:00:00Z");
  agent_.Configure(config_);
  http_.Will(200, Answer("hidden-1", "v1"));
  Run();
  ASSERT_EQ(http_.asked.size(), 4u);
  EXPECT_EQ(http_.asked[3].Header("x-amz-security-token"), "hidden");
  EXPECT_EQ(agent_.keys_found(), 1u);
  for (int i = 0; i < 10; ++i) http_.Will(200, Answer("hidden-1", "v1"));
  for (int i = 0; i < 10; ++i) Later(300 * kSecond);
  http_.asked.clear();
  WillBeKey("ASIA2", "2027-01-15T15:00:00Z");
  http_.Will(200, Answer("hidden-1", "v1"));
  Later(300 * kSecond);  // 08:55
  EXPECT_EQ(http_.asked.size(), 4u);
  EXPECT_EQ(http_.asked[0].method, "PUT");
  EXPECT_EQ(agent_.keys_found(), 1u);
  EXPECT_EQ(lines().back(), "event=aws_key: ASIA2 of metadata, role role, until 20270115T150000Z");
}

TEST_F(AgentTest, TokensAreMadeAsLongAsThereIsAKey) {
  UseMetadata("2027-01-15T08:10:00Z");
  config_.auths.clear();
  config_.targets.emplace_back().server_auth = "iam";
  std::string why;
  EXPECT_EQ(agent_.Make("db.example", 5432, "app", why), "");
  EXPECT_NE(why.find("it has not been asked for yet"), std::string::npos);
  agent_.Configure(config_);
  Run();
  const std::string token = agent_.Make("DB.example", 5432, "app", why);
  EXPECT_TRUE(token.starts_with("db.example:5432/?Action=connect&DBUser=app&")) << token;
  EXPECT_NE(token.find("%2Feu-west-1%2Frds-db%2F"), std::string::npos);
  EXPECT_NE(token.find("X-Amz-Security-Token=hidden"), std::string::npos);
  // It cannot be renewed: until it ends it is good.
  for (int i = 0; i < 400; ++i) Later(kSecond);
  EXPECT_NE(agent_.Make("db.example", 5432, "app", why), "");
  for (int i = 0; i < 200; ++i) Later(kSecond);
  EXPECT_EQ(agent_.Make("db.example", 5432, "app", why), "");
  EXPECT_NE(why.find("the one before has ended; metadata: PUT"), std::string::npos) << why;
  EXPECT_EQ(agent_.keys_found(), 1u);
  WillBeKey("ASIA2", "2027-01-15T15:00:00Z");
  Later(60 * kSecond);
  EXPECT_NE(agent_.Make("db.example", 5432, "app", why), "");
  EXPECT_EQ(agent_.keys_found(), 2u);
}

TEST_F(AgentTest, ARefusedKeyIsRenewed) {
  UseMetadata("2027-01-15T20:00:00Z");
  agent_.Configure(config_);
  http_.Will(200, Answer("hidden-1", "v1"));
  Run();
  http_.Will(400, R"({"__type":"ExpiredTokenException"})");
  Later(299 * kSecond);
  EXPECT_FALSE(http_.empty());
  WillBeKey("ASIA2", "2027-01-15T20:00:00Z");
  http_.Will(200, Answer("hidden-2", "v2"));
  Later(kSecond);
  Later(kSecond);
  EXPECT_TRUE(http_.empty());
  EXPECT_TRUE(Has("hidden-2"));
}

// The service has no newer one yet.
TEST_F(AgentTest, TheSameKeyIsNotAskedForAllTheTime) {
  UseMetadata("2027-01-15T08:04:00Z");
  config_.auths.clear();
  config_.targets.emplace_back().server_auth = "iam";
  agent_.Configure(config_);
  Run();
  for (int i = 0; i < 20; ++i) WillBeKey("ASIA1", "2027-01-15T08:04:00Z");
  for (int i = 0; i < 60; ++i) Later(kSecond);
  EXPECT_LE(http_.asked.size(), 3u * 6u);
}

TEST_F(AgentTest, ARefusedTokenRenewsTheKey) {
  UseMetadata("2027-01-15T20:00:00Z");
  config_.auths.clear();
  config_.targets.emplace_back().server_auth = "iam";
  agent_.Configure(config_);
  Run();
  Later(100 * kSecond);
  EXPECT_EQ(http_.asked.size(), 3u);
  agent_.OnRefused();
  WillBeKey("ASIA2", "2027-01-15T20:00:00Z");
  Run();
  EXPECT_TRUE(http_.empty());
  for (int i = 0; i < 100; ++i) {
    agent_.OnRefused();
    WillBeKey("ASIA2", "2027-01-15T20:00:00Z");
    Later(kSecond / 10);
  }
  EXPECT_LE(http_.asked.size(), 6u + 3u);
}

// The key that was on its way is that of the source before.
TEST_F(AgentTest, AReloadWhileAKeyIsAskedFor) {
  UseMetadata("2027-01-15T20:00:00Z");
  config_.auths.clear();
  config_.targets.emplace_back().server_auth = "iam";
  agent_.Configure(config_);
  http_.meanwhile = [this] {
    config_.aws.credentials = {"environment"};
    agent_.Configure(config_);
  };
  Run();
  std::string why;
  EXPECT_NE(agent_.Make("db.example", 5432, "app", why).find("AKIA1"), std::string::npos) << why;
}

TEST_F(AgentTest, AnotherConfigurationKeepsWhatItStillNeeds) {
  Begin();
  const int64_t version = agent_.Version(kArn);
  config_.auths.emplace_back().secret_arn = kOther;
  agent_.Configure(config_);
  EXPECT_EQ(agent_.Version(kArn), version);
  http_.Will(200, Answer("hidden-1", "v1"));
  http_.Will(200, Answer("hidden-3", "v3"));
  Run();
  EXPECT_EQ(agent_.Version(kArn), version);
  EXPECT_GT(agent_.Version(kOther), 0);
  config_.auths.erase(config_.auths.begin());
  agent_.Configure(config_);
  EXPECT_EQ(agent_.Version(kArn), 0);
  EXPECT_GT(agent_.Version(kOther), 0);
}

}  // namespace
}  // namespace weir::pool
