// What the pool knows of one backend. The session around it (its connection, its protocol) is
// somebody else's.
//
//   opening -> idle <-> linked -> closing
//                \-> leaving (to another shard)
#pragma once

#include <cstdint>

#include "engine/base/clock.h"
#include "engine/base/intrusive_list.h"
#include "pool/core/routes.h"

namespace weir::pool {

enum class BackendState : uint8_t { kOpening, kIdle, kAsking, kLinked, kLeaving, kClosing };
inline constexpr int kBackendStates = 6;

class Backend {
 public:
  Backend(RouteId route, TargetId target) : route_(route), target_(target) {}
  virtual ~Backend() = default;
  RouteId route() const { return route_; }
  TargetId target() const { return target_; }
  BackendState state() const { return state_; }

  engine::Nanos opened_at = 0;
  engine::Nanos expires_at = 0;  // its life is over; closed when it returns
  engine::Nanos idle_since = 0;
  uint64_t number = 0;  // among all that this shard has seen: names it to a client that prefers it
  // Which settings its session is in, as its shard numbers them; a client is served best where they
  // are its own.
  uint64_t profile = 0;
  // What sessions of its route began with when it did: a newer one with another makes it outdated.
  // 0: not known.
  uint64_t generation = 0;
  bool pinned = false;
  // Reads in flight on it, of several clients. While there are any it is linked, with all of them.
  uint32_t reads = 0;
  engine::Nanos read_load = 0;   // what they are expected to take
  bool closed_to_reads = false;  // until the last of them has ended

 private:
  friend class Pool;
  const RouteId route_;
  const TargetId target_;
  BackendState state_ = BackendState::kOpening;
  uint32_t lend_to_ = 0;           // its slot goes to that shard, plus one; 0: stays
  bool asked_ = false;             // it comes back from a question, not from a client
  bool lend_answers_ = false;      // ... as an answer to a request of that shard
  RouteId evicted_for_ = 0;        // it is closed so that this route gets the slot
  engine::ListLink state_link_;    // all backends of a target in this state
  engine::ListLink idle_link_;     // idle ones of the route, most recently used first
  engine::ListLink carrier_link_;  // of the route, that carry reads
};

}  // namespace weir::pool
