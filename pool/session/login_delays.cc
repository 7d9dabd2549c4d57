#include "pool/session/login_delays.h"

#include <algorithm>

namespace weir::pool {

using engine::Nanos;

Nanos LoginDelays::OnFailure(std::string_view address, std::string_view user, Nanos now) {
  const Key key{address, user.substr(0, 64)};
  const auto [found, fresh] = entries_.try_emplace(key);
  if (fresh) {
    oldest_first_.push_back(key);
    if (oldest_first_.size() > kEntriesMax) {
      entries_.erase(oldest_first_.front());
      oldest_first_.pop_front();
    }
  }
  Entry& entry = found->second;
  if (now - entry.last > kForgottenAfter) entry.failures = 0;
  entry.last = now;
  const uint32_t earlier = entry.failures++;
  return earlier == 0 ? 0 : std::min(kLongest, kFirst << std::min(earlier - 1, 10u));
}

void LoginDelays::OnSuccess(std::string_view address, std::string_view user) {
  const auto found = entries_.find(Key{address, user.substr(0, 64)});
  if (found != entries_.end()) found->second.failures = 0;
}

}  // namespace weir::pool
