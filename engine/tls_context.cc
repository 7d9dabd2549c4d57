#include "engine/tls_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "engine/tls_certificate.h"
#include "engine/tls_openssl.h"
#include "engine/tls_tickets.h"

namespace weir::engine {
namespace {

struct ContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, ContextFree>;

// Of TLS 1.2; all of TLS 1.3's are good.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
// Of both: elliptic curves, the first one safe against quantum computers too, where the library has
// it. Not the large finite fields that it also has: one such handshake keeps a shard busy for up to
// 90 ms, at the client's choice.
constexpr const char* kGroups = "X25519MLKEM768:X25519:P-256:P-384:P-521";
constexpr const char* kGroupsOfOlder = "X25519:P-256:P-384:P-521";
constexpr int kSecurityLevel = 2;  // 112 bits: RSA of 2048 bits, no SHA-1

// ALPN's list of one protocol.
std::string ProtocolList(std::string_view protocol) {
  return protocol.empty() ? std::string() : Cat(static_cast<char>(protocol.size()), protocol);
}

absl::StatusOr<Context> NewContext(const SSL_METHOD* method) {
  ERR_clear_error();
  Context context(SSL_CTX_new(method));
  if (context == nullptr)
    return absl::InternalError(Cat("the TLS library cannot be used: ", OpensslError()));
  SSL_CTX_set_security_level(context.get(), kSecurityLevel);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  if (SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context.get(), kCiphers) != 1 ||
      (SSL_CTX_set1_groups_list(context.get(), kGroups) != 1 &&
       SSL_CTX_set1_groups_list(context.get(), kGroupsOfOlder) != 1))
    return absl::InternalError(Cat("the TLS library cannot be used: ", OpensslError()));
  ERR_clear_error();
  return context;
}

}  // namespace

struct TlsServerContext::Parts {
  struct Served {
    Context context;
    std::vector<std::string> names;
  };
  explicit Parts(Entropy& entropy) : tickets(entropy) {}

  const Served& Choose(std::string_view host) const;

  std::vector<Served> served;
  std::string protocol;
  bool gives_tickets = false;
  TlsTicketKeys tickets;
};

const TlsServerContext::Parts::Served& TlsServerContext::Parts::Choose(
    std::string_view host) const {
  for (const bool wildcards : {false, true}) {
    for (const Served& each : served) {
      for (const std::string& name : each.names) {
        if (name.starts_with('*') == wildcards && NameFits(name, host)) return each;
      }
    }
  }
  return served.front();
}

// Makes a server's context, and has the callbacks of its handshakes.
class TlsServerLoader {
 public:
  using Parts = TlsServerContext::Parts;

  TlsServerLoader(const TlsServerOptions& options, std::vector<std::string>& warnings)
      : options_(options), warnings_(warnings) {}

  absl::StatusOr<std::unique_ptr<const TlsServerContext>> Load(Entropy& entropy) {
    auto parts = std::make_unique<Parts>(entropy);
    parts->protocol = options_.protocol;
    // A ticket would skip the check of the client's certificate.
    parts->gives_tickets = options_.client_ca_file.empty();
    X509Store authorities;
    if (!options_.client_ca_file.empty()) {
      absl::StatusOr<X509Store> loaded = LoadAuthorities(options_.client_ca_file);
      if (!loaded.ok()) return loaded.status();
      authorities = *std::move(loaded);
    }
    CHECK(!options_.certificates.empty());
    for (const TlsServerOptions::Certificate& each : options_.certificates) {
      absl::StatusOr<Context> context = NewContext(TLS_server_method());
      if (!context.ok()) return context.status();
      if (absl::Status status = Fill(**context, each, authorities.get(), *parts); !status.ok())
        return status;
      X509& certificate = *SSL_CTX_get0_certificate(context->get());
      parts->served.push_back({*std::move(context), HostNames(certificate)});
    }
    return std::make_unique<const TlsServerContext>(std::move(parts));
  }

