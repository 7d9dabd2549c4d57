// Once a second: idle backends beyond what may stay, backends past their life, warm ones that are
// missing, the server's facts when they are a minute old, the databases' catalogues.
#include <algorithm>
#include <cstdint>

#include "pool/core/pool.h"

namespace weir::pool {

using engine::Nanos;

namespace {

constexpr Nanos kPeriod = engine::kSecond;
constexpr Nanos kFactsPeriod = 60 * engine::kSecond;

}  // namespace

void Pool::OnJanitor() {
  host_.Timers().Arm(janitor_, host_.Now() + kPeriod);
  if (draining_) return;
  const Nanos now = host_.Now();
  for (TargetId id = 0; id < target_count_; ++id) {
    Target& target = targets_[id];
    const bool cut_is_over = target.cut_until != 0 && target.cut_until <= now;
    // Slots that were in messages could not be recalled.
    if (steward(id) && (cut_is_over || target.issued - target.recalled >
                                           board(id).budget.load(std::memory_order_relaxed))) {
      if (cut_is_over) target.cut_until = 0;
      SetBudget(id);
    }
    CloseIdle(id, now);
    KeepWarm(id);
    AskFactsIfDue(id, now);
    AskCatalogues(id);
    if (target.waiting > 0) target.dirty = true;
  }
  AskGenerations(now);
}

void Pool::CloseIdle(TargetId id, Nanos now) {
  Target& target = targets_[id];
  auto& idle = target.backends[static_cast<int>(BackendState::kIdle)];
  // Our share of what may be long idle, by our share of the slots.
  const uint32_t budget = std::max(1u, board(id).budget.load(std::memory_order_relaxed));
  const uint64_t all = uint64_t{budget} * options_.max_idle_percent / 100;
  const uint64_t may_stay = std::max<uint64_t>((all * target.slice + budget - 1) / budget,
                                               steward(id) ? options_.min_idle : 0);
  // Oldest first: the list is in the order in which they became idle.
  size_t long_idle = 0;
  for (Backend* each = idle.Front();
       each != nullptr && now - each->idle_since >= options_.idle_timeout;
       each = idle.Next(*each)) {
    ++long_idle;
  }
  Backend* next = nullptr;
  for (Backend* each = idle.Front(); each != nullptr; each = next) {
    next = idle.Next(*each);
    const bool surplus = long_idle > may_stay && now - each->idle_since >= options_.idle_timeout;
    if (surplus) --long_idle;
    if (surplus || now >= each->expires_at || Outdated(*each)) CloseBackend(*each);
  }
}

// The steward keeps a minimum of idle backends, of the routes used last.
void Pool::KeepWarm(TargetId id) {
  if (options_.min_idle == 0 || !steward(id)) return;
  Target& target = targets_[id];
  uint32_t idle = static_cast<uint32_t>(CountOf(target, BackendState::kIdle) +
                                        CountOf(target, BackendState::kOpening));
  for (uint32_t shard = 0; shard < shared_.shards; ++shard) {
    if (shard != host_.shard_id()) idle += board(id).lines[shard].Read().idle;
  }
  if (idle >= options_.min_idle || target.waiting > 0) return;
  RouteState* best = nullptr;
  for (const auto& route : route_states_) {
    if (route == nullptr || route->target != id || !Proven(route->id)) continue;
    if (best == nullptr || route->used_at > best->used_at) best = route.get();
  }
  for (; best != nullptr && idle < options_.min_idle; ++idle) {
    Nanos retry_at = 0;
    if (free_slots(target) <= target.debt || !MayLaunch(id, *best, &retry_at)) return;
    Launch(id, *best);
  }
}

void Pool::AskFactsIfDue(TargetId id, Nanos now) {
  engine::Shared<Nanos>& asked = board(id).facts_at;
  Nanos last = asked.load(std::memory_order_relaxed);
  if (last == 0 || now - last < kFactsPeriod) return;
  Backend* idle = targets_[id].backends[static_cast<int>(BackendState::kIdle)].Back();
  if (idle == nullptr || !asked.compare_exchange_strong(last, now)) return;
  if (driver_.AskFacts(*idle)) {
    Move(*idle, BackendState::kAsking);
  } else {
    asked.store(last);
  }
}

// Where no backend comes back by itself.
void Pool::AskCatalogues(TargetId id) {
  for (const auto& route : route_states_) {
    if (route == nullptr || route->target != id) continue;
    Backend* idle = route->idle.Front();
    if (idle != nullptr && driver_.AskCatalogue(*idle)) Move(*idle, BackendState::kAsking);
  }
}

}  // namespace weir::pool
