#include "protocol/auth/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "engine/base/check.h"

namespace weir::protocol {
namespace {

const unsigned char* Data(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

Digest256 Sha256(std::string_view data) {
  Digest256 digest;
  unsigned length = 0;
  CHECK(EVP_Digest(data.data(), data.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1);
  return digest;
}

Digest256 HmacSha256(std::string_view key, std::string_view data) {
  Digest256 digest;
  unsigned length = 0;
  CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Data(data), data.size(),
             digest.data(), &length) != nullptr);
  return digest;
}

std::string Md5Hex(std::string_view data) {
  unsigned char digest[16];
  unsigned length = 0;
  // A server that asks for md5 needs it, whatever the library's policy: an honest failure is an
  // empty text.
  if (EVP_Digest(data.data(), data.size(), digest, &length, EVP_md5(), nullptr) != 1) return {};
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : digest) {
    text.push_back(kHex[byte >> 4]);
    text.push_back(kHex[byte & 15]);
  }
  return text;
}

std::string Base64(std::string_view data) {
  std::string text((data.size() + 2) / 3 * 4 + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), Data(data),
                                     static_cast<int>(data.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

std::optional<std::string> FromBase64(std::string_view text) {
  if (text.size() % 4 != 0 || text.empty()) return std::nullopt;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  // What the decoder takes but is not base64: white space, and a '-' that ends it early.
  if (text.substr(0, text.size() - padding).find_first_of("=- \t\r\n") != std::string_view::npos)
    return std::nullopt;
  std::string data(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(data.data()), Data(text),
                                     static_cast<int>(text.size()));
  if (length < 0) return std::nullopt;
  data.resize(static_cast<size_t>(length) - padding);
  return data;
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void Wipe(std::string& secret) {
  // What a text that was moved away has left inside, too.
  secret.resize(secret.capacity());
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
}

void Wipe(Digest256& secret) { OPENSSL_cleanse(secret.data(), secret.size()); }

}  // namespace weir::protocol
