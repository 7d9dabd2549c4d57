// Tokens against keys, policies, endpoints and the clock.
#include "pool/session/iam.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace weir::pool {
namespace {

using engine::kSecond;
using protocol::IamFault;

constexpr const char* kArn = "arn:aws:rds-db:us-east-1:111122223333:dbuser:prx-1/";

class SteeredClock final : public engine::WallClock {
 public:
  engine::Nanos Now() const override { return now; }
  engine::Nanos now = 1'800'000'000 * kSecond;
};

class IamTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weir-iam-XXXXXX";
    folder_ = mkdtemp(name);
    WriteKeys(
        "[orders]\naws_access_key_id = AKIA1\naws_secret_access_key = s1\n"
        "[reports]\naws_access_key_id = AKIA2\naws_secret_access_key = s2\n"
        "[nobody]\naws_access_key_id = AKIA3\naws_secret_access_key = s3\n"
        "[left-out]\naws_access_key_id = AKIA4\naws_secret_access_key = s4\n"
        "[role]\naws_access_key_id = ASIA5\naws_secret_access_key = s5\naws_session_token = t/5\n");
    Policy("orders.json", "Allow", "app");
    Policy("reports.json", "Allow", "report*");
    Policy("deny.json", "Deny", "report_admin");
    config_.iam.account_id = "111122223333";
    config_.iam.region = "us-east-1";
    config_.iam.resource_id = "prx-1";
    config_.iam.credentials_file = folder_ + "/keys";
    Principal("orders", {"orders.json"});
    Principal("reports", {"reports.json", "deny.json"});
    Principal("nobody", {});
    Principal("role", {"orders.json"});
    config_.endpoints.resize(3);
    config_.endpoints[0].listen = "127.0.0.1:6432";
    config_.endpoints[0].host_names = {"Orders.db.example", "10.0.0.5:5432"};
    config_.endpoints[1].listen = "127.0.0.1:6433";
    config_.endpoints[2].listen = "unix:/tmp:6434";
    config_.endpoints[2].host_names = {"local"};
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  void WriteKeys(const std::string& text) {
    Write("keys", text);
    std::filesystem::permissions(folder_ + "/keys", std::filesystem::perms::owner_read |
                                                        std::filesystem::perms::owner_write);
  }
  void Policy(const std::string& name, const std::string& effect, const std::string& user) {
    Write(name, R"({"Version":"2012-10-17","Statement":{"Effect":")" + effect +
                    R"(","Action":"rds-db:connect","Resource":")" + kArn + user + "\"}}");
  }
  void Principal(const std::string& entry, const std::vector<std::string>& policies) {
    IamPrincipalOptions& options = config_.iam_principals.emplace_back();
    options.entry = entry;
    for (const std::string& each : policies) options.policy_files.push_back(folder_ + "/" + each);
  }

  std::string Token(const std::string& id, const std::string& secret, const std::string& user,
                    const std::string& host = "orders.db.example:6432",
                    const std::string& session_token = "") {
    protocol::AccessKey key;
    key.id = id;
    key.secret = secret;
    key.session_token = session_token;
    return protocol::MakeIamToken(key, host, user, "us-east-1", clock_.now);
  }
  IamFault Check(const std::string& token, const std::string& user, uint32_t endpoint = 0) {
    const absl::StatusOr<std::unique_ptr<const Iam>> iam = Iam::Load(config_, clock_);
    EXPECT_TRUE(iam.ok()) << iam.status();
    return iam.ok() ? (*iam)->Check(token, user, endpoint).fault : IamFault::kNotAToken;
  }
  std::string ErrorOf() {
    const absl::StatusOr<std::unique_ptr<const Iam>> iam = Iam::Load(config_, clock_);
    return iam.ok() ? "" : std::string(iam.status().message());
  }

  std::string folder_;
  SteeredClock clock_;
  Config config_;
};

