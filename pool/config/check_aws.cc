#include "pool/config/check_aws.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "engine/address.h"
#include "engine/base/text.h"
#include "pool/config/access_keys.h"

namespace weir::pool {
namespace {

using engine::Cat;

constexpr size_t kAccountDigits = 12;
constexpr size_t kArnMax = 2048;

bool IsLetterOrDigit(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool IsName(std::string_view text, std::string_view more) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [more](char c) {
    return IsLetterOrDigit(c) || more.find(c) != std::string_view::npos;
  });
}

// What goes there in the clear stays on this machine; of the metadata service, on this host's own
// link.
bool StaysHere(std::string_view host, bool link) {
  if (host == "localhost" || host.starts_with("localhost:")) return true;
  if (link && (host.starts_with("169.254.") || host.starts_with("[fd00:ec2:"))) return true;
  const absl::StatusOr<engine::Address> address = engine::Address::Parse(host, 80);
  return address.ok() && address->IsLoopback();
}

void CheckEndpoint(std::string_view name, const std::string& url, bool link,
                   const ReportProblem& report) {
  if (url.empty()) return;
  const std::string_view host = HostOfUrl(url);
  const std::string key = Cat("aws.", name);
  if (host.empty()) {
    report(key, 0, Cat(name, ": must be https://host or https://host:port, without a path"));
  } else if (url.starts_with("http:") && !StaysHere(host, link)) {
    report(key, 0, Cat(name, ": http is for this machine only: use https"));
  }
}

void CheckCredentials(const AwsOptions& aws, bool needed, const ReportProblem& report) {
  if (aws.credentials.empty())
    report("aws.credentials", 0, "credentials: must be environment, metadata, or a file");
  for (const std::string& source : aws.credentials) {
    if (source == "environment" || source == "metadata") continue;
    if (source.empty()) {
      report("aws.credentials", 0, "credentials: must be environment, metadata, or a file");
      continue;
    }
    // Of several, others may be there in its place.
    if (!needed || aws.credentials.size() > 1) continue;
    const absl::StatusOr<protocol::AccessKey> key = ReadAccessKey(source, aws.profile);
    if (!key.ok())
      report("aws.credentials", 0,
             Cat("credentials: ", std::string_view(std::string(key.status().message()))));
  }
}

void CheckServers(const Config& config, const ReportProblem& report) {
  for (size_t i = 0; i < config.targets.size(); ++i) {
    const TargetOptions& target = config.targets[i];
    if (target.server_auth != "secret" && target.server_auth != "iam") {
      report("target.server_auth", i, "server_auth: must be secret or iam");
      continue;
    }
    if (target.server_auth == "secret") continue;
    if (target.tls_mode != "verify-full" || target.host.starts_with("unix:"))
      report("target.server_auth", i,
             "server_auth: a token goes only to a server that is known: iam needs tls_mode = "
             "\"verify-full\"");
    if (!target.server_auth_methods.empty())
      report("target.server_auth_methods", i,
             "server_auth_methods: is for server_auth = \"secret\": a token has one method");
    if (RegionOfServers(config).empty())
      report("aws.region", 0,
             "region: server_auth = \"iam\" needs the server's, such as us-east-1");
  }
}

}  // namespace

std::string_view RegionOfSecret(std::string_view arn) {
  if (arn.size() > kArnMax) return {};
  std::array<std::string_view, 7> parts;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t colon = i + 1 < parts.size() ? arn.find(':') : std::string_view::npos;
    if (i + 1 < parts.size() && colon == std::string_view::npos) return {};
    parts[i] = arn.substr(0, colon);
    arn.remove_prefix(colon == std::string_view::npos ? arn.size() : colon + 1);
  }
  const bool good = parts[0] == "arn" && IsName(parts[1], "-") && parts[2] == "secretsmanager" &&
                    IsName(parts[3], "-") && parts[4].size() == kAccountDigits &&
                    parts[4].find_first_not_of("0123456789") == std::string_view::npos &&
                    parts[5] == "secret" && IsName(parts[6], "/_+=.@-!");
  return good ? parts[3] : std::string_view();
}

const std::string& RegionOfServers(const Config& config) {
  return config.aws.region.empty() ? config.iam.region : config.aws.region;
}

bool NeedsAws(const Config& config) {
  return std::any_of(config.targets.begin(), config.targets.end(),
                     [](const TargetOptions& target) { return target.server_auth == "iam"; }) ||
         std::any_of(config.auths.begin(), config.auths.end(),
                     [](const AuthOptions& auth) { return !auth.secret_arn.empty(); });
}

std::string_view HostOfUrl(std::string_view url) {
  const bool clear = url.starts_with("http://");
  if (!clear && !url.starts_with("https://")) return {};
  const std::string_view host = url.substr(clear ? 7 : 8);
  return IsName(host, "-._:[]") ? host : std::string_view();
}

void CheckAws(const Config& config, const ReportProblem& report) {
  const AwsOptions& aws = config.aws;
  CheckCredentials(aws, NeedsAws(config), report);
  CheckEndpoint("secrets_manager_endpoint", aws.secrets_manager_endpoint, false, report);
  CheckEndpoint("metadata_endpoint", aws.metadata_endpoint, true, report);
  if (!aws.region.empty() && !IsName(aws.region, "-"))
    report("aws.region", 0, "region: must be one such as us-east-1");
  if (aws.ca_file.empty()) report("aws.ca_file", 0, "ca_file: must be a file or \"system\"");
  CheckServers(config, report);
}

}  // namespace weir::pool
