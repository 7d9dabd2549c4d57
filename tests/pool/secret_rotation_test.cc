// When secrets are read again, with time steered: files that change, grow, break and come back.
#include "pool/secret_rotation.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "engine/base/log.h"

namespace weir::pool {
namespace {

using engine::kMillisecond;
using engine::kSecond;
using engine::Nanos;

// Secrets as if they had been fetched.
class FakeRemote final : public RemoteSecrets {
 public:
  absl::StatusOr<std::string> Text(const std::string& arn) const override {
    const auto found = texts.find(arn);
    if (found != texts.end()) return found->second.first;
    return absl::UnavailableError("not yet");
  }
  int64_t Version(const std::string& arn) const override {
    const auto found = texts.find(arn);
    return found == texts.end() ? 0 : found->second.second;
  }
  void AskAgain() override { ++asked; }
  void Put(const std::string& arn, const std::string& user, const std::string& password) {
    texts[arn] = {R"({"username": ")" + user + R"(", "password": ")" + password + "\"}",
                  ++versions};
  }

  std::map<std::string, std::pair<std::string, int64_t>> texts;
  int64_t versions = 0;
  int asked = 0;
};

class SecretRotationTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weir-secrets-XXXXXX";
    folder_ = mkdtemp(name);
    lines().clear();
    engine::SetLogSink([](engine::LogLevel, std::string_view line) { lines().emplace_back(line); });
    config_.auths.emplace_back();
    config_.auths[0].secret_file = folder_ + "/app.json";
    config_.auths[0].client_password_auth_type = "POSTGRES_SCRAM_SHA_256";
    config_.auths[0].rotation_grace = 300 * kSecond;
    Write("one");
    engine::SystemEntropy entropy;
    users_ = *Users::Load(config_, entropy, "salt key");
    rotation_.Begin(config_);
    // What might have changed while it was read is read once more.
    EXPECT_FALSE(Poll());
  }
  void TearDown() override {
    engine::SetLogSink(nullptr);
    std::filesystem::remove_all(folder_);
  }
  static std::vector<std::string>& lines() {
    static std::vector<std::string> all;
    return all;
  }
  void WriteText(const std::string& text) {
    std::ofstream(folder_ + "/new") << text;
    std::filesystem::rename(folder_ + "/new", folder_ + "/app.json");
  }
  void Write(const std::string& password) {
    WriteText(R"({"username": "app", "password": ")" + password + "\"}");
  }
  // True: there is another snapshot, which is in force now.
  bool Poll() {
    std::unique_ptr<const Users> next = rotation_.Poll(config_, *users_, now_);
    if (next == nullptr) return false;
    users_ = std::move(next);
    return true;
  }
  std::string_view password() const { return users_->Secret("app")->password(); }
  std::string_view previous() const { return users_->Secret("app")->previous(now_); }

  std::string folder_;
  Config config_;
  SecretNews news_;
  SecretRotation rotation_{news_};
  std::unique_ptr<const Users> users_;
  Nanos now_ = 100 * kSecond;
};

TEST_F(SecretRotationTest, LookedAtEveryFewSeconds) {
  Write("two");
  now_ += SecretRotation::kLookPeriod - 1;
  EXPECT_FALSE(Poll());
  now_ += 1;
  EXPECT_TRUE(Poll());
  EXPECT_EQ(password(), "two");
  EXPECT_EQ(previous(), "one");
  for (int i = 0; i < 10; ++i) {
    now_ += SecretRotation::kLookPeriod;
    EXPECT_FALSE(Poll());
  }
  for (const std::string& line : lines()) {
    EXPECT_EQ(line.find("one\""), std::string::npos) << line;
    EXPECT_EQ(line.find("two\""), std::string::npos) << line;
  }
}

TEST_F(SecretRotationTest, ARefusalReadsAtOnceButNotTooOften) {
  Write("two");
  news_.OnRefused();
  now_ += kMillisecond;
  EXPECT_TRUE(Poll());
  EXPECT_EQ(password(), "two");
  Write("three");
  news_.OnRefused();
  now_ += SecretRotation::kReadPeriod - 1;
  EXPECT_FALSE(Poll());
  now_ += 1;
  EXPECT_TRUE(Poll());  // not forgotten
  EXPECT_EQ(password(), "three");
}

