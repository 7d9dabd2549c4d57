// A user's secret while it changes: which values clients and servers are offered, and until when.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "pool/config/secret_source.h"
#include "pool/session/server_secrets.h"
#include "pool/session/user_secret.h"
#include "pool/session/users.h"
#include "protocol/auth/md5.h"
#include "tests/engine/base/seeded_entropy.h"

namespace weir::pool {
namespace {

using engine::kSecond;
using engine::Nanos;
using engine::SeededEntropy;

std::string VerifierText(std::string_view password, std::string_view salt) {
  const protocol::ScramKeys keys = protocol::DeriveScramKeys(password, salt, 4096);
  return engine::Cat("SCRAM-SHA-256$4096:", protocol::Base64(salt), "$",
                     protocol::Base64(protocol::AsText(keys.stored_key)), ":",
                     protocol::Base64(protocol::AsText(keys.server_key)));
}

class UserSecretTest : public testing::Test {
 protected:
  static constexpr Nanos kNow = 100 * kSecond;
  static constexpr Nanos kUntil = 400 * kSecond;

  // Does this password fit what clients are to prove?
  static bool Fits(const UserSecret& secret, std::string_view password, Nanos now = kNow) {
    const protocol::ScramVerifier& verifier = secret.verifier(now);
    const protocol::ScramKeys keys =
        protocol::DeriveScramKeys(password, verifier.salt, verifier.iterations);
    return keys.stored_key == verifier.stored_key ||
           (verifier.previous && keys.stored_key == verifier.previous->stored_key);
  }

  SeededEntropy entropy_;
};

TEST_F(UserSecretTest, BothAreGoodBehindOneSalt) {
  UserSecret secret("app", "one", entropy_);
  const std::string salt = secret.verifier(kNow).salt;
  EXPECT_TRUE(Fits(secret, "one"));
  secret.Replace("two", kUntil);
  EXPECT_EQ(secret.verifier(kNow).salt, salt);
  EXPECT_EQ(secret.previous(kNow), "one");
  EXPECT_TRUE(Fits(secret, "one") && Fits(secret, "two"));
  EXPECT_FALSE(Fits(secret, "three"));
  EXPECT_EQ(secret.md5_hashes(kNow).size(), 2u);
  // Time is up.
  EXPECT_EQ(secret.previous(kUntil), "");
  EXPECT_FALSE(Fits(secret, "one", kUntil));
  EXPECT_TRUE(Fits(secret, "two", kUntil));
  ASSERT_EQ(secret.md5_hashes(kUntil).size(), 1u);
  EXPECT_EQ(secret.md5_hashes(kUntil)[0], protocol::Md5Hash("app", "two"));
  // Or the server has accepted it.
  secret.DropPrevious();
  EXPECT_EQ(secret.previous(kNow), "");
  EXPECT_FALSE(Fits(secret, "one"));
  EXPECT_EQ(secret.md5_hashes(kNow).size(), 1u);
}

TEST_F(UserSecretTest, OnlyWhatTheServerHasAcceptedStays) {
  UserSecret secret("app", "one", entropy_);
  secret.Replace("mistake", kUntil);
  secret.Replace("two", kUntil + kSecond);
  EXPECT_EQ(secret.previous(kNow), "one");
  EXPECT_EQ(secret.previous_until(), kUntil);
  EXPECT_FALSE(Fits(secret, "mistake"));
  // Back to where it was.
  secret.Replace("one", kUntil);
  EXPECT_EQ(secret.previous(kNow), "");
  EXPECT_EQ(secret.version(), 4u);
  EXPECT_FALSE(Fits(secret, "two"));
}

TEST_F(UserSecretTest, VerifiersBringTheirOwnSalt) {
  UserSecret secret("app", "one", entropy_);
  secret.Replace(VerifierText("two", "a salt"), kUntil);
  EXPECT_EQ(secret.verifier(kNow).salt, "a salt");
  EXPECT_TRUE(Fits(secret, "one") && Fits(secret, "two"));
  UserSecret other("app", VerifierText("one", "a salt"), entropy_);
  other.Replace("two", kUntil);
  EXPECT_TRUE(Fits(other, "one") && Fits(other, "two"));
  // Of two salts clients can be asked for one; the server may still have the other.
  other = UserSecret("app", VerifierText("one", "a salt"), entropy_);
  other.Replace(VerifierText("two", "another salt"), kUntil);
  EXPECT_TRUE(Fits(other, "two"));
  EXPECT_FALSE(other.verifier(kNow).previous.has_value());
  EXPECT_FALSE(other.previous(kNow).empty());
}

TEST_F(UserSecretTest, AHashIsNoPassword) {
  const std::string hash = protocol::Md5Hash("app", "one");
  UserSecret secret("app", hash, entropy_);
  EXPECT_FALSE(Fits(secret, "one"));
  EXPECT_FALSE(Fits(secret, hash));
  ASSERT_EQ(secret.md5_hashes(kNow).size(), 1u);
  EXPECT_EQ(secret.md5_hashes(kNow)[0], hash);
  UserSecret later("app", "one", entropy_);
  later.Replace(hash, kUntil);
  later.DropPrevious();
  EXPECT_FALSE(Fits(later, "one"));
}

TEST(ClientKeysTest, OnlyKeysOfOurVerifiersAndOnlyUntilTheyAreRefused) {
  ClientKeys keys;
  const protocol::ScramKeys derived = protocol::DeriveScramKeys("one", "salt", 2);
  const std::string_view key = protocol::AsText(derived.client_key);
  protocol::Digest256 found{};
  EXPECT_FALSE(keys.Learn(key));
  keys.Admit({derived.stored_key});
  EXPECT_FALSE(keys.Find(derived.stored_key, found));
  EXPECT_TRUE(keys.Learn(key));
  EXPECT_FALSE(keys.Learn(key));
  EXPECT_TRUE(keys.Find(derived.stored_key, found));
  EXPECT_EQ(found, derived.client_key);
  // Another snapshot that has it too.
  keys.Admit({protocol::Digest256{}, derived.stored_key});
  EXPECT_TRUE(keys.Find(derived.stored_key, found));
  keys.Discard(derived.stored_key);
  EXPECT_FALSE(keys.Find(derived.stored_key, found));
  EXPECT_TRUE(keys.Learn(key));
  keys.Admit({});
  EXPECT_FALSE(keys.Find(derived.stored_key, found));
  EXPECT_FALSE(keys.Learn(key));
}

// With which value backends log in.
class ServerSecretsTest : public testing::Test {
 protected:
  static constexpr Nanos kNow = 100 * kSecond;

