#include "pool/core/distance.h"

namespace weir::pool {

void DistanceEstimate::Observe(engine::Nanos taken, engine::Nanos now) {
  if (now - begin_ >= kBucket) {
    // A bucket in which nothing was seen says nothing.
    least_before_ = now - begin_ < 2 * kBucket ? least_ : kNone;
    least_ = kNone;
    begin_ = now;
  }
  least_ = std::min(least_, std::max<engine::Nanos>(taken, 0));
}

}  // namespace weir::pool
