// The budget of a target and who holds its slots. Only the steward changes the sum of all slices.
#include <algorithm>
#include <cstdint>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "pool/core/budget.h"
#include "pool/core/pool.h"

namespace weir::pool {

using engine::Nanos;

namespace {

constexpr Nanos kCutLasts = 30 * engine::kSecond;

}  // namespace

void Pool::Learn(TargetId id, const ServerFacts& facts) {
  board(id).facts_at.store(host_.Now());
  if (facts.max_connections == 0) return;
  if (!steward(id)) {
    TellSteward(id, facts);
    return;
  }
  const uint32_t budget = Budget(facts, options_.max_percent);
  if (budget == targets_[id].wanted_budget && board(id).known.load()) return;
  host_.PoolLog(false, engine::Cat("the target grants ", facts.max_connections,
                                   " connections: the budget is ", budget));
  board(id).known.store(true);
  targets_[id].wanted_budget = budget;
  SetBudget(id);
}

// The server has fewer connections for us than it said: what is open must do, for a while.
void Pool::Cut(TargetId id) {
  if (!steward(id)) {
    TellStewardCut(id);
    return;
  }
  Target& target = targets_[id];
  uint32_t open = static_cast<uint32_t>(target.open - CountOf(target, BackendState::kClosing) -
                                        CountOf(target, BackendState::kOpening));
  for (uint32_t shard = 0; shard < shared_.shards; ++shard) {
    if (shard != host_.shard_id()) open += board(id).lines[shard].Read().open;
  }
  target.cut_until = host_.Now() + kCutLasts;
  target.cut_budget = std::max(1u, open);
  SetBudget(id);
}

void Pool::SetBudget(TargetId id) {
  CHECK(steward(id));
  Target& target = targets_[id];
  uint32_t budget = target.wanted_budget;
  if (target.cut_until > host_.Now()) budget = std::min(budget, target.cut_budget);
  board(id).budget.store(budget);
  CHECK(target.issued >= target.recalled);
  const uint32_t effective = target.issued - target.recalled;
  target.dirty = true;
  if (effective <= budget) {
    // What others still have to give back is theirs until then: it is not handed out twice.
    const uint32_t forgiven = std::min(target.debt, budget - effective);
    target.debt -= forgiven;
    target.recalled -= forgiven;
    if (target.issued < budget) {
      target.slice += budget - target.issued;
      target.issued = budget;
    }
    return;
  }
  // Slots come back as they fall free: ours first, then those of the shards that have most.
  uint32_t excess = effective - budget;
  const uint32_t ours = std::min(excess, target.slice - std::min(target.slice, target.debt));
  target.debt += ours;
  target.recalled += ours;
  excess -= ours;
  for (uint32_t shard = 0; shard < shared_.shards && excess > 0; ++shard) {
    if (shard == host_.shard_id()) continue;
    const uint32_t slice = board(id).lines[shard].Read().slice;
    const uint32_t part = std::min(excess, slice - std::min(slice, target.recalled_from[shard]));
    if (part == 0) continue;
    target.recalled += part;
    target.recalled_from[shard] += part;
    excess -= part;
    Recall(id, shard, part);
  }
}

// Gives back what the steward has recalled: free slots, then idle backends; the rest as backends
// return.
void Pool::PayDebt(TargetId id) {
  Target& target = targets_[id];
  if (target.debt == 0) return;
  const uint32_t paid = std::min(target.debt, free_slots(target));
  if (paid > 0) {
    target.debt -= paid;
    target.slice -= paid;
    if (steward(id)) {
      SlotsBack(id, host_.shard_id(), paid);
    } else {
      GiveBack(id, paid);
    }
  }
  size_t closing = CountOf(target, BackendState::kClosing);
  while (target.debt > closing) {
    Backend* idle = OldestIdle(target, nullptr);
    if (idle == nullptr) break;
    CloseBackend(*idle);
    ++closing;
  }
}

void Pool::SlotsBack(TargetId id, uint32_t shard, uint32_t count) {
  Target& target = targets_[id];
  CHECK(steward(id) && target.issued >= count && target.recalled >= count);
  if (shard != host_.shard_id()) {
    CHECK(target.recalled_from[shard] >= count);
    target.recalled_from[shard] -= count;
  }
  target.issued -= count;
  target.recalled -= count;
  SetBudget(id);
}

}  // namespace weir::pool
