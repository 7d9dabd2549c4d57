#include "pool/config/check_config.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "engine/address.h"
#include "engine/base/text.h"
#include "pool/config/check_access.h"
#include "pool/config/check_aws.h"
#include "pool/config/iam_principals.h"
#include "pool/config/secret_source.h"
#include "protocol/auth/crypto.h"

namespace weir::pool {
namespace {

using engine::Cat;

constexpr uint16_t kDefaultPort = 5432;
constexpr size_t kSettingNameMax = 200;
constexpr size_t kCustomSettingsMax = 100;
constexpr size_t kSecretBytesMax = size_t{64} * 1024;

void CheckAvailable(const Config& config, const ReportProblem& report) {
  const auto later = [&report](std::string_view key, size_t index, std::string_view value) {
    report(key, index,
           Cat(key.substr(key.find('.') + 1), ": ", value, " is not available in this version"));
  };
  const ProxyOptions& proxy = config.proxy;
  const ConnectionPoolOptions& pool = config.connection_pool;
  if (proxy.engine_family == "MYSQL") {
    later("proxy.engine_family", 0, "MYSQL");
  } else if (proxy.engine_family != "POSTGRESQL") {
    report("proxy.engine_family", 0, "engine_family: must be POSTGRESQL");
  }
  for (const std::string& each : pool.session_pinning_filters) {
    if (each != "EXCLUDE_VARIABLE_SETS")
      report("connection_pool.session_pinning_filters", 0,
             Cat("session_pinning_filters: unknown filter \"", each,
                 "\": only \"EXCLUDE_VARIABLE_SETS\" is known"));
  }
  if (pool.opaque_calls != "probe" && pool.opaque_calls != "trust" && pool.opaque_calls != "pin")
    report("connection_pool.opaque_calls", 0,
           "opaque_calls: must be \"probe\", \"trust\" or \"pin\"");
  for (const std::string& each : pool.custom_settings) {
    if (each.find('.') == std::string::npos || each.size() > kSettingNameMax)
      report("connection_pool.custom_settings", 0,
             Cat("custom_settings: \"", each,
                 "\" is no name of a setting of your own, such as \"app.tenant\""));
  }
  if (pool.custom_settings.size() > kCustomSettingsMax)
    report("connection_pool.custom_settings", 0,
           Cat("custom_settings: more than ", kCustomSettingsMax, " names"));
  if (config.targets.size() > 1) later("target.host", 1, "a second [[target]]");
  for (size_t i = 0; i < config.endpoints.size(); ++i) {
    const EndpointOptions& endpoint = config.endpoints[i];
    if (endpoint.pipelining != "off" && endpoint.pipelining != "reads")
      report("endpoint.pipelining", i, "pipelining: must be \"reads\" or \"off\"");
    if (endpoint.target_role == "READ_ONLY") {
      later("endpoint.target_role", i, "READ_ONLY");
    } else if (endpoint.target_role != "READ_WRITE") {
      report("endpoint.target_role", i, "target_role: must be READ_WRITE");
    }
  }
  for (size_t i = 0; i < config.auths.size(); ++i) {
    const std::string& iam = config.auths[i].iam_auth;
    if (iam != "DISABLED" && iam != "REQUIRED")
      report("auth.iam_auth", i, "iam_auth: must be DISABLED or REQUIRED");
    if (iam == "REQUIRED" && config.certificates.empty()) {
      report("auth.iam_auth", i,
             "iam_auth: tokens come over TLS only, and there is no [[certificate]] to show");
    }
  }
}

void CheckEndpoints(const Config& config, const ReportProblem& report) {
  std::map<std::string, size_t> addresses;
  std::set<std::string> names;
  bool local = true;
  for (size_t i = 0; i < config.endpoints.size(); ++i) {
    const EndpointOptions& endpoint = config.endpoints[i];
    const absl::StatusOr<engine::Address> address =
        engine::Address::Parse(endpoint.listen, kDefaultPort);
    if (!address.ok()) {
      report("endpoint.listen", i,
             Cat("listen: ", std::string_view(std::string(address.status().message()))));
      continue;
    }
    local = local && address->IsLocal();
    const auto [other, fresh] = addresses.emplace(address->ToString(), i);
    if (!fresh)
      report("endpoint.listen", i, Cat("listen: two endpoints on the address ", other->first));
    if (!names.insert(endpoint.name).second)
      report("endpoint.name", i, Cat("name: two endpoints are named \"", endpoint.name, "\""));
  }
  for (size_t i = 0; i < config.auths.size(); ++i) {
    const std::string& type = config.auths[i].client_password_auth_type;
    if (type == "TRUST" && !local) {
      report("auth.client_password_auth_type", i,
             "client_password_auth_type: TRUST is for endpoints on loopback and unix sockets only");
    } else if (type == "POSTGRES_CERTIFICATE") {
      if (config.client_tls.client_ca_file.empty())
        report("auth.client_password_auth_type", i,
               "client_password_auth_type: POSTGRES_CERTIFICATE needs client_ca_file in "
               "[client_tls], the authorities of the clients' certificates");
    } else if (type != "TRUST" && type != "POSTGRES_SCRAM_SHA_256" && type != "POSTGRES_MD5") {
      report("auth.client_password_auth_type", i,
             "client_password_auth_type: must be POSTGRES_SCRAM_SHA_256, POSTGRES_MD5, "
             "POSTGRES_CERTIFICATE or TRUST");
    }
  }
}

// Which of the options says where the secret is; empty: it is reported.
std::string SecretKey(const AuthOptions& auth, size_t i, const ReportProblem& report) {
  std::string key;
  const auto one = [&](std::string_view name, const std::string& value) {
    if (value.empty()) return true;
    if (!key.empty()) {
      report(
          Cat("auth.", name), i,
          Cat(name, ": there is a ", std::string_view(key).substr(5), " too: one of them must go"));
      return false;
    }
    key = Cat("auth.", name);
    return true;
  };
  if (!one("secret_file", auth.secret_file) || !one("secret_env", auth.secret_env) ||
      !one("secret_arn", auth.secret_arn) || !one("username", auth.username))
    return {};
  if (key.empty()) {
    report("auth.secret_file", i,
           "secret_file: the file with this user's secret is missing, or secret_env with the name "
           "of a variable, or secret_arn");
  }
  return key;
}

// Whoever has no secret must need none, on either side.
void CheckUsername(const Config& config, size_t i, const ReportProblem& report) {
  const AuthOptions& auth = config.auths[i];
  const bool clients =
      auth.iam_auth == "REQUIRED" || auth.client_password_auth_type == "POSTGRES_CERTIFICATE";
  if (!clients)
    report("auth.username", i,
           "username: without a secret clients can log in by token (iam_auth) or certificate "
           "(POSTGRES_CERTIFICATE) only");
  for (const TargetOptions& target : config.targets) {
    if (target.server_auth != "iam")
      report("auth.username", i,
             "username: without a secret weir can log in to the server only with server_auth = "
             "\"iam\" in [[target]]");
  }
}

void CheckSecrets(Config& config, const ReportProblem& report) {
  for (size_t i = 0; i < config.auths.size(); ++i) {
    const AuthOptions& auth = config.auths[i];
    if (auth.auth_scheme != "SECRETS")
      report("auth.auth_scheme", i, "auth_scheme: must be SECRETS");
    const std::string key = SecretKey(auth, i, report);
    if (key.empty()) continue;
    const std::string_view name = std::string_view(key).substr(5);
    if (!auth.certificate_names.empty() && auth.client_password_auth_type != "POSTGRES_CERTIFICATE")
      report("auth.certificate_names", i,
             "certificate_names: it needs client_password_auth_type = \"POSTGRES_CERTIFICATE\"");
    if (!auth.secret_arn.empty()) {
      if (RegionOfSecret(auth.secret_arn).empty())
        report(key, i,
               "secret_arn: must be arn:aws:secretsmanager:<region>:<account>:secret:<name>");
      continue;  // whose it is, is known when it is there
    }
    if (!auth.username.empty()) {
      CheckUsername(config, i, report);
      if (!config.users.emplace(auth.username, i).second)
        report(key, i, Cat(name, ": the user \"", auth.username, "\" has two [[auth]] entries"));
      continue;
    }
    absl::StatusOr<protocol::Secret> secret = ReadSecret(auth);
    if (!secret.ok()) {
      report(key, i, Cat(name, ": ", std::string_view(std::string(secret.status().message()))));
      continue;
    }
    if (!config.users.emplace(secret->username, i).second) {
      report(key, i, Cat(name, ": the user \"", secret->username, "\" has two [[auth]] entries"));
    }
    if (const std::string problem = SecretProblem(auth, protocol::KindOf(secret->password));
        !problem.empty())
      report(key, i, Cat(name, ": ", problem));
    protocol::Wipe(secret->password);
  }
}

void CheckTargetTls(const TargetOptions& target, size_t i, const ReportProblem& report) {
  const std::string& mode = target.tls_mode;
  const bool verifies = mode == "verify-ca" || mode == "verify-full";
  const bool always = verifies || mode == "require";
  const bool own = target.tls_ca_file != "system";
  if (!always && mode != "prefer" && mode != "disable") {
    report("target.tls_mode", i,
           "tls_mode: must be disable, prefer, require, verify-ca or verify-full");
  } else if (always && target.host.starts_with("unix:")) {
    report("target.tls_mode", i, "tls_mode: there is no TLS on unix sockets");
  } else if (mode == "verify-ca" && !own) {
    report("target.tls_mode", i,
           "tls_mode: verify-ca would take any server that a public authority has certified: "
           "name your own in tls_ca_file, or use verify-full");
  } else if (own && !verifies) {
    report("target.tls_ca_file", i,
           "tls_ca_file: is read for tls_mode = \"verify-ca\" and \"verify-full\" only");
  } else if (target.tls_ca_file.empty()) {
    report("target.tls_ca_file", i, "tls_ca_file: must be a file or \"system\"");
  }
  if (target.tls_certificate_file.empty() != target.tls_key_file.empty())
    report("target.tls_certificate_file", i,
           "tls_certificate_file: a certificate and its key (tls_key_file) go together");
}

void CheckTargets(const Config& config, const ReportProblem& report) {
  for (size_t i = 0; i < config.targets.size(); ++i) {
    const TargetOptions& target = config.targets[i];
    if (target.host.empty() ||
        target.host.starts_with("unix:") != (target.host.find('/') != std::string::npos)) {
      report("target.host", i, "host: expected a host name, an address or unix:/dir");
    }
    CheckTargetTls(target, i, report);
    for (const std::string& method : target.server_auth_methods) {
      if (method == "scram-sha-256" || method == "scram-sha-256-plus" || method == "md5" ||
          method == "trust")
        continue;
      if (method == "password") {
        if (!target.host.starts_with("unix:") && target.tls_mode != "verify-full")
          report("target.server_auth_methods", i,
                 "server_auth_methods: \"password\" sends it in clear text: it needs "
                 "tls_mode = \"verify-full\", or a unix socket as host");
        continue;
      }
      if (method == "certificate") {
        if (!target.tls_mode.starts_with("verify-") || target.tls_certificate_file.empty())
          report("target.server_auth_methods", i,
                 "server_auth_methods: \"certificate\" needs tls_certificate_file, and tls_mode = "
                 "\"verify-ca\" or \"verify-full\"");
        continue;
      }
      report("target.server_auth_methods", i,
             Cat("server_auth_methods: \"", method,
                 "\" is unknown; there are scram-sha-256, "
                 "scram-sha-256-plus, certificate, md5, trust, password"));
    }
  }
}

void CheckClientTls(const Config& config, const ReportProblem& report) {
  for (size_t i = 0; i < config.certificates.size(); ++i) {
    if (config.certificates[i].certificate_file.empty())
      report("certificate.certificate_file", i,
             "certificate_file: the file with the certificate is missing");
    if (config.certificates[i].key_file.empty())
      report("certificate.key_file", i, "key_file: the file with the key is missing");
  }
  const bool none = config.certificates.empty();
  if (config.proxy.require_tls && none)
    report("proxy.require_tls", 0,
           "require_tls: no client could come in: TLS needs a [[certificate]]");
  const ClientTlsOptions& options = config.client_tls;
  if (!options.client_ca_file.empty() && none)
    report("client_tls.client_ca_file", 0, "client_ca_file: TLS needs a [[certificate]]");
  const std::string& asked = options.client_certificate;
  if (asked != "optional" && asked != "required") {
    report("client_tls.client_certificate", 0, "client_certificate: must be optional or required");
  } else if (asked == "required" && options.client_ca_file.empty()) {
    report("client_tls.client_certificate", 0,
           "client_certificate: required needs client_ca_file, the authorities of the clients' "
           "certificates");
  }
  if (options.minimum_version != "TLSv1.2" && options.minimum_version != "TLSv1.3")
    report("client_tls.minimum_version", 0, "minimum_version: must be TLSv1.2 or TLSv1.3");
}

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  // Without a buffer: nobody would wipe it.
  std::ifstream file;
  file.rdbuf()->pubsetbuf(nullptr, 0);
  errno = 0;
  file.open(path, std::ios::binary);
  std::string bytes(kSecretBytesMax + 1, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.is_open() || file.bad()) {
    return absl::NotFoundError(
        Cat(path, ": cannot be read: ", std::string_view(std::strerror(errno != 0 ? errno : EIO))));
  }
  bytes.resize(static_cast<size_t>(file.gcount()));
  if (bytes.size() > kSecretBytesMax)
    return absl::InvalidArgumentError(Cat(path, ": longer than 64 KiB"));
  return bytes;
}

void CheckConfig(Config& config, const ReportProblem& report) {
  ConnectionPoolOptions& pool = config.connection_pool;
  if (pool.max_idle_connections_percent < 0)
    pool.max_idle_connections_percent = pool.max_connections_percent / 2;
  if (pool.max_idle_connections_percent > pool.max_connections_percent) {
    report("connection_pool.max_idle_connections_percent", 0,
           Cat("max_idle_connections_percent: must be 0 to max_connections_percent, which is ",
               pool.max_connections_percent));
  }
  if (pool.debug_borrow != "off" && pool.debug_borrow != "rotate") {
    report("connection_pool.debug_borrow", 0, "debug_borrow: must be off or rotate");
  }
  const std::string& pin = config.engine.pin_threads;
  if (pin != "auto" && pin != "true" && pin != "false") {
    report("engine.pin_threads", 0, "pin_threads: must be true, false or \"auto\"");
  }
  CheckAvailable(config, report);
  CheckEndpoints(config, report);
  CheckTargets(config, report);
  CheckClientTls(config, report);
  CheckSecrets(config, report);
  CheckAccess(config, report);
  CheckIam(config, report);
  CheckAws(config, report);
}

}  // namespace weir::pool
