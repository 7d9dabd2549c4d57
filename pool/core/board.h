// The borrow board: what the shards tell each other about need and plenty, without messages.
//
// One line per (shard, target), written by its shard at the end of a tick and only when it changed,
// read by all. `wanted` alone is also written by others: a lender claims one want before it sends a
// backend. Whoever publishes need looks for plenty behind a full fence, and the reverse: of two
// shards that publish at the same moment at least one sees the other.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/shared.h"
#include "pool/core/routes.h"

namespace weir::pool {

// What a shard has and needs of a target.
struct BoardState {
  uint32_t wanted = 0;       // waiters not yet promised a backend
  uint32_t logins = 0;       // of them, those whom a slot would help
  RouteId oldest_route = 0;  // of the oldest of them
  engine::Nanos oldest_since = 0;
  uint32_t idle = 0;
  uint32_t free = 0;   // slots without a backend
  uint32_t spare = 0;  // of them, those that nobody who waits here may come to use
  uint32_t slice = 0;
  uint32_t open = 0;     // backends, but for those that open or close
  bool waiting = false;  // somebody waits here and no login is under way for him
  bool operator==(const BoardState&) const = default;
};

class BoardLine {
 public:
  // The owner. `plenty`: there is something else to be had.
  void Publish(const BoardState& state, bool plenty);
  // Anybody. The parts may be of different moments.
  BoardState Read() const;
  uint32_t wanted() const { return wanted_.load(std::memory_order_relaxed); }
  // Changes with what is to be had.
  uint32_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  // Takes one from `wanted`; false if there is none.
  bool Claim();
  // The owner, before Publish: what is left of `wanted`. Nobody claims until then.
  uint32_t TakeWanted() { return wanted_.exchange(0, std::memory_order_acq_rel); }

 private:
  alignas(64) engine::Shared<uint32_t> epoch_{0};
  engine::Shared<uint32_t> wanted_{0};
  engine::Shared<uint32_t> logins_{0};
  engine::Shared<uint32_t> oldest_route_{0};
  engine::Shared<uint32_t> idle_{0};
  engine::Shared<uint32_t> free_{0};
  engine::Shared<uint32_t> spare_{0};
  engine::Shared<uint32_t> slice_{0};
  engine::Shared<uint32_t> open_{0};
  engine::Shared<bool> waiting_{false};
  engine::Shared<engine::Nanos> oldest_since_{0};
};

// What all shards know of a target beside its lines.
struct TargetBoard {
  explicit TargetBoard(uint32_t shards) : lines(std::make_unique<BoardLine[]>(shards)) {}

  std::unique_ptr<BoardLine[]> lines;
  alignas(64) engine::Shared<uint32_t> budget{1};  // in force
  engine::Shared<uint32_t> launching{0};           // logins in progress, on all shards
  engine::Shared<engine::Nanos> launched_at{0};    // when the last of them began
  engine::Shared<uint32_t> failures{0};            // in a row; 0: the target is up
  engine::Shared<engine::Nanos> up_at{0};          // when a login has succeeded last
  engine::Shared<engine::Nanos> retry_at{0};       // while it is down: not before
  engine::Shared<uint32_t> tried_on{0};            // the shard that has tried to log in last
  engine::Shared<engine::Nanos> facts_at{0};       // when its facts were asked last
  engine::Shared<engine::Nanos> new_route_at{
      0};                             // when a route never seen last took a slot from others
  engine::Shared<bool> known{false};  // its max_connections was answered
};

// A full fence between publishing and looking.
inline void BoardFence() { engine::FullFence(); }

}  // namespace weir::pool