TEST_F(IamTest, KeysAndPolicies) {
  EXPECT_EQ(Check(Token("AKIA1", "s1", "app"), "app"), IamFault::kNone);
  EXPECT_EQ(Check(Token("AKIA1", "s1", "report_a"), "report_a"), IamFault::kPolicy);
  EXPECT_EQ(Check(Token("AKIA2", "s2", "report_a"), "report_a"), IamFault::kNone);
  EXPECT_EQ(Check(Token("AKIA2", "s2", "report_admin"), "report_admin"), IamFault::kPolicy);
  EXPECT_EQ(Check(Token("AKIA1", "s2", "app"), "app"), IamFault::kSignature);
  EXPECT_EQ(Check(Token("AKIA3", "s3", "app"), "app"), IamFault::kPolicy);
  EXPECT_EQ(Check(Token("AKIA4", "s4", "app"), "app"), IamFault::kUnknownKey);
  EXPECT_EQ(Check(Token("AKIA9", "s9", "app"), "app"), IamFault::kUnknownKey);
  EXPECT_EQ(Check(Token("AKIA1", "s1", "app"), "report_a"), IamFault::kUser);
  EXPECT_EQ(Check("secret", "app"), IamFault::kNotAToken);
  EXPECT_EQ(Check("", "app"), IamFault::kNotAToken);
  // Who has no key does not get in with the one that takes its place.
  EXPECT_EQ(Check(Token("AKIA9", std::string(40, 'x'), "app"), "app"), IamFault::kUnknownKey);
}

TEST_F(IamTest, TemporaryKeys) {
  const auto token = [this](const std::string& session) {
    return Token("ASIA5", "s5", "app", "orders.db.example:6432", session);
  };
  EXPECT_EQ(Check(token("t/5"), "app"), IamFault::kNone);
  EXPECT_EQ(Check(token("t/6"), "app"), IamFault::kSessionToken);
  EXPECT_EQ(Check(token(""), "app"), IamFault::kSessionToken);
}

TEST_F(IamTest, EachEndpointHasItsNames) {
  const auto check = [this](const std::string& host, uint32_t endpoint) {
    return Check(Token("AKIA1", "s1", "app", host), "app", endpoint);
  };
  EXPECT_EQ(check("orders.db.example:6432", 0), IamFault::kNone);
  EXPECT_EQ(check("10.0.0.5:5432", 0), IamFault::kNone);
  EXPECT_EQ(check("10.0.0.5:6432", 0), IamFault::kHost);
  EXPECT_EQ(check("orders.db.example:6432", 1), IamFault::kHost);
  EXPECT_EQ(check("orders.db.example:6432", 7), IamFault::kHost);
  EXPECT_EQ(check("local:6434", 2), IamFault::kNone);
}

TEST_F(IamTest, TheClockDecides) {
  const std::string token = Token("AKIA1", "s1", "app");
  EXPECT_EQ(Check(token, "app"), IamFault::kNone);
  clock_.now += 900 * kSecond;
  EXPECT_EQ(Check(token, "app"), IamFault::kNone);
  clock_.now += kSecond;
  EXPECT_EQ(Check(token, "app"), IamFault::kExpired);
  clock_.now -= 1202 * kSecond;
  EXPECT_EQ(Check(token, "app"), IamFault::kAhead);
}

TEST_F(IamTest, TheReasonIsForTheLogAndHoldsNoSecret) {
  const absl::StatusOr<std::unique_ptr<const Iam>> iam = Iam::Load(config_, clock_);
  ASSERT_TRUE(iam.ok());
  const Iam::Answer answer = (*iam)->Check(Token("AKIA9", "s9", "app"), "app", 0);
  EXPECT_EQ(answer.why,
            "its token was refused: its access key is none of an [[iam.principal]] (access key "
            "AKIA9)");
  EXPECT_EQ((*iam)->Check("hidden", "app", 0).why.find("hidden"), std::string::npos);
  EXPECT_EQ((*iam)->Check(Token("AKIA1", "s1", "app"), "app", 0).why, "");
}

TEST_F(IamTest, FilesMustBeGood) {
  EXPECT_EQ(ErrorOf(), "");
  std::filesystem::permissions(folder_ + "/keys", std::filesystem::perms::group_read,
                               std::filesystem::perm_options::add);
  EXPECT_NE(ErrorOf().find("credentials_file: " + folder_ + "/keys: others than its owner"),
            std::string::npos)
      << ErrorOf();
  WriteKeys("x");
  EXPECT_NE(ErrorOf().find("/keys: line 1: "), std::string::npos) << ErrorOf();
  std::filesystem::remove(folder_ + "/keys");
  EXPECT_NE(ErrorOf().find("cannot be read"), std::string::npos) << ErrorOf();
}

