#include "protocol/postgres/client_login.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "protocol/auth/md5.h"
#include "protocol/postgres/encode.h"
#include "protocol/postgres/format.h"
#include "protocol/wire/cursor.h"
#include "protocol/wire/writer.h"

namespace weir::postgres {

using protocol::Cursor;
using protocol::ScramServer;
using protocol::Writer;
using Next = protocol::ClientLogin::Next;

namespace {

constexpr uint32_t kNewestMinor = 0;
constexpr size_t kTokenBytesMax = 8192;
constexpr size_t kMd5SaltBytes = 4;

uint32_t LengthAt(std::string_view bytes) { return Cursor(bytes).U32(); }

void AppendAuthentication(std::string& out, Authentication code, std::string_view data) {
  Writer writer(out);
  writer.Begin(backend::kAuthentication).U32(static_cast<uint32_t>(code)).Raw(data);
  writer.End();
}

// The text of a PasswordMessage; nullopt: it is none, or not that alone.
std::optional<std::string_view> PasswordOf(std::string_view body) {
  Cursor cursor(body);
  const std::string_view text = cursor.CString();
  if (!cursor.ok() || !cursor.empty()) return std::nullopt;
  return text;
}

}  // namespace

PostgresClientLogin::~PostgresClientLogin() {
  protocol::Wipe(partial_);
  protocol::Wipe(token_);
}

Next PostgresClientLogin::Fail(std::string_view sqlstate, std::string_view text, std::string& out) {
  state_ = State::kEnded;
  failure_ = std::string(text);
  out += EncodeError("FATAL", sqlstate, text);
  return Next::kFailed;
}

Next PostgresClientLogin::FailProof(std::string& out) {
  wrong_proof_ = true;
  if (!known_user_ && reveal_) {
    return Fail("28000",
                engine::Cat("This proxy has no credentials for the role ", identity_.user,
                            ". Check the credentials for this role and try again."),
                out);
  }
  const Next next = Fail(
      "28P01",
      engine::Cat("The password that was provided for the role ", identity_.user, " is wrong."),
      out);
  if (!known_user_) {
    failure_ = engine::Cat("This RDS proxy has no credentials for the role ", identity_.user,
                           ". Check the credentials for this role and try again.");
  }
  return next;
}

Next PostgresClientLogin::FailToken(std::string_view why, std::string& out) {
  wrong_proof_ = true;
  const Next next = Fail("28P01",
                         engine::Cat("The IAM authentication failed for the role ", identity_.user,
                                     ". Check the IAM token for this role and try again."),
                         out);
  if (!why.empty()) engine::Append(failure_, " (", why, ")");
  return next;
}

Next PostgresClientLogin::LetIn(std::string& out) {
  state_ = State::kEnded;
  AppendAuthentication(out, Authentication::kOk, {});
  return Next::kDone;
}

Next PostgresClientLogin::OnBytes(engine::Bytes in, size_t& consumed, std::string& out) {
  consumed = 0;
  if (state_ == State::kNeedUser || state_ == State::kTokenCheck || state_ == State::kEnded)
    return Next::kReceive;
  const bool first = state_ == State::kFirstPacket;
  if (first && offers_tls_ && !asked_ssl_ && !asked_gss_ && partial_.empty() && !in.empty() &&
      in[0] == kTlsHandshake) {
    asked_ssl_ = asked_gss_ = true;
    return Next::kStartTls;
  }
  const size_t header = first ? 4 : 5;
  const auto append = [&](size_t wanted) {
    const size_t part = std::min(wanted - partial_.size(), in.size() - consumed);
    partial_ += engine::AsText(in.subspan(consumed, part));
    consumed += part;
    return partial_.size() >= wanted;
  };
  if (partial_.size() < header && !append(header)) return Next::kReceive;
  if (!first && static_cast<uint8_t>(partial_[0]) != frontend::kPasswordMessage) {
    const bool sasl = state_ == State::kSaslFirst || state_ == State::kSaslFinal;
    return Fail("08P01",
                engine::Cat("expected ", sasl ? "a SASL" : "a password",
                            " response, got message type ", static_cast<uint8_t>(partial_[0])),
                out);
  }
  const uint32_t length = LengthAt(std::string_view(partial_).substr(header - 4));
  const uint32_t most = first ? kStartupLengthMax : kPasswordLengthMax;
  if (length < (first ? 8u : 4u) || length > most) {
    return Fail("08P01",
                first ? "invalid length of startup packet" : "invalid length of a password message",
                out);
  }
  // In one place, which is wiped.
  partial_.reserve(header - 4 + length);
  if (!append(header - 4 + length)) return Next::kReceive;
  std::string packet = std::exchange(partial_, {});
  const std::string_view body = std::string_view(packet).substr(header);
  if (!first) {
    const Next proof = OnPassword(body, out);
    protocol::Wipe(packet);
    return proof;
  }
  const Next next = OnFirstPacket(body, out);
  // The answer to SSLRequest tells the client how to go on: bytes that came before it were not
  // meant for us alone.
  if ((next == Next::kReceive || next == Next::kStartTls) && consumed < in.size()) {
    if (next == Next::kStartTls) out.pop_back();
    return Fail("08P01", "received unencrypted data after an encryption request", out);
  }
  return next;
}

Next PostgresClientLogin::OnFirstPacket(std::string_view packet, std::string& out) {
  Cursor cursor(packet);
  const uint32_t code = cursor.U32();
  switch (code) {
    case kSslRequestCode:
    case kGssEncRequestCode: {
      bool& asked = code == kSslRequestCode ? asked_ssl_ : asked_gss_;
      if (asked || !cursor.empty()) return Fail("08P01", "unexpected encryption request", out);
      asked = true;
      if (code == kSslRequestCode && offers_tls_) {
        asked_gss_ = true;
        out.push_back('S');
        return Next::kStartTls;
      }
      out.push_back('N');
      return Next::kReceive;
    }
    case kCancelRequestCode:
      state_ = State::kEnded;
      cancel_key_.process_id = cursor.U32();
      cancel_key_.secret = cursor.U32();
      if (!cursor.ok() || !cursor.empty()) cancel_key_ = {};
      return Next::kCancel;
    default:
      return OnStartup(code, cursor.rest(), out);
  }
}

Next PostgresClientLogin::OnStartup(uint32_t version, std::string_view body, std::string& out) {
  if (version >> 16 != kProtocolMajor) {
    return Fail("0A000",
                engine::Cat("Feature not supported: unsupported frontend protocol ", version >> 16,
                            ".", version & 0xffff, ": the proxy supports 3.0"),
                out);
  }
  Cursor cursor(body);
  std::vector<std::string> unknown;
  for (;;) {
    const std::string_view name = cursor.CString();
    if (!cursor.ok())
      return Fail("08P01", "invalid startup packet layout: expected terminator as last byte", out);
    if (name.empty()) break;
    const std::string_view value = cursor.CString();
    if (!cursor.ok())
      return Fail("08P01", "invalid startup packet layout: expected terminator as last byte", out);
    if (name == "user") {
      identity_.user = std::string(value);
    } else if (name == "database") {
      identity_.database = std::string(value);
    } else if (name.starts_with("_pq_.")) {
      unknown.emplace_back(name);
    } else {
      if (name == "replication" && value != "false" && value != "off" && value != "no" &&
          value != "0") {
        identity_.replication = true;
      }
      identity_.parameters.emplace_back(name, value);
    }
  }
  if (!cursor.empty())
    return Fail("08P01", "invalid startup packet layout: expected terminator as last byte", out);
  if (identity_.user.empty()) {
    return Fail("28000",
                "A user name is missing from the connection startup packet. Provide a user name "
                "for this connection.",
                out);
  }
  if (identity_.database.empty()) identity_.database = identity_.user;
  if ((version & 0xffff) > kNewestMinor || !unknown.empty()) {
    Writer writer(out);
    writer.Begin(backend::kNegotiateProtocolVersion).U32(kProtocolMajor << 16 | kNewestMinor);
    writer.U32(static_cast<uint32_t>(unknown.size()));
    for (const std::string& name : unknown) writer.CString(name);
    writer.End();
  }
  state_ = State::kNeedUser;
  return Next::kNeedUser;
}

Next PostgresClientLogin::Resume(const protocol::ClientUser& user,
                                 const protocol::TransportFacts& transport, std::string& out) {
  CHECK(state_ == State::kNeedUser);
  known_user_ = user.known;
  reveal_ = user.reveal;
  switch (user.method) {
    case protocol::ClientMethod::kTrust:
      return LetIn(out);
    case protocol::ClientMethod::kScram:
      CHECK(user.verifier != nullptr);
      return AskScram(*user.verifier, transport, out);
    case protocol::ClientMethod::kMd5:
      return AskMd5(user.md5_hashes, out);
    case protocol::ClientMethod::kCertificate:
      return CheckCertificate(user, transport, out);
    case protocol::ClientMethod::kIam:
      if (!transport.encrypted)
        return Fail("28000", "IAM authentication is allowed only with SSL connections.", out);
      state_ = State::kToken;
      AppendAuthentication(out, Authentication::kCleartextPassword, {});
      return Next::kReceive;
  }
  UNREACHABLE();
}

Next PostgresClientLogin::AskScram(const protocol::ScramVerifier& verifier,
                                   const protocol::TransportFacts& transport, std::string& out) {
  scram_.emplace(
      verifier, entropy_,
      transport.encrypted ? std::string_view(transport.endpoint_binding) : std::string_view());
  state_ = State::kSaslFirst;
  std::string names;
  for (const std::string_view name : scram_->Mechanisms()) engine::Append(names, name, '\0');
  AppendAuthentication(out, Authentication::kSasl, engine::Cat(names, '\0'));
  return Next::kReceive;
}

Next PostgresClientLogin::AskMd5(std::span<const std::string> hashes, std::string& out) {
  uint8_t random[kMd5SaltBytes];
  entropy_.Fill(random);
  const std::string salt(random, random + sizeof random);
  for (const std::string& hash : hashes) md5_answers_.push_back(protocol::Md5Answer(hash, salt));
  state_ = State::kMd5;
  AppendAuthentication(out, Authentication::kMd5Password, salt);
  return Next::kReceive;
}

Next PostgresClientLogin::CheckCertificate(const protocol::ClientUser& user,
                                           const protocol::TransportFacts& transport,
                                           std::string& out) {
  if (!transport.encrypted || transport.peer_names.empty())
    return Fail("28000", "connection requires a valid client certificate", out);
  for (const std::string& name : transport.peer_names) {
    if (user.certificate_names.empty()
            ? name == identity_.user
            : std::find(user.certificate_names.begin(), user.certificate_names.end(), name) !=
                  user.certificate_names.end())
      return LetIn(out);
  }
  const Next next =
      Fail("28000",
           engine::Cat("certificate authentication failed for user \"", identity_.user, "\""), out);
  engine::Append(failure_, ": the certificate is for \"", transport.peer_names[0], "\"");
  return next;
}

Next PostgresClientLogin::OnPassword(std::string_view body, std::string& out) {
  if (state_ == State::kSaslFirst) return OnSaslFirst(body, out);
  if (state_ == State::kSaslFinal) return OnSaslFinal(body, out);
  const std::optional<std::string_view> password = PasswordOf(body);
  if (!password) return Fail("08P01", "invalid password packet size", out);
  if (state_ == State::kMd5) return OnMd5(*password, out);
  CHECK(state_ == State::kToken);
  return OnToken(*password, out);
}

Next PostgresClientLogin::OnMd5(std::string_view password, std::string& out) {
  bool right = false;
  for (const std::string& answer : md5_answers_)
    right = (!answer.empty() && protocol::EqualInConstantTime(answer, password)) || right;
  return right && known_user_ ? LetIn(out) : FailProof(out);
}

Next PostgresClientLogin::OnToken(std::string_view password, std::string& out) {
  if (password.empty()) return FailToken("it is empty", out);
  if (password.size() > kTokenBytesMax) return FailToken("it is longer than 8 KiB", out);
  token_ = std::string(password);
  state_ = State::kTokenCheck;
  return Next::kCheckToken;
}

Next PostgresClientLogin::OnTokenChecked(bool good, std::string_view why, std::string& out) {
  CHECK(state_ == State::kTokenCheck);
  protocol::Wipe(token_);
  return good && known_user_ ? LetIn(out) : FailToken(why, out);
}

std::string_view PostgresClientLogin::client_key() const {
  return scram_proven_ ? protocol::AsText(scram_->client_key()) : std::string_view();
}

Next PostgresClientLogin::OnSaslFirst(std::string_view body, std::string& out) {
  Cursor cursor(body);
  const std::string_view mechanism = cursor.CString();
  const uint32_t length = cursor.U32();
  const std::string_view message = cursor.Bytes(length);
  if (!cursor.ok() || !cursor.empty())
    return Fail("08P01", "malformed SCRAM message: invalid SASLInitialResponse", out);
  if (!scram_->Choose(mechanism))
    return Fail("08P01", "client selected an invalid SASL authentication mechanism", out);
  std::string reply;
  if (scram_->OnFirst(message, reply) != ScramServer::Result::kOk)
    return Fail(scram_->refusal().sqlstate, scram_->refusal().text, out);
  AppendAuthentication(out, Authentication::kSaslContinue, reply);
  state_ = State::kSaslFinal;
  return Next::kReceive;
}

Next PostgresClientLogin::OnSaslFinal(std::string_view body, std::string& out) {
  std::string reply;
  switch (scram_->OnFinal(body, reply)) {
    case ScramServer::Result::kRefused:
      return Fail(scram_->refusal().sqlstate, scram_->refusal().text, out);
    case ScramServer::Result::kWrong:
      return FailProof(out);
    case ScramServer::Result::kOk:
      break;
  }
  if (!known_user_) return FailProof(out);
  scram_proven_ = true;
  AppendAuthentication(out, Authentication::kSaslFinal, reply);
  return LetIn(out);
}

}  // namespace weir::postgres
