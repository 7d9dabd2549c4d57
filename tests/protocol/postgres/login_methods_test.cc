// How clients and weir prove who they are, method by method, and what is tried against each.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "protocol/auth/md5.h"
#include "protocol/postgres/server_login.h"
#include "tests/protocol/postgres/login_parts.h"

namespace weir::postgres {
namespace {

using ServerNext = protocol::ServerLogin::Next;

TEST_F(ClientMethodTest, PlusIsOfferedWhereTheConnectionIsBound) {
  const std::string plain("SCRAM-SHA-256\0\0", 15);
  const std::string both("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", 34);
  const std::pair<TransportFacts, std::string> cases[] = {
      {{}, plain},
      {Encrypted(), both},
      {Encrypted(""), plain},
      // Nothing binds what is not encrypted.
      {{.encrypted = false, .endpoint_binding = "hash", .peer_names = {}}, plain}};
  for (const auto& [transport, names] : cases) {
    PostgresClientLogin login(entropy_);
    EXPECT_EQ(Begin(login, Scram(), transport), ClientNext::kReceive);
    EXPECT_EQ(Code(), 10u);
    EXPECT_EQ(out_.substr(9), names);
  }
}

TEST_F(ClientMethodTest, PlusInEverySplit) {
  for (const size_t piece : {1, 3, 1000}) {
    PostgresClientLogin login(entropy_);
    protocol::ScramClient client(entropy_, ScramBinding::kEndPoint, "hash");
    ASSERT_EQ(Begin(login, Scram(), Encrypted()), ClientNext::kReceive);
    out_.clear();
    ASSERT_EQ(Feed(login, SaslFirst("SCRAM-SHA-256-PLUS", client.First()), piece),
              ClientNext::kReceive);
    ASSERT_TRUE(client.OnServerFirst(std::string_view(out_).substr(9)));
    EXPECT_TRUE(login.client_key().empty());
    EXPECT_EQ(Feed(login, Message('p', client.Final(keys_)), piece), ClientNext::kDone);
    EXPECT_EQ(login.client_key(), protocol::AsText(keys_.client_key));
  }
}

TEST_F(ClientMethodTest, WhatIsRefusedOfChannelBinding) {
  struct Case {
    TransportFacts transport;
    std::string message;
    std::string error;
  };
  const Case cases[] = {
      {Encrypted(), SaslFirst("SCRAM-SHA-256", "y,,n=,r=abc"),
       "28000 SCRAM channel binding negotiation error"},
      {{},
       SaslFirst("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc"),
       "08P01 client selected an invalid SASL authentication mechanism"},
      {{},
       SaslFirst("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc"),
       "08P01 malformed SCRAM message"},
      {Encrypted(), SaslFirst("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abc"),
       "08P01 unsupported SCRAM channel-binding type \"tls-unique\""},
  };
  for (const Case& each : cases) {
    PostgresClientLogin login(entropy_);
    ASSERT_EQ(Begin(login, Scram(), each.transport), ClientNext::kReceive);
    EXPECT_EQ(Feed(login, each.message), ClientNext::kFailed);
    EXPECT_TRUE(Error().starts_with(each.error)) << Error();
    EXPECT_FALSE(login.wrong_proof());
    out_.clear();
  }
}

TEST_F(ClientMethodTest, Md5) {
  for (const auto& [password, next] :
       {std::pair("secret", ClientNext::kDone), std::pair("before", ClientNext::kDone),
        std::pair("neither", ClientNext::kFailed)}) {
    for (const size_t piece : {1, 1000}) {
      PostgresClientLogin login(entropy_);
      ASSERT_EQ(Begin(login, Md5()), ClientNext::kReceive);
      EXPECT_EQ(Code(), 5u);
      const std::string salt = out_.substr(9);
      ASSERT_EQ(salt.size(), 4u);
      const std::string answer = protocol::Md5Answer(protocol::Md5Hash("app", password), salt);
      out_.clear();
      EXPECT_EQ(Feed(login, Password(answer), piece), next) << password;
      if (next == ClientNext::kDone) {
        EXPECT_EQ(Code(), 0u);
      } else {
        EXPECT_TRUE(login.wrong_proof());
        EXPECT_EQ(Error(), "28P01 The password that was provided for the role app is wrong.");
      }
    }
  }
}

TEST_F(ClientMethodTest, TheSaltsOfMd5AreDifferent) {
  PostgresClientLogin first(entropy_);
  ASSERT_EQ(Begin(first, Md5()), ClientNext::kReceive);
  const std::string salt = out_.substr(9);
  PostgresClientLogin second(entropy_);
  ASSERT_EQ(Begin(second, Md5()), ClientNext::kReceive);
  EXPECT_NE(out_.substr(9), salt);
  // An answer that has been overheard is good for nothing.
  EXPECT_EQ(Feed(second, Password(protocol::Md5Answer(md5_hashes_[0], salt))), ClientNext::kFailed);
}

TEST_F(ClientMethodTest, Certificates) {
  const std::vector<std::string> others = {"robot", "crane"};
  struct Case {
    TransportFacts transport;
    std::vector<std::string> names;
    std::string error;  // empty: let in
  };
  const std::string none = "28000 connection requires a valid client certificate";
  const std::string wrong = "28000 certificate authentication failed for user \"app\"";
  const Case cases[] = {
      {Encrypted("hash", {"app"}), {}, ""},
      {Encrypted("", {"cn", "app"}), {}, ""},
      {Encrypted("hash", {"crane"}), others, ""},
      // With names of their own, the user's counts only if it is among them.
      {Encrypted("hash", {"app"}), others, wrong},
      {Encrypted("hash", {"App"}), {}, wrong},
      {Encrypted("hash", {""}), {}, wrong},
      {Encrypted("hash", {std::string("app\0x", 5)}), {}, wrong},
      {Encrypted("hash", {}), {}, none},
      {{}, {}, none},
      {{.encrypted = false, .endpoint_binding = "", .peer_names = {"app"}}, {}, none},
  };
  for (const Case& each : cases) {
    PostgresClientLogin login(entropy_);
    const ClientNext next = Begin(
        login,
        {.method = ClientMethod::kCertificate, .known = true, .certificate_names = each.names},
        each.transport);
    EXPECT_EQ(next, each.error.empty() ? ClientNext::kDone : ClientNext::kFailed) << each.error;
    if (each.error.empty()) {
      EXPECT_EQ(Code(), 0u);
    } else {
      EXPECT_EQ(Error(), each.error);
    }
  }
}

class TokenTest : public ClientMethodTest {
 protected:
  const ClientUser user_{.method = ClientMethod::kIam, .known = true};
  const std::string failure_ =
      "28P01 The IAM authentication failed for the role app. Check the IAM token for this role and "
      "try again.";
};

TEST_F(TokenTest, GoodAndBad) {
  for (const bool good : {true, false}) {
    for (const size_t size : {1u, 1500u, 8192u}) {
      const std::string token(size, 't');
      PostgresClientLogin login(entropy_);
      ASSERT_EQ(Begin(login, user_, Encrypted()), ClientNext::kReceive);
      EXPECT_EQ(Code(), 3u);
      out_.clear();
      ASSERT_EQ(Feed(login, Password(token), 100), ClientNext::kCheckToken);
      EXPECT_EQ(login.token(), token);
      // What comes meanwhile is left where it is.
      size_t consumed = 1;
      EXPECT_EQ(login.OnBytes(engine::AsBytes("p"), consumed, out_), ClientNext::kReceive);
      EXPECT_EQ(consumed, 0u);
      EXPECT_EQ(login.OnTokenChecked(good, "it is too old", out_),
                good ? ClientNext::kDone : ClientNext::kFailed);
      EXPECT_TRUE(login.token().empty());
      if (good) {
        EXPECT_EQ(Code(), 0u);
      } else {
        EXPECT_EQ(Error(), failure_);
        EXPECT_TRUE(login.wrong_proof());
        EXPECT_EQ(login.failure(), Cat(failure_.substr(6), " (it is too old)"));
      }
      out_.clear();
    }
  }
}

TEST_F(TokenTest, OnlyOnAnEncryptedConnection) {
  PostgresClientLogin login(entropy_);
  EXPECT_EQ(Begin(login, user_), ClientNext::kFailed);
  EXPECT_EQ(Error(), "28000 IAM authentication is allowed only with SSL connections.");
}

TEST_F(TokenTest, WhatIsNoToken) {
  for (const auto& [bytes, error] :
       {std::pair(Password(""), failure_), std::pair(Password(std::string(8193, 't')), failure_),
        std::pair(Message('p', "no end"), std::string("08P01 invalid password packet size")),
        std::pair(Message('p', std::string("a\0b\0", 4)),
                  std::string("08P01 invalid password packet size")),
        std::pair(Password(std::string(9000, 't')),
                  std::string("08P01 invalid length of a password message"))}) {
    PostgresClientLogin login(entropy_);
    ASSERT_EQ(Begin(login, user_, Encrypted()), ClientNext::kReceive);
    EXPECT_EQ(Feed(login, bytes), ClientNext::kFailed);
    EXPECT_EQ(Error(), error);
    out_.clear();
  }
}

// weir's own proof, to a server.
class ServerMethodTest : public testing::Test {
 protected:
  static constexpr std::string_view kPlain{"SCRAM-SHA-256\0\0", 15};
  static constexpr std::string_view kBoth{"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", 34};

