// On which shard a new client lives.
#pragma once

#include <atomic>
#include <cstdint>

namespace weir::pool {

// With an unknown budget, or one of at least 4 backends a shard: where the fewest clients are. Else
// on one of the few shards whose slices are then worth having: clamp(budget / 4, 1, shards),
// beginning with the target's steward.
uint32_t PlaceOn(const std::atomic<uint32_t>* clients, uint32_t shards, uint32_t steward,
                 uint32_t budget, bool known, uint32_t here);

}  // namespace weir::pool
