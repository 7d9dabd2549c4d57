#include "engine/tls_openssl.h"

#include <openssl/err.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "engine/tls_certificate.h"

namespace weir::engine {
namespace {

std::string_view TextOrNothing(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

}  // namespace

// OpenSSL's reads and writes go to these bytes; its errors are this call's own.
class TlsOpenssl::Call {
 public:
  Call(TlsOpenssl& tls, Bytes* in, TlsOutput& out) : tls_(tls) {
    CHECK(tls_.out_ == nullptr);
    tls_.in_ = in;
    tls_.out_ = &out;
    ERR_clear_error();
  }
  ~Call() {
    tls_.in_ = nullptr;
    tls_.out_ = nullptr;
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  TlsOpenssl& tls_;
};

const BIO_METHOD* TlsOpenssl::Method() {
  static const BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir stream");
    CHECK(method != nullptr);
    BIO_meth_set_read_ex(method, &TlsOpenssl::OnBioRead);
    BIO_meth_set_write_ex(method, &TlsOpenssl::OnBioWrite);
    BIO_meth_set_ctrl(method, &TlsOpenssl::OnBioControl);
    return method;
  }();
  return kMethod;
}

int TlsOpenssl::OnBioRead(BIO* bio, char* data, size_t size, size_t* done) {
  TlsOpenssl& tls = *static_cast<TlsOpenssl*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (tls.in_ == nullptr || tls.in_->empty()) {
    BIO_set_retry_read(bio);
    return 0;
  }
  *done = std::min(size, tls.in_->size());
  std::memcpy(data, tls.in_->data(), *done);
  *tls.in_ = tls.in_->subspan(*done);
  return 1;
}

int TlsOpenssl::OnBioWrite(BIO* bio, const char* data, size_t size, size_t* done) {
  TlsOpenssl& tls = *static_cast<TlsOpenssl*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *done = size;
  if (tls.out_ != nullptr && size > 0) tls.out_->OnCiphertext(AsBytes({data, size}));
  return 1;
}

long TlsOpenssl::OnBioControl(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

TlsOpenssl::TlsOpenssl(SSL* ssl, const Server& server) : ssl_(ssl), server_(server) {
  BIO* bio = BIO_new(Method());
  CHECK(ssl_ != nullptr && bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
}

TlsOpenssl::~TlsOpenssl() { SSL_free(ssl_); }

Tls::Status TlsOpenssl::Read(Bytes& in, MutableBytes into, size_t& length, TlsOutput& out) {
  length = 0;
  const Call call(*this, &in, out);
  switch (state_) {
    case State::kFailed:
      in = {};
      return Status::kFailed;
    case State::kHandshaking: {
      const int result = SSL_do_handshake(ssl_);
      if (result != 1) return After(result);
      state_ = State::kReady;
      ticket_due_ = server_.tickets != nullptr && SSL_version(ssl_) >= TLS1_3_VERSION;
      return Status::kReady;
    }
    case State::kReady: {
      if (into.empty()) return in.empty() ? Status::kMore : Status::kData;
      const int result = SSL_read_ex(ssl_, into.data(), into.size(), &length);
      return result == 1 ? Status::kData : After(result);
    }
  }
  UNREACHABLE();
}

Tls::Status TlsOpenssl::After(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Status::kMore;
    case SSL_ERROR_ZERO_RETURN:
      if (state_ == State::kReady) return Status::kClosed;
      break;
    default:
      break;
  }
  error_ = Reason();
  state_ = State::kFailed;
  return Status::kFailed;
}

void TlsOpenssl::Write(Bytes plaintext, TlsOutput& out) {
  CHECK(state_ == State::kReady && !plaintext.empty());
  const Call call(*this, nullptr, out);
  if (ticket_due_) {
    ticket_due_ = false;
    if (SSL_new_session_ticket(ssl_) != 1) ERR_clear_error();
  }
  size_t done = 0;
  if (SSL_write_ex(ssl_, plaintext.data(), plaintext.size(), &done) == 1) {
    CHECK(done == plaintext.size());
    return;
  }
  // Only a lack of memory, or keys that are used up: the connection cannot go on.
  error_ = Reason();
  state_ = State::kFailed;
}

void TlsOpenssl::Close(TlsOutput& out) {
  CHECK(state_ == State::kReady);
  const Call call(*this, nullptr, out);
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

// What failed lies deepest; what it failed for is said by the SSL part of the library.
std::string TlsOpenssl::Reason() const {
  unsigned long code = ERR_peek_error();
  if (code == 0) return "the handshake was cut off";
  for (unsigned long each = ERR_get_error(); each != 0; each = ERR_get_error()) {
    if (ERR_GET_LIB(each) != ERR_LIB_SSL) continue;
    if (ERR_GET_LIB(code) != ERR_LIB_SSL) code = each;
    if (ERR_GET_REASON(each) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      return Cat("the other side's certificate cannot be verified: ",
                 TextOrNothing(X509_verify_cert_error_string(SSL_get_verify_result(ssl_))));
    }
  }
  const int reason = ERR_GET_REASON(code);
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
      reason < SSL_AD_REASON_OFFSET + 256) {
    return Cat("the other side ended it by the alert \"",
               TextOrNothing(SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET)), "\"");
  }
  const std::string_view text = TextOrNothing(ERR_reason_error_string(code));
  return text.empty() ? Cat("error ", reason, " of the TLS library") : std::string(text);
}

TlsFacts TlsOpenssl::Facts() const {
  TlsFacts facts;
  if (state_ != State::kReady) return facts;
  facts.version = TextOrNothing(SSL_get_version(ssl_));
  facts.cipher = TextOrNothing(SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl_)));
  const unsigned char* protocol = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl_, &protocol, &length);
  if (length > 0) facts.protocol.assign(reinterpret_cast<const char*>(protocol), length);
  facts.server_name = TextOrNothing(SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name));
  facts.resumed = SSL_session_reused(ssl_) == 1;
  X509* const peer = SSL_get0_peer_certificate(ssl_);
  X509* const servers = SSL_is_server(ssl_) == 1 ? SSL_get_certificate(ssl_) : peer;
  if (servers != nullptr) facts.endpoint_binding = EndpointBinding(*servers);
  if (peer != nullptr && SSL_get_verify_result(ssl_) == X509_V_OK)
    facts.peer_names = PeerNames(*peer);
  return facts;
}

}  // namespace weir::engine
