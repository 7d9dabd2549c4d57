// What the options must be together, beyond type and range; and what is not available yet.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "pool/config/config.h"

namespace weir::pool {

// Reports by ("section.name", number of the table in its section, message). Sets defaults that
// depend on others.
using ReportProblem = std::function<void(std::string_view key, size_t index, std::string message)>;
void CheckConfig(Config& config, const ReportProblem& report);

// A secret file's text; errors name it. The user of an [[auth]] is in it.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

}  // namespace weir::pool
