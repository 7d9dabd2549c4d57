// The beginning of a login to a server: TLS or not, then the startup message.
#include <string>

#include "engine/base/check.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/server_login.h"
#include "protocol/postgres/tls_request.h"
#include "protocol/wire/writer.h"

namespace weir::postgres {

using protocol::LoginFailure;
using protocol::Writer;
using Next = protocol::ServerLogin::Next;

void PostgresServerLogin::Start(std::string& out) {
  CHECK(state_ == State::kStart);
  if (options_.tls == protocol::TlsUse::kNever) {
    SendStartup(out);
    return;
  }
  AppendTlsRequest(out);
  state_ = State::kTlsAsked;
}

void PostgresServerLogin::OnEncrypted(const protocol::TransportFacts& transport, std::string& out) {
  CHECK(state_ == State::kTlsStarting);
  options_.transport = transport;
  SendStartup(out);
}

void PostgresServerLogin::SendStartup(std::string& out) {
  Writer writer(out);
  writer.Begin(0).U32(kProtocolMajor << 16);
  writer.CString("user").CString(options_.user).CString("database").CString(options_.database);
  for (const auto& [name, value] : options_.parameters) writer.CString(name).CString(value);
  writer.U8(0);
  writer.End();
  state_ = State::kAuthentication;
}

Next PostgresServerLogin::OnTlsAnswer(engine::Bytes in, std::string& out) {
  switch (ReadTlsAnswer(in)) {
    case TlsAnswer::kYes:
      state_ = State::kTlsStarting;
      return Next::kStartTls;
    case TlsAnswer::kNo:
      if (options_.tls == protocol::TlsUse::kAlways) {
        return Fail(LoginFailure::kOther,
                    "the server has no TLS, which tls_mode of this target asks for");
      }
      SendStartup(out);
      return Next::kReceive;
    case TlsAnswer::kError:
      return Fail(LoginFailure::kOther, "the server answered the request for TLS with an error");
    case TlsAnswer::kMalformed:
      break;
  }
  return Fail(LoginFailure::kProtocol,
              "the server's answer to the request for TLS is more than one letter, or another "
              "one: it does not speak PostgreSQL's protocol, or somebody meddles with the "
              "connection");
}

}  // namespace weir::postgres
