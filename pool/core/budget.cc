#include "pool/core/budget.h"

#include <algorithm>

namespace weir::pool {

uint32_t Budget(const ServerFacts& facts, uint32_t percent) {
  const uint64_t share = uint64_t{facts.max_connections} * percent / 100;
  const uint64_t reserved =
      uint64_t{facts.superuser_reserved_connections} + facts.reserved_connections;
  const uint64_t open = facts.max_connections > reserved ? facts.max_connections - reserved : 0;
  return static_cast<uint32_t>(std::max<uint64_t>(1, std::min(share, open)));
}

}  // namespace weir::pool
