// Who may log in, and with what weir logs in itself: the [[auth]] entries with their secrets, read.
//
// Users is an immutable snapshot, made when the configuration is loaded (PBKDF2 runs there, never
// on a shard). ServerKeys derives the SCRAM keys for a server's salt on the worker, once per
// secret, salt and iterations.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/prng.h"
#include "engine/base/slab.h"
#include "pool/config/config.h"
#include "protocol/auth/scram.h"
#include "protocol/dialect.h"

namespace weir::pool {

class BackendSession;
struct SessionServices;

class Users {
 public:
  Users() = default;
  ~Users();
  Users(const Users&) = delete;
  Users& operator=(const Users&) = delete;
  // Reads every secret and derives its verifier. Errors name the file.
  static absl::StatusOr<std::unique_ptr<const Users>> Load(const Config& config,
                                                           engine::Entropy& entropy,
                                                           std::string salt_key);

  // Never fails: an unknown user gets a mock verifier of its own, which no password fits. `local`:
  // the client came over loopback or a unix socket. The result refers to this snapshot, a mock
  // verifier to `mock`.
  protocol::ClientUser Find(std::string_view user, bool local, protocol::ScramVerifier& mock) const;
  // As an unknown one.
  protocol::ClientUser Unknown(std::string_view user, protocol::ScramVerifier& mock) const;
  // The part of a server login that depends on the user and the target's options.
  protocol::ServerLogin::Options LoginOptions(std::string_view user,
                                              const TargetOptions& target) const;
  // Users whose secret names a database, for warming: (user, database).
  std::vector<std::pair<std::string, std::string>> Databases() const;
  std::string_view Password(std::string_view user) const;

 private:
  struct Entry {
    std::string password;
    std::string database;
    bool trust = false;
    protocol::ScramVerifier verifier;
  };
  std::map<std::string, Entry, std::less<>> entries_;
  std::string salt_key_;
};

class ServerKeys {
 public:
  // Answers by backend.OnServerKeys, now if the keys are known, else when the worker has derived
  // them.
  void Ask(SessionServices& services, BackendSession& backend, std::string_view user,
           const protocol::ScramKeyRequest& request);

  void OnDerived(SessionServices& services, std::string_view password,
                 const protocol::ScramKeyRequest& request, const protocol::ScramKeys& keys);

 private:
  // Secrets rotate: older keys are forgotten.
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
  // One a shard: the logins of a shard that ask for the same keys wait for one derivation.
  std::vector<Known> known_;
  std::vector<Pending> pending_;
};

}  // namespace weir::pool
