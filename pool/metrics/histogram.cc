#include "pool/metrics/histogram.h"

#include <algorithm>
#include <bit>

namespace weir::pool {

int Histogram::IndexOf(engine::Nanos duration) {
  const uint64_t value = duration < 0 ? 0 : static_cast<uint64_t>(duration);
  if (value < 1u << kSubBits) return static_cast<int>(value);
  const int exponent = 63 - std::countl_zero(value);
  const int sub = static_cast<int>(value >> (exponent - kSubBits)) & ((1 << kSubBits) - 1);
  return std::min(((exponent - kSubBits + 1) << kSubBits) + sub, kBuckets - 1);
}

engine::Nanos Histogram::MiddleOf(int index) {
  if (index < 1 << kSubBits) return index;
  const int exponent = (index >> kSubBits) + kSubBits - 1;
  const int64_t width = int64_t{1} << (exponent - kSubBits);
  return (int64_t{1} << exponent) + (index & ((1 << kSubBits) - 1)) * width + width / 2;
}

void Histogram::Add(const Histogram& other) {
  for (int i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
}

Histogram Histogram::Since(const Histogram& earlier) const {
  Histogram difference;
  for (int i = 0; i < kBuckets; ++i) difference.counts_[i] = counts_[i] - earlier.counts_[i];
  return difference;
}

uint64_t Histogram::count() const {
  uint64_t count = 0;
  for (const uint32_t each : counts_) count += each;
  return count;
}

engine::Nanos Histogram::Percentile(double fraction) const {
  const uint64_t all = count();
  if (all == 0) return 0;
  uint64_t left = static_cast<uint64_t>(static_cast<double>(all) * fraction);
  for (int i = 0; i < kBuckets; ++i) {
    if (counts_[i] > left) return MiddleOf(i);
    left -= counts_[i];
  }
  return MiddleOf(kBuckets - 1);
}

}  // namespace weir::pool
