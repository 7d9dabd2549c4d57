// How far away a server is: the least time that a request alone on its backend has taken lately.
//
// That is the round trip with as good as no work. What a request costs the server itself is then
// what is left of its time: requests that wait behind others on one backend must not be taken for
// slow ones. The least of the last 10 to 20 seconds, so that a way that has become longer is seen.
#pragma once

#include <algorithm>
#include <limits>

#include "engine/base/clock.h"

namespace weir::pool {

class DistanceEstimate {
 public:
  static constexpr engine::Nanos kBucket = 10 * engine::kSecond;

  // A request that was alone on its backend has been answered, `taken` after it was sent.
  void Observe(engine::Nanos taken, engine::Nanos now);
  // 0 until one has been seen. What was seen last stands until another is.
  engine::Nanos distance() const {
    const engine::Nanos least = std::min(least_, least_before_);
    return least == kNone ? 0 : least;
  }
  // What the server spent on a request that was sent and answered at these times, when the answer
  // to the one ahead of it on the backend had ended at `ahead` (or long ago).
  engine::Nanos ServiceTime(engine::Nanos sent, engine::Nanos ahead, engine::Nanos ended) const {
    return std::max<engine::Nanos>(0, ended - std::max(sent + distance(), ahead));
  }

 private:
  static constexpr engine::Nanos kNone = std::numeric_limits<engine::Nanos>::max();

  // Of the bucket at hand, and of the one before it.
  engine::Nanos begin_ = 0;
  engine::Nanos least_ = kNone;
  engine::Nanos least_before_ = kNone;
};

}  // namespace weir::pool
