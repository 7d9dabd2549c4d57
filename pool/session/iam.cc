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
  iam->verifier_ = {config.iam.verifier, config.aws.ca_file};
  iam->nobody_.secret = std::string(kSecretLength, 'x');
  return iam;
}

Iam::Answer Iam::Check(std::string_view token, std::string_view user, uint32_t endpoint,
                       const protocol::VerifiedKey* verified) const {
  protocol::IamToken parsed;
  IamFault fault = protocol::ParseIamToken(token, parsed);
  if (fault == IamFault::kNone) fault = FaultOf(parsed, user, endpoint, verified);
  if (fault == IamFault::kNone) return {};
  std::string why = Cat("its token was refused: ", protocol::IamFaultText(fault));
  if (!parsed.access_key_id.empty()) {
    engine::Append(why, " (access key ",
                   engine::Visible(std::string_view(parsed.access_key_id).substr(0, kKeyIdShown)),
                   ')');
  }
  Answer answer{fault, std::move(why), {}};
  if (fault == IamFault::kVerifier && verified == nullptr) {
    IamQuestion& question = answer.question.emplace();
    question.access_key_id = parsed.access_key_id;
    question.session_token = parsed.session_token;
    question.date = parsed.scope.date;
    question.region = parsed.scope.region;
  }
  return answer;
}

IamFault Iam::FaultOf(const protocol::IamToken& token, std::string_view user, uint32_t endpoint,
                      const protocol::VerifiedKey* verified) const {
  const auto found = principals_.find(token.access_key_id);
  const bool known = found != principals_.end();
  // First, whatever comes of the rest.
  const IamFault signature = protocol::IsSignedBy(token, known ? found->second.key : nobody_);
  protocol::IamTerms terms{user, region_, {}, clock_.Now()};
  if (endpoint < host_names_.size()) terms.host_names = host_names_[endpoint];
  if (const IamFault fault = protocol::CheckIamToken(token, terms); fault != IamFault::kNone)
    return fault;
  if (!known && verified != nullptr) return FaultOfVerified(token, user, *verified);
  if (!known) {
    const bool temporary = !token.session_token.empty();
    return temporary && !verifier_.address.empty() ? IamFault::kVerifier : IamFault::kUnknownKey;
  }
  if (signature != IamFault::kNone) return signature;
  const std::string arn = protocol::DatabaseUserArn(region_, account_id_, resource_id_, user);
  return protocol::AllowedBy(found->second.policies, protocol::kIamConnectAction, arn)
             ? IamFault::kNone
             : IamFault::kPolicy;
}

IamFault Iam::FaultOfVerified(const protocol::IamToken& token, std::string_view user,
                              const protocol::VerifiedKey& verified) const {
  if (verified.expires_at <= Seconds()) return IamFault::kVerifier;
  if (!protocol::IsSignedWith(token, verified.signing_key)) return IamFault::kSignature;
  const std::string arn = protocol::DatabaseUserArn(region_, account_id_, resource_id_, user);
  return protocol::AllowedBy(verified.policies, protocol::kIamConnectAction, arn)
             ? IamFault::kNone
             : IamFault::kPolicy;
}

}  // namespace weir::pool
