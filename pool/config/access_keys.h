// Files with access keys, in the INI format of the AWS tools: of applications ([iam]), and weir's
// own ([aws]).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "protocol/auth/credentials_file.h"

namespace weir::pool {

// Nobody but its owner may read it. Errors name the file, never what is in it.
absl::StatusOr<std::vector<protocol::CredentialsEntry>> ReadAccessKeys(const std::string& path);
// One section's.
absl::StatusOr<protocol::AccessKey> ReadAccessKey(const std::string& path,
                                                  const std::string& section);

}  // namespace weir::pool
