#include "protocol/auth/scram.h"

#include <openssl/evp.h>
#include <stringprep.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/text.h"

namespace weir::protocol {
namespace {

using engine::Cat;

constexpr size_t kNonceBytes = 18;
constexpr size_t kSaltBytes = 16;

std::string NewNonce(engine::Entropy& entropy) {
  uint8_t random[kNonceBytes];
  entropy.Fill(random);
  return Base64({reinterpret_cast<const char*>(random), sizeof random});
}

Digest256 Xor(const Digest256& a, const Digest256& b) {
  Digest256 out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = a[i] ^ b[i];
  return out;
}

// "x=value" at the front; what follows its comma stays in `message`. nullopt: it is not there.
std::optional<std::string_view> Attribute(std::string_view& message, char name) {
  if (message.size() < 2 || message[0] != name || message[1] != '=') return std::nullopt;
  const size_t end = message.find(',');
  const std::string_view value = message.substr(2, end == std::string_view::npos ? end : end - 2);
  message.remove_prefix(end == std::string_view::npos ? message.size() : end + 1);
  return value;
}

}  // namespace

std::optional<std::string> SaslPrep(std::string_view text) {
  bool ascii = true;
  for (const char byte : text)
    ascii = ascii && static_cast<uint8_t>(byte) >= 0x20 && static_cast<uint8_t>(byte) < 0x7f;
  if (ascii && !text.empty()) return std::string(text);
  // Room for the longest form that anybody uses; a longer one counts as having none.
  std::vector<char> buffer(text.size() * 4 + 64);
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  std::copy(text.begin(), text.end(), buffer.begin());
  buffer[text.size()] = '\0';
  if (stringprep(buffer.data(), buffer.size(), static_cast<Stringprep_profile_flags>(0),
                 stringprep_saslprep) != STRINGPREP_OK) {
    return std::nullopt;
  }
  return std::string(buffer.data());
}

ScramKeys DeriveScramKeys(std::string_view password, std::string_view salt, uint32_t iterations) {
  std::string prepared = SaslPrep(password).value_or(std::string(password));
  Digest256 salted;
  CHECK(PKCS5_PBKDF2_HMAC(prepared.data(), static_cast<int>(prepared.size()),
                          reinterpret_cast<const unsigned char*>(salt.data()),
                          static_cast<int>(salt.size()), static_cast<int>(iterations), EVP_sha256(),
                          static_cast<int>(salted.size()), salted.data()) == 1);
  Wipe(prepared);
  ScramKeys keys;
  keys.client_key = HmacSha256(AsText(salted), "Client Key");
  keys.stored_key = Sha256(AsText(keys.client_key));
  keys.server_key = HmacSha256(AsText(salted), "Server Key");
  return keys;
}

ScramVerifier MockVerifier(std::string_view user, std::string_view salt_key) {
  ScramVerifier verifier;
  verifier.salt = std::string(AsText(HmacSha256(salt_key, user)).substr(0, kSaltBytes));
  // A stored key that nobody knows the preimage of: no proof can fit.
  verifier.stored_key = HmacSha256(salt_key, Cat("stored key of ", user));
  verifier.server_key = HmacSha256(salt_key, Cat("server key of ", user));
  return verifier;
}

ScramServer::ScramServer(const ScramVerifier& verifier, engine::Entropy& entropy)
    : verifier_(verifier), nonce_(NewNonce(entropy)) {}

ScramServer::Result ScramServer::OnFirst(std::string_view message, std::string& reply) {
  // gs2-header: channel binding flag, authorization identity. 'y' is fine as long as we offer no
  // binding.
  const size_t flag_end = message.find(',');
  if (flag_end == std::string_view::npos) return Result::kMalformed;
  const std::string_view flag = message.substr(0, flag_end);
  if (flag != "n" && flag != "y") return Result::kMalformed;
  const size_t header_end = message.find(',', flag_end + 1);
  if (header_end == std::string_view::npos || header_end != flag_end + 1) return Result::kMalformed;
  gs2_header_ = std::string(message.substr(0, header_end + 1));
  first_bare_ = std::string(message.substr(header_end + 1));
  std::string_view rest = first_bare_;
  // PostgreSQL takes the user from the startup message; the name here is not looked at.
  if (!Attribute(rest, 'n')) return Result::kMalformed;
  const std::optional<std::string_view> client_nonce = Attribute(rest, 'r');
  if (!client_nonce || client_nonce->empty()) return Result::kMalformed;
  for (const char byte : *client_nonce) {
    if (byte < 0x21 || byte > 0x7e) return Result::kMalformed;
  }
  nonce_ = Cat(*client_nonce, nonce_);
  server_first_ = Cat("r=", nonce_, ",s=", Base64(verifier_.salt), ",i=", verifier_.iterations);
  reply = server_first_;
  return Result::kOk;
}

ScramServer::Result ScramServer::OnFinal(std::string_view message, std::string& reply) {
  const size_t proof_at = message.rfind(",p=");
  if (server_first_.empty() || proof_at == std::string_view::npos) return Result::kMalformed;
  const std::string_view without_proof = message.substr(0, proof_at);
  std::string_view rest = without_proof;
  const std::optional<std::string_view> binding = Attribute(rest, 'c');
  const std::optional<std::string_view> nonce = Attribute(rest, 'r');
  if (!binding || !nonce || *binding != Base64(gs2_header_) ||
      !EqualInConstantTime(*nonce, nonce_)) {
    return Result::kMalformed;
  }
  const std::optional<std::string> proof = FromBase64(message.substr(proof_at + 3));
  if (!proof || proof->size() != sizeof(Digest256)) return Result::kMalformed;
  const std::string auth_message = Cat(first_bare_, ",", server_first_, ",", without_proof);
  const Digest256 signature = HmacSha256(AsText(verifier_.stored_key), auth_message);
  Digest256 sent;
  std::copy(proof->begin(), proof->end(), sent.begin());
  if (!EqualInConstantTime(AsText(Sha256(AsText(Xor(sent, signature)))),
                           AsText(verifier_.stored_key))) {
    return Result::kWrong;
  }
  reply = Cat("v=", Base64(AsText(HmacSha256(AsText(verifier_.server_key), auth_message))));
  return Result::kOk;
}

ScramClient::ScramClient(engine::Entropy& entropy) : nonce_(NewNonce(entropy)) {}

std::string ScramClient::First() const { return Cat("n,,n=,r=", nonce_); }

bool ScramClient::OnServerFirst(std::string_view message) {
  server_first_ = std::string(message);
  const std::optional<std::string_view> nonce = Attribute(message, 'r');
  const std::optional<std::string_view> salt = Attribute(message, 's');
  const std::optional<std::string_view> iterations = Attribute(message, 'i');
  if (!nonce || !salt || !iterations || !nonce->starts_with(nonce_) ||
      nonce->size() == nonce_.size())
    return false;
  combined_nonce_ = std::string(*nonce);
  const std::optional<std::string> raw_salt = FromBase64(*salt);
  const char* end = iterations->data() + iterations->size();
  const auto [stop, error] = std::from_chars(iterations->data(), end, iterations_);
  if (!raw_salt || raw_salt->empty() || error != std::errc() || stop != end) return false;
  salt_ = *raw_salt;
  return iterations_ >= 1 && iterations_ <= kScramIterationsMax;
}

std::string ScramClient::Final(const ScramKeys& keys) {
  const std::string without_proof = Cat("c=", Base64("n,,"), ",r=", combined_nonce_);
  const std::string auth_message = Cat("n=,r=", nonce_, ",", server_first_, ",", without_proof);
  const Digest256 proof = Xor(keys.client_key, HmacSha256(AsText(keys.stored_key), auth_message));
  server_signature_ = HmacSha256(AsText(keys.server_key), auth_message);
  return Cat(without_proof, ",p=", Base64(AsText(proof)));
}

bool ScramClient::OnServerFinal(std::string_view message) const {
  const std::optional<std::string_view> value = Attribute(message, 'v');
  const std::optional<std::string> signature = value ? FromBase64(*value) : std::nullopt;
  return signature && EqualInConstantTime(*signature, AsText(server_signature_));
}

}  // namespace weir::protocol