  ServerSecretsTest() {
    Config config;
    config.auths.emplace_back();
    config.auths[0].secret_env = "WEIR_TEST_SECRET";
    setenv("WEIR_TEST_SECRET", R"({"username": "app", "password": "one"})", 1);
    SeededEntropy entropy;
    users_ = *Users::Load(config, entropy, "salt key");
    unsetenv("WEIR_TEST_SECRET");
  }
  void Change(const std::string& password) {
    std::vector<std::string> told;
    users_ = users_->Next({{"app", password, 300 * kSecond}}, {}, kNow, told);
    ASSERT_NE(users_, nullptr);
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].find(password), std::string::npos);
  }
  // Empty: none can be used.
  std::string Next() {
    std::string why;
    secret_ = secrets_.Choose(*users_, "app", kNow, why);
    EXPECT_EQ(secret_ == nullptr, !why.empty());
    return secret_ == nullptr ? "" : secret_->password;
  }
  bool Refuse() { return secrets_.OnRefused(*users_, "app", *secret_, kNow); }
  void Accept() { secrets_.OnAccepted("app", *secret_); }

  ClientKeys keys_;
  SecretNews news_;
  ServerSecrets secrets_{keys_, news_};
  std::unique_ptr<const Users> users_;
  std::unique_ptr<LoginSecret> secret_;
};

TEST_F(ServerSecretsTest, OneValueIsTriedOnce) {
  EXPECT_EQ(Next(), "one");
  EXPECT_FALSE(Refuse());
  EXPECT_TRUE(news_.Take().refused);
  EXPECT_EQ(Next(), "one");
  Accept();
  const SecretNews::Told told = news_.Take();
  EXPECT_TRUE(told.accepted.empty() && !told.refused);
}

