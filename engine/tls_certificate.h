// Certificates, keys and authorities: read from files, and what stands in them.
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir::engine {

struct X509StoreFree {
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
};
using X509Store = std::unique_ptr<X509_STORE, X509StoreFree>;

// Gives the context a certificate, the chain behind it, and the key to it. Errors name the file and
// what to do. Warns of a certificate that is not valid now.
absl::Status UseCertificate(SSL_CTX& context, const std::string& certificate_file,
                            const std::string& key_file, std::vector<std::string>& warnings);

// "system": the authorities that the distribution comes with.
absl::StatusOr<X509Store> LoadAuthorities(const std::string& file);

// The hosts that a certificate is for, in lower case; wildcards as "*.example.com".
std::vector<std::string> HostNames(X509& certificate);
// Whether such a name means this host, which is in lower case.
bool NameFits(std::string_view name, std::string_view host);

// As TlsFacts has them.
std::vector<std::string> PeerNames(X509& certificate);
std::string EndpointBinding(X509& certificate);

// What OpenSSL says of the call that has just failed.
std::string OpensslError();

}  // namespace weir::engine
