#include "bench/load/tls.h"

#include <utility>

#include "engine/base/check.h"
#include "engine/tls_openssl.h"

namespace weir::load {

TlsClients::TlsClients() : context_(SSL_CTX_new(TLS_client_method())) {
  CHECK(context_ != nullptr);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context_, &TlsClients::OnSession);
  SSL_CTX_set_app_data(context_, this);
  // The same for every program under test, whatever its library likes best.
  CHECK(SSL_CTX_set1_groups_list(context_, "X25519:P-256") == 1);
  CHECK(SSL_CTX_set_ciphersuites(context_, "TLS_AES_256_GCM_SHA384") == 1);
}

TlsClients::~TlsClients() {
  SSL_SESSION_free(session_);
  SSL_CTX_free(context_);
}

int TlsClients::OnSession(SSL* ssl, SSL_SESSION* session) {
  auto& clients = *static_cast<TlsClients*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  SSL_SESSION_free(std::exchange(clients.session_, session));
  return 1;  // it is ours now
}

std::unique_ptr<engine::Tls> TlsClients::New(bool resumes) const {
  SSL* ssl = SSL_new(context_);
  CHECK(ssl != nullptr);
  SSL_set_connect_state(ssl);
  if (resumes && session_ != nullptr) {
    // A copy: OpenSSL's clients take a session up once.
    SSL_SESSION* session = SSL_SESSION_dup(session_);
    CHECK(SSL_set_session(ssl, session) == 1);
    SSL_SESSION_free(session);
  }
  return std::make_unique<engine::TlsOpenssl>(ssl, engine::TlsOpenssl::Server{});
}

}  // namespace weir::load
