// The SCRAM keys with which weir logs in to servers: derived on the worker, once per secret, salt
// and iterations; or, for a verifier, what a client has shown. One a shard: the logins of a shard
// that ask for the same keys wait for one derivation.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/slab.h"
#include "protocol/auth/scram.h"
#include "protocol/dialect.h"

namespace weir::pool {

class BackendSession;
class Users;
struct SessionServices;

class ServerKeys {
 public:
  ~ServerKeys();
  // Answers by backend.OnServerKeys, now if the keys are known, else when the worker has derived
  // them; or by backend.OnNoServerKeys, now.
  void Ask(SessionServices& services, BackendSession& backend, std::string_view password,
           const protocol::ScramKeyRequest& request);
  // Keys of passwords that are nobody's any more are forgotten.
  void Keep(const Users& users, engine::Nanos now);

  void OnDerived(SessionServices& services, std::string_view password,
                 const protocol::ScramKeyRequest& request, const protocol::ScramKeys& keys);

 private:
  // Beyond that, older ones are forgotten.
  static constexpr size_t kKnownMax = 64;
  struct Known {
    std::string password;
    protocol::ScramKeyRequest request;
    protocol::ScramKeys keys;
  };
  struct Pending {
    std::string password;
    protocol::ScramKeyRequest request;
    std::vector<engine::Handle<BackendSession>> backends;
  };
  static void Wipe(Known& known);
  void AskClientKeys(SessionServices& services, BackendSession& backend,
                     const protocol::ScramVerifier& verifier,
                     const protocol::ScramKeyRequest& request);

  std::vector<std::unique_ptr<Known>> known_;
  std::vector<Pending> pending_;
};

}  // namespace weir::pool
