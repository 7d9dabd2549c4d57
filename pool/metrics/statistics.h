// The statistics line: one per shard and one for all, every stats_period.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pool/metrics/metrics.h"

namespace weir::pool {

// What a shard has at one moment, and its counters since it started.
struct ShardStatistics {
  uint32_t shard = 0;
  uint64_t clients = 0;
  uint64_t clients_tls = 0;  // of those: encrypted
  uint64_t backends = 0;
  uint64_t backends_tls = 0;
  uint64_t borrowed = 0;
  uint64_t pinned = 0;
  uint64_t waiting = 0;
  uint64_t budget = 0;
  std::span<const std::string_view> pin_names;  // of the reasons for pins, by number
  ShardMetrics metrics;
};

// The lines for a period, from the snapshots at its beginning (empty: the start of the program) and
// its end.
std::vector<std::string> StatisticsLines(const std::vector<ShardStatistics>& before,
                                         const std::vector<ShardStatistics>& after);

}  // namespace weir::pool
