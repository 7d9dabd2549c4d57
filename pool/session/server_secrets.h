// With which value of a user's secret the next backend logs in.
//
// While two are good, the one that the server has accepted last is tried first. A refusal makes the
// other one first; when both have been refused in turn, the login has failed. A verifier is no
// value to log in with until a client has shown its key. One a shard.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/clock.h"
#include "engine/base/text.h"
#include "pool/session/client_keys.h"
#include "pool/session/secret_news.h"
#include "pool/session/users.h"

namespace weir::pool {

// What a backend logs in with; wiped when the login is over.
struct LoginSecret {
  ~LoginSecret();
  std::string password;
  uint64_t version = 0;   // UserSecret::version
  bool previous = false;  // the value before
  bool decides = false;   // that it is accepted ends the value before
  bool token = false;     // made for this login: nobody's secret
};

class ServerSecrets {
 public:
  ServerSecrets(ClientKeys& keys, SecretNews& news) : keys_(keys), news_(news) {}

  // nullptr: none can be used yet, as `why` says.
  std::unique_ptr<LoginSecret> Choose(const Users& users, std::string_view user, engine::Nanos now,
                                      std::string& why);
  // The server has refused it. True: another one is worth a try at once.
  bool OnRefused(const Users& users, std::string_view user, const LoginSecret& secret,
                 engine::Nanos now);
  void OnAccepted(std::string_view user, const LoginSecret& secret);

 private:
  struct Trial {
    uint64_t version = 0;
    bool previous_first = false;
    bool refused[2] = {};  // since one was accepted: the newest, the one before
  };
  bool Usable(std::string_view password) const;
  Trial& TrialOf(std::string_view user, uint64_t version);

  ClientKeys& keys_;
  SecretNews& news_;
  engine::TextMap<Trial> trials_;
};

}  // namespace weir::pool