// Two changes that the file system's clock cannot tell apart.
TEST_F(SecretRotationTest, WhatHasJustChangedIsReadTwice) {
  Write("two");
  const auto time = std::filesystem::last_write_time(config_.auths[0].secret_file);
  now_ += SecretRotation::kLookPeriod;
  EXPECT_TRUE(Poll());
  std::fstream(config_.auths[0].secret_file, std::ios::in | std::ios::out)
      << R"({"username": "app", "password": "ten"})";
  std::filesystem::last_write_time(config_.auths[0].secret_file, time);
  now_ += SecretRotation::kLookPeriod;
  EXPECT_TRUE(Poll());
  EXPECT_EQ(password(), "ten");
}

TEST_F(SecretRotationTest, TheServersWordOrTheTimeEndsTheValueBefore) {
  Write("two");
  now_ += SecretRotation::kLookPeriod;
  ASSERT_TRUE(Poll());
  news_.OnAccepted("app", users_->Secret("app")->version());
  now_ += kMillisecond;
  EXPECT_TRUE(Poll());
  EXPECT_EQ(previous(), "");
  Write("three");
  now_ += SecretRotation::kLookPeriod;
  ASSERT_TRUE(Poll());
  EXPECT_EQ(previous(), "two");
  now_ += 300 * kSecond;
  EXPECT_TRUE(Poll());
  EXPECT_EQ(users_->Secret("app")->previous(0), "");
}

TEST_F(SecretRotationTest, WithoutGraceNothingStays) {
  config_.auths[0].rotation_grace = 0;
  Write("two");
  now_ += SecretRotation::kLookPeriod;
  ASSERT_TRUE(Poll());
  EXPECT_EQ(password(), "two");
  EXPECT_EQ(users_->Secret("app")->previous(0), "");
}

TEST_F(SecretRotationTest, WhatCannotBeUsedIsToldOnce) {
  for (const char* text :
       {"", "{}", R"({"username": "other", "password": "x"})",
        R"({"username": "app", "password": "md500000000000000000000000000000000"})"}) {
    WriteText(text);
    lines().clear();
    for (int i = 0; i < 5; ++i) {
      now_ += SecretRotation::kLookPeriod;
      EXPECT_FALSE(Poll());
    }
    ASSERT_EQ(lines().size(), 1u) << text;
    EXPECT_TRUE(lines()[0].starts_with("event=secret_unusable: " + folder_ + "/app.json: "))
        << lines()[0];
  }
  std::filesystem::remove(config_.auths[0].secret_file);
  now_ += SecretRotation::kLookPeriod;
  EXPECT_FALSE(Poll());
  EXPECT_EQ(password(), "one");
  Write("two");
  now_ += SecretRotation::kLookPeriod;
  EXPECT_TRUE(Poll());
  EXPECT_EQ(password(), "two");
}

// A reload reads all secrets: a value that has changed is a rotation there, too.
TEST_F(SecretRotationTest, AReloadKeepsWhatIsGood) {
  Write("two");
  engine::SystemEntropy entropy;
  users_ = *Users::Load(config_, entropy, "salt key", users_.get(), now_);
  EXPECT_EQ(password(), "two");
  EXPECT_EQ(previous(), "one");
  const std::string salt = users_->Secret("app")->verifier(now_).salt;
  users_ = *Users::Load(config_, entropy, "salt key", users_.get(), now_ + kSecond);
  EXPECT_EQ(previous(), "one");
  EXPECT_EQ(users_->Secret("app")->verifier(now_).salt, salt);
}

class RemoteRotationTest : public SecretRotationTest {
 protected:
  void SetUp() override {
    SecretRotationTest::SetUp();
    AuthOptions& auth = config_.auths.emplace_back();
    auth.secret_arn = "arn:1";
    auth.client_password_auth_type = "POSTGRES_SCRAM_SHA_256";
    auth.rotation_grace = 300 * kSecond;
    config_.users.emplace("app", 0);
    LoadAnew();
  }
  void LoadAnew() {
    engine::SystemEntropy entropy;
    NameRemoteUsers(config_, remote_);
    users_ = *Users::Load(config_, entropy, "salt key", users_.get(), now_, &remote_);
    remote_rotation_.Begin(config_);
  }
  bool PollRemote() {
    now_ += kMillisecond;
    std::unique_ptr<const Users> next = remote_rotation_.Poll(config_, *users_, now_);
    if (next == nullptr) return false;
    users_ = std::move(next);
    return true;
  }
  std::string_view PasswordOf(const char* user) const {
    const UserSecret* secret = users_->Secret(user);
    return secret == nullptr ? "(unknown)" : secret->password();
  }