  static std::string Authentication(uint32_t code, std::string_view data = {}) {
    std::string body;
    Writer(body).U32(code).Raw(data);
    return Message('R', body);
  }
  static protocol::ServerLogin::Options Options(TransportFacts transport = {}) {
    protocol::ServerLogin::Options options;
    options.user = "app";
    options.database = "db";
    options.password = "secret";
    options.transport = std::move(transport);
    return options;
  }
  // What weir says to the server's first words: its message, or "failed: why".
  std::string Answer(const protocol::ServerLogin::Options& options, const std::string& bytes) {
    PostgresServerLogin login(options, entropy_);
    std::string out;
    login.Start(out);
    out.clear();
    const ServerNext next = login.OnBytes(engine::AsBytes(bytes), out);
    if (next == ServerNext::kFailed) return Cat("failed: ", login.failure_text());
    return out.size() < 5 ? out : out.substr(5);
  }

  SeededEntropy entropy_;
};

TEST_F(ServerMethodTest, TheMechanismAndTheFlag) {
  protocol::ServerLogin::Options without = Options(Encrypted());
  without.allow_scram_plus = false;
  const auto begins = [](std::string_view mechanism, std::string_view flag) {
    return std::pair(std::string(mechanism) + '\0', std::string(flag) + "n=,r=");
  };
  struct Case {
    protocol::ServerLogin::Options options;
    std::string_view offered;
    std::pair<std::string, std::string> expected;
  };
  const Case cases[] = {
      {Options(Encrypted()), kBoth, begins("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,")},
      {Options(Encrypted()), kPlain, begins("SCRAM-SHA-256", "y,,")},
      {Options(Encrypted("")), kBoth, begins("SCRAM-SHA-256", "n,,")},
      {Options(), kBoth, begins("SCRAM-SHA-256", "n,,")},
      {Options(), kPlain, begins("SCRAM-SHA-256", "n,,")},
      {without, kBoth, begins("SCRAM-SHA-256", "n,,")},
  };
  for (const Case& each : cases) {
    const std::string answer = Answer(each.options, Authentication(10, each.offered));
    const auto& [mechanism, first] = each.expected;
    EXPECT_TRUE(answer.starts_with(mechanism)) << answer;
    EXPECT_TRUE(std::string_view(answer).substr(mechanism.size() + 4).starts_with(first)) << answer;
  }
}

TEST_F(ServerMethodTest, OnlyPlus) {
  for (const auto& [transport, offered, text] :
       {std::tuple(Encrypted(), kPlain, "the server does not offer scram-sha-256-plus"),
        std::tuple(Encrypted(""), kBoth, "which the server's certificate does not allow"),
        std::tuple(TransportFacts{}, kBoth, "which needs an encrypted connection")}) {
    protocol::ServerLogin::Options options = Options(transport);
    options.allow_scram = false;
    const std::string answer = Answer(options, Authentication(10, offered));
    EXPECT_TRUE(answer.starts_with("failed: ")) << answer;
    EXPECT_NE(answer.find(text), std::string::npos) << answer;
  }
  protocol::ServerLogin::Options options = Options(Encrypted());
  options.allow_scram = false;
  EXPECT_TRUE(Answer(options, Authentication(10, kBoth)).starts_with("SCRAM-SHA-256-PLUS"));
  options.allow_scram_plus = false;
  EXPECT_TRUE(Answer(options, Authentication(10, kBoth)).starts_with("failed: "));
  // A server that has nothing but PLUS is no use in the clear.
  EXPECT_TRUE(Answer(Options(), Authentication(10, std::string_view("SCRAM-SHA-256-PLUS\0\0", 20)))
                  .starts_with("failed: "));
}

TEST_F(ServerMethodTest, PlusAgainstOurOwnServerSide) {
  protocol::ScramVerifier verifier;
  verifier.salt = "salt";
  const protocol::ScramKeys keys =
      protocol::DeriveScramKeys("secret", verifier.salt, verifier.iterations);
  verifier.stored_key = keys.stored_key;
  verifier.server_key = keys.server_key;
  for (const bool same : {true, false}) {
    PostgresServerLogin login(Options(Encrypted()), entropy_);
    protocol::ScramServer server(verifier, entropy_, same ? "hash" : "the hash of another");
    ASSERT_TRUE(server.Choose(protocol::kScramSha256Plus));
    std::string out;
    login.Start(out);
    out.clear();
    ASSERT_EQ(login.OnBytes(engine::AsBytes(Authentication(10, kBoth)), out), ServerNext::kReceive);
    std::string reply;
    ASSERT_EQ(server.OnFirst(std::string_view(out).substr(5 + 19 + 4), reply),
              protocol::ScramServer::Result::kOk);
    out.clear();
    ASSERT_EQ(login.OnBytes(engine::AsBytes(Authentication(11, reply)), out),
              ServerNext::kNeedKeys);
    ASSERT_EQ(login.OnKeys(keys, out), ServerNext::kReceive);
    EXPECT_EQ(server.OnFinal(std::string_view(out).substr(5), reply),
              same ? protocol::ScramServer::Result::kOk : protocol::ScramServer::Result::kRefused);
    if (!same) continue;
    EXPECT_EQ(login.OnBytes(engine::AsBytes(Authentication(12, reply) + Authentication(0)), out),
              ServerNext::kReceive);
  }
}

TEST_F(ServerMethodTest, ClearText) {
  protocol::ServerLogin::Options options = Options();
  EXPECT_TRUE(Answer(options, Authentication(3)).starts_with("failed: "));
  options.allow_password = true;
  EXPECT_EQ(Answer(options, Authentication(3)), std::string("secret\0", 7));
  // Once, and nothing else afterwards.
  for (const uint32_t code : {3u, 5u, 10u}) {
    const std::string more = Authentication(code, code == 10 ? kPlain : std::string_view("salt"));
    EXPECT_TRUE(Answer(options, Authentication(3) + more).starts_with("failed: ")) << code;
  }
  options.password = protocol::Md5Hash("app", "secret");
  EXPECT_TRUE(Answer(options, Authentication(3)).starts_with("failed: "));
  options.password.clear();
  EXPECT_TRUE(Answer(options, Authentication(3)).starts_with("failed: "));
}

// In the clear nothing is shown, whatever the server asks for.
TEST_F(ServerMethodTest, ATokenInClearTextWithinTlsOnly) {
  for (const bool encrypted : {true, false}) {
    protocol::ServerLogin::Options options = Options(encrypted ? Encrypted() : TransportFacts());
    options.allow_scram = options.allow_scram_plus = false;
    options.allow_token = true;
    const std::string answer = Answer(options, Authentication(3));
    EXPECT_EQ(answer.starts_with("failed: "), !encrypted) << answer;
    if (encrypted) {
      EXPECT_EQ(answer, std::string("secret\0", 7));
    }
    EXPECT_TRUE(Answer(options, Authentication(10, kBoth)).starts_with("failed: "));
    EXPECT_TRUE(Answer(options, Authentication(5, "salt")).starts_with("failed: "));
    EXPECT_TRUE(Answer(options, Authentication(0)).starts_with("failed: "));
  }
}

TEST_F(ServerMethodTest, Md5OfAPasswordOrOfItsHash) {
  protocol::ServerLogin::Options options = Options();
  options.allow_md5 = true;
  const std::string answer = protocol::Md5Answer(protocol::Md5Hash("app", "secret"), "salt") + '\0';
  EXPECT_EQ(Answer(options, Authentication(5, "salt")), answer);
  options.password = protocol::Md5Hash("app", "secret");
  EXPECT_EQ(Answer(options, Authentication(5, "salt")), answer);
  // Which is no password for SCRAM.
  EXPECT_TRUE(Answer(options, Authentication(10, kPlain)).starts_with("failed: "));
  EXPECT_TRUE(Answer(options, Authentication(5, "sal")).starts_with("failed: "));
  options.password.clear();
  EXPECT_TRUE(Answer(options, Authentication(5, "salt")).starts_with("failed: "));
}

TEST_F(ServerMethodTest, OkWithoutAProof) {
  protocol::ServerLogin::Options options = Options(Encrypted());
  EXPECT_TRUE(Answer(options, Authentication(0)).starts_with("failed: "));
  options.allow_certificate = true;
  EXPECT_EQ(Answer(options, Authentication(0)), "");
  // A proof that has begun is to be ended.
  EXPECT_TRUE(
      Answer(options, Authentication(10, kBoth) + Authentication(0)).starts_with("failed: "));
}

}  // namespace
}  // namespace weir::postgres
