// [aws], and what of the other sections needs it.
#pragma once

#include <string>
#include <string_view>

#include "pool/config/check_config.h"

namespace weir::pool {

void CheckAws(const Config& config, const ReportProblem& report);

// The region of a secret: arn:<partition>:secretsmanager:<region>:<account>:secret:<name>. Empty:
// that is no such name.
std::string_view RegionOfSecret(std::string_view arn);

// Of the database servers.
const std::string& RegionOfServers(const Config& config);

// Weir asks AWS for something.
bool NeedsAws(const Config& config);

// The host, and the port if it names one, of http://host[:port] or https://host[:port]; empty: it
// is no such URL.
std::string_view HostOfUrl(std::string_view url);

}  // namespace weir::pool
