// Keys that clients have shown in their SCRAM proofs, for users whose secret is a verifier: with
// them weir logs in to a server that has the same verifier.
//
//   Admit(verifiers) ... a client's proof -> Learn -> backends: Find ... refused -> Discard
//
// A key is as good as a password: it is only in memory, and wiped when it goes. Shared by all
// shards; asked once a login.
#pragma once

#include <map>
#include <mutex>
#include <string_view>
#include <vector>

#include "protocol/auth/crypto.h"

namespace weir::pool {

class ClientKeys {
 public:
  ClientKeys() = default;
  ~ClientKeys();
  ClientKeys(const ClientKeys&) = delete;
  ClientKeys& operator=(const ClientKeys&) = delete;

  // From now on these StoredKeys are those whose keys are kept; others are forgotten.
  void Admit(const std::vector<protocol::Digest256>& stored_keys);
  // True: it was not known, and is kept.
  bool Learn(std::string_view client_key);
  bool Find(const protocol::Digest256& stored_key, protocol::Digest256& client_key) const;
  void Discard(const protocol::Digest256& stored_key);

 private:
  struct Place {
    bool known = false;
    protocol::Digest256 key{};
  };
  mutable std::mutex mutex_;
  std::map<protocol::Digest256, Place> places_;  // by StoredKey
};

}  // namespace weir::pool
