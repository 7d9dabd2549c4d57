// Failed logins answer later and later, per address and user: guessing passwords is slow. Others
// from the same address, and the same user with the right password, are never held up. Bounded
// memory; single shard.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/clock.h"

namespace weir::pool {

class LoginDelays {
 public:
  static constexpr engine::Nanos kFirst = 50 * engine::kMillisecond;
  static constexpr engine::Nanos kLongest = 2 * engine::kSecond;
  static constexpr engine::Nanos kForgottenAfter = 60 * engine::kSecond;
  static constexpr size_t kEntriesMax = 4096;

  // A login has failed: how long its answer is to wait. Nothing for the first, then 50 ms, doubling
  // up to 2 s.
  engine::Nanos OnFailure(std::string_view address, std::string_view user, engine::Nanos now);
  void OnSuccess(std::string_view address, std::string_view user);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    uint32_t failures = 0;
    engine::Nanos last = 0;
  };
  using Key = std::pair<std::string, std::string>;
  std::map<Key, Entry> entries_;
  std::deque<Key> oldest_first_;
};

}  // namespace weir::pool
