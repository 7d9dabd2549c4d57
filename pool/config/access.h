// Who may connect from where: rules in order, the first that fits decides, none refuses.
//
// A rule fits by address, encryption, database and user, as a line of PostgreSQL's pg_hba.conf
// does; what it decides is the method by which the client has to prove who it is. Pure; made when
// the configuration is loaded.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace weir::pool {

enum class AccessMethod : uint8_t {
  kIam,
  kPassword,  // SCRAM or MD5
  kScram,     // SCRAM only: scram-sha-256 of a pg_hba.conf
  kCertificate,
  kTrust,
  kReject,
};
std::string_view AccessMethodText(AccessMethod method);

enum class AccessTls : uint8_t { kAny, kRequired, kNone };

// An IPv4 or IPv6 address.
struct HostAddress {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // of IPv4 the first four

  // Numeric, IPv6 also in brackets; an IPv4 address in IPv6 form is an IPv4 address.
  static std::optional<HostAddress> Parse(std::string_view text);
  bool operator==(const HostAddress&) const = default;
};

struct AccessAddress {
  enum class Kind : uint8_t { kEverywhere, kUnix, kAnyHost, kNetwork };
  Kind kind = Kind::kEverywhere;
  HostAddress network;
  HostAddress mask;

  // "all" (unix sockets too), "unix", an address, or one with its prefix length: 10.0.0.0/8.
  static absl::StatusOr<AccessAddress> Parse(std::string_view text);
  // nullopt: `prefix` is longer than the address.
  static std::optional<AccessAddress> Network(const HostAddress& address, uint32_t prefix);
};

// Users or databases.
struct AccessNames {
  bool all = false;
  bool same_user = false;    // of databases: the one with the user's name
  bool replication = false;  // of databases: physical replication, which `all` is not
  std::vector<std::string> names{};
};

struct AccessRule {
  std::string place;  // for the log: [[access]] 2, pg_hba.conf line 7
  AccessAddress address;
  AccessTls tls = AccessTls::kAny;
  AccessNames users;
  AccessNames databases;
  AccessMethod method = AccessMethod::kReject;
};

// Who asks.
struct AccessQuestion {
  std::string_view host;  // as engine::Io::PeerHost tells it
  std::string_view user;
  std::string_view database;
  bool encrypted = false;
  bool physical_replication = false;
};

class AccessRules {
 public:
  AccessRules() = default;
  explicit AccessRules(std::vector<AccessRule> rules) : in_force_(true), rules_(std::move(rules)) {}

  // Without any, everybody may come from anywhere.
  bool in_force() const { return in_force_; }
  const std::vector<AccessRule>& rules() const { return rules_; }
  // The rule that decides; nullptr: none does, and that refuses.
  const AccessRule* Decide(const AccessQuestion& question) const;

 private:
  bool in_force_ = false;
  std::vector<AccessRule> rules_;
};

}  // namespace weir::pool
