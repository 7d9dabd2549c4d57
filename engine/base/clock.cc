#include "engine/base/clock.h"

#include <ctime>

#include "engine/base/wall_clock.h"

namespace weir::engine {
namespace {

Nanos Read(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<Nanos>(now.tv_sec) * kSecond + now.tv_nsec;
}

}  // namespace

Nanos MonotonicNow() { return Read(CLOCK_MONOTONIC); }
Nanos WallNow() { return Read(CLOCK_REALTIME); }

Nanos SystemWallClock::Now() const { return WallNow(); }

}  // namespace weir::engine
