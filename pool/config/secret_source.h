// Where the secret of an [[auth]] entry is kept: a file, or a variable of the environment.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "pool/config/config.h"
#include "protocol/auth/secret.h"

namespace weir::pool {

// By which a file that has changed is known; equal for a variable, which cannot change.
struct SecretStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t changed_at = 0;
  int64_t size = -1;  // -1: there is no file
  bool operator==(const SecretStamp&) const = default;
};
SecretStamp StampOf(const AuthOptions& auth);

// How errors and log lines call it.
std::string SecretName(const AuthOptions& auth);
// Its text. Errors name it; so do those of ReadSecret, and never show what is in it.
absl::StatusOr<std::string> ReadSecretText(const AuthOptions& auth);
absl::StatusOr<protocol::Secret> ReadSecret(const AuthOptions& auth);

// Why this kind of password is of no use with the entry's other options; empty: it is.
std::string SecretProblem(const AuthOptions& auth, protocol::PasswordKind kind);

}  // namespace weir::pool
