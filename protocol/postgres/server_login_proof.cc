// The part of weir's login to a server in which each proves to the other that it knows the
// password.
#include <string>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "protocol/auth/md5.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/server_login.h"
#include "protocol/wire/cursor.h"
#include "protocol/wire/writer.h"

namespace weir::postgres {

using protocol::Cursor;
using protocol::LoginFailure;
using protocol::Writer;
using Next = protocol::ServerLogin::Next;

Next PostgresServerLogin::OnAuthentication(std::string_view body, std::string& out) {
  Cursor cursor(body);
  const uint32_t code = cursor.U32();
  if (!cursor.ok())
    return Fail(LoginFailure::kProtocol, "malformed Authentication message from the server");
  switch (static_cast<Authentication>(code)) {
    case Authentication::kOk:
      if (state_ >= State::kReport) break;
      return OnOk();
    case Authentication::kMd5Password: {
      const std::string_view salt = cursor.Bytes(4);
      // One question each: what is asked again would be answered for somebody else.
      if (state_ != State::kAuthentication || proven_ || !cursor.ok()) break;
      return OnMd5(salt, out);
    }
    case Authentication::kSasl:
      if (state_ != State::kAuthentication || scram_.has_value() || proven_) break;
      return OnSasl(cursor.rest(), out);
    case Authentication::kSaslContinue:
      if (state_ != State::kSaslContinue) break;
      if (!scram_->OnServerFirst(cursor.rest())) {
        return Fail(LoginFailure::kProtocol,
                    "malformed SCRAM message from the server, or too many iterations");
      }
      key_request_ = {scram_->salt(), scram_->iterations()};
      state_ = State::kKeys;
      return Next::kNeedKeys;
    case Authentication::kSaslFinal:
      if (state_ != State::kSaslFinal) break;
      if (!scram_->OnServerFinal(cursor.rest())) {
        return Fail(LoginFailure::kMethod,
                    "the server's SCRAM signature is wrong: it does not know the password");
      }
      proven_ = true;
      return Next::kReceive;
    case Authentication::kCleartextPassword:
      if (state_ != State::kAuthentication || proven_) break;
      return OnClearText(out);
    default:
      return Fail(
          LoginFailure::kMethod,
          engine::Cat("the server asks for an authentication method that is not supported (code ",
                      code, ")"));
  }
  return Fail(LoginFailure::kProtocol, "the server's authentication messages are out of order");
}

Next PostgresServerLogin::OnOk() {
  if (state_ == State::kAuthentication && !proven_) {
    if (!options_.allow_trust && !options_.allow_certificate) {
      return Fail(LoginFailure::kMethod,
                  "the server let us in without asking for a proof (trust), which is not allowed "
                  "for this target: it may not be the server that it seems to be; see "
                  "server_auth_methods");
    }
    proven_ = true;
  }
  if (!proven_)
    return Fail(LoginFailure::kMethod, "the server did not prove that it knows the password");
  state_ = State::kReport;
  return Next::kReceive;
}

Next PostgresServerLogin::OnMd5(std::string_view salt, std::string& out) {
  if (!options_.allow_md5) {
    return Fail(LoginFailure::kMethod,
                "the server asks for md5, which is not allowed for this target; see "
                "server_auth_methods");
  }
  const std::string answer =
      options_.password.empty()
          ? std::string()
          : protocol::Md5Answer(protocol::Md5Hash(options_.user, options_.password), salt);
  if (answer.empty()) {
    return Fail(
        LoginFailure::kMethod,
        options_.password.empty()
            ? "the server asks for md5, which needs a password or its md5 hash in the secret"
            : "the server asks for md5, which this machine's OpenSSL refuses");
  }
  Writer writer(out);
  writer.Begin(frontend::kPasswordMessage).CString(answer);
  writer.End();
  proven_ = true;
  return Next::kReceive;
}

Next PostgresServerLogin::OnClearText(std::string& out) {
  const bool token = options_.allow_token && options_.transport.encrypted;
  if (!options_.allow_password && !token) {
    return Fail(LoginFailure::kMethod,
                "the server asks for the password in clear text, which is not allowed; see "
                "server_auth_methods");
  }
  if (options_.password.empty() || protocol::IsMd5Hash(options_.password)) {
    return Fail(LoginFailure::kMethod,
                "the server asks for the password in clear text, and the secret has none");
  }
  Writer writer(out);
  writer.Begin(frontend::kPasswordMessage).CString(options_.password);
  writer.End();
  proven_ = true;
  return Next::kReceive;
}

Next PostgresServerLogin::OnSasl(std::string_view mechanisms, std::string& out) {
  if (!options_.allow_scram && !options_.allow_scram_plus) {
    return Fail(LoginFailure::kMethod,
                options_.allow_token
                    ? "the server asks for scram-sha-256 in place of a token (server_auth = "
                      "\"iam\"): the role is not one of IAM there (rds_iam)"
                    : "the server asks for scram-sha-256, which is not allowed for this target; "
                      "see server_auth_methods");
  }
  if (protocol::IsMd5Hash(options_.password)) {
    return Fail(LoginFailure::kMethod,
                "the server asks for scram-sha-256, which needs a password: the secret has its md5 "
                "hash only");
  }
  Cursor cursor(mechanisms);
  bool plain = false;
  bool plus = false;
  for (std::string_view name = cursor.CString(); cursor.ok() && !name.empty();
       name = cursor.CString()) {
    plain = plain || name == protocol::kScramSha256;
    plus = plus || name == protocol::kScramSha256Plus;
  }
  return Choose(plain, plus, out);
}

// Channel binding wherever it can be; 'y' tells a server that has offered it, and whose offer
// somebody has taken away, that it was not seen.
Next PostgresServerLogin::Choose(bool plain_offered, bool plus_offered, std::string& out) {
  using protocol::ScramBinding;
  const protocol::TransportFacts& transport = options_.transport;
  const bool able =
      options_.allow_scram_plus && transport.encrypted && !transport.endpoint_binding.empty();
  const bool plus = able && plus_offered;
  if (!plus && !options_.allow_scram) {
    return Fail(LoginFailure::kMethod,
                !transport.encrypted
                    ? "server_auth_methods demands scram-sha-256-plus, which needs an encrypted "
                      "connection to the server"
                : able ? "the server does not offer scram-sha-256-plus, which server_auth_methods "
                         "demands"
                       : "server_auth_methods demands scram-sha-256-plus, which the server's "
                         "certificate does not allow: its signature has no hash of its own");
  }
  if (!plus && !plain_offered)
    return Fail(LoginFailure::kMethod, "the server offers no SASL mechanism that is supported");
  const ScramBinding binding = plus   ? ScramBinding::kEndPoint
                               : able ? ScramBinding::kNotOffered
                                      : ScramBinding::kNone;
  scram_.emplace(entropy_, binding,
                 plus ? std::string_view(transport.endpoint_binding) : std::string_view());
  const std::string first = scram_->First();
  Writer writer(out);
  writer.Begin(frontend::kPasswordMessage)
      .CString(plus ? protocol::kScramSha256Plus : protocol::kScramSha256);
  writer.U32(static_cast<uint32_t>(first.size())).Raw(first);
  writer.End();
  state_ = State::kSaslContinue;
  return Next::kReceive;
}

Next PostgresServerLogin::OnKeys(const protocol::ScramKeys& keys, std::string& out) {
  CHECK(state_ == State::kKeys);
  Writer writer(out);
  writer.Begin(frontend::kPasswordMessage).Raw(scram_->Final(keys));
  writer.End();
  state_ = State::kSaslFinal;
  return OnBytes({}, out);
}

}  // namespace weir::postgres
