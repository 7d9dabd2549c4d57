#include "pool/config/secret_source.h"

#include <sys/stat.h>

#include <cstdlib>

#include "engine/base/text.h"
#include "pool/config/check_config.h"
#include "protocol/auth/crypto.h"

namespace weir::pool {

using engine::Cat;
using protocol::PasswordKind;

SecretStamp StampOf(const AuthOptions& auth, const RemoteSecrets* remote) {
  if (!auth.secret_arn.empty())
    return {.changed_at = remote == nullptr ? 0 : remote->Version(auth.secret_arn)};
  struct stat status {};
  if (auth.secret_file.empty() || stat(auth.secret_file.c_str(), &status) != 0) return {};
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .changed_at = status.st_mtim.tv_sec * engine::kSecond + status.st_mtim.tv_nsec,
          .size = status.st_size};
}

std::string SecretName(const AuthOptions& auth) {
  if (!auth.secret_arn.empty()) return auth.secret_arn;
  return auth.secret_env.empty() ? auth.secret_file : Cat("environment variable ", auth.secret_env);
}

absl::StatusOr<std::string> ReadSecretText(const AuthOptions& auth, const RemoteSecrets* remote) {
  if (!auth.secret_arn.empty()) {
    if (remote != nullptr) return remote->Text(auth.secret_arn);
    return absl::UnavailableError(Cat(auth.secret_arn, ": nobody has asked for it"));
  }
  if (auth.secret_env.empty()) return ReadSmallFile(auth.secret_file);
  const char* text = std::getenv(auth.secret_env.c_str());
  if (text == nullptr) return absl::NotFoundError(Cat(SecretName(auth), ": it is not set"));
  return std::string(text);
}

absl::StatusOr<protocol::Secret> ReadSecret(const AuthOptions& auth, const RemoteSecrets* remote) {
  absl::StatusOr<std::string> text = ReadSecretText(auth, remote);
  if (!text.ok()) return text.status();
  absl::StatusOr<protocol::Secret> secret = protocol::ParseSecret(*text);
  protocol::Wipe(*text);
  if (secret.ok()) return secret;
  return absl::InvalidArgumentError(
      Cat(SecretName(auth), ": ", std::string_view(std::string(secret.status().message()))));
}

void NameRemoteUsers(Config& config, const RemoteSecrets& remote) {
  std::erase_if(config.users, [&config](const auto& each) {
    return !config.auths[each.second].secret_arn.empty();
  });
  for (size_t i = 0; i < config.auths.size(); ++i) {
    const AuthOptions& auth = config.auths[i];
    if (auth.secret_arn.empty()) continue;
    absl::StatusOr<protocol::Secret> secret = ReadSecret(auth, &remote);
    if (!secret.ok()) continue;
    if (SecretProblem(auth, protocol::KindOf(secret->password)).empty())
      config.users.emplace(secret->username, i);
    protocol::Wipe(secret->password);
  }
}

std::string SecretProblem(const AuthOptions& auth, PasswordKind kind) {
  const std::string& type = auth.client_password_auth_type;
  if (kind == PasswordKind::kScramVerifier &&
      (type != "POSTGRES_SCRAM_SHA_256" || auth.iam_auth == "REQUIRED")) {
    return Cat(
        "a SCRAM verifier in place of a password needs clients that log in by it: "
        "client_password_auth_type must be POSTGRES_SCRAM_SHA_256");
  }
  if (kind == PasswordKind::kMd5Hash && type == "POSTGRES_SCRAM_SHA_256" &&
      auth.iam_auth != "REQUIRED") {
    return "an md5 hash in place of a password is of no use for SCRAM: client_password_auth_type "
           "must be POSTGRES_MD5, or the secret must hold the password";
  }
  return {};
}

}  // namespace weir::pool
