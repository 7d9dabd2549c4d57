// What is tried against a client's login: words out of turn, names that are none, other people's
// proofs, and asking whether a user exists.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/protocol/postgres/login_parts.h"

namespace weir::postgres {
namespace {

TEST_F(ClientMethodTest, AnswersToAnotherQuestion) {
  PostgresClientLogin md5(entropy_);
  ASSERT_EQ(Begin(md5, Md5()), ClientNext::kReceive);
  EXPECT_EQ(Feed(md5, SaslFirst("SCRAM-SHA-256", "n,,n=,r=abc")), ClientNext::kFailed);
  EXPECT_EQ(Error(), "08P01 invalid password packet size");
  out_.clear();
  PostgresClientLogin scram(entropy_);
  ASSERT_EQ(Begin(scram, Scram()), ClientNext::kReceive);
  EXPECT_EQ(Feed(scram, Password(protocol::Md5Answer(md5_hashes_[0], "salt"))),
            ClientNext::kFailed);
  EXPECT_TRUE(Error().starts_with("08P01 malformed SCRAM message")) << Error();
}

// Whatever comes in the place of a proof ends the login, and changes nothing of who it was.
TEST_F(ClientMethodTest, OutOfTurn) {
  const ClientUser users[] = {Scram(), Md5(), {.method = ClientMethod::kIam, .known = true}};
  for (const ClientUser& user : users) {
    for (const std::string& bytes :
         {Startup("postgres"), Message('Q', std::string("SELECT 1\0", 9)), Message('p', ""),
          Message('X', ""), std::string("\x16\x03\x01\x02\x00", 5)}) {
      PostgresClientLogin login(entropy_);
      ASSERT_EQ(Begin(login, user, Encrypted()), ClientNext::kReceive);
      EXPECT_EQ(Feed(login, bytes), ClientNext::kFailed);
      EXPECT_TRUE(Error().starts_with("08P01 ")) << Error();
      EXPECT_EQ(login.identity().user, "app");
      out_.clear();
    }
  }
}

// Names: as long as a startup packet lets them be, and never more than their text.
TEST_F(ClientMethodTest, LongNamesAndNuls) {
  const protocol::ScramVerifier mock = protocol::MockVerifier("x", "key");
  PostgresClientLogin login(entropy_);
  ASSERT_EQ(Feed(login, Startup(std::string(9900, 'u'))), ClientNext::kNeedUser);
  EXPECT_EQ(login.identity().user.size(), 9900u);
  EXPECT_EQ(login.Resume({.known = false, .verifier = &mock}, {}, out_), ClientNext::kReceive);
  out_.clear();
  PostgresClientLogin longer(entropy_);
  EXPECT_EQ(Feed(longer, Startup(std::string(10000, 'u'))), ClientNext::kFailed);
  EXPECT_EQ(Error(), "08P01 invalid length of startup packet");
  out_.clear();
  // A NUL in a name ends it, and what follows stands where it must not.
  PostgresClientLogin nul(entropy_);
  EXPECT_EQ(Feed(nul, Startup(std::string_view("app\0postgres", 12))), ClientNext::kFailed);
  EXPECT_TRUE(Error().starts_with("08P01 invalid startup packet layout")) << Error();
}

// What a stranger sees of a user who does not exist, and of a wrong password, is the same.
TEST_F(ClientMethodTest, AnUnknownUserLooksLikeAWrongPassword) {
  std::vector<std::string> seen;
  for (const bool known : {true, false}) {
    for (const bool encrypted : {true, false}) {
      const protocol::ScramVerifier mock = protocol::MockVerifier("app", "key");
      SeededEntropy entropy;
      PostgresClientLogin login(entropy);
      protocol::ScramClient client(entropy);
      std::string all;
      ASSERT_EQ(Begin(login, {.known = known, .verifier = &mock},
                      encrypted ? Encrypted() : TransportFacts{}),
                ClientNext::kReceive);
      all += std::exchange(out_, {});
      ASSERT_EQ(Feed(login, SaslFirst("SCRAM-SHA-256", client.First())), ClientNext::kReceive);
      ASSERT_TRUE(client.OnServerFirst(std::string_view(out_).substr(9)));
      all += std::exchange(out_, {});
      EXPECT_EQ(Feed(login, Message('p', client.Final(keys_))), ClientNext::kFailed);
      all += std::exchange(out_, {});
      seen.push_back(all);
    }
  }
  EXPECT_EQ(seen[0], seen[2]);
  EXPECT_EQ(seen[1], seen[3]);
}

// A client's half of SCRAM, message by message.
class ScramAttackTest : public ClientMethodTest {
 protected:
  std::string First() const { return SaslFirst("SCRAM-SHA-256", client_.First()); }
  // What the server has asked with its first message is taken.
  std::string Final() {
    EXPECT_TRUE(client_.OnServerFirst(std::string_view(out_).substr(9)));
    out_.clear();
    return Message('p', client_.Final(keys_));
  }

