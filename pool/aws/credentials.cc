#include "pool/aws/credentials.h"

#include <cstdlib>
#include <string_view>
#include <utility>

#include "engine/base/text.h"
#include "pool/config/access_keys.h"

namespace weir::pool {
namespace {

using engine::Cat;

constexpr std::string_view kMetadataEndpoint = "http://169.254.169.254";
constexpr std::string_view kRolePath = "/latest/meta-data/iam/security-credentials/";
// One is asked for each time: keys are renewed once in some hours.
constexpr std::string_view kTokenSeconds = "60";
constexpr engine::Nanos kMetadataTimeout = 2 * engine::kSecond;
constexpr size_t kNameMax = 128;
constexpr size_t kTokenMax = 1024;

std::string VariableOf(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

absl::StatusOr<AwsKey> FromEnvironment() {
  AwsKey found;
  found.source = "environment";
  found.key.id = VariableOf("AWS_ACCESS_KEY_ID");
  found.key.secret = VariableOf("AWS_SECRET_ACCESS_KEY");
  found.key.session_token = VariableOf("AWS_SESSION_TOKEN");
  if (found.key.id.empty() || found.key.secret.empty())
    return absl::NotFoundError(
        "environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set");
  return found;
}

absl::StatusOr<AwsKey> FromFile(const std::string& path, const std::string& profile) {
  absl::StatusOr<protocol::AccessKey> key = ReadAccessKey(path, profile);
  if (!key.ok()) return key.status();
  return AwsKey{*std::move(key), Cat(path, " [", profile, "]"), 0};
}

// Asks the metadata service. What it answers has one line; errors say what was asked.
absl::StatusOr<HttpAnswer> Ask(const AwsOptions& options, Http& http, const std::string& method,
                               const std::string& url, std::string header) {
  HttpRequest request;
  request.method = method;
  request.url = url;
  request.headers.push_back(std::move(header));
  request.ca_file = options.ca_file;
  request.timeout = kMetadataTimeout;
  HttpAnswer answer = http.Send(request);
  if (answer.status == 200) return answer;
  const std::string what = answer.status == 0 ? answer.error : Cat("status ", answer.status);
  return absl::UnavailableError(Cat("metadata: ", method, " ", url, ": ", what));
}

// Printable, and nothing of `not_these`: a token ends no header, a role's name no path.
bool IsWord(std::string_view text, size_t most, std::string_view not_these) {
  if (text.empty() || text.size() > most) return false;
  for (const char c : text) {
    if (c <= ' ' || c > '~' || not_these.find(c) != std::string_view::npos) return false;
  }
  return true;
}

absl::StatusOr<AwsKey> FromMetadata(const AwsOptions& options, Http& http) {
  const std::string endpoint = options.metadata_endpoint.empty() ? std::string(kMetadataEndpoint)
                                                                 : options.metadata_endpoint;
  absl::StatusOr<HttpAnswer> token =
      Ask(options, http, "PUT", Cat(endpoint, "/latest/api/token"),
          Cat("X-aws-ec2-metadata-token-ttl-seconds: ", kTokenSeconds));
  if (!token.ok()) return token.status();
  if (!IsWord(token->body, kTokenMax, ""))
    return absl::UnavailableError("metadata: the service's token is none");
  const auto header = [&token] { return Cat("X-aws-ec2-metadata-token: ", token->body); };
  absl::StatusOr<HttpAnswer> role = Ask(options, http, "GET", Cat(endpoint, kRolePath), header());
  if (!role.ok()) return role.status();
  const std::string name = role->body.substr(0, role->body.find('\n'));
  if (!IsWord(name, kNameMax, "/?#%"))
    return absl::UnavailableError("metadata: the instance has no role (instance profile)");
  absl::StatusOr<HttpAnswer> text =
      Ask(options, http, "GET", Cat(endpoint, kRolePath, name), header());
  if (!text.ok()) return text.status();
  absl::StatusOr<protocol::TemporaryKey> key = protocol::ParseMetadataKey(text->body);
  if (!key.ok())
    return absl::UnavailableError(Cat("metadata: the key of the role \"", name, "\": ",
                                      std::string_view(std::string(key.status().message()))));
  return AwsKey{std::move(key->key), Cat("metadata, role ", name),
                key->expires_at * engine::kSecond};
}

}  // namespace

absl::StatusOr<AwsKey> FindAwsKey(const AwsOptions& options, Http& http) {
  std::string problems;
  for (const std::string& source : options.credentials) {
    absl::StatusOr<AwsKey> found = source == "environment" ? FromEnvironment()
                                   : source == "metadata"  ? FromMetadata(options, http)
                                                           : FromFile(source, options.profile);
    if (found.ok()) return found;
    engine::Append(problems, problems.empty() ? "" : "; ",
                   std::string_view(std::string(found.status().message())));
  }
  return absl::UnavailableError(problems);
}

}  // namespace weir::pool
