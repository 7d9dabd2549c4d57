// SCRAM messages from both ends, with channel binding and without; verifiers, base64, SASLprep.
//
// Input: options (what to do, and how the connection is bound), the length of the first message,
// the first message, the second one.
#include <cstdint>
#include <string>

#include "protocol/auth/scram.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using Result = protocol::ScramServer::Result;

constexpr std::string_view kEndPoint = "a hash of the certificate";

void AsServer(std::string_view first, std::string_view final, bool bound, bool plus) {
  ZeroEntropy entropy;
  protocol::ScramVerifier verifier = protocol::MockVerifier("app", "key");
  verifier.previous =
      protocol::ScramVerifier::Keys{.stored_key = protocol::HmacSha256("key", "previous")};
  protocol::ScramServer server(verifier, entropy, bound ? kEndPoint : std::string_view());
  std::string reply;
  CHECK(server.Choose(plus ? protocol::kScramSha256Plus : protocol::kScramSha256) ==
        (bound || !plus));
  if (plus && !bound) return;
  CHECK(server.OnFinal(final, reply) == Result::kRefused);  // before the first
  CHECK(reply.empty());
  const Result result = server.OnFirst(first, reply);
  CHECK(result != Result::kWrong);
  if (result != Result::kOk) {
    CHECK(reply.empty() && server.refusal().sqlstate.size() == 5);
    CHECK(!server.refusal().text.empty());
    return;
  }
  // What a client may say of channel binding, once it has chosen.
  CHECK(first.starts_with("p=tls-server-end-point,,") == plus);
  CHECK(!bound || !first.starts_with('y'));
  CHECK(reply.starts_with("r="));
  CHECK(reply.find('\0') == std::string::npos);
  // Its own first message is one that our client side takes, but for the nonce, which is another's.
  protocol::ScramClient stranger(entropy);
  const bool taken = stranger.OnServerFirst(reply);
  if (taken) CHECK(stranger.salt() == verifier.salt);
  reply.clear();
  CHECK(server.OnFinal(final, reply) != Result::kOk);  // nobody knows the password
  CHECK(reply.empty());
}

void AsClient(std::string_view first, std::string_view final, protocol::ScramBinding binding) {
  ZeroEntropy entropy;
  const bool bound = binding == protocol::ScramBinding::kEndPoint;
  protocol::ScramClient client(entropy, binding, bound ? kEndPoint : std::string_view());
  const std::string_view header = bound ? "p=tls-server-end-point,,"
                                  : binding == protocol::ScramBinding::kNone ? "n,,"
                                                                             : "y,,";
  CHECK(client.First().starts_with(header));
  if (!client.OnServerFirst(first)) return;
  CHECK(client.iterations() >= 1 && client.iterations() <= protocol::kScramIterationsMax);
  CHECK(!client.salt().empty());
  protocol::ScramKeys keys;
  keys.server_key.fill(1);
  const std::string sent = client.Final(keys);
  const std::string data = std::string(header) + std::string(bound ? kEndPoint : "");
  CHECK(sent.starts_with("c=" + protocol::Base64(data) + ",r="));
  CHECK(sent.find(",p=") != std::string::npos);
  const std::string nonce = client.First().substr(header.size() + 5);
  CHECK(sent.find(nonce) != std::string::npos);
  // The signature needs keys that the bytes cannot know: only this process does.
  CHECK(!client.OnServerFinal(final));
}

void Verifier(std::string_view text) {
  const std::optional<protocol::ScramVerifier> verifier = protocol::ParseScramVerifier(text);
  if (!verifier.has_value()) return;
  CHECK(!verifier->salt.empty() && !verifier->previous.has_value());
  const std::string again = "SCRAM-SHA-256$" + std::to_string(verifier->iterations) + ":" +
                            protocol::Base64(verifier->salt) + "$" +
                            protocol::Base64(protocol::AsText(verifier->stored_key)) + ":" +
                            protocol::Base64(protocol::AsText(verifier->server_key));
  const std::optional<protocol::ScramVerifier> back = protocol::ParseScramVerifier(again);
  CHECK(back.has_value() && back->salt == verifier->salt);
  CHECK(back->stored_key == verifier->stored_key && back->server_key == verifier->server_key);
  CHECK(verifier->iterations >= 1 && verifier->iterations <= protocol::kScramIterationsMax);
}

void Primitives(std::string_view text) {
  const std::string encoded = protocol::Base64(text);
  if (!text.empty()) {
    const std::optional<std::string> decoded = protocol::FromBase64(encoded);
    CHECK(decoded.has_value() && *decoded == text);
  }
  const std::optional<std::string> data = protocol::FromBase64(text);
  if (data.has_value()) {
    CHECK(data->size() <= text.size() / 4 * 3 && data->size() + 3 > text.size() / 4 * 3);
    CHECK(protocol::FromBase64(protocol::Base64(*data)) == data);
  }
  const std::optional<std::string> prepared = protocol::SaslPrep(text);
  if (prepared.has_value()) {
    CHECK(prepared->find('\0') == std::string::npos);
    CHECK(protocol::SaslPrep(*prepared) == prepared);
  }
}

FUZZ_TARGET(scram) {
  Choices choices(input);
  const uint8_t options = choices.Byte();
  const std::string_view first = choices.Text(choices.Byte());
  const std::string_view final = choices.Rest();
  const uint8_t how = options / 3 % 4;
  switch (options % 3) {
    case 0:
      AsServer(first, final, (how & 1) != 0, (how & 2) != 0);
      return;
    case 1:
      AsClient(first, final, static_cast<protocol::ScramBinding>(how % 3));
      return;
    case 2:
      Primitives(final);
      Verifier(final);
      return;
  }
}

}  // namespace
}  // namespace weir::fuzz
