#include "pool/config/access.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>

#include "engine/base/text.h"

namespace weir::pool {
namespace {

using engine::Cat;

bool Has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool Contains(const AccessAddress& address, bool unix, const std::optional<HostAddress>& host) {
  switch (address.kind) {
    case AccessAddress::Kind::kEverywhere:
      return true;
    case AccessAddress::Kind::kUnix:
      return unix;
    case AccessAddress::Kind::kAnyHost:
      return host.has_value();
    case AccessAddress::Kind::kNetwork:
      break;
  }
  if (!host || host->v6 != address.network.v6) return false;
  for (size_t i = 0; i < host->bytes.size(); ++i) {
    if (((host->bytes[i] ^ address.network.bytes[i]) & address.mask.bytes[i]) != 0) return false;
  }
  return true;
}

// Nobody listens on a unix socket's way: it counts as encrypted, as for require_tls.
bool Fits(AccessTls tls, bool encrypted, bool unix) {
  switch (tls) {
    case AccessTls::kAny:
      return true;
    case AccessTls::kRequired:
      return encrypted || unix;
    case AccessTls::kNone:
      return !encrypted;
  }
  return false;
}

bool Fits(const AccessNames& databases, const AccessQuestion& question) {
  if (question.physical_replication) return databases.replication;
  return databases.all || (databases.same_user && question.database == question.user) ||
         Has(databases.names, question.database);
}

}  // namespace

std::string_view AccessMethodText(AccessMethod method) {
  switch (method) {
    case AccessMethod::kIam:
      return "iam";
    case AccessMethod::kPassword:
      return "password";
    case AccessMethod::kScram:
      return "scram-sha-256";
    case AccessMethod::kCertificate:
      return "certificate";
    case AccessMethod::kTrust:
      return "trust";
    case AccessMethod::kReject:
      return "reject";
  }
  return "";
}

std::optional<HostAddress> HostAddress::Parse(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  const std::string numeric(text);
  if (numeric.find('\0') != std::string::npos) return std::nullopt;
  HostAddress address;
  if (inet_pton(AF_INET, numeric.c_str(), address.bytes.data()) == 1) return address;
  if (inet_pton(AF_INET6, numeric.c_str(), address.bytes.data()) != 1) return std::nullopt;
  address.v6 = true;
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(address.bytes.data(), kMapped, sizeof kMapped) != 0) return address;
  HostAddress v4;
  std::copy(address.bytes.begin() + sizeof kMapped, address.bytes.end(), v4.bytes.begin());
  return v4;
}

std::optional<AccessAddress> AccessAddress::Network(const HostAddress& address, uint32_t prefix) {
  const uint32_t longest = address.v6 ? 128 : 32;
  if (prefix > longest) return std::nullopt;
  AccessAddress network{Kind::kNetwork, address, {}};
  network.mask.v6 = address.v6;
  for (uint32_t bit = 0; bit < prefix; ++bit)
    network.mask.bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> bit % 8);
  return network;
}

absl::StatusOr<AccessAddress> AccessAddress::Parse(std::string_view text) {
  if (text == "all") return AccessAddress{Kind::kEverywhere, {}, {}};
  if (text == "unix") return AccessAddress{Kind::kUnix, {}, {}};
  const size_t slash = text.find('/');
  const std::optional<HostAddress> address = HostAddress::Parse(text.substr(0, slash));
  if (!address) {
    return absl::InvalidArgumentError(
        Cat("\"", engine::Visible(text),
            "\": expected \"all\", \"unix\", or a numeric address such as 10.0.0.0/8 or fd00::/8"));
  }
  uint32_t prefix = address->v6 ? 128 : 32;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
    if (error != std::errc() || end != digits.data() + digits.size()) prefix = UINT32_MAX;
  }
  const std::optional<AccessAddress> network = Network(*address, prefix);
  if (!network) {
    return absl::InvalidArgumentError(
        Cat("\"", engine::Visible(text), "\": the prefix must be 0 to ", address->v6 ? 128 : 32));
  }
  return *network;
}

const AccessRule* AccessRules::Decide(const AccessQuestion& question) const {
  const bool unix = question.host == "unix";
  const std::optional<HostAddress> host = HostAddress::Parse(question.host);
  for (const AccessRule& rule : rules_) {
    if (Contains(rule.address, unix, host) && Fits(rule.tls, question.encrypted, unix) &&
        (rule.users.all || Has(rule.users.names, question.user)) &&
        Fits(rule.databases, question)) {
      return &rule;
    }
  }
  return nullptr;
}

}  // namespace weir::pool
