// Both logins, driven against each other in every split, and with what they must refuse.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "protocol/postgres/client_login.h"
#include "protocol/postgres/encode.h"
#include "protocol/postgres/server_cancel.h"
#include "protocol/postgres/server_login.h"
#include "protocol/wire/writer.h"
#include "tests/engine/base/seeded_entropy.h"

namespace weir::postgres {
namespace {

using engine::SeededEntropy;
using protocol::Writer;
using ClientNext = protocol::ClientLogin::Next;
using ServerNext = protocol::ServerLogin::Next;

std::string Startup(uint32_t version,
                    const std::vector<std::pair<std::string, std::string>>& parameters) {
  std::string out;
  Writer writer(out);
  writer.Begin(0).U32(version);
  for (const auto& [name, value] : parameters) writer.CString(name).CString(value);
  writer.U8(0);
  writer.End();
  return out;
}

std::string Request(uint32_t code) {
  std::string out;
  Writer writer(out);
  writer.Begin(0).U32(code);
  writer.End();
  return out;
}

class LoginTest : public testing::Test {
 protected:
  // Feeds bytes in pieces; stops when something other than "more bytes" comes back.
  ClientNext Feed(PostgresClientLogin& login, std::string_view bytes, size_t piece = 1 << 20) {
    while (!bytes.empty()) {
      size_t consumed = 0;
      const std::string_view part = bytes.substr(0, piece);
      const ClientNext next = login.OnBytes(engine::AsBytes(part), consumed, out_);
      bytes.remove_prefix(consumed);
      if (next != ClientNext::kReceive) return next;
      if (consumed == 0) break;
    }
    return ClientNext::kReceive;
  }
  std::string ErrorCode() const {
    const size_t at = out_.find('E');
    return at == std::string::npos
               ? ""
               : std::string(ErrorField(std::string_view(out_).substr(at + 5), 'C'));
  }

