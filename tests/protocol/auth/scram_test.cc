// SCRAM's two sides against each other: channel binding, and everything that somebody between them
// may try.
#include "protocol/auth/scram.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "engine/base/text.h"
#include "tests/engine/base/seeded_entropy.h"

namespace weir::protocol {
namespace {

using engine::Cat;
using engine::SeededEntropy;
using Result = ScramServer::Result;

constexpr std::string_view kEndPoint = "the hash of a certificate";

class ScramExchangeTest : public testing::Test {
 protected:
  static constexpr uint32_t kFew = 2;  // iterations

  ScramExchangeTest() {
    verifier_.salt = "salt";
    verifier_.iterations = kFew;
    keys_ = DeriveScramKeys("secret", "salt", kFew);
    verifier_.stored_key = keys_.stored_key;
    verifier_.server_key = keys_.server_key;
  }
  // The whole exchange; what the server says of the client's last message.
  Result Run(ScramServer& server, ScramClient& client, const ScramKeys& keys) {
    std::string reply;
    const Result first = server.OnFirst(client.First(), reply);
    if (first != Result::kOk) return first;
    EXPECT_TRUE(client.OnServerFirst(reply));
    std::string final_reply;
    const Result result = server.OnFinal(client.Final(keys), final_reply);
    EXPECT_EQ(client.OnServerFinal(final_reply), result == Result::kOk);
    return result;
  }

