// A client's first bytes: whatever they are, in whatever pieces, they lead to the same place, and
// nobody gets in without a proof.
//
// Input: options, how the bytes are cut, the bytes.
#include <algorithm>
#include <cstdint>
#include <string>

#include "protocol/postgres/client_login.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using Next = protocol::ClientLogin::Next;

constexpr uint8_t kTrust = 1;
constexpr uint8_t kKnown = 2;
constexpr uint8_t kEager = 4;  // bytes come behind an encryption request without waiting
constexpr uint8_t kTls = 8;    // is offered; what comes then is what TLS would yield

struct Outcome {
  Next next = Next::kReceive;
  std::string out;
  std::string user;
  std::string database;
  protocol::Parameters parameters;
  bool replication = false;
  uint32_t process_id = 0;
  uint32_t secret = 0;
  bool wrong_proof = false;
  std::string failure;
  size_t taken = 0;
  bool operator==(const Outcome&) const = default;
};

bool IsEncryptionRequest(std::string_view bytes) {
  return bytes.size() >= 8 && bytes.substr(0, 7) == std::string_view("\0\0\0\x08\x04\xd2\x16", 7) &&
         (bytes[7] == '\x2f' || bytes[7] == '\x30');
}

// A client waits for the answer to an encryption request: no piece goes beyond one.
size_t Bound(std::string_view bytes, size_t at) {
  for (size_t end = 8; end <= 16; end += 8) {
    if (bytes.size() < end || !IsEncryptionRequest(bytes.substr(end - 8))) break;
    if (at < end) return end;
  }
  return bytes.size();
}

void CheckIdentity(const protocol::ClientIdentity& identity) {
  CHECK(!identity.user.empty() && !identity.database.empty());
  CHECK(identity.user.find('\0') == std::string::npos);
  for (const auto& [name, value] : identity.parameters) {
    CHECK(!name.empty() && name != "user" && name != "database" && !name.starts_with("_pq_."));
    CHECK(value.find('\0') == std::string::npos);
  }
}

void CheckOut(const Outcome& outcome) {
  size_t refused = std::min(outcome.out.find_first_not_of('N'), outcome.out.size());
  CHECK(refused <= 2);
  if (refused < outcome.out.size() && outcome.out[refused] == 'S') ++refused;
  const std::vector<Message> messages = AllMessages(std::string_view(outcome.out).substr(refused));
  for (const Message& message : messages) {
    CHECK(message.type == 'R' || message.type == 'v' || message.type == 'E');
    CHECK((message.type == 'E') == (outcome.next == Next::kFailed && &message == &messages.back()));
  }
  if (outcome.next != Next::kFailed) return;
  CHECK(!messages.empty());
  CheckError(messages.back(), "FATAL");
}

Outcome LogIn(std::string_view bytes, uint8_t options, Pieces* pieces) {
  ZeroEntropy entropy;
  postgres::PostgresClientLogin login(entropy, (options & kTls) != 0);
  const protocol::ScramVerifier verifier = protocol::MockVerifier("app", "key");
  Outcome outcome;
  size_t& at = outcome.taken;
  bool named = false;
  bool encrypted = false;
  while (at < bytes.size() && outcome.next == Next::kReceive) {
    size_t length = ((options & kEager) != 0 ? bytes.size() : Bound(bytes, at)) - at;
    if (pieces != nullptr) length = pieces->Next(length);
    size_t consumed = 0;
    outcome.next = login.OnBytes(engine::AsBytes(bytes.substr(at, length)), consumed, outcome.out);
    CHECK(consumed <= length);
    at += consumed;
    if (outcome.next == Next::kStartTls) {
      // Once, with nothing behind the request, or instead of one.
      CHECK((options & kTls) != 0 && !encrypted && !named);
      CHECK(consumed == 0 ? bytes.substr(at, 1) == "\x16" : consumed == length);
      CHECK((consumed > 0) == outcome.out.ends_with('S'));
      encrypted = true;
      outcome.next = Next::kReceive;
      continue;
    }
    CHECK(consumed > 0);
    if (outcome.next != Next::kNeedUser) continue;
    CHECK(!named);  // a client names itself once
    named = true;
    CheckIdentity(login.identity());
    outcome.next = login.Resume(
        {.trust = (options & kTrust) != 0, .known = (options & kKnown) != 0, .verifier = &verifier},
        {}, outcome.out);
  }
  // Nobody knows the password.
  if (outcome.next == Next::kDone) CHECK((options & kTrust) != 0 && named);
  if (outcome.next != Next::kReceive) {
    const std::string before = outcome.out;
    size_t consumed = 1;
    CHECK(login.OnBytes(engine::AsBytes("p\0\0\0\4"), consumed, outcome.out) == Next::kReceive);
    CHECK(consumed == 0 && outcome.out == before);
  }
  CHECK((outcome.next == Next::kFailed) == !login.failure().empty());
  const protocol::ClientIdentity& identity = login.identity();
  outcome.user = identity.user;
  outcome.database = identity.database;
  outcome.parameters = identity.parameters;
  outcome.replication = identity.replication;
  outcome.process_id = login.cancel_key().process_id;
  outcome.secret = login.cancel_key().secret;
  outcome.wrong_proof = login.wrong_proof();
  outcome.failure = std::string(login.failure());
  CheckOut(outcome);
  return outcome;
}

FUZZ_TARGET(client_login) {
  Choices choices(input);
  const uint8_t options = choices.Byte();
  Pieces pieces(choices.Byte());
  const std::string_view bytes = choices.Rest();
  const Outcome whole = LogIn(bytes, options, nullptr);
  if ((options & kEager) != 0) return;
  CHECK(LogIn(bytes, options, &pieces) == whole);
}

}  // namespace
}  // namespace weir::fuzz
