// What one shard counts. Plain numbers of one thread; a snapshot of them is taken by message.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "engine/base/clock.h"
#include "pool/metrics/histogram.h"

namespace weir::pool {

enum class Counter : uint8_t {
#define COUNTER(name, help) k##name,
#include "pool/metrics/metrics.def"
#undef COUNTER
};

inline constexpr std::string_view kCounterNames[] = {
#define COUNTER(name, help) #name,
#include "pool/metrics/metrics.def"
#undef COUNTER
};
inline constexpr size_t kCounters = sizeof kCounterNames / sizeof kCounterNames[0];

inline constexpr size_t kPinReasons = 32;  // at most

struct ShardMetrics {
  std::array<uint64_t, kCounters> counters{};
  std::array<uint64_t, kPinReasons> pins{};  // by the dialect's number of the reason
  Histogram borrow_wait;
  Histogram transaction;

  void Add(Counter counter, uint64_t count = 1) { counters[static_cast<size_t>(counter)] += count; }
  // For what is counted elsewhere.
  void Set(Counter counter, uint64_t count) { counters[static_cast<size_t>(counter)] = count; }
  uint64_t operator[](Counter counter) const { return counters[static_cast<size_t>(counter)]; }
  void RecordBorrow(engine::Nanos waited) {
    borrow_wait.Record(waited);
    Add(Counter::kDatabaseConnectionsBorrowLatency,
        static_cast<uint64_t>(waited / engine::kMicrosecond));
  }
  void RecordPin(uint8_t reason) {
    Add(Counter::kSessionsPinned);
    ++pins[reason];
  }
  void RecordTransaction(engine::Nanos took) {
    transaction.Record(took);
    Add(Counter::kTransactions);
  }
};

}  // namespace weir::pool
