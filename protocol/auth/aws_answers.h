// What the services of AWS, and an operator's verifier, answer: JSON, read.
//
//   instance metadata   {"Code": "Success", "AccessKeyId": ..., "SecretAccessKey": ..., "Token":
//   ...,
//                        "Expiration": "2026-01-01T06:00:00Z"}
//   Secrets Manager     {"SecretString": "{\"username\": ...}", "VersionId": ...}
//                       {"__type": "AccessDeniedException", "Message": ...}
//   a verifier          {"signing_key": "<64 hex>", "policies": ["{\"Statement\": ...}"],
//                        "expires_at": "2026-01-01T06:00:00Z"}
//
// Errors say what is wrong with the text, never what is in it. Whatever was secret is wiped when it
// dies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "protocol/auth/iam_policy.h"
#include "protocol/auth/iam_token.h"

namespace weir::protocol {

struct TemporaryKey {
  AccessKey key;
  int64_t expires_at = 0;  // seconds since 1970
};
absl::StatusOr<TemporaryKey> ParseMetadataKey(std::string_view json);

struct SecretValue {
  SecretValue() = default;
  SecretValue(SecretValue&&) = default;
  SecretValue& operator=(SecretValue&&) = default;
  SecretValue(const SecretValue&) = delete;
  SecretValue& operator=(const SecretValue&) = delete;
  ~SecretValue();
  std::string text;
  std::string version;  // VersionId
};
absl::StatusOr<SecretValue> ParseSecretValue(std::string_view json);

// Of an answer that is an error; empty: it does not say.
struct AwsError {
  std::string code;     // AccessDeniedException, without a namespace
  std::string message;  // at most 300 bytes
};
AwsError ParseAwsError(std::string_view json);

// What a verifier knows of a temporary key.
struct VerifiedKey {
  VerifiedKey() = default;
  VerifiedKey(const VerifiedKey&) = default;
  VerifiedKey& operator=(const VerifiedKey&) = default;
  ~VerifiedKey();
  Digest256 signing_key{};  // of the date and region that it was asked for
  std::vector<IamPolicy> policies;
  int64_t expires_at = 0;  // seconds since 1970
};
absl::StatusOr<VerifiedKey> ParseVerifiedKey(std::string_view json);
// ... and what it is asked.
std::string VerifierQuestion(std::string_view access_key_id, std::string_view session_token,
                             std::string_view date, std::string_view region);

// {"SecretId": ..., "VersionStage": ...}
std::string SecretQuestion(std::string_view arn, std::string_view stage);

}  // namespace weir::protocol
