// A client's first bytes: whatever they are, in whatever pieces, they lead to the same place, and
// nobody gets in without a proof, by whatever method.
//
// Input: options, how the bytes are cut, the bytes.
#include <algorithm>
#include <cstdint>
#include <string>

#include "protocol/auth/md5.h"
#include "protocol/postgres/client_login.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using Next = protocol::ClientLogin::Next;

constexpr uint8_t kTrust = 1;
constexpr uint8_t kKnown = 2;
constexpr uint8_t kEager = 4;  // bytes come behind an encryption request without waiting
constexpr uint8_t kTls = 8;    // is offered; what comes then is what TLS would yield
constexpr uint8_t kPeer = 16;  // ... with a certificate of the user "app"
// Of the two highest bits: how the user logs in.
constexpr protocol::ClientMethod kMethods[] = {
    protocol::ClientMethod::kScram, protocol::ClientMethod::kMd5,
    protocol::ClientMethod::kCertificate, protocol::ClientMethod::kIam};
constexpr std::string_view kGoodToken = "a good token";

protocol::ClientMethod MethodOf(uint8_t options) {
  return (options & kTrust) != 0 ? protocol::ClientMethod::kTrust : kMethods[options >> 6];
}

protocol::TransportFacts TransportOf(uint8_t options, bool encrypted) {
  protocol::TransportFacts facts;
  facts.encrypted = encrypted;
  if (encrypted) facts.endpoint_binding = "a hash of 32 bytes, or something";
  if ((options & kPeer) != 0) facts.peer_names = {"somebody", "app"};
  return facts;
}

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

// What it takes without anybody's password.
bool MayEnter(uint8_t options, const protocol::ClientIdentity& identity, bool encrypted,
              bool good_token) {
  switch (MethodOf(options)) {
    case protocol::ClientMethod::kTrust:
      return true;
    case protocol::ClientMethod::kScram:
    case protocol::ClientMethod::kMd5:
      return false;
    case protocol::ClientMethod::kCertificate:
      return encrypted && (options & kPeer) != 0 &&
             (identity.user == "app" || identity.user == "somebody");
    case protocol::ClientMethod::kIam:
      return encrypted && (options & kKnown) != 0 && good_token;
  }
  UNREACHABLE();
}

protocol::ClientUser UserOf(uint8_t options) {
  static const protocol::ScramVerifier verifier = protocol::MockVerifier("app", "key");
  static const std::string hashes[] = {protocol::Md5Hash("app", "what nobody knows"),
                                       protocol::Md5Hash("app", "nor this")};
  return {.method = MethodOf(options),
          .known = (options & kKnown) != 0,
          .verifier = &verifier,
          .md5_hashes = hashes};
}

Outcome LogIn(std::string_view bytes, uint8_t options, Pieces* pieces) {
  ZeroEntropy entropy;
  postgres::PostgresClientLogin login(entropy, (options & kTls) != 0);
  Outcome outcome;
  size_t& at = outcome.taken;
  bool named = false;
  bool encrypted = false;
  bool good_token = false;
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
    if (outcome.next == Next::kNeedUser) {
      CHECK(!named);  // a client names itself once
      named = true;
      CheckIdentity(login.identity());
      outcome.next = login.Resume(UserOf(options), TransportOf(options, encrypted), outcome.out);
    }
    if (outcome.next == Next::kCheckToken) {
      CHECK(MethodOf(options) == protocol::ClientMethod::kIam && encrypted);
      CHECK(!login.token().empty() && login.token().size() <= 8192);
      good_token = login.token() == kGoodToken;
      outcome.next = login.OnTokenChecked(good_token, "a bad one", outcome.out);
      CHECK(login.token().empty());
    }
  }
  // Nobody knows the password.
  if (outcome.next == Next::kDone)
    CHECK(named && MayEnter(options, login.identity(), encrypted, good_token));
  CHECK(login.client_key().empty());
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
