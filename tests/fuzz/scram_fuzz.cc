// SCRAM messages from both ends, base64 and SASLprep.
//
// Input: options, the length of the first message, the first message, the second one.
#include <cstdint>
#include <string>

#include "protocol/auth/scram.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using Result = protocol::ScramServer::Result;

void AsServer(std::string_view first, std::string_view final) {
  ZeroEntropy entropy;
  const protocol::ScramVerifier verifier = protocol::MockVerifier("app", "key");
  protocol::ScramServer server(verifier, entropy);
  std::string reply;
  CHECK(server.OnFinal(final, reply) == Result::kMalformed);  // before the first
  CHECK(reply.empty());
  const Result result = server.OnFirst(first, reply);
  CHECK(result != Result::kWrong);
  if (result != Result::kOk) {
    CHECK(reply.empty());
    return;
  }
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

void AsClient(std::string_view first, std::string_view final) {
  ZeroEntropy entropy;
  protocol::ScramClient client(entropy);
  if (!client.OnServerFirst(first)) return;
  CHECK(client.iterations() >= 1 && client.iterations() <= protocol::kScramIterationsMax);
  CHECK(!client.salt().empty());
  protocol::ScramKeys keys;
  keys.server_key.fill(1);
  const std::string sent = client.Final(keys);
  CHECK(sent.starts_with("c=biws,r=") && sent.find(",p=") != std::string::npos);
  const std::string nonce = client.First().substr(std::string_view("n,,n=,r=").size());
  CHECK(sent.find(nonce) != std::string::npos);
  // The signature needs keys that the bytes cannot know: only this process does.
  CHECK(!client.OnServerFinal(final));
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
  switch (options % 3) {
    case 0:
      AsServer(first, final);
      return;
    case 1:
      AsClient(first, final);
      return;
    case 2:
      Primitives(final);
      return;
  }
}

}  // namespace
}  // namespace weir::fuzz