  SeededEntropy entropy_;
  std::string out_;
};

TEST_F(LoginTest, ScramBothSidesInEverySplit) {
  protocol::ScramVerifier verifier;
  verifier.salt = "0123456789abcdef";
  const protocol::ScramKeys keys =
      protocol::DeriveScramKeys("secret", verifier.salt, verifier.iterations);
  verifier.stored_key = keys.stored_key;
  verifier.server_key = keys.server_key;
  for (const size_t piece : {1, 2, 3, 7, 1000}) {
    PostgresClientLogin server(entropy_);
    PostgresServerLogin client({.user = "app",
                                .database = "db",
                                .parameters = {{"application_name", "x"}},
                                .password = "secret",
                                .init_query = ""},
                               entropy_);
    std::string to_server;
    client.Start(to_server);
    ASSERT_EQ(Feed(server, to_server, piece), ClientNext::kNeedUser);
    EXPECT_EQ(server.identity().user, "app");
    EXPECT_EQ(server.identity().database, "db");
    ASSERT_EQ(server.identity().parameters.size(), 1u);
    ASSERT_EQ(server.Resume({.known = true, .verifier = &verifier}, {}, out_),
              ClientNext::kReceive);
    ClientNext done = ClientNext::kReceive;
    for (int round = 0; round < 4 && done == ClientNext::kReceive; ++round) {
      to_server.clear();
      std::string answer = std::exchange(out_, {});
      for (size_t at = 0; at < answer.size(); at += piece) {
        const ServerNext next =
            client.OnBytes(engine::AsBytes(std::string_view(answer).substr(at, piece)), to_server);
        ASSERT_NE(next, ServerNext::kFailed) << client.failure_text();
        if (next == ServerNext::kNeedKeys) {
          EXPECT_EQ(client.key_request().salt, verifier.salt);
          ASSERT_EQ(client.OnKeys(keys, to_server), ServerNext::kReceive);
        }
      }
      done = Feed(server, to_server, piece);
    }
    EXPECT_EQ(done, ClientNext::kDone);
    // The rest of the server's part: its signature, a report, the facts.
    Writer writer(out_);
    writer.Begin('S').CString("TimeZone").CString("UTC");
    writer.End();
    writer.Begin('K').U32(99).U32(77);
    writer.End();
    writer.Begin('Z').U8('I');
    writer.End();
    to_server.clear();
    EXPECT_EQ(client.OnBytes(engine::AsBytes(out_), to_server), ServerNext::kReceive);
    EXPECT_NE(to_server.find("max_connections"), std::string::npos);
    out_.clear();
    writer.Begin('D').U8(0).U8(5).U32(3).Raw("100").U32(1).Raw("3").U32(1).Raw("2");
    writer.U32(2).Raw("-5").U32(5).Raw("16384");
    writer.End();
    writer.Begin('Z').U8('I');
    writer.End();
    EXPECT_EQ(client.OnBytes(engine::AsBytes(out_), to_server), ServerNext::kDone);
    EXPECT_EQ(client.facts().max_connections, 100u);
    EXPECT_EQ(client.facts().superuser_reserved_connections, 3u);
    EXPECT_EQ(client.facts().reserved_connections, 2u);
    EXPECT_EQ(client.facts().generation, static_cast<uint64_t>(-5));
    // Later the session may be another role's.
    to_server.clear();
    client.AskFacts(to_server);
    EXPECT_NE(to_server.find("setrole IN (0, 16384)"), std::string::npos);
    EXPECT_EQ(client.process_id(), 99u);
    ASSERT_EQ(client.parameters().size(), 1u);
    out_.clear();
  }
}

TEST_F(LoginTest, AnUnknownUserGetsAsFarAsAWrongPassword) {
  for (const bool known : {true, false}) {
    const protocol::ScramVerifier verifier = protocol::MockVerifier("nobody", "key");
    PostgresClientLogin server(entropy_);
    protocol::ScramClient client(entropy_);
    ASSERT_EQ(Feed(server, Startup(3 << 16, {{"user", "nobody"}})), ClientNext::kNeedUser);
    ASSERT_EQ(server.Resume({.known = known, .verifier = &verifier}, {}, out_),
              ClientNext::kReceive);
    const std::string first = client.First();
    std::string message;
    Writer writer(message);
    writer.Begin('p').CString("SCRAM-SHA-256").U32(static_cast<uint32_t>(first.size())).Raw(first);
    writer.End();
    out_.clear();
    ASSERT_EQ(Feed(server, message), ClientNext::kReceive);
    ASSERT_TRUE(client.OnServerFirst(std::string_view(out_).substr(9)));
    EXPECT_EQ(client.iterations(), protocol::kScramIterations);
    message.clear();
    writer.Begin('p').Raw(
        client.Final(protocol::DeriveScramKeys("guess", client.salt(), client.iterations())));
    writer.End();
    out_.clear();
    EXPECT_EQ(Feed(server, message), ClientNext::kFailed);
    EXPECT_EQ(ErrorCode(), "28P01");
    EXPECT_NE(out_.find("The password that was provided for the role nobody is wrong."),
              std::string::npos);
    out_.clear();
  }
}

TEST_F(LoginTest, SslAndGssAreAnsweredOnceEach) {
  PostgresClientLogin login(entropy_);
  EXPECT_EQ(Feed(login, Request(80877104)), ClientNext::kReceive);
  EXPECT_EQ(Feed(login, Request(80877103)), ClientNext::kReceive);
  EXPECT_EQ(out_, "NN");
  EXPECT_EQ(Feed(login, Request(80877103)), ClientNext::kFailed);
}

TEST_F(LoginTest, ClearTextBehindAnSslRequestIsRefused) {
  PostgresClientLogin login(entropy_);
  EXPECT_EQ(Feed(login, Request(80877103) + Startup(3 << 16, {{"user", "app"}})),
            ClientNext::kFailed);
  EXPECT_EQ(ErrorCode(), "08P01");
}

TEST_F(LoginTest, TlsBeginsWhenItIsAskedForOrAtOnce) {
  for (const size_t piece : {1, 8}) {
    PostgresClientLogin login(entropy_, true);
    EXPECT_EQ(Feed(login, Request(80877104), piece), ClientNext::kReceive);
    EXPECT_EQ(Feed(login, Request(80877103), piece), ClientNext::kStartTls);
    EXPECT_EQ(out_, "NS");
    EXPECT_EQ(Feed(login, Startup(3 << 16, {{"user", "app"}}), piece), ClientNext::kNeedUser);
    out_.clear();
  }
  PostgresClientLogin direct(entropy_, true);
  size_t consumed = 1;
  EXPECT_EQ(direct.OnBytes(engine::AsBytes("\x16\x03\x01"), consumed, out_), ClientNext::kStartTls);
  EXPECT_EQ(consumed, 0u);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(Feed(direct, Startup(3 << 16, {{"user", "app"}})), ClientNext::kNeedUser);
  // Not where it is not offered, nor behind another request.
  PostgresClientLogin plain(entropy_);
  EXPECT_EQ(Feed(plain, "\x16\x03\x01\x02"), ClientNext::kFailed);
  out_.clear();
  PostgresClientLogin late(entropy_, true);
  EXPECT_EQ(Feed(late, Request(80877104)), ClientNext::kReceive);
  EXPECT_EQ(Feed(late, "\x16\x03\x01\x02"), ClientNext::kFailed);
}

TEST_F(LoginTest, InsideOfTlsNobodyAsksForEncryption) {
  for (const uint32_t code : {80877103u, 80877104u}) {
    PostgresClientLogin login(entropy_, true);
    ASSERT_EQ(Feed(login, Request(80877103)), ClientNext::kStartTls);
    out_.clear();
    EXPECT_EQ(Feed(login, Request(code)), ClientNext::kFailed);
    EXPECT_EQ(ErrorCode(), "08P01");
    out_.clear();
  }
}

// It came before anybody could encrypt it: from whomever.
TEST_F(LoginTest, ClearTextBehindARequestForTlsIsRefused) {
  PostgresClientLogin login(entropy_, true);
  EXPECT_EQ(Feed(login, Request(80877103) + Startup(3 << 16, {{"user", "app"}})),
            ClientNext::kFailed);
  EXPECT_EQ(ErrorCode(), "08P01");  // and no 'S' before it
}

TEST_F(LoginTest, NewerVersionsAreNegotiatedDown) {
  PostgresClientLogin login(entropy_);
  EXPECT_EQ(Feed(login, Startup(3 << 16 | 2, {{"user", "app"}, {"_pq_.x", "1"}})),
            ClientNext::kNeedUser);
  EXPECT_EQ(out_[0], 'v');
  EXPECT_NE(out_.find("_pq_.x"), std::string::npos);
}

TEST_F(LoginTest, WhatIsRefused) {
  const std::pair<std::string, std::string> cases[] = {
      {Startup(2 << 16, {{"user", "app"}}), "0A000"},
      {Startup(3 << 16, {{"database", "x"}}), "28000"},
      {std::string("\0\0\0\7", 4), "08P01"},
      {std::string("\0\0\x7f\xff", 4), "08P01"},
      {std::string("\x80\0\0\0", 4), "08P01"},
      {"GET / HTTP/1.1\r\n\r\n", "08P01"},
  };
  for (const auto& [bytes, code] : cases) {
    for (const size_t piece : {1, 5, 1000}) {
      PostgresClientLogin login(entropy_);
      EXPECT_EQ(Feed(login, bytes, piece), ClientNext::kFailed) << bytes;
      EXPECT_EQ(ErrorCode(), code) << bytes;
      out_.clear();
    }
  }
}

TEST_F(LoginTest, ASecondStartupMessageInScramIsRefused) {
  const protocol::ScramVerifier verifier = protocol::MockVerifier("app", "key");
  PostgresClientLogin login(entropy_);
  ASSERT_EQ(Feed(login, Startup(3 << 16, {{"user", "app"}})), ClientNext::kNeedUser);
  ASSERT_EQ(login.Resume({.known = true, .verifier = &verifier}, {}, out_), ClientNext::kReceive);
  EXPECT_EQ(Feed(login, Startup(3 << 16, {{"user", "postgres"}})), ClientNext::kFailed);
  EXPECT_EQ(login.identity().user, "app");
}

TEST_F(LoginTest, CancelRequest) {
  PostgresClientLogin login(entropy_);
  std::string request;
  Writer writer(request);
  writer.Begin(0).U32(80877102).U32(5).U32(6);
  writer.End();
  EXPECT_EQ(Feed(login, request), ClientNext::kCancel);
  EXPECT_EQ(login.cancel_key().process_id, 5u);
  EXPECT_EQ(login.cancel_key().secret, 6u);
}

// What a server may not do.
class ServerLoginTest : public LoginTest {
 protected:
  std::string Authentication(uint32_t code, std::string_view data = {}) {
    std::string out;
    Writer writer(out);
    writer.Begin('R').U32(code).Raw(data);
    writer.End();
    return out;
  }
  ServerNext Answer(const std::string& bytes, bool local = false) {
    PostgresServerLogin login({.user = "app",
                               .database = "db",
                               .parameters = {},
                               .password = "secret",
                               .allow_md5 = local,
                               .allow_trust = local,
                               .init_query = ""},
                              entropy_);
    std::string out;
    login.Start(out);
    out.clear();
    const ServerNext next = login.OnBytes(engine::AsBytes(bytes), out);
    text_ = login.failure_text();
    failure_ = login.failure();
    return next;
  }
  std::string text_;
  protocol::LoginFailure failure_ = protocol::LoginFailure::kNone;
};

TEST_F(ServerLoginTest, MethodsThatAreNotAllowed) {
  EXPECT_EQ(Answer(Authentication(0)), ServerNext::kFailed);
  EXPECT_NE(text_.find("server_auth_methods"), std::string::npos);
  EXPECT_EQ(Answer(Authentication(5, "salt")), ServerNext::kFailed);
  EXPECT_EQ(Answer(Authentication(3)), ServerNext::kFailed);
  EXPECT_EQ(Answer(Authentication(3), true), ServerNext::kFailed);
  EXPECT_EQ(Answer(Authentication(0), true), ServerNext::kReceive);
  EXPECT_EQ(Answer(Authentication(5, "salt"), true), ServerNext::kReceive);
}

TEST_F(ServerLoginTest, OkInTheMiddleOfScramIsAFailedLogin) {
  const std::string sasl = Authentication(10, std::string("SCRAM-SHA-256\0\0", 15));
  EXPECT_EQ(Answer(sasl), ServerNext::kReceive);
  EXPECT_EQ(Answer(sasl + Authentication(0)), ServerNext::kFailed);
  EXPECT_EQ(Answer(sasl + Authentication(0), true), ServerNext::kFailed);
  EXPECT_EQ(Answer(sasl + Authentication(12, "v=AAAA")), ServerNext::kFailed);
  EXPECT_EQ(Answer(sasl + Authentication(11, "r=other,s=AAAA,i=4096")), ServerNext::kFailed);
}

TEST_F(ServerLoginTest, TheAnswerToTheRequestForTls) {
  using protocol::TlsUse;
  const auto answer = [this](TlsUse use, std::string_view bytes, std::string& out) {
    PostgresServerLogin login({.tls = use,
                               .user = "app",
                               .database = "db",
                               .parameters = {},
                               .password = "secret",
                               .init_query = ""},
                              entropy_);
    login.Start(out);
    EXPECT_EQ(out, Request(80877103));
    out.clear();
    const ServerNext next = login.OnBytes(engine::AsBytes(bytes), out);
    if (next == ServerNext::kStartTls) {
      EXPECT_EQ(out, "");
      login.OnEncrypted({}, out);
    }
    text_ = login.failure_text();
    return next;
  };
  for (const TlsUse use : {TlsUse::kIfOffered, TlsUse::kAlways}) {
    std::string out;
    EXPECT_EQ(answer(use, "S", out), ServerNext::kStartTls);
    EXPECT_NE(out.find(std::string("user\0app\0", 9)), std::string::npos);
    for (const std::string_view bytes : {"SS", "SR", "NN", "X", "E...", "R"}) {
      out.clear();
      EXPECT_EQ(answer(use, bytes, out), ServerNext::kFailed) << bytes;
      EXPECT_EQ(out, "");
    }
  }
  std::string out;
  EXPECT_EQ(answer(TlsUse::kIfOffered, "N", out), ServerNext::kReceive);
  EXPECT_NE(out.find(std::string("user\0app\0", 9)), std::string::npos);
  out.clear();
  EXPECT_EQ(answer(TlsUse::kAlways, "N", out), ServerNext::kFailed);
  EXPECT_EQ(out, "");
  EXPECT_NE(text_.find("tls_mode"), std::string::npos);
}

TEST_F(ServerLoginTest, ACancelGoesTheWayOfItsBackend) {
  using protocol::TlsUse;
  using CancelNext = protocol::ServerCancel::Next;
  const engine::Bytes secret = engine::AsBytes("key!");
  const std::string request("\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07key!", 16);
  std::string out;
  PostgresServerCancel clear(7, secret, TlsUse::kNever);
  EXPECT_EQ(clear.Start(out), CancelNext::kSent);
  EXPECT_EQ(out, request);
  for (const auto& [use, answer, next] : {std::tuple{TlsUse::kAlways, "S", CancelNext::kStartTls},
                                          std::tuple{TlsUse::kAlways, "N", CancelNext::kFailed},
                                          std::tuple{TlsUse::kAlways, "SS", CancelNext::kFailed},
                                          std::tuple{TlsUse::kIfOffered, "N", CancelNext::kSent}}) {
    PostgresServerCancel cancel(7, secret, use);
    out.clear();
    EXPECT_EQ(cancel.Start(out), CancelNext::kReceive);
    EXPECT_EQ(out, Request(80877103));
    out.clear();
    EXPECT_EQ(cancel.OnBytes(engine::AsBytes(answer), out), next);
    EXPECT_EQ(out, next == CancelNext::kSent ? request : "");
    if (next != CancelNext::kStartTls) continue;
    EXPECT_EQ(cancel.OnEncrypted(out), CancelNext::kSent);
    EXPECT_EQ(out, request);
  }
}

// Behind the end of a login the server may say something of its own accord: nothing of it is lost,
// and who reads on begins with a whole message.
TEST_F(ServerLoginTest, WhatFollowsTheLoginInTheSameBytes) {
  const std::string ready("Z\0\0\0\5I", 6);
  const std::string in = Authentication(0) + ready + ready;
  std::string notice;
  Writer writer(notice);
  writer.Begin('S').CString("TimeZone").CString("UTC");
  writer.End();
  EXPECT_EQ(Answer(in, true), ServerNext::kDone);
  EXPECT_EQ(Answer(in + notice, true), ServerNext::kDone);
  EXPECT_EQ(Answer(in + notice.substr(0, 3), true), ServerNext::kFailed);
  EXPECT_EQ(Answer(in + notice.substr(0, 9), true), ServerNext::kFailed);
  EXPECT_EQ(Answer(in + EncodeError("FATAL", "57P01", "going down"), true), ServerNext::kFailed);
  EXPECT_EQ(text_, "going down");
  EXPECT_EQ(Answer(in + ready, true), ServerNext::kFailed);
  EXPECT_EQ(Answer(in + Authentication(0), true), ServerNext::kFailed);
  EXPECT_EQ(Answer(Authentication(0) + Authentication(0), true), ServerNext::kFailed);
}

// The server is full, or the role or the database has its CONNECTION LIMIT: by the routine that
// says so, for the text may be in any language.
TEST_F(ServerLoginTest, WhoseLimitItIs) {
  const std::pair<const char*, protocol::LoginFailure> cases[] = {
      {"InitProcess", protocol::LoginFailure::kTooMany},
      {"InitPostgres", protocol::LoginFailure::kTooMany},
      {"ProcessStartupPacket", protocol::LoginFailure::kTooMany},
      {"InitializeSessionUserId", protocol::LoginFailure::kRouteFull},
      {"CheckMyDatabase", protocol::LoginFailure::kRouteFull},
  };
  for (const auto& [routine, failure] : cases) {
    std::string error;
    Writer writer(error);
    writer.Begin('E').U8('S').CString("FATAL").U8('C').CString("53300");
    writer.U8('M').CString("zu viele Verbindungen").U8('R').CString(routine).U8(0);
    writer.End();
    EXPECT_EQ(Answer(Authentication(0) + error, true), ServerNext::kFailed);
    EXPECT_EQ(failure_, failure) << routine;
  }
}

// Who may not read what roles are given is asked for the rest alone.
TEST_F(ServerLoginTest, FactsWithoutTheSettingsOfRoles) {
  PostgresServerLogin login({.user = "app",
                             .database = "db",
                             .parameters = {},
                             .password = "",
                             .allow_trust = true,
                             .init_query = ""},
                            entropy_);
  std::string out;
  login.Start(out);
  const std::string ready("Z\0\0\0\5I", 6);
  out.clear();
  ASSERT_EQ(login.OnBytes(engine::AsBytes(Authentication(0) + ready), out), ServerNext::kReceive);
  EXPECT_NE(out.find("pg_db_role_setting"), std::string::npos);
  out.clear();
  ASSERT_EQ(login.OnBytes(engine::AsBytes(EncodeError("ERROR", "42501", "denied") + ready), out),
            ServerNext::kReceive);
  EXPECT_NE(out.find("max_connections"), std::string::npos);
  EXPECT_EQ(out.find("pg_db_role_setting"), std::string::npos);
  std::string row;
  Writer writer(row);
  writer.Begin('D').U8(0).U8(3).U32(3).Raw("100").U32(1).Raw("3").U32(1).Raw("2");
  writer.End();
  ASSERT_EQ(login.OnBytes(engine::AsBytes(row + ready), out), ServerNext::kDone);
  EXPECT_EQ(login.facts().max_connections, 100u);
  EXPECT_EQ(login.facts().generation, 0u);
  // What it says then is its last word.
  login.AskFacts(out);
  EXPECT_EQ(login.OnBytes(engine::AsBytes(EncodeError("ERROR", "XX000", "broken") + ready), out),
            ServerNext::kFailed);
}

// A question of weir's own later on: its error is no failed login, its rows are whole.
TEST_F(ServerLoginTest, RowsOfAnAnswer) {
  struct Rows final : protocol::RowSink {
    void OnRow(std::string_view row) override { all.emplace_back(row); }
    std::vector<std::string> all;
  };
  const std::string ready("Z\0\0\0\5I", 6);
  protocol::ServerLogin::Options options;
  options.allow_trust = true;
  PostgresServerLogin login(options, entropy_);
  std::string out;
  login.Start(out);
  EXPECT_EQ(login.OnBytes(engine::AsBytes(Authentication(0) + ready + ready), out),
            ServerNext::kDone);
  Rows rows;
  out.clear();
  login.AskRows("SELECT x", rows, out);
  EXPECT_NE(out.find("SELECT x"), std::string::npos);
  const std::string value(200000, 'x');
  std::string in;
  Writer writer(in);
  writer.Begin('D').Raw(value);
  writer.End();
  EXPECT_EQ(login.OnBytes(engine::AsBytes(in.substr(0, 70000)), out), ServerNext::kReceive);
  EXPECT_EQ(login.OnBytes(engine::AsBytes(in.substr(70000)), out), ServerNext::kReceive);
  ASSERT_EQ(rows.all.size(), 1u);
  EXPECT_EQ(rows.all[0], value);
  EXPECT_EQ(login.OnBytes(engine::AsBytes(ready), out), ServerNext::kDone);
  EXPECT_FALSE(login.rows_failed());
  login.AskRows("SELECT y", rows, out);
  EXPECT_EQ(login.OnBytes(engine::AsBytes(EncodeError("ERROR", "42501", "no") + ready), out),
            ServerNext::kDone);
  EXPECT_TRUE(login.rows_failed());
  login.AskRows("SELECT z", rows, out);
  EXPECT_EQ(login.OnBytes(engine::AsBytes(EncodeError("FATAL", "57P01", "gone")), out),
            ServerNext::kFailed);
}

// RFC 7677, section 3.
TEST(ScramTest, TestVector) {
  class Fixed final : public engine::Entropy {
    void Fill(engine::MutableBytes out) override {
      for (uint8_t& byte : out) byte = 0;
    }
  };
  const protocol::ScramKeys keys =
      protocol::DeriveScramKeys("pencil", *protocol::FromBase64("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
  EXPECT_EQ(protocol::Base64(protocol::AsText(keys.stored_key)),
            "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=");
  EXPECT_EQ(protocol::Base64(protocol::AsText(keys.server_key)),
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
}

TEST(ScramTest, WhatIsNotBase64) {
  EXPECT_EQ(protocol::FromBase64("QUJDRA=="), "ABCD");
  for (const char* text : {"", "QUJ", "QUJD----", "QUJD QQ=", "QUJDRA==\n", "QQ==QUJD", "===="})
    EXPECT_EQ(protocol::FromBase64(text), std::nullopt) << text;
}

TEST(ScramTest, SaslPrep) {
  EXPECT_EQ(protocol::SaslPrep("plain"), "plain");
  EXPECT_EQ(protocol::SaslPrep("a\xc2\xa0"
                               "b"),
            "a b");
  EXPECT_EQ(protocol::SaslPrep("\x07"), std::nullopt);
}

}  // namespace
}  // namespace weir::postgres
