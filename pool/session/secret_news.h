// What the shards tell the thread that reads secrets: the server has accepted a value, or takes
// none that we have. Shared; nothing is said while no secret changes and every login is accepted.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::pool {

class SecretNews {
 public:
  struct Accepted {
    std::string user;
    uint64_t version = 0;
  };
  struct Told {
    std::vector<Accepted> accepted;
    bool refused = false;  // secrets are to be read again
  };

  void OnAccepted(std::string_view user, uint64_t version) {
    std::lock_guard lock(mutex_);
    for (const Accepted& each : told_.accepted) {
      if (each.user == user && each.version == version) return;
    }
    told_.accepted.push_back({std::string(user), version});
  }
  void OnRefused() {
    std::lock_guard lock(mutex_);
    told_.refused = true;
  }
  Told Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(told_, {});
  }

 private:
  std::mutex mutex_;
  Told told_;
};

}  // namespace weir::pool
