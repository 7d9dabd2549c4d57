// Who may log in with tokens: the [[iam.principal]] entries with their keys and policies, read.
#pragma once

#include <string>
#include <vector>

#include "pool/config/check_config.h"
#include "protocol/auth/iam_policy.h"
#include "protocol/auth/iam_token.h"

namespace weir::pool {

struct IamPrincipal {
  std::string entry;
  protocol::AccessKey key;
  std::vector<protocol::IamPolicy> policies;
};

// Each of [[iam.principal]]; what is reported is left out.
std::vector<IamPrincipal> ReadIamPrincipals(const Config& config, const ReportProblem& report);

// What tokens may call an endpoint: its host_names, each with a port.
std::vector<std::string> IamHostNames(const EndpointOptions& endpoint);

// All of [iam], its files too.
void CheckIam(const Config& config, const ReportProblem& report);

}  // namespace weir::pool
