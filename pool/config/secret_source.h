// Where the secret of an [[auth]] entry is kept: a file, a variable of the environment, or AWS
// Secrets Manager (a seam: somebody who may block has fetched it).
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "pool/config/config.h"
#include "protocol/auth/secret.h"

namespace weir::pool {

// Secrets that are kept elsewhere (secret_arn). By any thread; nothing here blocks.
class RemoteSecrets {
 public:
  virtual ~RemoteSecrets() = default;
  // As it was fetched last; the caller wipes it. Without one the status says why.
  virtual absl::StatusOr<std::string> Text(const std::string& arn) const = 0;
  // Another one with each other text; 0: there is none yet.
  virtual int64_t Version(const std::string& arn) const = 0;
  // The server has refused a value: is there another one?
  virtual void AskAgain() = 0;
};

// By which a secret that has changed is known; equal for a variable, which cannot change.
struct SecretStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t changed_at = 0;
  int64_t size = -1;  // -1: there is no file
  bool operator==(const SecretStamp&) const = default;
};
SecretStamp StampOf(const AuthOptions& auth, const RemoteSecrets* remote = nullptr);

// How errors and log lines call it.
std::string SecretName(const AuthOptions& auth);
// Its text. Errors name it; so do those of ReadSecret, and never show what is in it.
absl::StatusOr<std::string> ReadSecretText(const AuthOptions& auth,
                                           const RemoteSecrets* remote = nullptr);
absl::StatusOr<protocol::Secret> ReadSecret(const AuthOptions& auth,
                                            const RemoteSecrets* remote = nullptr);

// Sets of whom the entries with a secret_arn are; those that are not there yet, or do not fit, are
// nobody's.
void NameRemoteUsers(Config& config, const RemoteSecrets& remote);

// Why this kind of password is of no use with the entry's other options; empty: it is.
std::string SecretProblem(const AuthOptions& auth, protocol::PasswordKind kind);

}  // namespace weir::pool
