// What a pool tells of itself: counts, a description for people, what must always be true.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "pool/core/pool.h"

namespace weir::pool {

PoolCounts Pool::counts(TargetId id) const {
  const Target& target = targets_[id];
  PoolCounts counts;
  counts.budget = board(id).budget.load(std::memory_order_relaxed);
  counts.slice = target.slice;
  counts.open = target.open;
  counts.opening = static_cast<uint32_t>(CountOf(target, BackendState::kOpening));
  counts.idle = static_cast<uint32_t>(CountOf(target, BackendState::kIdle) +
                                      CountOf(target, BackendState::kAsking));
  counts.linked = static_cast<uint32_t>(CountOf(target, BackendState::kLinked));
  counts.waiting = target.waiting;
  counts.let_in = target.let_in;
  return counts;
}

std::vector<RouteCounts> Pool::route_counts() const {
  std::vector<RouteCounts> all;
  for (const auto& route : route_states_) {
    if (route == nullptr) continue;
    RouteCounts& counts = all.emplace_back();
    counts.route = route->id;
    counts.waiting = static_cast<uint32_t>(route->waiters.size());
    counts.idle = static_cast<uint32_t>(route->idle.size());
    counts.opening = route->opening;
    counts.asked = route->asked;
    counts.held_until = route->held_until;
    if (!route->waiters.empty()) counts.oldest_since = route->waiters.Front()->since;
    for (Waiter* waiter = route->waiters.Front(); waiter != nullptr;
         waiter = route->waiters.Next(*waiter)) {
      counts.next_deadline = std::min(counts.next_deadline, waiter->deadline);
    }
  }
  return all;
}

bool Pool::empty() const {
  for (TargetId id = 0; id < target_count_; ++id) {
    if (targets_[id].open > 0 || targets_[id].waiting > 0) return false;
  }
  return true;
}

void Pool::Describe(std::string& out) const {
  for (TargetId id = 0; id < target_count_; ++id) {
    const Target& target = targets_[id];
    engine::Append(out, "target=", id, " slice=", target.slice, " open=", target.open,
                   " debt=", target.debt, " waiting=", target.waiting);
    for (uint32_t shard = 0; shard < shared_.shards; ++shard) {
      if (target.outstanding[shard])
        engine::Append(out, " asked_shard=", shard, " for_route=", target.asked_for[shard]);
    }
    out.push_back('\n');
  }
  for (const RouteCounts& counts : route_counts()) {
    const RouteKey& key = routes_.Get(counts.route).key;
    engine::Append(out, "route=", counts.route, " database=", engine::Visible(key.database),
                   " user=", engine::Visible(key.user), " waiters=", counts.waiting,
                   " idle=", counts.idle, " opening=", counts.opening, " asked=", counts.asked,
                   "\n");
  }
}

void Pool::CheckInvariants() const {
  for (TargetId id = 0; id < target_count_; ++id) {
    const Target& target = targets_[id];
    size_t backends = 0;
    for (const auto& list : target.backends) backends += list.size();
    CHECK(backends == target.open);
    CHECK(target.open <= target.slice);
    size_t waiters = 0;
    for (const auto& route : route_states_) {
      if (route != nullptr && route->target == id) waiters += route->waiters.size();
    }
    CHECK(waiters == target.waiting);
  }
}

}  // namespace weir::pool
