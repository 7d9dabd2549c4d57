// Reads the TOML file. Everything that is wrong in it is told at once, each with file:line:column
// and what to do.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "pool/config/config.h"

namespace weir::pool {

absl::StatusOr<Config> LoadConfig(const std::string& path);

}  // namespace weir::pool