  FakeRemote remote_;
  SecretRotation remote_rotation_{news_, &remote_};
};

TEST_F(RemoteRotationTest, WhoseSecretIsNotThereYetIsUnknown) {
  EXPECT_EQ(PasswordOf("orders"), "(unknown)");
  EXPECT_EQ(PasswordOf("app"), "one");
  EXPECT_FALSE(PollRemote());
  EXPECT_FALSE(remote_rotation_.new_users());
  remote_.Put("arn:1", "orders", "r1");
  EXPECT_FALSE(PollRemote());
  EXPECT_TRUE(remote_rotation_.new_users());
  LoadAnew();
  EXPECT_FALSE(remote_rotation_.new_users());
  EXPECT_EQ(PasswordOf("orders"), "r1");
  EXPECT_EQ(config_.AuthOf("orders"), &config_.auths[1]);
  EXPECT_TRUE(lines().empty());
}

TEST_F(RemoteRotationTest, WhatWasFetchedIsSeenAtOnce) {
  remote_.Put("arn:1", "orders", "r1");
  LoadAnew();
  EXPECT_FALSE(PollRemote());
  remote_.Put("arn:1", "orders", "r2");
  EXPECT_TRUE(PollRemote());
  EXPECT_EQ(PasswordOf("orders"), "r2");
  EXPECT_EQ(users_->Secret("orders")->previous(now_), "r1");
  EXPECT_FALSE(PollRemote());
}

TEST_F(RemoteRotationTest, ARefusalAsksForAnother) {
  remote_.Put("arn:1", "orders", "r1");
  LoadAnew();
  EXPECT_FALSE(PollRemote());
  EXPECT_EQ(remote_.asked, 0);
  news_.OnRefused();
  EXPECT_FALSE(PollRemote());
  EXPECT_EQ(remote_.asked, 1);
}

TEST_F(RemoteRotationTest, WhatDoesNotFitStaysOut) {
  const auto refused = [this](const std::string& user, const std::string& password,
                              std::string_view why) {
    lines().clear();
    remote_.Put("arn:1", user, password);
    for (int i = 0; i < 5; ++i) EXPECT_FALSE(PollRemote());
    EXPECT_FALSE(remote_rotation_.new_users());
    ASSERT_EQ(lines().size(), 1u) << user;
    EXPECT_NE(lines()[0].find(why), std::string::npos) << lines()[0];
    LoadAnew();
  };
  refused("app", "x", "arn:1: the user \"app\" has two [[auth]] entries");
  EXPECT_EQ(PasswordOf("app"), "one");
  refused("orders", "md500000000000000000000000000000000", "an md5 hash in place of a password");
  EXPECT_EQ(PasswordOf("orders"), "(unknown)");
  remote_.Put("arn:1", "orders", "r1");
  LoadAnew();
  EXPECT_FALSE(PollRemote());
  remote_.Put("arn:1", "another", "r1");
  EXPECT_FALSE(PollRemote());
  EXPECT_NE(lines().back().find("it names another user than before"), std::string::npos);
  EXPECT_EQ(PasswordOf("orders"), "r1");
}

// Whoever has no secret has a password that nobody knows.
TEST_F(RemoteRotationTest, UsersWithoutASecret) {
  AuthOptions& auth = config_.auths.emplace_back();
  auth.username = "tokens";
  auth.iam_auth = "REQUIRED";
  config_.users.emplace("tokens", 2);
  LoadAnew();
  const std::string password(PasswordOf("tokens"));
  EXPECT_GE(password.size(), 40u);
  protocol::ScramVerifier mock;
  EXPECT_EQ(users_->Find("tokens", true, now_, mock).method, protocol::ClientMethod::kIam);
  EXPECT_FALSE(PollRemote());
  EXPECT_TRUE(lines().empty());
}

}  // namespace
}  // namespace weir::pool
