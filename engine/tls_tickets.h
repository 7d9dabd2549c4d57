// The keys of session tickets: what a client shows to skip a full handshake.
//
// Keys are derived from a random master and the time, one set for each period, so that shards share
// nothing that changes. This period's and the last one's tickets are good. The master dies with its
// context: tickets do not outlive a reload.
#pragma once

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <array>
#include <cstdint>

#include "engine/base/clock.h"
#include "engine/base/prng.h"

namespace weir::engine {

class TlsTicketKeys {
 public:
  static constexpr Nanos kPeriod = 3600 * kSecond;

  explicit TlsTicketKeys(Entropy& entropy);
  ~TlsTicketKeys();
  TlsTicketKeys(const TlsTicketKeys&) = delete;
  TlsTicketKeys& operator=(const TlsTicketKeys&) = delete;

  // Makes the context give and take tickets, by the keys of each connection (TlsOpenssl::Server).
  static bool Install(SSL_CTX& context);

 private:
  struct Keys;
  static int OnTicket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                      EVP_MAC_CTX* mac, int encrypt);
  bool Derive(uint64_t period, Keys& keys) const;

  std::array<uint8_t, 32> master_;
};

}  // namespace weir::engine