// The file is new, the server is not: the value before, until it is refused.
TEST_F(ServerSecretsTest, TheFileChangesFirst) {
  Change("two");
  EXPECT_EQ(Next(), "two");
  EXPECT_TRUE(Refuse());
  EXPECT_EQ(Next(), "one");
  Accept();
  EXPECT_EQ(Next(), "one");
  EXPECT_TRUE(news_.Take().accepted.empty());
  EXPECT_TRUE(Refuse());
  EXPECT_EQ(Next(), "two");
  Accept();
  const SecretNews::Told told = news_.Take();
  ASSERT_EQ(told.accepted.size(), 1u);
  EXPECT_EQ(told.accepted[0].version, 2u);
  std::vector<std::string> lines;
  users_ = users_->Next({}, told.accepted, kNow, lines);
  ASSERT_NE(users_, nullptr);
  EXPECT_EQ(users_->Secret("app")->previous(kNow), "");
  EXPECT_EQ(Next(), "two");
  EXPECT_FALSE(Refuse());
}

TEST_F(ServerSecretsTest, BothAreRefused) {
  Change("two");
  EXPECT_EQ(Next(), "two");
  EXPECT_TRUE(Refuse());
  EXPECT_EQ(Next(), "one");
  EXPECT_FALSE(Refuse());
}

// Several logins are under way with a value that is refused.
TEST_F(ServerSecretsTest, RefusedTwiceAtOnce) {
  Change("two");
  EXPECT_EQ(Next(), "two");
  EXPECT_TRUE(Refuse());
  EXPECT_TRUE(Refuse());
  EXPECT_EQ(Next(), "one");
  Accept();
  EXPECT_EQ(Next(), "one");
}

TEST_F(ServerSecretsTest, ReplacedWhileItWasRefused) {
  EXPECT_EQ(Next(), "one");
  Change("two");
  EXPECT_TRUE(Refuse());
  EXPECT_EQ(Next(), "two");
}

// A word about a value that has been replaced ends nothing.
TEST_F(ServerSecretsTest, NewsThatComeLate) {
  Change("two");
  EXPECT_EQ(Next(), "two");
  Accept();
  Change("three");
  std::vector<std::string> told;
  EXPECT_EQ(users_->Next({}, news_.Take().accepted, kNow, told), nullptr);
}

TEST_F(ServerSecretsTest, AVerifierWaitsForAClient) {
  const protocol::ScramKeys derived = protocol::DeriveScramKeys("two", "a salt", 4096);
  const std::string text = VerifierText("two", "a salt");
  Change(text);
  keys_.Admit(users_->StoredKeys());
  EXPECT_EQ(Next(), "one");  // meanwhile
  EXPECT_FALSE(Refuse());
  ASSERT_TRUE(keys_.Learn(protocol::AsText(derived.client_key)));
  EXPECT_EQ(Next(), text);
  Accept();
  std::vector<std::string> told;
  users_ = users_->Next({}, news_.Take().accepted, kNow, told);
  ASSERT_NE(users_, nullptr);
  EXPECT_EQ(Next(), text);
  EXPECT_FALSE(Refuse());
  // It is given up.
  EXPECT_EQ(Next(), "");
}

TEST_F(ServerSecretsTest, TheGraceEnds) {
  Change("two");
  std::vector<std::string> told;
  EXPECT_EQ(users_->Next({}, {}, kNow + 299 * kSecond, told), nullptr);
  users_ = users_->Next({}, {}, kNow + 300 * kSecond, told);
  ASSERT_NE(users_, nullptr);
  EXPECT_EQ(users_->Secret("app")->previous(kNow), "");
}

// Clients of a user that does not exist cost as much as others: no key is derived for either.
TEST_F(ServerSecretsTest, AnUnknownUser) {
  protocol::ScramVerifier mock;
  const protocol::ClientUser unknown = users_->Find("nobody", true, kNow, mock);
  protocol::ScramVerifier other;
  const protocol::ClientUser known = users_->Find("app", true, kNow, other);
  EXPECT_FALSE(unknown.known);
  EXPECT_TRUE(known.known);
  EXPECT_EQ(unknown.method, known.method);
  EXPECT_EQ(unknown.verifier->salt.size(), known.verifier->salt.size());
  EXPECT_EQ(unknown.verifier->iterations, known.verifier->iterations);
  const std::string salt = unknown.verifier->salt;
  protocol::ScramVerifier again;
  EXPECT_EQ(users_->Find("nobody", true, kNow, again).verifier->salt, salt);
}

}  // namespace
}  // namespace weir::pool
