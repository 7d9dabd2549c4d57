// Whether a token lets its bearer log in: the keys and policies of [[iam.principal]], read.
//
// Iam is an immutable snapshot, made when the configuration is loaded, and may be asked by any
// shard: an answer costs some hashes, microseconds. The clock is the system's, or a test's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/wall_clock.h"
#include "pool/config/config.h"
#include "pool/config/iam_principals.h"
#include "pool/session/iam_verifier.h"
#include "protocol/auth/iam_token.h"

namespace weir::pool {

class Iam {
 public:
  explicit Iam(const engine::WallClock& clock) : clock_(clock) {}  // lets nobody in
  // `clock` outlives it. Errors are those of the check of the configuration.
  static absl::StatusOr<std::unique_ptr<const Iam>> Load(const Config& config,
                                                         const engine::WallClock& clock);

  struct Answer {
    protocol::IamFault fault = protocol::IamFault::kNone;
    std::string why;  // of a fault, for the log: with the key's id, without anything secret
    // The key is a temporary one that no file has: with what the verifier says of it, the answer
    // may be another one.
    std::optional<IamQuestion> question{};
  };
  // May `user` log in with this token at the endpoint of that number, now? `verified`: what the
  // verifier has answered to the question of this token; nullptr: it has not been asked.
  Answer Check(std::string_view token, std::string_view user, uint32_t endpoint,
               const protocol::VerifiedKey* verified = nullptr) const;
  const IamVerifierPlace& verifier() const { return verifier_; }
  int64_t Seconds() const { return clock_.Now() / engine::kSecond; }  // of its clock

 private:
  protocol::IamFault FaultOf(const protocol::IamToken& token, std::string_view user,
                             uint32_t endpoint, const protocol::VerifiedKey* verified) const;
  protocol::IamFault FaultOfVerified(const protocol::IamToken& token, std::string_view user,
                                     const protocol::VerifiedKey& verified) const;

  const engine::WallClock& clock_;
  std::string account_id_;
  std::string region_;
  std::string resource_id_;
  std::vector<std::vector<std::string>> host_names_;             // of each endpoint
  std::map<std::string, IamPrincipal, std::less<>> principals_;  // by the id of their key
  // Whoever has no key is verified with this one, so that it takes as long.
  protocol::AccessKey nobody_;
  IamVerifierPlace verifier_;
};

}  // namespace weir::pool
