// weir's own key towards AWS: found by asking its sources in order ([aws] credentials).
//
//   "environment"  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
//   "metadata"     the instance's role, from the instance metadata service, version 2: a token by
//                  PUT, the role's name and its key by GET
//   a file         a section ([aws] profile) of a credentials file of the AWS tools
//
// Blocks; never on a shard.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "pool/aws/http.h"
#include "pool/config/config.h"
#include "protocol/auth/aws_answers.h"

namespace weir::pool {

struct AwsKey {
  protocol::AccessKey key;
  std::string source;            // for the log
  engine::Nanos expires_at = 0;  // wall time; 0: never
};

// Of the first source that has one. The error tells what each of them lacks.
absl::StatusOr<AwsKey> FindAwsKey(const AwsOptions& options, Http& http);

}  // namespace weir::pool
