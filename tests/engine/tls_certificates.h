// An authority of the test's own, which certifies what it is told to, in files of a folder that
// goes with it.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

namespace weir::engine {

class TestAuthority {
 public:
  struct Wish {
    std::string common_name{};
    std::string alternative_names{};  // "DNS:a.example,email:b@example"
    long from_days = -1;              // from now
    long to_days = 30;
    bool rsa = false;
    const EVP_MD* hash = EVP_sha256();
  };
  struct Files {
    std::string certificate;
    std::string key;
  };

  TestAuthority() {
    char folder[] = "/tmp/weir-tls-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    key_ = NewKey(false);
    certificate_ = New({.common_name = "Test authority"}, key_, nullptr);
    Write(Path("ca.crt"), certificate_);
  }
  ~TestAuthority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
    std::filesystem::remove_all(folder_);
  }
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  std::string Path(std::string_view name) const { return folder_ + "/" + std::string(name); }
  std::string ca() const { return Path("ca.crt"); }

  Files Certify(std::string_view name, const Wish& wish) {
    EVP_PKEY* key = NewKey(wish.rsa);
    X509* certificate = New(wish, key, certificate_);
    Files files{Path(name) + ".crt", Path(name) + ".key"};
    Write(files.certificate, certificate);
    FILE* file = fopen(files.key.c_str(), "w");
    EXPECT_EQ(PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr), 1);
    fclose(file);
    EXPECT_EQ(chmod(files.key.c_str(), 0600), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return files;
  }
  // tls-server-end-point of a file, by this hash.
  static std::string Hash(const std::string& path, const EVP_MD* hash) {
    FILE* file = fopen(path.c_str(), "r");
    X509* certificate = PEM_read_X509(file, nullptr, nullptr, nullptr);
    fclose(file);
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EXPECT_EQ(X509_digest(certificate, hash, bytes, &length), 1);
    X509_free(certificate);
    return {reinterpret_cast<const char*>(bytes), length};
  }

 private:
  static EVP_PKEY* NewKey(bool rsa) { return rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"); }

  X509* New(const Wish& wish, EVP_PKEY* key, X509* issuer) {
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(certificate), wish.from_days * 86400);
    X509_gmtime_adj(X509_getm_notAfter(certificate), wish.to_days * 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    EXPECT_EQ(
        X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(wish.common_name.data()),
                                   static_cast<int>(wish.common_name.size()), -1, 0),
        1);
    X509_set_issuer_name(certificate, issuer == nullptr ? name : X509_get_subject_name(issuer));
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer == nullptr ? certificate : issuer, certificate, nullptr,
                   nullptr, 0);
    Extend(certificate, context, NID_basic_constraints, issuer == nullptr ? "CA:TRUE" : "CA:FALSE");
    if (!wish.alternative_names.empty())
      Extend(certificate, context, NID_subject_alt_name, wish.alternative_names.c_str());
    EXPECT_GT(X509_sign(certificate, key_, wish.hash), 0);
    return certificate;
  }
  static void Extend(X509* certificate, X509V3_CTX& context, int nid, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    EXPECT_NE(extension, nullptr) << value;
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static void Write(const std::string& path, X509* certificate) {
    FILE* file = fopen(path.c_str(), "w");
    EXPECT_EQ(PEM_write_X509(file, certificate), 1);
    fclose(file);
  }

  std::string folder_;
  EVP_PKEY* key_ = nullptr;
  X509* certificate_ = nullptr;
  long serial_ = 0;
};

}  // namespace weir::engine
