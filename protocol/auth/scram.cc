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
// Of a peer's text in an error.
constexpr size_t kShownMax = 60;

constexpr std::string_view kProtocolViolation = "08P01";
constexpr std::string_view kInvalidAuthorization = "28000";
constexpr std::string_view kFeatureNotSupported = "0A000";

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

// nullopt: no number, or one out of bounds.
std::optional<uint32_t> Iterations(std::string_view text) {
  uint32_t count = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc() || stop != end || count < 1 || count > kScramIterationsMax)
    return std::nullopt;
  return count;
}

std::string_view Gs2Header(ScramBinding binding) {
  switch (binding) {
    case ScramBinding::kNone:
      return "n,,";
    case ScramBinding::kNotOffered:
      return "y,,";
    case ScramBinding::kEndPoint:
      return "p=tls-server-end-point,,";
  }
  UNREACHABLE();
}

// As PostgreSQL shows what a client has sent: anything but printable ASCII as '?'.
std::string Printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c < 0x21 || c > 0x7e ? '?' : c;
  return out;
}

bool TakeDigest(std::string_view text, Digest256& out) {
  const std::optional<std::string> bytes = FromBase64(text);
  if (!bytes || bytes->size() != out.size()) return false;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return true;
}

}  // namespace

std::optional<ScramVerifier> ParseScramVerifier(std::string_view text) {
  constexpr std::string_view kBegin = "SCRAM-SHA-256$";
  if (!text.starts_with(kBegin)) return std::nullopt;
  text.remove_prefix(kBegin.size());
  const size_t keys_at = text.find('$');
  const size_t salt_at = text.find(':');
  if (keys_at == std::string_view::npos || salt_at > keys_at) return std::nullopt;
  const std::optional<uint32_t> iterations = Iterations(text.substr(0, salt_at));
  const std::optional<std::string> salt =
      FromBase64(text.substr(salt_at + 1, keys_at - salt_at - 1));
  const std::string_view keys = text.substr(keys_at + 1);
  const size_t colon = keys.find(':');
  if (!iterations || !salt || salt->empty() || colon == std::string_view::npos) return std::nullopt;
  ScramVerifier verifier;
  verifier.salt = *salt;
  verifier.iterations = *iterations;
  if (!TakeDigest(keys.substr(0, colon), verifier.stored_key) ||
      !TakeDigest(keys.substr(colon + 1), verifier.server_key))
    return std::nullopt;
  return verifier;
}

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
  Wipe(salted);
  return keys;
}

void Wipe(ScramKeys& keys) {
  Wipe(keys.client_key);
  Wipe(keys.stored_key);
  Wipe(keys.server_key);
}

ScramVerifier MockVerifier(std::string_view user, std::string_view salt_key) {
  ScramVerifier verifier;
  // Keys that nobody knows the preimage of: no proof can fit, nor is any signed.
  verifier.stored_key = verifier.server_key = HmacSha256(salt_key, user);
  verifier.salt = std::string(AsText(verifier.stored_key).substr(0, kSaltBytes));
  return verifier;
}

ScramServer::ScramServer(const ScramVerifier& verifier, engine::Entropy& entropy,
                         std::string_view binding)
    : verifier_(verifier), binding_(binding), nonce_(NewNonce(entropy)) {}

ScramServer::~ScramServer() { Wipe(client_key_); }

std::vector<std::string_view> ScramServer::Mechanisms() const {
  if (binding_.empty()) return {kScramSha256};
  return {kScramSha256Plus, kScramSha256};
}

bool ScramServer::Choose(std::string_view mechanism) {
  plus_ = mechanism == kScramSha256Plus;
  return mechanism == kScramSha256 || (plus_ && !binding_.empty());
}

ScramServer::Result ScramServer::Refuse(std::string_view sqlstate, std::string text) {
  refusal_ = {sqlstate, std::move(text)};
  return Result::kRefused;
}

ScramServer::Result ScramServer::Malformed(std::string_view detail) {
  return Refuse(kProtocolViolation, Cat("malformed SCRAM message: ", detail));
}

// gs2-cbind-flag (RFC 5802, section 6): what the client says of channel binding must fit the
// mechanism that it has chosen and what was offered.
ScramServer::Result ScramServer::TakeFlag(std::string_view flag) {
  if (flag == "n" || flag == "y") {
    if (plus_) {
      return Malformed(
          "the client selected SCRAM-SHA-256-PLUS, but the message includes no channel binding "
          "data");
    }
    // It has not seen the offer: somebody between us has taken it away.
    if (flag == "y" && !binding_.empty()) {
      return Refuse(kInvalidAuthorization,
                    "SCRAM channel binding negotiation error: the client supports channel binding "
                    "but thinks that the server does not; however, this server does");
    }
    return Result::kOk;
  }
  if (!flag.starts_with("p=")) return Malformed("unexpected channel-binding flag");
  if (!plus_) {
    return Malformed(
        "the client selected SCRAM-SHA-256 without channel binding, but the message includes "
        "channel binding data");
  }
  const std::string_view type = flag.substr(2);
  if (type != kTlsServerEndPoint) {
    return Refuse(kProtocolViolation, Cat("unsupported SCRAM channel-binding type \"",
                                          Printable(type.substr(0, kShownMax)), "\""));
  }
  return Result::kOk;
}

