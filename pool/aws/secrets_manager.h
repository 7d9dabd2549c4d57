// Asks AWS Secrets Manager for a secret (GetSecretValue, its JSON protocol, Signature Version 4).
//
// Blocks; never on a shard.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "pool/aws/http.h"
#include "pool/config/config.h"
#include "protocol/auth/aws_answers.h"

namespace weir::pool {

inline constexpr std::string_view kCurrentStage = "AWSCURRENT";
// What a rotation has made and the server may know already.
inline constexpr std::string_view kPendingStage = "AWSPENDING";

struct SecretFetch {
  absl::Status status;          // why there is none; never what is in it
  bool unreachable = false;     // ... there was no answer: others would get none either
  bool key_refused = false;     // ... because of the key: another one may do
  protocol::SecretValue value;  // of a good one
};

// `now`: wall time.
SecretFetch FetchSecret(const AwsOptions& options, Http& http, const protocol::AccessKey& key,
                        const std::string& arn, std::string_view stage, engine::Nanos now);

}  // namespace weir::pool
