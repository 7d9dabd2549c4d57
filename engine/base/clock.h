// Time. Monotonic for everything that waits; wall time for tokens, certificates and log lines only.
#pragma once

#include <cstdint>

namespace weir::engine {

// Nanoseconds. As a point in time: since an arbitrary start, never going back. 0 means "none" where
// a field says so.
using Nanos = int64_t;

inline constexpr Nanos kMicrosecond = 1'000;
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;
inline constexpr Nanos kForever = INT64_MAX;

// CLOCK_MONOTONIC. Shards read it once a tick, through Io; everything above asks its shard.
Nanos MonotonicNow();

// CLOCK_REALTIME, nanoseconds since 1970.
Nanos WallNow();

}  // namespace weir::engine
