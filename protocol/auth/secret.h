// A database user's secret, in the JSON form of the managed service: {"username": ..., "password":
// ...}, and perhaps host, port, engine, dbname; other keys are allowed and ignored.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace weir::protocol {

// What a secret gives for a password.
enum class PasswordKind : uint8_t {
  kText,
  kMd5Hash,        // "md5" and 32 digits: answers md5 challenges, nothing else
  kScramVerifier,  // "SCRAM-SHA-256$...": checks proofs, and makes none
};
PasswordKind KindOf(std::string_view password);

struct Secret {
  std::string username;
  std::string password;
  std::string dbname;
};

// Errors say what is wrong with the text, never what is in it.
absl::StatusOr<Secret> ParseSecret(std::string_view json);

}  // namespace weir::protocol
