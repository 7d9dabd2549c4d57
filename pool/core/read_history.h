// What reads have cost, by their kind: whether others may wait behind one.
//
// A read joins others on a backend only if reads of its kind are known to be quick, and hardly ever
// slow: each slow one adds 300 to a score, each quick one takes 1 from it, and from 500 on the kind
// runs alone. So a kind of which one in a hundred is slow never joins, and one that was slow twice
// in a row is back when some hundred have been quick.
//
// A fixed table, one per shard: sets of four entries, of which the least recently used one gives
// way to a new kind. No clock of its own, no allocation after construction.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/clock.h"

namespace weir::pool {

// What reads of one kind usually cost.
struct ReadCost {
  bool known = false;  // at least two have been seen
  bool quick = false;  // known, and others may wait behind it
  // What it takes where nothing else does: it falls fast and rises slowly, for where the machine is
  // short of CPU all take longer, and none is to blame.
  engine::Nanos time = 0;
  uint32_t bytes = 0;  // of the reply

  bool operator==(const ReadCost&) const = default;
};

class ReadHistory {
 public:
  static constexpr size_t kWays = 4;
  static constexpr size_t kSets = 1024;
  // Of a reply: usually, and ever.
  static constexpr uint32_t kUsualBytesMax = uint32_t{16} * 1024;
  static constexpr uint32_t kBytesMax = uint32_t{64} * 1024;

  // `quick_time`: the time below which a read is quick.
  explicit ReadHistory(engine::Nanos quick_time);

  // Of a kind that is not known nothing is said: it may not be joined by others yet.
  // `kind`: of the text, and whatever else decides what it costs (its database). 0 is never known.
  ReadCost Of(uint64_t kind) const;
  // One has been answered. `slow`: in far more time than others take now. `now`: never before that
  // of an earlier call.
  void Observe(uint64_t kind, engine::Nanos time, uint32_t bytes, bool slow, engine::Nanos now);
  // One keeps others waiting: counts at once, and once more when it is answered.
  void ObserveSlow(uint64_t kind, engine::Nanos now);
  // As at construction.
  void set_quick_time(engine::Nanos quick_time) { quick_time_ = quick_time; }

 private:
  struct Entry {
    uint64_t kind = 0;  // 0: empty
    uint32_t time = 0;  // nanoseconds
    uint32_t bytes = 0;
    uint32_t used = 0;   // milliseconds, wrapping
    uint16_t score = 0;  // rises with slow ones
    uint16_t seen = 0;   // up to kKnown
  };
  static_assert(sizeof(Entry) == 24);
  using Set = std::array<Entry, kWays>;

  static constexpr uint16_t kKnown = 2;
  static constexpr uint32_t kSlowScore = 300;
  static constexpr uint32_t kQuickScoreMax = 500;
  static constexpr uint32_t kScoreMax = 10'000;

  static size_t SetOf(uint64_t kind) { return static_cast<size_t>(kind % kSets); }
  Entry& EntryOf(uint64_t kind, engine::Nanos now);
  static void AddSlow(Entry& entry);

  engine::Nanos quick_time_;
  std::vector<Set> sets_;
};

}  // namespace weir::pool