  SeededEntropy entropy_;
  ScramVerifier verifier_;
  ScramKeys keys_;
};

TEST_F(ScramExchangeTest, TheMechanismsThatAreOffered) {
  ScramServer clear(verifier_, entropy_);
  EXPECT_EQ(clear.Mechanisms(), (std::vector<std::string_view>{kScramSha256}));
  EXPECT_TRUE(clear.Choose(kScramSha256));
  EXPECT_FALSE(clear.Choose(kScramSha256Plus));
  ScramServer bound(verifier_, entropy_, kEndPoint);
  EXPECT_EQ(bound.Mechanisms(), (std::vector<std::string_view>{kScramSha256Plus, kScramSha256}));
  EXPECT_TRUE(bound.Choose(kScramSha256));
  EXPECT_TRUE(bound.Choose(kScramSha256Plus));
  EXPECT_FALSE(bound.Choose("SCRAM-SHA-1"));
}

TEST_F(ScramExchangeTest, WithChannelBinding) {
  ScramServer server(verifier_, entropy_, kEndPoint);
  ASSERT_TRUE(server.Choose(kScramSha256Plus));
  ScramClient client(entropy_, ScramBinding::kEndPoint, kEndPoint);
  EXPECT_EQ(Run(server, client, keys_), Result::kOk);
  // It has shown what is as good as its password.
  EXPECT_EQ(server.client_key(), keys_.client_key);
}

// Somebody ends the client's encrypted connection and begins his own.
TEST_F(ScramExchangeTest, AnotherCertificateIsFoundOut) {
  ScramServer server(verifier_, entropy_, kEndPoint);
  ASSERT_TRUE(server.Choose(kScramSha256Plus));
  ScramClient client(entropy_, ScramBinding::kEndPoint, "the hash of his certificate");
  EXPECT_EQ(Run(server, client, keys_), Result::kRefused);
  EXPECT_EQ(server.refusal().sqlstate, "28000");
  EXPECT_EQ(server.refusal().text, "SCRAM channel binding check failed");
}

// He takes the offer of PLUS away: the client could, and says so.
TEST_F(ScramExchangeTest, ADowngradeIsFoundOut) {
  ScramServer server(verifier_, entropy_, kEndPoint);
  ScramClient client(entropy_, ScramBinding::kNotOffered);
  EXPECT_EQ(Run(server, client, keys_), Result::kRefused);
  EXPECT_EQ(server.refusal().sqlstate, "28000");
  EXPECT_NE(server.refusal().text.find("SCRAM channel binding negotiation error"),
            std::string::npos);
  // Who makes 'n' of that, changes what has been proven.
  ScramServer again(verifier_, entropy_, kEndPoint);
  ScramClient deceived(entropy_, ScramBinding::kNotOffered);
  std::string reply;
  ASSERT_EQ(again.OnFirst(Cat("n,,", deceived.First().substr(3)), reply), Result::kOk);
  ASSERT_TRUE(deceived.OnServerFirst(reply));
  const std::string honest = deceived.Final(keys_);
  EXPECT_EQ(again.OnFinal(honest, reply), Result::kRefused);
  EXPECT_EQ(again.OnFinal(Cat("c=biws", honest.substr(6)), reply), Result::kWrong);
}

// In the clear, or where no certificate binds, 'y' is no lie.
TEST_F(ScramExchangeTest, WhatAClientMaySayWithoutAnOffer) {
  for (const ScramBinding binding : {ScramBinding::kNone, ScramBinding::kNotOffered}) {
    ScramServer server(verifier_, entropy_);
    ScramClient client(entropy_, binding);
    EXPECT_EQ(Run(server, client, keys_), Result::kOk);
  }
  // It may also not want to.
  ScramServer server(verifier_, entropy_, kEndPoint);
  ScramClient client(entropy_);
  EXPECT_EQ(Run(server, client, keys_), Result::kOk);
}

TEST_F(ScramExchangeTest, FlagsThatDoNotFitTheMechanism) {
  struct Case {
    bool plus;
    std::string first;
    std::string_view sqlstate;
    std::string_view text;
  };
  const Case cases[] = {
      {true, "n,,n=,r=abc", "08P01", "includes no channel binding data"},
      {true, "y,,n=,r=abc", "08P01", "includes no channel binding data"},
      {false, "p=tls-server-end-point,,n=,r=abc", "08P01", "includes channel binding data"},
      {true, "p=tls-unique,,n=,r=abc", "08P01",
       "unsupported SCRAM channel-binding type \"tls-unique\""},
      {true, "p=\n,,n=,r=abc", "08P01", "unsupported SCRAM channel-binding type \"?\""},
      {false, "x,,n=,r=abc", "08P01", "unexpected channel-binding flag"},
      {false, "n,a=other,n=,r=abc", "0A000", "authorization identity"},
      {false, "n,,m=x,n=,r=abc", "0A000", "unsupported SCRAM extension"},
      {false, "n,,n=,r=a\x01", "08P01", "non-printable characters in SCRAM nonce"},
      {false, std::string("n,,n=,r=a\0b", 11), "08P01", "malformed SCRAM message"},
  };
  for (const Case& each : cases) {
    ScramServer server(verifier_, entropy_, kEndPoint);
    ASSERT_TRUE(server.Choose(each.plus ? kScramSha256Plus : kScramSha256));
    std::string reply;
    EXPECT_EQ(server.OnFirst(each.first, reply), Result::kRefused) << each.first;
    EXPECT_EQ(server.refusal().sqlstate, each.sqlstate) << each.first;
    EXPECT_NE(server.refusal().text.find(each.text), std::string::npos) << server.refusal().text;
    EXPECT_TRUE(reply.empty());
  }
}

TEST_F(ScramExchangeTest, MessagesOutOfOrder) {
  ScramServer server(verifier_, entropy_);
  ScramClient client(entropy_);
  std::string reply;
  EXPECT_EQ(server.OnFinal("c=biws,r=abc,p=AAAA", reply), Result::kRefused);
  ASSERT_EQ(server.OnFirst(client.First(), reply), Result::kOk);
  ASSERT_TRUE(client.OnServerFirst(reply));
  EXPECT_EQ(server.OnFirst(client.First(), reply), Result::kRefused);
}

// A proof that was right in another exchange.
TEST_F(ScramExchangeTest, AProofForAnotherNonce) {
  ScramServer first(verifier_, entropy_);
  ScramClient client(entropy_);
  std::string reply;
  ASSERT_EQ(first.OnFirst(client.First(), reply), Result::kOk);
  ASSERT_TRUE(client.OnServerFirst(reply));
  const std::string proof = client.Final(keys_);
  ScramServer second(verifier_, entropy_);
  ASSERT_EQ(second.OnFirst(client.First(), reply), Result::kOk);
  std::string final_reply;
  EXPECT_EQ(second.OnFinal(proof, final_reply), Result::kRefused);
  EXPECT_EQ(second.refusal().text, "invalid SCRAM response: the nonce does not match");
  // With the right nonce put in it is a proof of nothing.
  const std::string nonce = reply.substr(2, reply.find(',') - 2);
  const std::string swapped = Cat("c=biws,r=", nonce, proof.substr(proof.rfind(",p=")));
  EXPECT_EQ(second.OnFinal(swapped, final_reply), Result::kWrong);
  EXPECT_TRUE(final_reply.empty());
}

// While a password is being replaced, both are good; each is answered by its own signature.
TEST_F(ScramExchangeTest, ThePreviousPassword) {
  const ScramKeys before = DeriveScramKeys("before", "salt", kFew);
  const ScramKeys neither = DeriveScramKeys("neither", "salt", kFew);
  verifier_.previous = ScramVerifier::Keys{before.stored_key, before.server_key};
  for (const ScramKeys* keys : {&std::as_const(keys_), &before}) {
    ScramServer server(verifier_, entropy_);
    ScramClient client(entropy_);
    EXPECT_EQ(Run(server, client, *keys), Result::kOk);
    EXPECT_EQ(server.client_key(), keys->client_key);
  }
  ScramServer server(verifier_, entropy_);
  ScramClient client(entropy_);
  EXPECT_EQ(Run(server, client, neither), Result::kWrong);
  verifier_.previous.reset();
  ScramServer later(verifier_, entropy_);
  ScramClient late(entropy_);
  EXPECT_EQ(Run(later, late, before), Result::kWrong);
}

}  // namespace
}  // namespace weir::protocol
