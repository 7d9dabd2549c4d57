#include "engine/base/clock.h"

#include <ctime>

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

}  // namespace weir::engine
