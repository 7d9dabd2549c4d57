// What the tests of clients' logins share: messages by hand, and a login driven up to the question.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "protocol/auth/md5.h"
#include "protocol/postgres/client_login.h"
#include "protocol/postgres/encode.h"
#include "protocol/wire/cursor.h"
#include "protocol/wire/writer.h"
#include "tests/engine/base/seeded_entropy.h"

namespace weir::postgres {

using engine::Cat;
using engine::SeededEntropy;
using protocol::ClientMethod;
using protocol::ClientUser;
using protocol::ScramBinding;
using protocol::TransportFacts;
using protocol::Writer;
using ClientNext = protocol::ClientLogin::Next;

inline TransportFacts Encrypted(std::string binding = "hash", std::vector<std::string> names = {}) {
  return {
      .encrypted = true, .endpoint_binding = std::move(binding), .peer_names = std::move(names)};
}

inline std::string Message(uint8_t type, std::string_view body) {
  std::string out;
  Writer writer(out);
  writer.Begin(type).Raw(body);
  writer.End();
  return out;
}
inline std::string Password(std::string_view text) { return Message('p', Cat(text, '\0')); }
inline std::string SaslFirst(std::string_view mechanism, std::string_view first) {
  std::string body;
  Writer(body).CString(mechanism).U32(static_cast<uint32_t>(first.size())).Raw(first);
  return Message('p', body);
}
inline std::string Startup(std::string_view user) {
  std::string out;
  Writer writer(out);
  writer.Begin(0).U32(3 << 16).CString("user").CString(user).U8(0);
  writer.End();
  return out;
}

class ClientMethodTest : public testing::Test {
 protected:
  ClientMethodTest() {
    verifier_.salt = "salt";
    verifier_.iterations = 2;
    keys_ = protocol::DeriveScramKeys("secret", "salt", 2);
    verifier_.stored_key = keys_.stored_key;
    verifier_.server_key = keys_.server_key;
  }
  ClientNext Feed(PostgresClientLogin& login, std::string_view bytes, size_t piece = 1 << 20) {
    ClientNext next = ClientNext::kReceive;
    while (!bytes.empty() && next == ClientNext::kReceive) {
      size_t consumed = 0;
      next = login.OnBytes(engine::AsBytes(bytes.substr(0, piece)), consumed, out_);
      if (consumed == 0) break;
      bytes.remove_prefix(consumed);
    }
    return next;
  }
  // The login of "app" up to the question.
  ClientNext Begin(PostgresClientLogin& login, const ClientUser& user,
                   const TransportFacts& transport = {}) {
    EXPECT_EQ(Feed(login, Startup("app")), ClientNext::kNeedUser);
    out_.clear();
    return login.Resume(user, transport, out_);
  }
  ClientUser Scram() const { return {.known = true, .verifier = &verifier_}; }
  ClientUser Md5() const {
    return {.method = ClientMethod::kMd5, .known = true, .md5_hashes = md5_hashes_};
  }
  // What was answered: the code of an Authentication message, or an error as "SQLSTATE text".
  uint32_t Code() const { return protocol::Cursor(std::string_view(out_).substr(5)).U32(); }
  std::string Error() const {
    const std::string_view last = std::string_view(out_).substr(out_.find('E'));
    return Cat(ErrorField(last.substr(5), 'C'), " ", ErrorField(last.substr(5), 'M'));
  }

  SeededEntropy entropy_;
  std::string out_;
  protocol::ScramVerifier verifier_;
  protocol::ScramKeys keys_;
  std::vector<std::string> md5_hashes_ = {protocol::Md5Hash("app", "secret"),
                                          protocol::Md5Hash("app", "before")};
};

}  // namespace weir::postgres
