#include "engine/tls_certificate.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "engine/base/text.h"

namespace weir::engine {
namespace {

// Nobody is at a terminal to be asked.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::Status Wrong(std::string_view file, std::string_view text) {
  return absl::InvalidArgumentError(Cat(file, ": ", text));
}

absl::Status CheckReadable(const std::string& file, std::string_view what) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0)
    return Wrong(file,
                 Cat("the ", what, " cannot be read: ", std::string_view(std::strerror(errno))));
  if (!S_ISREG(status.st_mode)) return Wrong(file, Cat("the ", what, " is no file"));
  return absl::OkStatus();
}

// As PostgreSQL asks it of its own key: nobody else reads it, but for the group of a key that is
// root's.
absl::Status CheckPrivate(const std::string& file) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) return absl::OkStatus();
  const mode_t most = status.st_uid == 0 ? 0640 : 0600;
  if ((status.st_mode & 0777 & ~most) == 0) return absl::OkStatus();
  return Wrong(file, status.st_uid == 0
                         ? "others than root and its group may use the private key: chmod 0640"
                         : "others may use the private key: chmod 0600");
}

std::string ErrorText(unsigned long code) {
  if (code == 0) return "for no reason that the TLS library tells";
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  const char* text = ERR_reason_error_string(code);
  return text == nullptr ? Cat("error ", ERR_GET_REASON(code), " of the TLS library") : text;
}

std::string ReadFailure(std::string_view what) {
  const unsigned long code = ERR_peek_error();
  for (unsigned long each = ERR_get_error(); each != 0; each = ERR_get_error()) {
    const int library = ERR_GET_LIB(each);
    const int reason = ERR_GET_REASON(each);
    if ((library == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) ||
        (library == ERR_LIB_OSSL_DECODER && reason == ERR_R_UNSUPPORTED))
      return Cat("there is no ", what, " in PEM form in it");
    if (library == ERR_LIB_PEM &&
        (reason == PEM_R_BAD_PASSWORD_READ || reason == PEM_R_PROBLEMS_GETTING_PASSWORD)) {
      return Cat("the ", what,
                 " is encrypted, and nobody is there to be asked for the passphrase: decrypt it "
                 "(openssl pkey -in FILE -out NEW)");
    }
  }
  return Cat("the ", what, " cannot be used: ", ErrorText(code));
}

void CheckTime(std::string_view file, X509& certificate, std::vector<std::string>& warnings) {
  if (X509_cmp_current_time(X509_get0_notAfter(&certificate)) < 0) {
    warnings.push_back(Cat(file, ": the certificate has expired: the other side will refuse it"));
  } else if (X509_cmp_current_time(X509_get0_notBefore(&certificate)) > 0) {
    warnings.push_back(Cat(file, ": the certificate is not valid yet"));
  }
}

// Adds a text of a certificate, unless it is empty or has a zero byte in it: what stands before
// that is not what was certified.
void AddName(const ASN1_STRING* text, std::vector<std::string>& names) {
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, text);
  if (length > 0) {
    const std::string_view name(reinterpret_cast<const char*>(utf8), static_cast<size_t>(length));
    if (name.find('\0') == std::string_view::npos) names.emplace_back(name);
  }
  OPENSSL_free(utf8);
}

void AddCommonName(X509& certificate, std::vector<std::string>& names) {
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) AddName(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), names);
}

void AddAlternativeNames(X509& certificate, bool with_mail, std::vector<std::string>& names) {
  auto* all = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* each = sk_GENERAL_NAME_value(all, i);
    if (each->type == GEN_DNS) AddName(each->d.dNSName, names);
    if (each->type == GEN_EMAIL && with_mail) AddName(each->d.rfc822Name, names);
  }
  GENERAL_NAMES_free(all);
}

}  // namespace

std::string OpensslError() { return ErrorText(ERR_peek_error()); }

absl::Status UseCertificate(SSL_CTX& context, const std::string& certificate_file,
                            const std::string& key_file, std::vector<std::string>& warnings) {
  ERR_clear_error();
  if (absl::Status status = CheckReadable(certificate_file, "certificate"); !status.ok())
    return status;
  if (absl::Status status = CheckReadable(key_file, "private key"); !status.ok()) return status;
  if (absl::Status status = CheckPrivate(key_file); !status.ok()) return status;
  SSL_CTX_set_default_passwd_cb(&context, &NoPassphrase);
  if (SSL_CTX_use_certificate_chain_file(&context, certificate_file.c_str()) != 1)
    return Wrong(certificate_file, ReadFailure("certificate"));
  const bool used = SSL_CTX_use_PrivateKey_file(&context, key_file.c_str(), SSL_FILETYPE_PEM) == 1;
  if (!used && ERR_GET_LIB(ERR_peek_last_error()) != ERR_LIB_X509)
    return Wrong(key_file, ReadFailure("private key"));
  if (!used || SSL_CTX_check_private_key(&context) != 1)
    return Wrong(key_file,
                 Cat("the private key does not belong to the certificate in ", certificate_file));
  CheckTime(certificate_file, *SSL_CTX_get0_certificate(&context), warnings);
  return absl::OkStatus();
}

absl::StatusOr<X509Store> LoadAuthorities(const std::string& file) {
  ERR_clear_error();
  X509Store store(X509_STORE_new());
  if (file != "system") {
    if (absl::Status status = CheckReadable(file, "list of authorities"); !status.ok())
      return status;
    if (X509_STORE_load_file(store.get(), file.c_str()) != 1)
      return Wrong(file, ReadFailure("certificate of an authority"));
    return store;
  }
  // Read at once: a folder would be read by a shard, at a handshake.
  for (const char* each : {"/etc/ssl/certs/ca-certificates.crt", X509_get_default_cert_file()}) {
    if (X509_STORE_load_file(store.get(), each) == 1) return store;
  }
  return Wrong("/etc/ssl/certs/ca-certificates.crt",
               "the distribution's authorities cannot be read: install ca-certificates, or name a "
               "file");
}

std::vector<std::string> HostNames(X509& certificate) {
  std::vector<std::string> names;
  AddAlternativeNames(certificate, /*with_mail=*/false, names);
  if (names.empty()) AddCommonName(certificate, names);
  for (std::string& name : names) {
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  return names;
}

bool NameFits(std::string_view name, std::string_view host) {
  if (!name.starts_with("*.")) return name == host;
  const size_t dot = host.find('.');
  return dot != std::string_view::npos && dot > 0 && host.substr(dot) == name.substr(1);
}

std::vector<std::string> PeerNames(X509& certificate) {
  std::vector<std::string> names;
  AddCommonName(certificate, names);
  AddAlternativeNames(certificate, /*with_mail=*/true, names);
  return names;
}

std::string EndpointBinding(X509& certificate) {
  int hash = NID_undef;
  if (X509_get_signature_info(&certificate, &hash, nullptr, nullptr, nullptr) != 1) return {};
  if (hash == NID_undef) return {};  // of a signature that has none, as Ed25519
  if (hash == NID_md5 || hash == NID_sha1) hash = NID_sha256;
  const EVP_MD* digest = EVP_get_digestbynid(hash);
  uint8_t bytes[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (digest == nullptr || X509_digest(&certificate, digest, bytes, &length) != 1) return {};
  return {reinterpret_cast<const char*>(bytes), length};
}

}  // namespace weir::engine
