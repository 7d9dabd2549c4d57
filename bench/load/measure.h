// What is measured: latencies, and what the program under test has used.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>

#include "engine/base/clock.h"

namespace weir::load {

// Nanoseconds in buckets of 1.6 %; the greatest is exact.
class Latencies {
 public:
  void Record(engine::Nanos latency);
  uint64_t count() const { return count_; }
  engine::Nanos greatest() const { return greatest_; }
  // What `fraction` of all did not exceed; 0 if there is none.
  engine::Nanos Percentile(double fraction) const;

 private:
  static constexpr int kSubBits = 6;
  std::array<uint32_t, (64 - kSubBits) << kSubBits> buckets_{};
  uint64_t count_ = 0;
  engine::Nanos greatest_ = 0;
};

// What a process has used so far.
struct Usage {
  engine::Nanos cpu = 0;    // exact
  uint64_t user_ticks = 0;  // sampled by the kernel: good for the proportion only
  uint64_t system_ticks = 0;
  uint64_t resident = 0;     // bytes
  uint64_t allocations = 0;  // by count_allocations.cc
};

// `pid` 0: nothing is known. `counter`: the file of count_allocations.cc, or empty.
Usage UsageOf(pid_t pid, const std::string& counter);

}  // namespace weir::load
