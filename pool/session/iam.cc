#include "pool/session/iam.h"

#include <utility>

#include "engine/base/text.h"
#include "protocol/auth/iam_policy.h"

namespace weir::pool {

using engine::Cat;
using protocol::IamFault;

namespace {

constexpr size_t kKeyIdShown = 128;
constexpr size_t kSecretLength = 40;

}  // namespace

absl::StatusOr<std::unique_ptr<const Iam>> Iam::Load(const Config& config,
                                                     const engine::WallClock& clock) {
  auto iam = std::make_unique<Iam>(clock);
  std::string problem;
  std::vector<IamPrincipal> principals =
      ReadIamPrincipals(config, [&problem](std::string_view, size_t, const std::string& message) {
        if (problem.empty()) problem = message;
      });
  if (!problem.empty()) return absl::InvalidArgumentError(problem);
  for (IamPrincipal& principal : principals) {
    const std::string id = principal.key.id;
    iam->principals_.emplace(id, std::move(principal));
  }
  iam->account_id_ = config.iam.account_id;
  iam->region_ = config.iam.region;
  iam->resource_id_ = config.iam.resource_id;
  for (const EndpointOptions& endpoint : config.endpoints)
    iam->host_names_.push_back(IamHostNames(endpoint));
  iam->nobody_.secret = std::string(kSecretLength, 'x');
  return iam;
}

Iam::Answer Iam::Check(std::string_view token, std::string_view user, uint32_t endpoint) const {
  protocol::IamToken parsed;
  IamFault fault = protocol::ParseIamToken(token, parsed);
  if (fault == IamFault::kNone) fault = FaultOf(parsed, user, endpoint);
  if (fault == IamFault::kNone) return {};
  std::string why = Cat("its token was refused: ", protocol::IamFaultText(fault));
  if (!parsed.access_key_id.empty()) {
    engine::Append(why, " (access key ",
                   engine::Visible(std::string_view(parsed.access_key_id).substr(0, kKeyIdShown)),
                   ')');
  }
  return {fault, std::move(why)};
}

IamFault Iam::FaultOf(const protocol::IamToken& token, std::string_view user,
                      uint32_t endpoint) const {
  const auto found = principals_.find(token.access_key_id);
  const bool known = found != principals_.end();
  // First, whatever comes of the rest.
  const IamFault signature = protocol::IsSignedBy(token, known ? found->second.key : nobody_);
  protocol::IamTerms terms{user, region_, {}, clock_.Now()};
  if (endpoint < host_names_.size()) terms.host_names = host_names_[endpoint];
  if (const IamFault fault = protocol::CheckIamToken(token, terms); fault != IamFault::kNone)
    return fault;
  if (!known) return IamFault::kUnknownKey;
  if (signature != IamFault::kNone) return signature;
  const std::string arn = protocol::DatabaseUserArn(region_, account_id_, resource_id_, user);
  return protocol::AllowedBy(found->second.policies, protocol::kIamConnectAction, arn)
             ? IamFault::kNone
             : IamFault::kPolicy;
}

}  // namespace weir::pool
