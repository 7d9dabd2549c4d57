// A database user's secret, in the JSON form of the managed service: {"username": ..., "password":
// ...}, and perhaps host, port, engine, dbname; other keys are allowed and ignored.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace weir::protocol {

struct Secret {
  std::string username;
  std::string password;
  std::string dbname;
};

// Errors say what is wrong with the text, never what is in it.
absl::StatusOr<Secret> ParseSecret(std::string_view json);

}  // namespace weir::protocol
