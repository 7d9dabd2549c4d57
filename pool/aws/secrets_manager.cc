#include "pool/aws/secrets_manager.h"

#include <utility>

#include "engine/base/text.h"
#include "pool/config/check_aws.h"
#include "protocol/auth/sigv4.h"

namespace weir::pool {
namespace {

using engine::Cat;

constexpr std::string_view kService = "secretsmanager";
constexpr std::string_view kTarget = "secretsmanager.GetSecretValue";
constexpr std::string_view kContentType = "application/x-amz-json-1.1";
// A secret has at most 64 KiB, and as JSON within JSON some more.
constexpr size_t kAnswerMax = size_t{512} * 1024;

std::string EndpointOf(const AwsOptions& options, std::string_view region) {
  if (!options.secrets_manager_endpoint.empty()) return options.secrets_manager_endpoint;
  const std::string_view domain = region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  return Cat("https://secretsmanager.", region, '.', domain);
}

void Sign(HttpRequest& request, const protocol::AccessKey& key, std::string_view region,
          engine::Nanos now) {
  const std::string time = protocol::FormatBasicTime(now / engine::kSecond);
  const protocol::SigningScope scope{time.substr(0, 8), std::string(region), std::string(kService)};
  const std::string_view host = HostOfUrl(request.url);
  protocol::SignedHeaders headers = {
      {"content-type", kContentType}, {"host", host}, {"x-amz-date", time}};
  if (!key.session_token.empty()) headers.emplace_back("x-amz-security-token", key.session_token);
  headers.emplace_back("x-amz-target", kTarget);
  protocol::Digest256 signing_key = protocol::SigningKey(key.secret, scope);
  const std::string authorization =
      protocol::AuthorizationOf(signing_key, key.id, scope, time, headers, request.body);
  protocol::Wipe(signing_key);
  for (const auto& [name, value] : headers) request.headers.push_back(Cat(name, ": ", value));
  request.headers.push_back(Cat("authorization: ", authorization));
}

bool IsOfTheKey(std::string_view code) {
  return code == "ExpiredTokenException" || code == "UnrecognizedClientException" ||
         code == "InvalidSignatureException" || code == "InvalidClientTokenId";
}

// An answer that is an error.
void Explain(const HttpAnswer& answer, SecretFetch& out) {
  const protocol::AwsError error = protocol::ParseAwsError(answer.body);
  out.key_refused = IsOfTheKey(error.code);
  const std::string text = Cat("status ", answer.status, error.code.empty() ? "" : ", ", error.code,
                               error.message.empty() ? "" : ": ", error.message);
  out.status = error.code == "ResourceNotFoundException" ? absl::NotFoundError(text)
                                                         : absl::UnavailableError(text);
}

}  // namespace

SecretFetch FetchSecret(const AwsOptions& options, Http& http, const protocol::AccessKey& key,
                        const std::string& arn, std::string_view stage, engine::Nanos now) {
  const std::string_view region = RegionOfSecret(arn);
  HttpRequest request;
  request.method = "POST";
  request.url = EndpointOf(options, region);
  request.body = protocol::SecretQuestion(arn, stage);
  request.ca_file = options.ca_file;
  request.answer_bytes_max = kAnswerMax;
  Sign(request, key, region, now);
  SecretFetch out;
  const HttpAnswer answer = http.Send(request);
  if (answer.status == 0) {
    out.unreachable = true;
    out.status = absl::UnavailableError(Cat(request.url, ": ", answer.error));
  } else if (answer.status != 200) {
    Explain(answer, out);
  } else {
    absl::StatusOr<protocol::SecretValue> value = protocol::ParseSecretValue(answer.body);
    if (value.ok()) {
      out.value = *std::move(value);
    } else {
      out.status = value.status();
    }
  }
  return out;
}

}  // namespace weir::pool
