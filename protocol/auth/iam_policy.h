// A policy document of IAM, as far as it says who may log in: Version, Id, and statements of Sid,
// Effect, Action, Resource.
//
//   {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "rds-db:connect",
//    "Resource": "arn:aws:rds-db:us-east-1:111122223333:dbuser:prx-0abc123def456/app"}]}
//
// What is not evaluated here (Condition, NotAction, NotResource, Principal, policy variables) is an
// error when the text is read, with its place: a policy means all that it says, or is refused.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace weir::protocol {

inline constexpr std::string_view kIamConnectAction = "rds-db:connect";

class IamPolicy {
 public:
  // Errors say where: a line of the text, or a statement of it.
  static absl::StatusOr<IamPolicy> Parse(std::string_view json);

  enum class Verdict : uint8_t { kSilent, kAllows, kDenies };
  Verdict Judge(std::string_view action, std::string_view resource) const;

 private:
  struct Statement {
    bool allows = false;
    std::vector<std::string> actions;  // in lower case
    std::vector<std::string> resources;
  };
  friend class PolicyReader;

  std::vector<Statement> statements_;
};

// One allows it and none denies it.
bool AllowedBy(std::span<const IamPolicy> policies, std::string_view action,
               std::string_view resource);

// '*' stands for any text, also with ':' and '/'; '?' for one character.
bool MatchesWildcards(std::string_view pattern, std::string_view text);

// arn:aws:rds-db:<region>:<account>:dbuser:<resource id>/<user>
std::string DatabaseUserArn(std::string_view region, std::string_view account,
                            std::string_view resource_id, std::string_view user);

}  // namespace weir::protocol
