// Names in certificates that somebody else has made: none is more or less than what was certified,
// none is empty or has a zero byte in it, and a name means no more hosts than TLS lets it mean.
//
// Input: the kind; a whole certificate, or a host and then names (a type, a length, the bytes).
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/tls_certificate.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

constexpr uint8_t kWhole = 1;
constexpr int kStrings[] = {V_ASN1_UTF8STRING,    V_ASN1_PRINTABLESTRING, V_ASN1_IA5STRING,
                            V_ASN1_T61STRING,     V_ASN1_BMPSTRING,       V_ASN1_UNIVERSALSTRING,
                            V_ASN1_VISIBLESTRING, V_ASN1_OCTET_STRING};

struct Free {
  void operator()(X509* each) const { X509_free(each); }
  void operator()(GENERAL_NAMES* each) const { GENERAL_NAMES_free(each); }
  void operator()(GENERAL_NAME* each) const { GENERAL_NAME_free(each); }
};
using Certificate = std::unique_ptr<X509, Free>;

// What of these names may be believed: those that have text and no zero byte in it.
struct Made {
  Certificate certificate{X509_new()};
  std::string host;
  std::string common_name;
  std::vector<std::string> others;
};

std::string LowerCase(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return text;
}

bool HasZero(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// As a certificate says it, if that is in UTF-8 as it stands.
void AddAlternative(GENERAL_NAMES& names, int type, int string, std::string_view text) {
  std::unique_ptr<GENERAL_NAME, Free> name(GENERAL_NAME_new());
  ASN1_STRING* value = ASN1_STRING_type_new(string);
  ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME_set0_value(name.get(), type, value);
  sk_GENERAL_NAME_push(&names, name.release());
}

Made Make(Choices& choices) {
  Made made;
  made.host = LowerCase(std::string(choices.Text(choices.Below(64))));
  std::unique_ptr<GENERAL_NAMES, Free> names(GENERAL_NAMES_new());
  X509_NAME* subject = X509_get_subject_name(made.certificate.get());
  for (int i = 0; i < 12 && !choices.empty(); ++i) {
    const size_t what = choices.Below(4);
    const int string = kStrings[choices.Below(std::size(kStrings))];
    const std::string text(choices.Text(choices.Below(80)));
    if (what == 0) {
      X509_NAME_add_entry_by_NID(subject, NID_commonName, string,
                                 reinterpret_cast<const unsigned char*>(text.data()),
                                 static_cast<int>(text.size()), -1, 0);
      if (made.common_name.empty() && string == V_ASN1_UTF8STRING) made.common_name = text;
    } else {
      const int type = what == 1 ? GEN_DNS : what == 2 ? GEN_EMAIL : GEN_URI;
      AddAlternative(*names, type, V_ASN1_IA5STRING, text);
      if (what != 3) made.others.push_back(text);
    }
  }
  if (sk_GENERAL_NAME_num(names.get()) > 0)
    X509_add1_ext_i2d(made.certificate.get(), NID_subject_alt_name, names.get(), 0, 0);
  ERR_clear_error();
  return made;
}

// Nothing that is read of a certificate breaks these.
void Check(X509& certificate, std::string_view host) {
  const std::vector<std::string> peers = engine::PeerNames(certificate);
  for (const std::string& name : peers) CHECK(!name.empty() && !HasZero(name));
  for (const std::string& name : engine::HostNames(certificate)) {
    CHECK(!name.empty() && !HasZero(name) && name == LowerCase(name));
    if (!engine::NameFits(name, host)) continue;
    if (name == host) continue;
    // A wildcard stands for one label, and that is the first.
    CHECK(name.starts_with("*."));
    const size_t dot = host.find('.');
    CHECK(dot != std::string_view::npos && dot > 0 && host.substr(dot + 1) == name.substr(2));
  }
  const std::string binding = engine::EndpointBinding(certificate);
  CHECK(binding.empty() || binding.size() >= 28);
}

FUZZ_TARGET(certificate_names) {
  Choices choices(input);
  if ((choices.Byte() & kWhole) != 0) {
    const std::string_view der = choices.Rest();
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    const Certificate certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    if (certificate != nullptr) Check(*certificate, "db.example");
    ERR_clear_error();
    return;
  }
  const Made made = Make(choices);
  Check(*made.certificate, made.host);
  // Every name is one that was put there, whole.
  const std::vector<std::string> peers = engine::PeerNames(*made.certificate);
  for (const std::string& name : made.others) {
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) { return c > 0; });
    const bool found = std::find(peers.begin(), peers.end(), name) != peers.end();
    if (plain && !name.empty()) CHECK(found);
    if (HasZero(name)) CHECK(!found);
  }
  CHECK(peers.size() <= made.others.size() + 1);
}

}  // namespace
}  // namespace weir::fuzz
