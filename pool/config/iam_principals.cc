#include "pool/config/iam_principals.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "engine/address.h"
#include "engine/base/text.h"
#include "pool/config/access_keys.h"
#include "protocol/auth/credentials_file.h"

namespace weir::pool {
namespace {

using engine::Cat;

constexpr uint16_t kDefaultPort = 5432;
constexpr size_t kAccountDigits = 12;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// False: it is reported.
bool ReadPolicies(const IamPrincipalOptions& options, size_t index, const ReportProblem& report,
                  std::vector<protocol::IamPolicy>& out) {
  bool good = true;
  for (const std::string& path : options.policy_files) {
    const absl::StatusOr<std::string> text = ReadSmallFile(path);
    absl::StatusOr<protocol::IamPolicy> policy =
        text.ok() ? protocol::IamPolicy::Parse(*text) : text.status();
    if (policy.ok()) {
      out.push_back(*std::move(policy));
      continue;
    }
    report("iam.principal.policy_files", index,
           Cat("policy_files: ", text.ok() ? Cat(path, ": ") : "", MessageOf(policy.status())));
    good = false;
  }
  return good;
}

bool IsHostName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("-._:[]").find(c) != std::string_view::npos;
  });
}

// Of a part of a resource's name: not empty, and no wildcard or separator.
bool IsNamePart(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

bool IsVerifier(std::string_view text) {
  constexpr std::string_view kHttps = "https://";
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c <= '~' && c != '@' && c != '\\' && c != '#' && c != '?';
  });
  if (text.starts_with("unix:/")) return text.size() > std::string_view("unix:/").size();
  const size_t slash = std::min(text.size(), text.find('/', kHttps.size()));
  return printable && text.starts_with(kHttps) && IsHostName(text.substr(8, slash - 8));
}

void CheckNames(const Config& config, const ReportProblem& report) {
  const IamOptions& iam = config.iam;
  const bool account = iam.account_id.size() == kAccountDigits &&
                       iam.account_id.find_first_not_of("0123456789") == std::string::npos;
  if (!account) report("iam.account_id", 0, "account_id: must be the 12 digits of an account");
  if (!IsNamePart(iam.region)) report("iam.region", 0, "region: must be one such as us-east-1");
  if (!IsNamePart(iam.resource_id)) {
    report("iam.resource_id", 0,
           "resource_id: must be what policies call this proxy, such as prx-0abc123def456");
  }
  if (iam.credentials_file.empty() && iam.verifier.empty()) {
    report("iam.credentials_file", 0,
           "credentials_file: the file with the applications' keys is missing, or a verifier");
  }
  const bool named =
      std::any_of(config.endpoints.begin(), config.endpoints.end(),
                  [](const EndpointOptions& endpoint) { return !endpoint.host_names.empty(); });
  if (!named) {
    report("endpoint.host_names", 0,
           "host_names: no endpoint has any: say what host (or host:port) tokens are made for");
  }
}

}  // namespace

std::vector<IamPrincipal> ReadIamPrincipals(const Config& config, const ReportProblem& report) {
  std::vector<IamPrincipal> principals;
  if (config.iam.credentials_file.empty()) return principals;
  absl::StatusOr<std::vector<protocol::CredentialsEntry>> entries =
      ReadAccessKeys(config.iam.credentials_file);
  if (!entries.ok()) {
    report("iam.credentials_file", 0, Cat("credentials_file: ", MessageOf(entries.status())));
    return principals;
  }
  std::set<std::string> seen;
  for (size_t i = 0; i < config.iam_principals.size(); ++i) {
    const IamPrincipalOptions& options = config.iam_principals[i];
    const auto found = std::find_if(entries->begin(), entries->end(), [&options](const auto& each) {
      return each.name == options.entry;
    });
    if (options.entry.empty() || found == entries->end()) {
      report("iam.principal.entry", i,
             Cat("entry: ", config.iam.credentials_file, " has no section [",
                 engine::Visible(options.entry), "] with a key"));
      continue;
    }
    if (!seen.insert(options.entry).second) {
      report("iam.principal.entry", i,
             Cat("entry: there are two [[iam.principal]] for \"", options.entry, "\""));
      continue;
    }
    IamPrincipal principal{options.entry, found->key, {}};
    if (ReadPolicies(options, i, report, principal.policies))
      principals.push_back(std::move(principal));
  }
  return principals;
}

std::vector<std::string> IamHostNames(const EndpointOptions& endpoint) {
  const absl::StatusOr<engine::Address> address =
      engine::Address::Parse(endpoint.listen, kDefaultPort);
  uint16_t port = kDefaultPort;
  if (address.ok() && !address->IsUnix()) port = address->port();
  if (address.ok() && address->IsUnix()) {
    const std::string path = address->path();
    port = static_cast<uint16_t>(std::stoul(path.substr(path.rfind('.') + 1)));
  }
  std::vector<std::string> names;
  for (const std::string& name : endpoint.host_names)
    names.push_back(protocol::IamHostName(name, port));
  return names;
}

void CheckIam(const Config& config, const ReportProblem& report) {
  for (size_t i = 0; i < config.endpoints.size(); ++i) {
    for (const std::string& name : config.endpoints[i].host_names) {
      if (!IsHostName(name)) {
        report("endpoint.host_names", i,
               Cat("host_names: \"", engine::Visible(name), "\" is no host or host:port"));
      }
    }
  }
  if (!config.iam.verifier.empty() && !IsVerifier(config.iam.verifier))
    report("iam.verifier", 0, "verifier: must be unix:/path or https://host[:port][/path]");
  const bool needed =
      std::any_of(config.auths.begin(), config.auths.end(),
                  [](const AuthOptions& auth) { return auth.iam_auth == "REQUIRED"; });
  const bool present = needed || !config.iam.account_id.empty() || !config.iam.region.empty() ||
                       !config.iam.resource_id.empty() || !config.iam_principals.empty();
  if (present) CheckNames(config, report);
  // Read for what is wrong with them.
  ReadIamPrincipals(config, report);
}

}  // namespace weir::pool
