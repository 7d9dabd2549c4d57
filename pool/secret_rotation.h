// Secrets that change while the program runs: reads them again, and makes the next snapshot of
// users.
//
// A file is looked at every few seconds, and read when it is another one than before; after a login
// that a server has refused, all are read, but not more often than once a second. What cannot be
// read, or does not fit, leaves the old value in force, and the log says so once. Secrets that are
// kept elsewhere are seen as soon as they have been fetched. The main thread's: it reads files and
// derives keys.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "pool/config/config.h"
#include "pool/config/secret_source.h"
#include "pool/session/secret_news.h"
#include "pool/session/users.h"

namespace weir::pool {

class SecretRotation {
 public:
  static constexpr engine::Nanos kLookPeriod = 2 * engine::kSecond;
  static constexpr engine::Nanos kReadPeriod = engine::kSecond;

  // `remote` outlives it; nullptr: there are no secrets of a secret_arn.
  explicit SecretRotation(SecretNews& news, RemoteSecrets* remote = nullptr)
      : news_(news), remote_(remote) {}

  // All of this configuration's secrets have just been read.
  void Begin(const Config& config);
  // Called often. nullptr: nothing has changed.
  std::unique_ptr<const Users> Poll(const Config& config, const Users& users, engine::Nanos now);
  // The first secret of somebody has come (secret_arn): users are to be named and read anew.
  bool new_users() const { return new_users_; }

 private:
  // Of an [[auth]] entry.
  struct Source {
    SecretStamp stamp = {};
    bool settled = false;   // it was the same at the second look
    std::string told = {};  // what is wrong with it, as the log has it
  };
  void Look(const Config& config, const Users& users, std::vector<Users::Change>& changes);
  std::string Read(const Config& config, size_t number, const Users& users,
                   std::vector<Users::Change>& changes);
  bool RemoteChanged(const Config& config) const;

  SecretNews& news_;
  RemoteSecrets* const remote_;
  std::vector<Source> sources_;
  bool read_all_ = false;
  bool new_users_ = false;
  engine::Nanos look_at_ = 0;
  engine::Nanos read_at_ = 0;  // not all of them before
};

}  // namespace weir::pool
