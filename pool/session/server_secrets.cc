#include "pool/session/server_secrets.h"

#include <utility>

#include "engine/base/check.h"
#include "protocol/auth/scram.h"

namespace weir::pool {

using engine::Cat;
using engine::Nanos;

LoginSecret::~LoginSecret() { protocol::Wipe(password); }

bool ServerSecrets::Usable(std::string_view password) const {
  if (password.empty()) return false;
  const auto verifier = protocol::ParseScramVerifier(password);
  if (!verifier) return true;
  protocol::Digest256 key;
  const bool known = keys_.Find(verifier->stored_key, key);
  protocol::Wipe(key);
  return known;
}

ServerSecrets::Trial& ServerSecrets::TrialOf(std::string_view user, uint64_t version) {
  auto found = trials_.find(user);
  if (found == trials_.end()) found = trials_.emplace(std::string(user), Trial()).first;
  Trial& trial = found->second;
  // With another value everything is open again, but for the one that was accepted last.
  if (trial.version != version) trial = {.version = version};
  return trial;
}

std::unique_ptr<LoginSecret> ServerSecrets::Choose(const Users& users, std::string_view user,
                                                   Nanos now, std::string& why) {
  const UserSecret* secret = users.Secret(user);
  if (secret == nullptr) {
    why = Cat("there is no secret of the user \"", user, "\" any more");
    return nullptr;
  }
  const std::string_view values[] = {secret->password(), secret->previous(now)};
  size_t first = TrialOf(user, secret->version()).previous_first ? 1 : 0;
  if (!Usable(values[first])) first = 1 - first;
  if (!Usable(values[first])) {
    why = Cat("the secret of \"", user,
              "\" is a SCRAM verifier: no client has shown the key of it yet, or the server has "
              "refused it; the next login of a client brings one");
    return nullptr;
  }
  auto chosen = std::make_unique<LoginSecret>();
  chosen->password = std::string(values[first]);
  chosen->version = secret->version();
  chosen->previous = first == 1;
  chosen->decides = first == 0 && !values[1].empty();
  return chosen;
}

bool ServerSecrets::OnRefused(const Users& users, std::string_view user, const LoginSecret& secret,
                              Nanos now) {
  if (const auto verifier = protocol::ParseScramVerifier(secret.password))
    keys_.Discard(verifier->stored_key);
  news_.OnRefused();
  const UserSecret* known = users.Secret(user);
  if (known == nullptr) return false;
  // It has been replaced meanwhile.
  if (known->version() != secret.version) return true;
  Trial& trial = TrialOf(user, secret.version);
  trial.refused[secret.previous ? 1 : 0] = true;
  const bool other_left = !trial.refused[secret.previous ? 0 : 1];
  const std::string_view other = secret.previous ? known->password() : known->previous(now);
  trial.previous_first = !secret.previous && !other.empty();
  if (other_left && Usable(other)) return true;
  trial.refused[0] = trial.refused[1] = false;
  return false;
}

void ServerSecrets::OnAccepted(std::string_view user, const LoginSecret& secret) {
  Trial& trial = TrialOf(user, secret.version);
  trial = {.version = secret.version, .previous_first = secret.previous};
  if (secret.decides) news_.OnAccepted(user, secret.version);
}

}  // namespace weir::pool
