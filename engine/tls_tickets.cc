#include "engine/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <cstdint>
#include <cstring>

#include "engine/tls_openssl.h"

namespace weir::engine {
namespace {

constexpr size_t kNameBytes = 16;
constexpr size_t kIvBytes = 16;
constexpr size_t kKeyBytes = 32;

}  // namespace

struct TlsTicketKeys::Keys {
  uint8_t name[kKeyBytes];  // the first kNameBytes of it
  uint8_t cipher[kKeyBytes];
  uint8_t mac[kKeyBytes];
  ~Keys() { OPENSSL_cleanse(this, sizeof *this); }
};

TlsTicketKeys::TlsTicketKeys(Entropy& entropy) { entropy.Fill(master_); }

TlsTicketKeys::~TlsTicketKeys() { OPENSSL_cleanse(master_.data(), master_.size()); }

bool TlsTicketKeys::Install(SSL_CTX& context) {
  SSL_CTX_set_timeout(&context, static_cast<long>(kPeriod / kSecond));
  // One of our own goes with the first data.
  return SSL_CTX_set_num_tickets(&context, 0) == 1 &&
         SSL_CTX_set_tlsext_ticket_key_evp_cb(&context, &TlsTicketKeys::OnTicket) != 0;
}

bool TlsTicketKeys::Derive(uint64_t period, Keys& keys) const {
  uint8_t* const outs[] = {keys.name, keys.cipher, keys.mac};
  for (uint8_t purpose = 0; purpose < 3; ++purpose) {
    uint8_t message[9] = {purpose};
    for (size_t i = 0; i < 8; ++i) message[1 + i] = static_cast<uint8_t>(period >> (8 * i));
    if (HMAC(EVP_sha256(), master_.data(), static_cast<int>(master_.size()), message,
             sizeof message, outs[purpose], nullptr) == nullptr)
      return false;
  }
  return true;
}

// 1: by these keys; 2: the same, and the client should get a new one; 0: not ours, or too old: a
// full handshake.
int TlsTicketKeys::OnTicket(SSL* ssl, unsigned char* name, unsigned char* iv,
                            EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int encrypt) {
  const TlsOpenssl::Server& server = TlsOpenssl::Of(ssl).server();
  if (server.tickets == nullptr) return 0;
  const uint64_t now = static_cast<uint64_t>(server.now / kPeriod);
  Keys keys;
  int answer = 1;
  if (!server.tickets->Derive(now, keys)) return -1;
  if (encrypt != 0) {
    std::memcpy(name, keys.name, kNameBytes);
    if (RAND_bytes(iv, kIvBytes) != 1) return -1;
  } else if (CRYPTO_memcmp(name, keys.name, kNameBytes) != 0) {
    if (!server.tickets->Derive(now - 1, keys)) return -1;
    if (CRYPTO_memcmp(name, keys.name, kNameBytes) != 0) return 0;
    answer = 2;
  }
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, keys.mac, kKeyBytes),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  const bool ok =
      EVP_MAC_CTX_set_params(mac, parameters) == 1 &&
      EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, keys.cipher, iv, encrypt) == 1;
  return ok ? answer : -1;
}

}  // namespace weir::engine
