// The secret of one user: its value, and the value before as long as that is good too.
//
//   A --Replace(B)--> B, and A for a while --Confirm--> B
//
// While the server has not accepted B (and it may never), A stays: for clients as an old password,
// for weir as one to try. A value that comes before B was accepted replaces B, not A. Where both
// are passwords clients prove either by one salt. Immutable but for those steps; wiped when it
// dies.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/prng.h"
#include "protocol/auth/scram.h"
#include "protocol/auth/secret.h"

namespace weir::pool {

class UserSecret {
 public:
  // Derives keys: milliseconds, not on a shard. So does Replace.
  UserSecret(std::string_view user, std::string_view password, engine::Entropy& entropy);
  ~UserSecret();
  UserSecret(const UserSecret&) = default;
  UserSecret& operator=(const UserSecret&) = default;

  // The value before stays good until then.
  void Replace(std::string_view password, engine::Nanos until);
  // The server has accepted the newest value, or time is up.
  void DropPrevious();

  std::string_view password() const { return password_; }
  // Empty: there is none, or its time is up.
  std::string_view previous(engine::Nanos now) const;
  engine::Nanos previous_until() const { return previous_until_; }  // 0: none
  // Which value this is; every change makes it greater.
  uint64_t version() const { return version_; }

  // What clients prove, at this time. As long as this object.
  const protocol::ScramVerifier& verifier(engine::Nanos now) const;
  std::span<const std::string> md5_hashes(engine::Nanos now) const;

 private:
  // The keys of a password, with the salt of verifier_; nullopt: it has none of that salt.
  std::optional<protocol::ScramVerifier::Keys> KeysOf(std::string_view password) const;
  void SetUp();

  std::string user_;
  std::string password_;
  std::string previous_;  // empty: none
  engine::Nanos previous_until_ = 0;
  uint64_t version_ = 1;
  protocol::ScramVerifier verifier_;  // of password_ alone
  protocol::ScramVerifier both_;      // ... with previous_, if it has keys
  std::vector<std::string> md5_hashes_;
};

}  // namespace weir::pool
