#include "pool/session/client_keys.h"

#include <algorithm>

#include "engine/base/check.h"

namespace weir::pool {

using protocol::Digest256;

ClientKeys::~ClientKeys() { Admit({}); }

void ClientKeys::Admit(const std::vector<Digest256>& stored_keys) {
  std::lock_guard lock(mutex_);
  for (auto at = places_.begin(); at != places_.end();) {
    if (std::find(stored_keys.begin(), stored_keys.end(), at->first) != stored_keys.end()) {
      ++at;
      continue;
    }
    protocol::Wipe(at->second.key);
    at = places_.erase(at);
  }
  for (const Digest256& stored_key : stored_keys) places_.try_emplace(stored_key);
}

bool ClientKeys::Learn(std::string_view client_key) {
  const Digest256 stored_key = protocol::Sha256(client_key);
  std::lock_guard lock(mutex_);
  const auto found = places_.find(stored_key);
  if (found == places_.end() || found->second.known) return false;
  CHECK(client_key.size() == found->second.key.size());
  std::copy(client_key.begin(), client_key.end(), found->second.key.begin());
  found->second.known = true;
  return true;
}

bool ClientKeys::Find(const Digest256& stored_key, Digest256& client_key) const {
  std::lock_guard lock(mutex_);
  const auto found = places_.find(stored_key);
  if (found == places_.end() || !found->second.known) return false;
  client_key = found->second.key;
  return true;
}

void ClientKeys::Discard(const Digest256& stored_key) {
  std::lock_guard lock(mutex_);
  const auto found = places_.find(stored_key);
  if (found == places_.end()) return;
  protocol::Wipe(found->second.key);
  found->second.known = false;
}

}  // namespace weir::pool
