// TLS of the load's clients, by OpenSSL itself: they verify nothing, for that would be their own
// work, and may take up the session of those before them.
#pragma once

#include <openssl/ssl.h>

#include <memory>

#include "engine/tls.h"

namespace weir::load {

class TlsClients {
 public:
  TlsClients();
  ~TlsClients();
  TlsClients(const TlsClients&) = delete;
  TlsClients& operator=(const TlsClients&) = delete;

  // `resumes`: takes up the last session that a server has given, if there is one.
  std::unique_ptr<engine::Tls> New(bool resumes) const;

 private:
  static int OnSession(SSL* ssl, SSL_SESSION* session);

  SSL_CTX* const context_;
  SSL_SESSION* session_ = nullptr;
};

}  // namespace weir::load
