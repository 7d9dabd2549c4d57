// Answers a client's token on its own shard, at once.
#pragma once

#include "engine/base/slab.h"
#include "pool/session/iam.h"
#include "pool/session/token_checker.h"

namespace weir::pool {

class IamChecker final : public TokenChecker {
 public:
  // Replaced at reload, and good until then; nullptr: no token is good.
  void Use(const Iam* iam) { iam_ = iam; }
  void Check(SessionServices& services, engine::Handle<ClientSession> client,
             const Question& question) override;

 private:
  const Iam* iam_ = nullptr;
};

}  // namespace weir::pool