 private:
  absl::Status Fill(SSL_CTX& context, const TlsServerOptions::Certificate& files,
                    X509_STORE* authorities, Parts& parts) {
    if (absl::Status status =
            UseCertificate(context, files.certificate_file, files.key_file, warnings_);
        !status.ok())
      return status;
    if (options_.only_newest) SSL_CTX_set_min_proto_version(&context, TLS1_3_VERSION);
    SSL_CTX_set_client_hello_cb(&context, &OnClientHello, &parts);
    SSL_CTX_set_alpn_select_cb(&context, &OnProtocols, &parts);
    if (authorities != nullptr) UseAuthorities(context, *authorities);
    if (!parts.gives_tickets) {
      SSL_CTX_set_options(&context, SSL_OP_NO_TICKET);
      SSL_CTX_set_num_tickets(&context, 0);
    } else if (!TlsTicketKeys::Install(context)) {
      return absl::InternalError(Cat("the TLS library cannot be used: ", OpensslError()));
    }
    // A session is good for its certificate only.
    uint8_t id[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (X509_digest(SSL_CTX_get0_certificate(&context), EVP_sha256(), id, &length) != 1 ||
        SSL_CTX_set_session_id_context(&context, id, length) != 1)
      return absl::InternalError(Cat("the TLS library cannot be used: ", OpensslError()));
    return absl::OkStatus();
  }

  void UseAuthorities(SSL_CTX& context, X509_STORE& authorities) const {
    SSL_CTX_set1_cert_store(&context, &authorities);
    SSL_CTX_set_client_CA_list(&context, SSL_load_client_CA_file(options_.client_ca_file.c_str()));
    SSL_CTX_set_verify(
        &context,
        SSL_VERIFY_PEER |
            (options_.client_certificate_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        nullptr);
  }

  // The host that the client asks for, in lower case; empty: none. (RFC 6066, section 3.)
  static std::string ServerName(SSL* ssl) {
    const unsigned char* data = nullptr;
    size_t length = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &length) != 1) return {};
    constexpr size_t kBefore = 5;  // the list's length, the type, the name's length
    if (length <= kBefore || data[2] != TLSEXT_NAMETYPE_host_name) return {};
    const size_t size = size_t{data[3]} << 8 | data[4];
    if (size > TLSEXT_MAXLEN_host_name || size != length - kBefore) return {};
    std::string name(reinterpret_cast<const char*>(data) + kBefore, size);
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    return name;
  }

  static int OnClientHello(SSL* ssl, int* alert, void* parts) {
    const Parts& own = *static_cast<const Parts*>(parts);
    const unsigned char* data = nullptr;
    size_t length = 0;
    // Who begins without asking says what it wants to speak, or it may be talked into speaking to
    // the wrong server.
    if (TlsOpenssl::Of(ssl).server().direct &&
        SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data,
                                  &length) != 1) {
      *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
      ERR_raise_data(ERR_LIB_SSL, SSL_R_NO_APPLICATION_PROTOCOL, "direct TLS without ALPN");
      return SSL_CLIENT_HELLO_ERROR;
    }
    if (own.served.size() > 1) SSL_set_SSL_CTX(ssl, own.Choose(ServerName(ssl)).context.get());
    return SSL_CLIENT_HELLO_SUCCESS;
  }

  static int OnProtocols(SSL*, const unsigned char** out, unsigned char* out_length,
                         const unsigned char* in, unsigned int in_length, void* parts) {
    const std::string& protocol = static_cast<const Parts*>(parts)->protocol;
    for (unsigned int at = 0; at < in_length; at += 1 + in[at]) {
      if (in[at] != protocol.size() || in_length - at - 1 < in[at] ||
          std::memcmp(in + at + 1, protocol.data(), protocol.size()) != 0)
        continue;
      *out = in + at + 1;
      *out_length = in[at];
      return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }

  const TlsServerOptions& options_;
  std::vector<std::string>& warnings_;
};

