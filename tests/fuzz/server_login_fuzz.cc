// What a server says during weir's login: in any pieces it leads to the same place; without a
// method that is allowed weir goes no further than that.
//
// Input: options, how the bytes are cut, the server's bytes.
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "protocol/postgres/server_login.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using Next = protocol::ServerLogin::Next;

constexpr uint8_t kScram = 1;
constexpr uint8_t kMd5 = 2;
constexpr uint8_t kTrust = 4;
constexpr uint8_t kInitQuery = 8;
constexpr uint8_t kReplication = 16;
constexpr uint8_t kPlus = 32;
constexpr uint8_t kEncrypted = 64;
constexpr uint8_t kPassword = 128;  // in clear text

struct Outcome {
  Next next = Next::kReceive;
  std::string out;
  protocol::Parameters parameters;
  std::string secret;
  uint32_t numbers[4] = {};
  protocol::LoginFailure failure = protocol::LoginFailure::kNone;
  std::string failure_text;
  std::string server_error;
  bool operator==(const Outcome&) const = default;
};

protocol::ServerLogin::Options LoginOptions(uint8_t options) {
  protocol::Parameters parameters;
  if ((options & kReplication) != 0) parameters.emplace_back("replication", "true");
  protocol::TransportFacts transport;
  transport.encrypted = (options & kEncrypted) != 0;
  if (transport.encrypted) transport.endpoint_binding = "hash";
  return {.user = "app",
          .database = "db",
          .parameters = parameters,
          .password = "secret",
          .allow_scram = (options & kScram) != 0,
          .allow_scram_plus = (options & kPlus) != 0,
          .allow_md5 = (options & kMd5) != 0,
          .allow_trust = (options & kTrust) != 0,
          .allow_password = (options & kPassword) != 0,
          .transport = transport,
          .init_query = (options & kInitQuery) != 0 ? "SELECT 1" : ""};
}

// The mechanism, and what is said of channel binding, are those of the options.
void CheckChoice(const Message& message, uint8_t options) {
  const bool able = (options & kPlus) != 0 && (options & kEncrypted) != 0;
  const std::string_view body = message.body;
  if (message.type != 'p' || !body.starts_with("SCRAM-SHA-256")) return;
  const bool plus = body.starts_with(Z("SCRAM-SHA-256-PLUS"));
  CHECK(plus || body.starts_with(Z("SCRAM-SHA-256")));
  CHECK(plus ? able : (options & kScram) != 0);
  const std::string_view first = body.substr(body.find('\0') + 5);
  CHECK(first.starts_with(plus ? "p=tls-server-end-point,," : able ? "y,," : "n,,"));
}

// What weir has sent shows how far it trusted the server.
void CheckSent(const Outcome& outcome, uint8_t options, std::string_view bytes) {
  // A server that sends it in its nonce gets it back.
  const bool told = bytes.find("secret") != std::string_view::npos;
  int proofs = 0;
  int queries = 0;
  for (const Message& message : AllMessages(outcome.out)) {
    CHECK(message.type == 'p' || message.type == 'Q');
    (message.type == 'p' ? proofs : queries) += 1;
    CHECK(told || message.body.find("secret") == std::string::npos ||
          (message.body == Z("secret") && (options & kPassword) != 0));
    CheckChoice(message, options);
  }
  if (queries == 0 && outcome.next != Next::kDone) return;
  if ((options & kTrust) != 0) return;
  CHECK((options & (kScram | kPlus | kMd5 | kPassword)) != 0);
  CHECK(proofs >= ((options & (kMd5 | kPassword)) != 0 ? 1 : 2));
}

Outcome LogIn(std::string_view bytes, uint8_t options, Pieces* pieces) {
  static const protocol::ScramKeys keys = protocol::DeriveScramKeys("secret", "salt", 1);
  ZeroEntropy entropy;
  postgres::PostgresServerLogin login(LoginOptions(options), entropy);
  std::string startup;
  login.Start(startup);
  Framing taken;
  Outcome outcome;
  while (!bytes.empty() && outcome.next == Next::kReceive) {
    const std::string_view part =
        bytes.substr(0, pieces == nullptr ? bytes.size() : pieces->Next(bytes.size()));
    bytes.remove_prefix(part.size());
    outcome.next = login.OnBytes(engine::AsBytes(part), outcome.out);
    while (outcome.next == Next::kNeedKeys) {
      CHECK(login.key_request().iterations >= 1 && !login.key_request().salt.empty());
      outcome.next = login.OnKeys(keys, outcome.out);
    }
    if (outcome.next == Next::kDone || outcome.next == Next::kReceive) taken.Add(part);
  }
  // What follows belongs to somebody else: nothing may be left inside.
  if (outcome.next == Next::kDone) CHECK(taken.at_boundary());
  outcome.parameters = login.parameters();
  outcome.secret = std::string(engine::AsText(login.secret()));
  const protocol::ServerLogin::Facts& facts = login.facts();
  outcome.numbers[0] = login.process_id();
  outcome.numbers[1] = facts.max_connections;
  outcome.numbers[2] = facts.superuser_reserved_connections;
  outcome.numbers[3] = facts.reserved_connections;
  outcome.failure = login.failure();
  outcome.failure_text = std::string(login.failure_text());
  outcome.server_error = std::string(login.server_error());
  return outcome;
}

void Check(const Outcome& outcome, uint8_t options, std::string_view bytes) {
  CheckSent(outcome, options, bytes);
  CHECK((outcome.next == Next::kFailed) == (outcome.failure != protocol::LoginFailure::kNone));
  if (outcome.next == Next::kFailed)
    CHECK(!outcome.failure_text.empty() || !outcome.server_error.empty());
  if (!outcome.server_error.empty()) {
    const std::vector<Message> error = AllMessages(outcome.server_error);
    CHECK(error.size() == 1 && error[0].type == 'E');
  }
  std::set<std::string_view> names;
  for (const auto& [name, value] : outcome.parameters) CHECK(names.insert(name).second);
}

FUZZ_TARGET(server_login) {
  Choices choices(input);
  const uint8_t options = choices.Byte();
  Pieces pieces(choices.Byte());
  const std::string_view bytes = choices.Rest();
  const Outcome whole = LogIn(bytes, options, nullptr);
  Check(whole, options, bytes);
  const Outcome split = LogIn(bytes, options, &pieces);
  Check(split, options, bytes);
  // What a server says behind the end of a login belongs to it or not, as the bytes come.
  for (const Outcome* outcome : {&whole, &split}) {
    if (outcome->next == Next::kDone || outcome->failure_text.ends_with("behind the login")) return;
  }
  CHECK(split == whole);
}

}  // namespace
}  // namespace weir::fuzz