ScramServer::Result ScramServer::OnFirst(std::string_view message, std::string& reply) {
  if (message.find('\0') != std::string_view::npos)
    return Malformed("message length does not match the input length");
  if (!server_first_.empty()) return Malformed("a second first message");
  const size_t flag_end = message.find(',');
  if (flag_end == std::string_view::npos) return Malformed("no channel-binding flag");
  if (const Result flag = TakeFlag(message.substr(0, flag_end)); flag != Result::kOk) return flag;
  const size_t header_end = message.find(',', flag_end + 1);
  if (header_end == std::string_view::npos) return Malformed("no authorization identity");
  if (header_end != flag_end + 1) {
    return message[flag_end + 1] == 'a'
               ? Refuse(kFeatureNotSupported,
                        "client uses authorization identity, but it is not supported")
               : Malformed("unexpected attribute in the header of the first message");
  }
  gs2_header_ = std::string(message.substr(0, header_end + 1));
  first_bare_ = std::string(message.substr(header_end + 1));
  std::string_view rest = first_bare_;
  if (rest.starts_with('m'))
    return Refuse(kFeatureNotSupported, "client requires an unsupported SCRAM extension");
  // PostgreSQL takes the user from the startup message; the name here is not looked at.
  if (!Attribute(rest, 'n')) return Malformed("no user name");
  const std::optional<std::string_view> client_nonce = Attribute(rest, 'r');
  if (!client_nonce || client_nonce->empty()) return Malformed("no nonce");
  for (const char byte : *client_nonce) {
    if (byte < 0x21 || byte > 0x7e)
      return Refuse(kProtocolViolation, "non-printable characters in SCRAM nonce");
  }
  nonce_ = Cat(*client_nonce, nonce_);
  server_first_ = Cat("r=", nonce_, ",s=", Base64(verifier_.salt), ",i=", verifier_.iterations);
  reply = server_first_;
  return Result::kOk;
}

bool ScramServer::Proves(const ScramVerifier::Keys& keys, std::string_view auth_message,
                         std::string_view proof, std::string& reply) {
  Digest256 sent;
  std::copy(proof.begin(), proof.end(), sent.begin());
  Digest256 key = Xor(sent, HmacSha256(AsText(keys.stored_key), auth_message));
  const bool proven = EqualInConstantTime(AsText(Sha256(AsText(key))), AsText(keys.stored_key));
  if (proven) {
    client_key_ = key;
    reply = Cat("v=", Base64(AsText(HmacSha256(AsText(keys.server_key), auth_message))));
  }
  Wipe(key);
  return proven;
}

ScramServer::Result ScramServer::OnFinal(std::string_view message, std::string& reply) {
  const size_t proof_at = message.rfind(",p=");
  if (server_first_.empty()) return Malformed("a final message before the first");
  if (proof_at == std::string_view::npos) return Malformed("no proof");
  const std::string_view without_proof = message.substr(0, proof_at);
  std::string_view rest = without_proof;
  const std::optional<std::string_view> binding = Attribute(rest, 'c');
  const std::optional<std::string_view> nonce = Attribute(rest, 'r');
  if (!binding || !nonce) return Malformed("no channel binding attribute, or no nonce");
  if (*binding != Base64(Cat(gs2_header_, plus_ ? binding_ : std::string()))) {
    return plus_ ? Refuse(kInvalidAuthorization, "SCRAM channel binding check failed")
                 : Refuse(kProtocolViolation,
                          "unexpected SCRAM channel-binding attribute in client-final-message");
  }
  if (!EqualInConstantTime(*nonce, nonce_))
    return Refuse(kProtocolViolation, "invalid SCRAM response: the nonce does not match");
  const std::optional<std::string> proof = FromBase64(message.substr(proof_at + 3));
  if (!proof || proof->size() != sizeof(Digest256)) return Malformed("malformed proof");
  const std::string auth_message = Cat(first_bare_, ",", server_first_, ",", without_proof);
  // A wrong one costs two tries, whether there is a password before this one or not: nobody sees
  // that it is being changed.
  const ScramVerifier::Keys now{verifier_.stored_key, verifier_.server_key};
  return Proves(now, auth_message, *proof, reply) ||
                 Proves(verifier_.previous.value_or(now), auth_message, *proof, reply)
             ? Result::kOk
             : Result::kWrong;
}

ScramClient::ScramClient(engine::Entropy& entropy, ScramBinding binding, std::string_view end_point)
    : gs2_header_(Gs2Header(binding)), end_point_(end_point), nonce_(NewNonce(entropy)) {
  CHECK((binding == ScramBinding::kEndPoint) == !end_point_.empty());
}

std::string ScramClient::First() const { return Cat(gs2_header_, "n=,r=", nonce_); }

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
  const std::optional<uint32_t> count = Iterations(*iterations);
  if (!raw_salt || raw_salt->empty() || !count) return false;
  salt_ = *raw_salt;
  iterations_ = *count;
  return true;
}

std::string ScramClient::Final(const ScramKeys& keys) {
  const std::string without_proof =
      Cat("c=", Base64(Cat(gs2_header_, end_point_)), ",r=", combined_nonce_);
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
