// Who says whether the token that a client has sent as its password is good (IAM): a seam.
//
//   client login: kCheckToken -> TokenChecker::Check -> ClientSession::OnTokenChecked
//
// One for each shard, or one that answers each client on its own shard.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/slab.h"

namespace weir::pool {

class ClientSession;
struct SessionServices;

class TokenChecker {
 public:
  struct Question {
    std::string_view user;
    std::string_view token;  // a secret: whoever keeps a copy wipes it
    uint32_t endpoint = 0;   // at which it has come
  };
  virtual ~TokenChecker() = default;
  // Answers by OnTokenChecked, on the client's shard, once: before it returns, or later if
  // `client` is still there. The question is good until it returns.
  virtual void Check(SessionServices& services, engine::Handle<ClientSession> client,
                     const Question& question) = 0;
};

}  // namespace weir::pool
