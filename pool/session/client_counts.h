// How many clients each user has, and how many have come in this second: over all shards, for the
// limits of [[auth]].
//
// A user's words are written when one of its clients logs in and when that client has left, as the
// number of all clients is: never while it runs. They stay for as long as the program runs, so that
// a reload that changes a limit finds the clients counted. Only users that have logged in are here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "engine/base/clock.h"
#include "engine/base/shared.h"

namespace weir::pool {

// Of one user. Any shard, any time.
class ClientCount {
 public:
  // True: it is counted, and Leave must follow. False: the user has `most` already; 0: no limit.
  [[nodiscard]] bool Enter(uint64_t most);
  void Leave();
  // False: `per_second` have come in this second already; 0: no limit.
  [[nodiscard]] bool TakeTurn(uint64_t per_second, engine::Nanos now);

 private:
  engine::Shared<uint64_t> clients_{0};
  engine::Shared<uint64_t> turns_{0};  // the second, and how many have come in it: 32 bits each
};

class ClientCounts {
 public:
  // Stays where it is.
  ClientCount& Of(std::string_view user);

 private:
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<ClientCount>, std::less<>> counts_;
};

}  // namespace weir::pool
