// The log: whole lines, to standard error, never from a thread that must not block.
//
// A line goes to a bounded queue; a thread of its own writes it. A full queue drops the line and
// counts it. Lines that peers can cause are limited in rate, each kind by a LogLimit of its shard,
// and say how many were left out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/clock.h"

namespace weir::engine {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

// Before StartLog and after StopLog lines are written at once.
void StartLog();
void StopLog();
// Lines that a full queue has cost so far.
uint64_t DroppedLogLines();
// Lines go to `sink` instead; nullptr: as ever. For programs of one thread.
using LogSink = void (*)(LogLevel level, std::string_view line);
void SetLogSink(LogSink sink);
// "<ISO time> [WARN] line", as one line whatever is in it: control characters are made visible.
void Log(LogLevel level, std::string_view line);

// At most `per_second` lines a second of one kind. Single shard.
class LogLimit {
 public:
  explicit LogLimit(uint32_t per_second = 10) : per_second_(per_second) {}
  // Whether to write now; `left_out`: how many were not written since the last one that was.
  bool Allow(Nanos now, uint64_t& left_out);

 private:
  const uint32_t per_second_;
  Nanos second_ = 0;
  uint32_t written_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace weir::engine
