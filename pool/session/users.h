// Who may log in, and with what weir logs in itself: the [[auth]] entries with their secrets, read.
//
// An immutable snapshot, made when the configuration is loaded or a secret has changed (PBKDF2 runs
// there, never on a shard); a shard that has the next one lets this one go.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/clock.h"
#include "engine/base/prng.h"
#include "pool/config/config.h"
#include "pool/config/secret_source.h"
#include "pool/session/secret_news.h"
#include "pool/session/user_secret.h"
#include "protocol/auth/scram.h"
#include "protocol/dialect.h"

namespace weir::pool {

class Users {
 public:
  Users() = default;
  ~Users();
  Users(const Users&) = delete;
  Users& operator=(const Users&) = delete;
  // Reads every secret and derives its keys. Errors name where it is kept. `before`: in force until
  // now; of a secret that has changed the value there stays good for rotation_grace.
  static absl::StatusOr<std::unique_ptr<const Users>> Load(
      const Config& config, engine::Entropy& entropy, std::string salt_key,
      const Users* before = nullptr, engine::Nanos now = 0, const RemoteSecrets* remote = nullptr);

  // A user's secret has another value.
  struct Change {
    std::string user;
    std::string password;
    engine::Nanos grace = 0;
  };
  // The next snapshot: with these changes, and without the values before that the server's word or
  // the time has ended. nullptr: it would be the same. `told`: lines for the log.
  std::unique_ptr<const Users> Next(const std::vector<Change>& changes,
                                    const std::vector<SecretNews::Accepted>& accepted,
                                    engine::Nanos now, std::vector<std::string>& told) const;

  // Never fails: an unknown user gets a mock verifier of its own, which no password fits. `local`:
  // the client came over loopback or a unix socket. The result refers to this snapshot, a mock
  // verifier to `mock`.
  protocol::ClientUser Find(std::string_view user, bool local, engine::Nanos now,
                            protocol::ScramVerifier& mock) const;
  // As an unknown one; `mock`: as Find has left it for this user.
  protocol::ClientUser Unknown(std::string_view user, protocol::ScramVerifier& mock) const;
  // nullptr: there is no such user.
  const UserSecret* Secret(std::string_view user) const;
  // Users whose secret names a database, for warming: (user, database).
  std::vector<std::pair<std::string, std::string>> Databases() const;
  // Is a good value of somebody's secret.
  bool IsGood(std::string_view password, engine::Nanos now) const;
  // Of the verifiers in place of passwords.
  std::vector<protocol::Digest256> StoredKeys() const;

 private:
  struct Entry {
    UserSecret secret;
    std::string database;
    protocol::ClientMethod method = protocol::ClientMethod::kScram;
    std::vector<std::string> certificate_names;
  };
  std::map<std::string, Entry, std::less<>> entries_;
  std::string salt_key_;
};

// What a target allows a server to ask for.
protocol::ServerLogin::Options LoginOptionsOf(const TargetOptions& target);

}  // namespace weir::pool
