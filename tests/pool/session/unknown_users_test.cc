// What a login costs does not tell whether the user exists: the derivations are counted, of a user
// that is known and of one that is not. The program's own calls of OpenSSL come here first.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <memory>
#include <ostream>
#include <string>

#include "engine/base/text.h"
#include "pool/session/users.h"
#include "protocol/postgres/client_login.h"
#include "protocol/wire/writer.h"
#include "tests/engine/base/seeded_entropy.h"

namespace {

struct Counts {
  int derivations = 0;  // PBKDF2
  int hmacs = 0;
  int digests = 0;
  bool operator==(const Counts&) const = default;
};
Counts& TheCounts() {
  static Counts counts;
  return counts;
}

std::ostream& operator<<(std::ostream& out, const Counts& each) {
  return out << each.derivations << " derivations, " << each.hmacs << " HMACs, " << each.digests
             << " digests";
}

// OpenSSL's own function of this name.
template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int PKCS5_PBKDF2_HMAC(const char* password, int length, const unsigned char* salt, int salt_length,
                      int iterations, const EVP_MD* digest, int key_length, unsigned char* out) {
  ++TheCounts().derivations;
  auto* const real = Real<decltype(PKCS5_PBKDF2_HMAC)>("PKCS5_PBKDF2_HMAC");
  return real(password, length, salt, salt_length, iterations, digest, key_length, out);
}

unsigned char* HMAC(const EVP_MD* digest, const void* key, int key_length,
                    const unsigned char* data, size_t length, unsigned char* out,
                    unsigned int* out_length) {
  ++TheCounts().hmacs;
  auto* const real = Real<decltype(HMAC)>("HMAC");
  return real(digest, key, key_length, data, length, out, out_length);
}

int EVP_Digest(const void* data, size_t length, unsigned char* out, unsigned int* out_length,
               const EVP_MD* digest, ENGINE* engine) {
  ++TheCounts().digests;
  auto* const real = Real<decltype(EVP_Digest)>("EVP_Digest");
  return real(data, length, out, out_length, digest, engine);
}

}  // extern "C"

namespace weir::pool {
namespace {

using protocol::Writer;
using ClientNext = protocol::ClientLogin::Next;

class UnknownUsersTest : public testing::Test {
 protected:
  UnknownUsersTest() {
    setenv("UNKNOWN_USERS_TEST", R"({"username": "app", "password": "right"})", 1);
    Config config;
    config.auths.emplace_back();
    config.auths.back().secret_env = "UNKNOWN_USERS_TEST";
    auto loaded = Users::Load(config, entropy_, "salt key");
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    users_ = *std::move(loaded);
    unsetenv("UNKNOWN_USERS_TEST");
  }

  // A login by a password that is not right, up to its end, and what it has cost weir. `refused`: a
  // rule of access wants another method of that user, so that it counts as unknown.
  Counts CostOf(const std::string& user, bool refused = false) {
    postgres::PostgresClientLogin login(entropy_);
    protocol::ScramClient client(entropy_);
    protocol::ScramVerifier mock;
    std::string out;
    EXPECT_EQ(Feed(login, Startup(user), out), ClientNext::kNeedUser);
    TheCounts() = {};
    protocol::ClientUser found = users_->Find(user, false, 0, mock);
    if (refused) found = users_->Unknown(user, mock);
    EXPECT_EQ(login.Resume(found, {}, out), ClientNext::kReceive);
    out.clear();
    EXPECT_EQ(Feed(login, SaslFirst(client.First()), out), ClientNext::kReceive);
    const Counts first = TheCounts();
    EXPECT_TRUE(client.OnServerFirst(std::string_view(out).substr(9)));
    const protocol::ScramKeys keys =
        protocol::DeriveScramKeys("wrong", client.salt(), client.iterations());
    const std::string final = client.Final(keys);
    TheCounts() = first;
    EXPECT_EQ(Feed(login, Message(final), out), ClientNext::kFailed);
    EXPECT_TRUE(login.wrong_proof());
    return TheCounts();
  }

  static ClientNext Feed(postgres::PostgresClientLogin& login, const std::string& bytes,
                         std::string& out) {
    size_t consumed = 0;
    return login.OnBytes(engine::AsBytes(bytes), consumed, out);
  }
  static std::string Startup(const std::string& user) {
    std::string out;
    Writer writer(out);
    writer.Begin(0).U32(3 << 16).CString("user").CString(user).U8(0);
    writer.End();
    return out;
  }
  static std::string SaslFirst(const std::string& first) {
    std::string body;
    Writer(body).CString("SCRAM-SHA-256").U32(static_cast<uint32_t>(first.size())).Raw(first);
    return Message(body);
  }
  static std::string Message(const std::string& body) {
    std::string out;
    Writer writer(out);
    writer.Begin('p').Raw(body);
    writer.End();
    return out;
  }

  engine::SeededEntropy entropy_;
  std::unique_ptr<const Users> users_;
};

TEST_F(UnknownUsersTest, TheSameNumberOfDerivations) {
  const Counts known = CostOf("app");
  EXPECT_EQ(known.derivations, 0);  // slow by design: never on a shard
  EXPECT_GT(known.hmacs, 0);
  EXPECT_GT(known.digests, 0);
  EXPECT_EQ(CostOf("nobody"), known);
  EXPECT_EQ(CostOf(std::string(5000, 'n')), known);
  EXPECT_EQ(CostOf("app", /*refused=*/true), known);
  EXPECT_EQ(CostOf("nobody", /*refused=*/true), known);
}

// Nor that its password is being changed.
TEST_F(UnknownUsersTest, APasswordThatChanges) {
  const Counts known = CostOf("app");
  std::vector<std::string> told;
  users_ = users_->Next({{"app", "new", 300 * engine::kSecond}}, {}, 0, told);
  ASSERT_NE(users_, nullptr);
  EXPECT_EQ(CostOf("app"), known);
  EXPECT_EQ(CostOf("nobody"), known);
}

// The salt is the same each time, and another one for another name: as a real user's is.
TEST_F(UnknownUsersTest, TheSaltStays) {
  const auto salt = [this](const std::string& user) {
    protocol::ScramVerifier mock;
    return users_->Find(user, false, 0, mock).verifier->salt;
  };
  EXPECT_EQ(salt("nobody"), salt("nobody"));
  EXPECT_NE(salt("nobody"), salt("somebody"));
  EXPECT_EQ(salt("nobody").size(), salt("app").size());
}

}  // namespace
}  // namespace weir::pool
