#include "pool/core/read_history.h"

#include <algorithm>

#include "engine/base/check.h"

namespace weir::pool {
namespace {

// A moving average: a part of the difference is added.
uint32_t Moved(uint32_t average, uint32_t value, int64_t part) {
  return static_cast<uint32_t>(int64_t{average} + (int64_t{value} - int64_t{average}) / part);
}

uint32_t MillisecondsOf(engine::Nanos now) {
  return static_cast<uint32_t>(now / engine::kMillisecond);
}

}  // namespace

ReadHistory::ReadHistory(engine::Nanos quick_time) : quick_time_(quick_time), sets_(kSets) {
  CHECK(quick_time > 0);
}

ReadCost ReadHistory::Of(uint64_t kind) const {
  if (kind == 0) return {};
  for (const Entry& entry : sets_[SetOf(kind)]) {
    if (entry.kind != kind) continue;
    ReadCost cost{.known = entry.seen >= kKnown, .time = entry.time, .bytes = entry.bytes};
    cost.quick = cost.known && cost.time < quick_time_ && cost.bytes < kUsualBytesMax &&
                 entry.score < kQuickScoreMax;
    return cost;
  }
  return {};
}

// Its entry, or the one that gives way to it.
ReadHistory::Entry& ReadHistory::EntryOf(uint64_t kind, engine::Nanos now) {
  const uint32_t used = MillisecondsOf(now);
  Entry* oldest = nullptr;
  for (Entry& entry : sets_[SetOf(kind)]) {
    if (entry.kind == kind) {
      entry.used = used;
      return entry;
    }
    if (oldest != nullptr && oldest->kind == 0) continue;
    if (oldest == nullptr || entry.kind == 0 || used - entry.used > used - oldest->used)
      oldest = &entry;
  }
  *oldest = Entry{.kind = kind, .used = used};
  return *oldest;
}

void ReadHistory::AddSlow(Entry& entry) {
  entry.score = static_cast<uint16_t>(std::min(entry.score + kSlowScore, kScoreMax));
}

void ReadHistory::Observe(uint64_t kind, engine::Nanos time, uint32_t bytes, bool slow,
                          engine::Nanos now) {
  if (kind == 0) return;
  Entry& entry = EntryOf(kind, now);
  const auto nanos = static_cast<uint32_t>(std::clamp<engine::Nanos>(time, 0, UINT32_MAX));
  entry.time = entry.seen == 0 ? nanos : Moved(entry.time, nanos, nanos < entry.time ? 8 : 128);
  entry.bytes = entry.seen == 0 ? bytes : Moved(entry.bytes, bytes, 8);
  if (entry.seen < kKnown) ++entry.seen;
  if (slow || bytes > kBytesMax) {
    AddSlow(entry);
  } else if (entry.score > 0) {
    --entry.score;
  }
}

void ReadHistory::ObserveSlow(uint64_t kind, engine::Nanos now) {
  if (kind == 0) return;
  AddSlow(EntryOf(kind, now));
}

}  // namespace weir::pool
