#include "pool/core/placement.h"

#include <algorithm>

namespace weir::pool {

uint32_t PlaceOn(const std::atomic<uint32_t>* clients, uint32_t shards, uint32_t steward,
                 uint32_t budget, bool known, uint32_t here) {
  const bool all = !known || budget >= 4 * shards;
  const uint32_t homes = all ? shards : std::clamp(budget / 4, 1u, shards);
  uint32_t best = (all ? here : steward) % shards;
  for (uint32_t i = 0; i < homes; ++i) {
    const uint32_t shard = ((all ? here : steward) + i) % shards;
    // Staying costs nothing: only a clear difference is worth a move.
    const uint32_t bonus = shard == here ? 1 : 0;
    if (clients[shard].load(std::memory_order_relaxed) <
        clients[best].load(std::memory_order_relaxed) + (best == here ? 0 : bonus)) {
      best = shard;
    }
  }
  return best;
}

}  // namespace weir::pool
