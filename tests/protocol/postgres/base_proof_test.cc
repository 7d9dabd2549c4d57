// A base is proven on a backend, whose answers come in every split.
#include "protocol/postgres/base_proof.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

using Next = protocol::BaseProof::Next;

class BaseProofTest : public testing::TestWithParam<size_t> {
 protected:
  // The server's bytes, then the proof's turn.
  Next Server(PostgresBaseProof& proof, std::string_view bytes) {
    Next next = Next::kReceive;
    while (!bytes.empty()) {
      wire_.input = std::string(bytes.substr(0, GetParam()));
      bytes.remove_prefix(std::min(GetParam(), bytes.size()));
      EXPECT_EQ(backend_.Take(engine::AsBytes(wire_.input), wire_), ReplyStatus::kOk);
      if (backend_.quiet()) next = proof.Continue(backend_, wire_);
    }
    EXPECT_EQ(wire_.TakeClient(), "");
    return next;
  }
  static std::string Report(const std::string& name, const std::string& value) {
    return Message('S', Z(name) + Z(value));
  }
  bool Sent(const std::string& part) { return wire_.server.find(part) != std::string::npos; }

  ProfileTable profiles_;
  PostgresReplies backend_;
  Wire wire_;
};

TEST_P(BaseProofTest, TheServersSpellingIsTheBase) {
  backend_.set_parameter("DateStyle", "ISO, MDY");
  backend_.set_parameter("client_encoding", "UTF8");
  PostgresBaseProof proof(
      profiles_, {{"datestyle", "german"}, {"client_encoding", "latin1"}, {"work_mem", "5120"}});
  ASSERT_EQ(proof.Continue(backend_, wire_), Next::kReceive);
  EXPECT_TRUE(Sent("datestyle") && Sent("5120") && !Sent("latin1"));
  EXPECT_EQ(backend_.profile(), protocol::kUnknownProfile);
  wire_.TakeServer();
  ASSERT_EQ(
      Server(proof, OwnReply(Values({"German, DMY", "5MB"}), Report("DateStyle", "German, DMY"))),
      Next::kReceive);
  EXPECT_TRUE(Sent("latin1"));
  ASSERT_EQ(Server(proof, OwnReply(Values({"LATIN1"}), Report("client_encoding", "LATIN1"))),
            Next::kReceive);
  EXPECT_TRUE(Sent("current_setting"));
  ASSERT_EQ(Server(proof, OwnReply(Values({"German, DMY", "LATIN1", "5MB"}))), Next::kProven);
  EXPECT_EQ(proof.values(),
            (protocol::Parameters{
                {"datestyle", "German, DMY"}, {"client_encoding", "LATIN1"}, {"work_mem", "5MB"}}));
  EXPECT_EQ(backend_.reported(),
            (protocol::Parameters{{"DateStyle", "German, DMY"}, {"client_encoding", "LATIN1"}}));
  EXPECT_EQ(backend_.settings().size(), 3u);
  EXPECT_TRUE(backend_.profile_known());
  EXPECT_TRUE(proof.only_at_start().empty());
}

TEST_P(BaseProofTest, AnotherClientsSettingsGoFirst) {
  backend_.set_profile(profiles_.Intern({{"work_mem", "9MB"}}));
  backend_.set_initial({{"app.init", "x"}});
  PostgresBaseProof proof(profiles_, {{"a.b", "1"}});
  ASSERT_EQ(proof.Continue(backend_, wire_), Next::kReceive);
  EXPECT_TRUE(Sent("RESET SESSION AUTHORIZATION") && Sent("RESET ALL") && Sent("app.init") &&
              !Sent("a.b"));
  wire_.TakeServer();
  ASSERT_EQ(Server(proof, OwnReply("") + OwnReply("") + OwnReply(Values({"x"}))), Next::kReceive);
  EXPECT_TRUE(Sent("a.b"));
}

TEST_P(BaseProofTest, AnErrorIsTheServersAndLeavesTheBackendAsItWas) {
  PostgresBaseProof proof(profiles_, {{"work_mem", "lots"}});
  ASSERT_EQ(proof.Continue(backend_, wire_), Next::kReceive);
  const std::string error =
      Error("ERROR", "22023", "invalid value for parameter \"work_mem\": \"lots\"");
  ASSERT_EQ(Server(proof, Message('1', "") + Message('2', "") + error + Ready('I')),
            Next::kRefused);
  EXPECT_EQ(proof.error(), error);
  EXPECT_EQ(backend_.profile(), 0u);
}

TEST_P(BaseProofTest, AnEncodingThatIsNoneLeavesTheSessionUnknown) {
  PostgresBaseProof proof(profiles_, {{"client_encoding", "nonsense"}, {"a.b", "1"}});
  ASSERT_EQ(proof.Continue(backend_, wire_), Next::kReceive);
  ASSERT_EQ(Server(proof, OwnReply(Values({"1"}))), Next::kReceive);
  ASSERT_EQ(Server(proof, Message('1', "") + Message('2', "") + Error("ERROR", "22023", "no") +
                              Ready('I')),
            Next::kRefused);
  EXPECT_EQ(backend_.profile(), protocol::kUnknownProfile);
}

TEST_P(BaseProofTest, WhatOnlyAStartCanSetIsAskedOfTheServer) {
  for (const bool any : {true, false}) {
    PostgresBaseProof proof(profiles_, {{"log_connections", "on"}, {"work_mem", "5MB"}});
    ASSERT_EQ(proof.Continue(backend_, wire_), Next::kReceive);
    wire_.TakeServer();
    const std::string error = Error("ERROR", "55P02", "cannot be set after connection start");
    const bool close_first = !any;
    ASSERT_EQ(Server(proof, (close_first ? Message('3', "") : std::string()) + Message('1', "") +
                                Message('2', "") + error + Ready('I')),
              Next::kReceive);
    EXPECT_TRUE(Sent("pg_settings"));
    ASSERT_EQ(Server(proof, Message('3', "") + OwnReply(Values({any ? "t" : "f", "f"}))),
              any ? Next::kProven : Next::kRefused);
    if (any) {
      EXPECT_EQ(proof.only_at_start(), (protocol::Parameters{{"log_connections", "on"}}));
      // The name of the failed statement is free again; make it taken once more.
      EXPECT_EQ(backend_.profile(), 0u);
      backend_.PushOwnStatement(true);
      wire_.input = Error("ERROR", "22023", "x") + Ready('I');
      ASSERT_EQ(backend_.Take(engine::AsBytes(wire_.input), wire_), ReplyStatus::kOk);
    } else {
      EXPECT_EQ(proof.error(), error);
    }
  }
}

TEST_P(BaseProofTest, AnAnswerThatIsNoneRefuses) {
  PostgresBaseProof proof(profiles_, {{"work_mem", "5MB"}});
  ASSERT_EQ(proof.Continue(backend_, wire_), Next::kReceive);
  ASSERT_EQ(Server(proof, OwnReply(Values({"5MB"}))), Next::kReceive);
  ASSERT_EQ(Server(proof, OwnReply("")), Next::kRefused);
  EXPECT_FALSE(proof.error().empty());
  EXPECT_EQ(backend_.profile(), protocol::kUnknownProfile);
}

INSTANTIATE_TEST_SUITE_P(Splits, BaseProofTest, testing::ValuesIn(kSplits));

}  // namespace
}  // namespace weir::postgres
