// Durations, in buckets that grow by an eighth: percentiles within 6 %, fixed size, no allocation.
#pragma once

#include <array>
#include <cstdint>

#include "engine/base/clock.h"

namespace weir::pool {

class Histogram {
 public:
  void Record(engine::Nanos duration) { ++counts_[IndexOf(duration)]; }
  void Add(const Histogram& other);
  // What was recorded since `earlier`, an older copy of this one.
  Histogram Since(const Histogram& earlier) const;
  uint64_t count() const;
  // The duration that `fraction` of all did not exceed (the middle of its bucket); 0 if there is
  // none.
  engine::Nanos Percentile(double fraction) const;

 private:
  static constexpr int kSubBits = 3;
  static constexpr int kBuckets = 48 << kSubBits;
  static int IndexOf(engine::Nanos duration);
  static engine::Nanos MiddleOf(int index);

  std::array<uint32_t, kBuckets> counts_{};
};

}  // namespace weir::pool
