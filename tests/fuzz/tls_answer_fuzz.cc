// What a server, or somebody before it, says to weir's request for TLS, at a login and at a cancel:
// until then he gets nothing but the request; what came in the clear is never taken for a part of
// what is encrypted; where TLS is demanded nothing goes without it.
//
// Input: options, how the bytes are cut, the bytes.
#include <cstdint>
#include <string>

#include "protocol/postgres/server_cancel.h"
#include "protocol/postgres/server_login.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using protocol::TlsUse;
using Next = protocol::ServerLogin::Next;
using CancelNext = protocol::ServerCancel::Next;

constexpr uint8_t kDemanded = 1;
constexpr uint8_t kCancel = 2;
constexpr uint8_t kPlus = 4;

// Up to where TLS would begin, or the login goes on in the clear.
struct Answer {
  bool tls = false;
  bool failed = false;
  std::string sent;  // behind the request
};

std::string Request() { return Put32(8) + Put32(80877103); }

Answer AtLogin(std::string_view bytes, uint8_t options, Pieces* pieces) {
  ZeroEntropy entropy;
  postgres::PostgresServerLogin login(
      {.tls = (options & kDemanded) != 0 ? TlsUse::kAlways : TlsUse::kIfOffered,
       .user = "app",
       .database = "db",
       .parameters = {},
       .password = "secret",
       .allow_scram_plus = (options & kPlus) != 0,
       .init_query = ""},
      entropy);
  std::string request;
  login.Start(request);
  CHECK(request == Request());
  Answer answer;
  Next next = Next::kReceive;
  std::string_view left = bytes;
  while (!left.empty() && next == Next::kReceive) {
    const std::string_view part =
        left.substr(0, pieces == nullptr ? left.size() : pieces->Next(left.size()));
    left.remove_prefix(part.size());
    next = login.OnBytes(engine::AsBytes(part), answer.sent);
  }
  answer.failed = next == Next::kFailed;
  CHECK(answer.failed == !login.failure_text().empty() || !login.server_error().empty());
  if (next != Next::kStartTls) return answer;
  answer.tls = true;
  CHECK(answer.sent.empty() && bytes[0] == 'S');
  // What is left came behind the 'S' in the clear: it goes to the handshake, and ends there.
  protocol::TransportFacts facts;
  facts.encrypted = true;
  facts.endpoint_binding = "hash";
  login.OnEncrypted(facts, answer.sent);
  CHECK(answer.sent.find(Z("user") + Z("app")) != std::string::npos);
  // From there on the same bytes mean what they mean to any login.
  std::string out;
  static_cast<void>(login.OnBytes(engine::AsBytes(bytes), out));
  CHECK(out.find("secret") == std::string::npos || bytes.find("secret") != std::string_view::npos);
  return answer;
}

Answer AtCancel(std::string_view bytes, uint8_t options) {
  const bool demanded = (options & kDemanded) != 0;
  postgres::PostgresServerCancel cancel(7, engine::AsBytes("key!"),
                                        demanded ? TlsUse::kAlways : TlsUse::kIfOffered);
  std::string request;
  Answer answer;
  if (cancel.Start(request) == CancelNext::kSent) {
    CHECK(!demanded);
    return answer;
  }
  CHECK(request == Request());
  if (bytes.empty()) return answer;
  const CancelNext next = cancel.OnBytes(engine::AsBytes(bytes), answer.sent);
  answer.tls = next == CancelNext::kStartTls;
  answer.failed = next == CancelNext::kFailed;
  CHECK(answer.tls == (bytes == "S"));
  CHECK(answer.sent.empty() || (bytes == "N" && !demanded));
  return answer;
}

FUZZ_TARGET(tls_answer) {
  Choices choices(input);
  const uint8_t options = choices.Byte();
  Pieces pieces(choices.Byte());
  const std::string_view bytes = choices.Rest();
  if ((options & kCancel) != 0) {
    AtCancel(bytes, options);
    return;
  }
  const Answer whole = AtLogin(bytes, options, nullptr);
  if (bytes.empty()) return;
  // One letter, or it is no answer.
  CHECK(whole.tls == (bytes == "S"));
  if (bytes.size() > 1) CHECK(whole.failed && whole.sent.empty());
  for (Pieces* each : {static_cast<Pieces*>(nullptr), &pieces}) {
    const Answer answer = AtLogin(bytes, options, each);
    if (answer.tls || answer.sent.empty()) continue;
    // In the clear: it was told to, and may.
    CHECK(bytes[0] == 'N' && (options & kDemanded) == 0);
  }
}

}  // namespace
}  // namespace weir::fuzz
