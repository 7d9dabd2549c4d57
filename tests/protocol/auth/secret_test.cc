// Secrets: what a password may be, and md5's hashes.
#include "protocol/auth/secret.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/base/text.h"
#include "protocol/auth/md5.h"
#include "protocol/auth/scram.h"

namespace weir::protocol {
namespace {

// What `create role app password 'x'` has made of it with password_encryption = md5, and the answer
// that libpq gives.
TEST(Md5Test, HashAndAnswer) {
  const std::string hash = Md5Hash("app", "secret");
  EXPECT_EQ(hash, "md56a422f785c9e20873908ce25d1736ae2");
  EXPECT_EQ(Md5Hash("other", hash), hash);
  EXPECT_EQ(Md5Answer(hash, "salt"), "md57f097e06031b34893c20e25a0e68242c");
  EXPECT_EQ(Md5Answer("", "salt"), "");
  EXPECT_EQ(Md5Answer("secret", "salt"), "");
}

TEST(Md5Test, WhatIsAHash) {
  EXPECT_TRUE(IsMd5Hash("md50123456789abcdef0123456789abcdef"));
  for (const char* text :
       {"", "md5", "md50123456789abcdef0123456789abcde", "md50123456789abcdef0123456789abcdef0",
        "md50123456789ABCDEF0123456789ABCDEF", "MD50123456789abcdef0123456789abcdef"})
    EXPECT_FALSE(IsMd5Hash(text)) << text;
}

TEST(SecretTest, WhatAPasswordIs) {
  EXPECT_EQ(KindOf("secret"), PasswordKind::kText);
  EXPECT_EQ(KindOf("md50123456789abcdef0123456789abcdef"), PasswordKind::kMd5Hash);
  EXPECT_EQ(KindOf("SCRAM-SHA-256$4096:"), PasswordKind::kScramVerifier);
}

TEST(SecretTest, AVerifierMustBeWhole) {
  const std::string key = Base64(std::string(32, 'x'));
  const auto parse = [](const std::string& password) {
    return ParseSecret(engine::Cat("{\"username\": \"app\", \"password\": \"", password, "\"}"));
  };
  const std::string good = engine::Cat("SCRAM-SHA-256$4096:c2FsdA==$", key, ":", key);
  EXPECT_TRUE(parse(good).ok());
  const std::optional<ScramVerifier> verifier = ParseScramVerifier(good);
  ASSERT_TRUE(verifier.has_value());
  EXPECT_EQ(verifier->salt, "salt");
  EXPECT_EQ(verifier->iterations, 4096u);
  EXPECT_EQ(AsText(verifier->stored_key), std::string(32, 'x'));
  for (const std::string& bad :
       {std::string("SCRAM-SHA-256$"), engine::Cat("SCRAM-SHA-256$4096:c2FsdA==$", key),
        engine::Cat("SCRAM-SHA-256$0:c2FsdA==$", key, ":", key),
        engine::Cat("SCRAM-SHA-256$1000001:c2FsdA==$", key, ":", key),
        engine::Cat("SCRAM-SHA-256$-1:c2FsdA==$", key, ":", key),
        engine::Cat("SCRAM-SHA-256$4096:$", key, ":", key),
        engine::Cat("SCRAM-SHA-256$4096:c2FsdA==$c2FsdA==:", key),
        engine::Cat("SCRAM-SHA-256$4096$c2FsdA==:", key, ":", key), good + "x"}) {
    const absl::StatusOr<Secret> secret = parse(bad);
    ASSERT_FALSE(secret.ok()) << bad;
    EXPECT_EQ(std::string(secret.status().message()).find(key), std::string::npos);
  }
}

}  // namespace
}  // namespace weir::protocol
