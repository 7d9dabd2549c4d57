// Tokens with which weir logs in to servers in place of a password (server_auth = "iam"): a seam.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::pool {

class ServerTokens {
 public:
  virtual ~ServerTokens() = default;
  // One for this login; the caller wipes it. Empty: there is none now, as `why` says. By any shard;
  // costs some hashes.
  virtual std::string Make(std::string_view host, uint16_t port, std::string_view user,
                           std::string& why) = 0;
  // A server has refused one: perhaps the key that it was made with is good no more.
  virtual void OnRefused() = 0;
};

}  // namespace weir::pool