  protocol::ScramClient client_{entropy_};
};

TEST_F(ScramAttackTest, MessagesOutOfOrder) {
  const std::string final = Message('p', "c=biws,r=abc,p=AAAA");
  struct Case {
    std::vector<std::string> messages;
    std::string error;
  };
  const Case cases[] = {
      {{final}, "08P01 malformed SCRAM message"},
      {{Message('p', client_.First())}, "08P01 malformed SCRAM message"},
      {{First(), First()}, "08P01 malformed SCRAM message"},
      {{First(), Message('p', "")}, "08P01 malformed SCRAM message"},
      {{First(), Password("secret")}, "08P01 malformed SCRAM message"},
      {{First(), Startup("app")}, "08P01 expected a SASL response"},
      {{SaslFirst("SCRAM-SHA-1", client_.First())}, "08P01 client selected an invalid SASL"},
      {{SaslFirst("", client_.First())}, "08P01 client selected an invalid SASL"},
  };
  for (const Case& each : cases) {
    PostgresClientLogin login(entropy_);
    ASSERT_EQ(Begin(login, Scram()), ClientNext::kReceive);
    ClientNext next = ClientNext::kReceive;
    for (const std::string& message : each.messages) {
      ASSERT_EQ(next, ClientNext::kReceive);
      out_.clear();
      next = Feed(login, message);
    }
    EXPECT_EQ(next, ClientNext::kFailed);
    EXPECT_TRUE(Error().starts_with(each.error)) << Error();
    EXPECT_FALSE(login.wrong_proof());
    EXPECT_TRUE(login.client_key().empty());
    // It is over: not even the right words mean anything now.
    size_t consumed = 0;
    out_.clear();
    EXPECT_EQ(login.OnBytes(engine::AsBytes(First()), consumed, out_), ClientNext::kReceive);
    EXPECT_EQ(consumed, 0u);
    EXPECT_EQ(out_, "");
  }
}

// Overheard elsewhere, or sent twice.
TEST_F(ScramAttackTest, AProofIsForItsOwnExchange) {
  PostgresClientLogin first(entropy_);
  ASSERT_EQ(Begin(first, Scram()), ClientNext::kReceive);
  out_.clear();
  ASSERT_EQ(Feed(first, First()), ClientNext::kReceive);
  const std::string proof = Final();
  PostgresClientLogin second(entropy_);
  ASSERT_EQ(Begin(second, Scram()), ClientNext::kReceive);
  ASSERT_EQ(Feed(second, First()), ClientNext::kReceive);
  out_.clear();
  EXPECT_EQ(Feed(second, proof), ClientNext::kFailed);
  EXPECT_TRUE(Error().starts_with("08P01 invalid SCRAM response: the nonce does not match"))
      << Error();
  EXPECT_TRUE(second.client_key().empty());
  // Where it belongs it is good, once.
  EXPECT_EQ(Feed(first, proof), ClientNext::kDone);
  size_t consumed = 0;
  EXPECT_EQ(first.OnBytes(engine::AsBytes(proof), consumed, out_), ClientNext::kReceive);
  EXPECT_EQ(consumed, 0u);
}

// Names of everything that a startup packet names: none longer than a packet, none with a NUL.
TEST_F(ClientMethodTest, OtherNamesToo) {
  const auto packet = [](std::string_view name, std::string_view value) {
    std::string out;
    Writer writer(out);
    writer.Begin(0).U32(3 << 16).CString("user").CString("app");
    writer.CString(name).CString(value).U8(0);
    writer.End();
    return out;
  };
  for (const std::string_view name : {"database", "application_name", "options", "_pq_.x"}) {
    PostgresClientLogin fits(entropy_);
    EXPECT_EQ(Feed(fits, packet(name, std::string(9900, 'x'))), ClientNext::kNeedUser) << name;
    out_.clear();
    PostgresClientLogin longer(entropy_);
    EXPECT_EQ(Feed(longer, packet(name, std::string(10000, 'x'))), ClientNext::kFailed) << name;
    EXPECT_EQ(Error(), "08P01 invalid length of startup packet");
    out_.clear();
    PostgresClientLogin nul(entropy_);
    EXPECT_EQ(Feed(nul, packet(name, std::string_view("a\0b", 3))), ClientNext::kFailed) << name;
    EXPECT_TRUE(Error().starts_with("08P01 invalid startup packet layout")) << Error();
    out_.clear();
  }
  // A second user in one packet would be somebody else than the first: the last one counts, for
  // everything.
  PostgresClientLogin twice(entropy_);
  ASSERT_EQ(Feed(twice, packet("user", "other")), ClientNext::kNeedUser);
  EXPECT_EQ(twice.identity().user, "other");
  EXPECT_EQ(twice.identity().database, "other");
  EXPECT_TRUE(twice.identity().parameters.empty());
}

}  // namespace
}  // namespace weir::postgres