TlsServerContext::TlsServerContext(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TlsServerContext::~TlsServerContext() = default;

absl::StatusOr<std::unique_ptr<const TlsServerContext>> TlsServerContext::Load(
    const TlsServerOptions& options, Entropy& entropy, std::vector<std::string>& warnings) {
  return TlsServerLoader(options, warnings).Load(entropy);
}

std::unique_ptr<Tls> TlsServerContext::NewConnection(bool direct, Nanos now) const {
  SSL* ssl = SSL_new(parts_->served.front().context.get());
  CHECK(ssl != nullptr);
  SSL_set_accept_state(ssl);
  return std::make_unique<TlsOpenssl>(
      ssl, TlsOpenssl::Server{parts_->gives_tickets ? &parts_->tickets : nullptr, direct, now});
}

struct TlsClientContext::Parts {
  Context context;
  std::string host;      // that is told to the server; empty: an address
  std::string protocol;  // as a list
};

class TlsClientLoader {
 public:
  static absl::StatusOr<std::unique_ptr<const TlsClientContext>> Load(
      const TlsClientOptions& options, std::vector<std::string>& warnings) {
    using Verify = TlsClientOptions::Verify;
    absl::StatusOr<Context> made = NewContext(TLS_client_method());
    if (!made.ok()) return made.status();
    SSL_CTX& context = **made;
    auto parts = std::make_unique<TlsClientContext::Parts>();
    parts->context = *std::move(made);
    parts->protocol = ProtocolList(options.protocol);
    uint8_t address[16];
    const bool is_address = inet_pton(AF_INET, options.host.c_str(), address) == 1 ||
                            inet_pton(AF_INET6, options.host.c_str(), address) == 1;
    if (!is_address) parts->host = options.host;
    if (options.verify != Verify::kNone) {
      absl::StatusOr<X509Store> authorities = LoadAuthorities(options.ca_file);
      if (!authorities.ok()) return authorities.status();
      SSL_CTX_set1_cert_store(&context, authorities->get());
      SSL_CTX_set_verify(&context, SSL_VERIFY_PEER, nullptr);
    }
    if (options.verify == Verify::kName) {
      X509_VERIFY_PARAM* rules = SSL_CTX_get0_param(&context);
      X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
      const bool set = is_address
                           ? X509_VERIFY_PARAM_set1_ip_asc(rules, options.host.c_str()) == 1
                           : X509_VERIFY_PARAM_set1_host(rules, options.host.c_str(), 0) == 1;
      if (!set) return absl::InvalidArgumentError(Cat(options.host, ": is no name of a host"));
    }
    if (!options.certificate_file.empty()) {
      if (absl::Status status =
              UseCertificate(context, options.certificate_file, options.key_file, warnings);
          !status.ok())
        return status;
    }
    return std::make_unique<const TlsClientContext>(std::move(parts));
  }
};

TlsClientContext::TlsClientContext(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TlsClientContext::~TlsClientContext() = default;

absl::StatusOr<std::unique_ptr<const TlsClientContext>> TlsClientContext::Load(
    const TlsClientOptions& options, std::vector<std::string>& warnings) {
  return TlsClientLoader::Load(options, warnings);
}

std::unique_ptr<Tls> TlsClientContext::NewConnection() const {
  SSL* ssl = SSL_new(parts_->context.get());
  CHECK(ssl != nullptr);
  SSL_set_connect_state(ssl);
  if (!parts_->host.empty()) SSL_set_tlsext_host_name(ssl, parts_->host.c_str());
  if (!parts_->protocol.empty()) {
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(parts_->protocol.data()),
                        static_cast<unsigned int>(parts_->protocol.size()));
  }
  return std::make_unique<TlsOpenssl>(ssl, TlsOpenssl::Server{});
}

}  // namespace weir::engine
