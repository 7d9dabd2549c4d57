#include "pool/session/client_counts.h"

#include <atomic>
#include <cstdint>

#include "engine/base/check.h"

namespace weir::pool {

bool ClientCount::Enter(uint64_t most) {
  uint64_t clients = clients_.load(std::memory_order_relaxed);
  do {
    if (most != 0 && clients >= most) return false;
  } while (!clients_.compare_exchange_weak(clients, clients + 1, std::memory_order_relaxed));
  return true;
}

void ClientCount::Leave() {
  const uint64_t before = clients_.fetch_sub(1, std::memory_order_relaxed);
  CHECK(before > 0);
}

bool ClientCount::TakeTurn(uint64_t per_second, engine::Nanos now) {
  if (per_second == 0) return true;
  const auto second = static_cast<uint32_t>(now / engine::kSecond);
  uint64_t turns = turns_.load(std::memory_order_relaxed);
  for (;;) {
    // Shards read the time at different moments: the later second counts for both.
    const auto counted_second = static_cast<uint32_t>(turns >> 32);
    const bool fresh = static_cast<int32_t>(second - counted_second) > 0;
    const uint64_t came = fresh ? 0 : turns & UINT32_MAX;
    if (came >= per_second) return false;
    const uint64_t next = uint64_t{fresh ? second : counted_second} << 32 | (came + 1);
    if (turns_.compare_exchange_weak(turns, next, std::memory_order_relaxed)) return true;
  }
}

ClientCount& ClientCounts::Of(std::string_view user) {
  const std::lock_guard lock(mutex_);
  const auto found = counts_.find(user);
  if (found != counts_.end()) return *found->second;
  return *counts_.emplace(user, std::make_unique<ClientCount>()).first->second;
}

}  // namespace weir::pool
