// How many backends a target may have.
#pragma once

#include <cstdint>

#include "pool/core/launch.h"

namespace weir::pool {

// max(1, min(floor(max_connections x percent / 100), max_connections - what is reserved for
// others)).
uint32_t Budget(const ServerFacts& facts, uint32_t percent);

}  // namespace weir::pool
