// [[access]] and access_file as rules.
#pragma once

#include "pool/config/check_config.h"

namespace weir::pool {

// Sets config.access_rules.
void CheckAccess(Config& config, const ReportProblem& report);

}  // namespace weir::pool
