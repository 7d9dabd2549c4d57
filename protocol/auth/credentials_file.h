// Access keys in the INI format that the AWS tools share:
//
//   [orders-function]
//   aws_access_key_id = AKIA...
//   aws_secret_access_key = ...
//   aws_session_token = ...        # of temporary credentials only
//
// Other settings of a section are the tools' own business and are passed over; a section without a
// key is none of ours. What could be read in two ways (a section or a setting twice, one key id in
// two sections, half a key) is an error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "protocol/auth/iam_token.h"

namespace weir::protocol {

struct CredentialsEntry {
  std::string name;
  AccessKey key;
};

// Errors name the line, never what is in it.
absl::StatusOr<std::vector<CredentialsEntry>> ParseCredentialsFile(std::string_view text);

}  // namespace weir::protocol
