#include "protocol/postgres/client_login.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/text.h"
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

uint32_t LengthAt(std::string_view bytes) { return Cursor(bytes).U32(); }

void AppendAuthentication(std::string& out, Authentication code, std::string_view data) {
  Writer writer(out);
  writer.Begin(backend::kAuthentication).U32(static_cast<uint32_t>(code)).Raw(data);
  writer.End();
}

}  // namespace

Next PostgresClientLogin::Fail(std::string_view sqlstate, std::string_view text, std::string& out) {
  state_ = State::kEnded;
  failure_ = std::string(text);
  out += EncodeError("FATAL", sqlstate, text);
  return Next::kFailed;
}

Next PostgresClientLogin::FailProof(std::string& out) {
  wrong_proof_ = true;
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

Next PostgresClientLogin::OnBytes(engine::Bytes in, size_t& consumed, std::string& out) {
  consumed = 0;
  if (state_ == State::kNeedUser || state_ == State::kEnded) return Next::kReceive;
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
    return Fail("08P01",
                engine::Cat("expected a SASL response, got message type ",
                            static_cast<uint8_t>(partial_[0])),
                out);
  }
  const uint32_t length = LengthAt(std::string_view(partial_).substr(header - 4));
  const uint32_t most = first ? kStartupLengthMax : kPasswordLengthMax;
  if (length < (first ? 8u : 4u) || length > most) {
    return Fail("08P01",
                first ? "invalid length of startup packet" : "invalid length of a password message",
                out);
  }
  if (!append(header - 4 + length)) return Next::kReceive;
  const std::string packet = std::exchange(partial_, {});
  const std::string_view body = std::string_view(packet).substr(header);
  if (!first) return OnPassword(body, out);
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
                                 const protocol::TransportFacts& /*transport*/, std::string& out) {
  CHECK(state_ == State::kNeedUser);
  known_user_ = user.known;
  if (user.trust) {
    state_ = State::kEnded;
    AppendAuthentication(out, Authentication::kOk, {});
    return Next::kDone;
  }
  CHECK(user.verifier != nullptr);
  scram_.emplace(*user.verifier, entropy_);
  state_ = State::kSaslFirst;
  AppendAuthentication(out, Authentication::kSasl, engine::Cat(protocol::kScramSha256, '\0', '\0'));
  return Next::kReceive;
}

Next PostgresClientLogin::OnPassword(std::string_view body, std::string& out) {
  switch (state_) {
    case State::kSaslFirst:
      return OnSaslFirst(body, out);
    case State::kSaslFinal:
      return OnSaslFinal(body, out);
    case State::kFirstPacket:
    case State::kNeedUser:
    case State::kEnded:
      break;
  }
  UNREACHABLE();
}

Next PostgresClientLogin::OnSaslFirst(std::string_view body, std::string& out) {
  Cursor cursor(body);
  const std::string_view mechanism = cursor.CString();
  const uint32_t length = cursor.U32();
  const std::string_view message = cursor.Bytes(length);
  if (!cursor.ok() || !cursor.empty())
    return Fail("08P01", "malformed SCRAM message: invalid SASLInitialResponse", out);
  if (mechanism != protocol::kScramSha256)
    return Fail("08P01", "client selected an invalid SASL authentication mechanism", out);
  std::string reply;
  if (scram_->OnFirst(message, reply) != ScramServer::Result::kOk) {
    return Fail("08P01", "malformed SCRAM message", out);
  }
  AppendAuthentication(out, Authentication::kSaslContinue, reply);
  state_ = State::kSaslFinal;
  return Next::kReceive;
}

Next PostgresClientLogin::OnSaslFinal(std::string_view body, std::string& out) {
  std::string reply;
  switch (scram_->OnFinal(body, reply)) {
    case ScramServer::Result::kMalformed:
      return Fail("08P01", "malformed SCRAM message", out);
    case ScramServer::Result::kWrong:
      return FailProof(out);
    case ScramServer::Result::kOk:
      break;
  }
  if (!known_user_) return FailProof(out);
  AppendAuthentication(out, Authentication::kSaslFinal, reply);
  AppendAuthentication(out, Authentication::kOk, {});
  state_ = State::kEnded;
  return Next::kDone;
}

}  // namespace weir::postgres