TEST_F(IamTest, PrincipalsMustBeThere) {
  Principal("missing", {});
  EXPECT_NE(ErrorOf().find("/keys has no section [missing] with a key"), std::string::npos);
  config_.iam_principals.back().entry = "orders";
  EXPECT_NE(ErrorOf().find("two [[iam.principal]] for \"orders\""), std::string::npos);
  config_.iam_principals.back() = {};
  config_.iam_principals.back().entry = "left-out";
  config_.iam_principals.back().policy_files = {folder_ + "/no.json"};
  EXPECT_NE(ErrorOf().find("policy_files: " + folder_ + "/no.json: cannot be read"),
            std::string::npos)
      << ErrorOf();
  Write("no.json", R"({"Statement":{"Effect":"Allow","NotAction":"*","Resource":"*"}})");
  EXPECT_NE(ErrorOf().find("policy_files: " + folder_ + "/no.json: Statement: NotAction: is not"),
            std::string::npos)
      << ErrorOf();
}

TEST_F(IamTest, WhatTheVerifierSays) {
  const std::string host = "orders.db.example:6432";
  const std::string token = Token("ASIA9", "s9", "app", host, "t9");
  EXPECT_EQ(Check(token, "app"), IamFault::kUnknownKey);
  config_.iam.verifier = "unix:/verifier";
  config_.aws.ca_file = "ca";
  const absl::StatusOr<std::unique_ptr<const Iam>> iam = Iam::Load(config_, clock_);
  ASSERT_TRUE(iam.ok());
  EXPECT_EQ((*iam)->verifier().address, "unix:/verifier");
  EXPECT_EQ((*iam)->verifier().ca_file, "ca");
  const Iam::Answer asks = (*iam)->Check(token, "app", 0);
  EXPECT_EQ(asks.fault, IamFault::kVerifier);
  ASSERT_TRUE(asks.question.has_value());
  EXPECT_EQ(asks.question->access_key_id, "ASIA9");
  EXPECT_EQ(asks.question->session_token, "t9");
  EXPECT_EQ(asks.question->date, "20270115");
  EXPECT_EQ(asks.question->region, "us-east-1");
  // It is asked of nothing else.
  EXPECT_FALSE((*iam)->Check(Token("AKIA9", "s9", "app"), "app", 0).question.has_value());
  EXPECT_FALSE((*iam)->Check(token, "report_a", 0).question.has_value());
  EXPECT_FALSE((*iam)->Check(token, "app", 1).question.has_value());
  EXPECT_FALSE(
      (*iam)->Check(Token("ASIA5", "s5", "app", host, "t/6"), "app", 0).question.has_value());

  protocol::VerifiedKey key;
  key.signing_key = protocol::SigningKey("s9", {"20270115", "us-east-1", "rds-db"});
  key.expires_at = (*iam)->Seconds() + 10;
  const auto fault = [&](const std::string& text) {
    const Iam::Answer answer = (*iam)->Check(text, "app", 0, &key);
    EXPECT_FALSE(answer.question.has_value());
    return answer.fault;
  };
  EXPECT_EQ(fault(token), IamFault::kPolicy);
  key.policies.push_back(*protocol::IamPolicy::Parse(
      R"({"Statement":{"Effect":"Allow","Action":"rds-db:connect","Resource":"*:prx-1/app"}})"));
  EXPECT_EQ(fault(token), IamFault::kNone);
  EXPECT_EQ(fault(Token("ASIA9", "another", "app", host, "t9")), IamFault::kSignature);
  clock_.now += 10 * kSecond;
  EXPECT_EQ(fault(token), IamFault::kVerifier);
}

TEST_F(IamTest, NoKeysAtAllLetNobodyIn) {
  const Iam none(clock_);
  EXPECT_EQ(none.Check(Token("AKIA1", "s1", "app"), "app", 0).fault, IamFault::kHost);
}

}  // namespace
}  // namespace weir::pool
