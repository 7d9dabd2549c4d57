// Backends and slots between shards: asked for by message, offered to needs on the board.
#include <algorithm>
#include <cstdint>
#include <memory>

#include "engine/base/check.h"
#include "pool/core/pool.h"

namespace weir::pool {

using engine::Nanos;

namespace {

enum Kind : uint32_t {
  kRequest = Pool::kMessages,  // words: target, route, count, with the top bit for eviction
  kGrantBackend,               // target, route; body
  kGrantBackendAnswer,
  kGrantSlot,  // target, count
  kGrantSlotAnswer,
  kRefuse,     // target, epoch
  kFacts,      // to the steward: target, max_connections, reserved
  kCut,        // to the steward: a 53300
  kRecall,     // from the steward: target, count
  kSlotsBack,  // to the steward: target, count
};
// A grant is on its way for no longer than this.
constexpr Nanos kClaimLasts = 2 * engine::kMillisecond;
constexpr uint64_t kEvict = uint64_t{1} << 63;

}  // namespace

void Pool::SendTo(uint32_t shard, uint32_t kind, uint64_t a, uint64_t b, uint64_t c,
                  std::unique_ptr<engine::MessageBody> body) {
  engine::Message message;
  message.kind = kind;
  message.words[0] = a;
  message.words[1] = b;
  message.words[2] = c;
  message.body = std::move(body);
  host_.Send(shard, std::move(message));
}

BoardState Pool::StateForBoard(TargetId id) {
  Target& target = targets_[id];
  BoardState state;
  const uint32_t free = free_slots(target);
  state.free = free > target.debt ? free - target.debt : 0;
  state.idle = static_cast<uint32_t>(CountOf(target, BackendState::kIdle));
  state.slice = target.slice;
  state.open = target.open;
  // Nobody can be helped while the target is down.
  if (board(id).failures.load(std::memory_order_relaxed) > 0) return state;
  for (RouteState* route = target.active.Front(); route != nullptr;
       route = target.active.Next(*route)) {
    const size_t covered = route->opening + route->asked;
    if (route->waiters.size() <= covered) continue;
    state.wanted += static_cast<uint32_t>(route->waiters.size() - covered);
    const Nanos since = route->waiters.Front()->since;
    if (state.oldest_route == 0 || since < state.oldest_since) {
      state.oldest_route = route->id;
      state.oldest_since = since;
    }
  }
  return state;
}

void Pool::Publish(TargetId id, bool refusing) {
  Target& target = targets_[id];
  const BoardState state = StateForBoard(id);
  const BoardState& old = target.published;
  if (shared_.shards == 1) return;
  // Wants that others have claimed and that are still there: their grants were used by somebody
  // else.
  const uint32_t on_board = board(id).lines[host_.shard_id()].wanted();
  const bool lost = state.wanted > on_board && host_.Now() - target.published_at > kClaimLasts;
  // What a refusal is based on must stand on the board, so that any plenty after it is a change.
  const bool changed =
      refusing || lost || (state.wanted == 0) != (old.wanted == 0) || state.wanted > old.wanted ||
      state.oldest_since != old.oldest_since || state.oldest_route != old.oldest_route ||
      (state.idle == 0) != (old.idle == 0) || state.free != old.free || state.slice != old.slice;
  if (!changed) return;
  target.published = state;
  target.published_at = host_.Now();
  board(id).lines[host_.shard_id()].Publish(state);
}

// Plenty here, need there: they do not have to ask.
void Pool::OfferPlenty(TargetId id) {
  Target& target = targets_[id];
  if (!target.active.empty() || shared_.shards == 1 || draining_) return;
  for (uint32_t step = 1; step < shared_.shards; ++step) {
    const uint32_t shard = (host_.shard_id() + step) % shared_.shards;
    BoardLine& line = board(id).lines[shard];
    while (line.wanted() > 0) {
      const BoardState state = line.Read();
      RouteState* route = state.oldest_route != 0 ? &StateOf(state.oldest_route) : nullptr;
      const bool idle = route != nullptr && !route->idle.empty();
      if (!idle && free_slots(target) <= target.debt) break;
      if (!line.Claim()) break;
      if (idle) {
        Lend(*route->idle.Front(), shard);
      } else {
        GrantSlots(id, shard, 1, false);
      }
    }
  }
}

// Asks one shard that has something for the route; false if there is none to ask.
bool Pool::Ask(TargetId id, RouteState& route, bool idle_only, bool evict) {
  Target& target = targets_[id];
  for (uint32_t step = 1; step < shared_.shards; ++step) {
    const uint32_t shard = (host_.shard_id() + step) % shared_.shards;
    if (target.outstanding[shard]) continue;
    const BoardLine& line = board(id).lines[shard];
    const uint32_t epoch = line.epoch();
    const BoardState state = line.Read();
    if (state.wanted > 0 || epoch == target.refused_at[shard]) continue;
    if (state.idle == 0 && (idle_only || state.free == 0)) continue;
    target.outstanding[shard] = true;
    target.asked_for[shard] = route.id;
    ++route.asked;
    const uint64_t count = route.waiters.size() - (route.opening + route.asked - 1);
    SendTo(shard, kRequest, id, route.id, count | (evict ? kEvict : 0));
    return true;
  }
  return false;
}

void Pool::Lend(Backend& backend, uint32_t shard) {
  CHECK(shard != host_.shard_id());
  backend.lend_to_ = shard + 1;
  Move(backend, BackendState::kLeaving);
  TargetOf(backend).dirty = true;
  driver_.Detach(backend);
}

void Pool::OnDetached(Backend& backend, std::unique_ptr<engine::MessageBody> body) {
  Target& target = TargetOf(backend);
  CHECK(backend.state() == BackendState::kLeaving && backend.lend_to_ > 0);
  target.backends[static_cast<int>(BackendState::kLeaving)].Remove(backend);
  CHECK(target.open > 0 && target.slice > 0);
  --target.open;
  --target.slice;
  SendTo(backend.lend_to_ - 1, backend.lend_answers_ ? kGrantBackendAnswer : kGrantBackend,
         backend.target(), backend.route(), 0, std::move(body));
}

void Pool::GrantSlots(TargetId id, uint32_t shard, uint32_t count, bool answer) {
  Target& target = targets_[id];
  CHECK(count > 0 && free_slots(target) >= count);
  target.slice -= count;
  target.dirty = true;
  SendTo(shard, answer ? kGrantSlotAnswer : kGrantSlot, id, count, 0);
}

void Pool::OnRequest(const engine::Message& message) {
  const TargetId id = static_cast<TargetId>(message.words[0]);
  const RouteId wanted = static_cast<RouteId>(message.words[1]);
  const uint32_t count = static_cast<uint32_t>(message.words[2] & ~kEvict);
  Target& target = targets_[id];
  // Our own waiters come first; they are served in the same tick.
  if (target.active.empty() && !draining_) {
    RouteState* route = &StateOf(wanted);
    if (!route->idle.empty()) {
      Backend& backend = *route->idle.Front();
      backend.lend_answers_ = true;
      Lend(backend, message.from);
      return;
    }
    const uint32_t free = free_slots(target);
    if (free > target.debt) {
      GrantSlots(id, message.from, std::clamp((free - target.debt) / 2, 1u, std::max(1u, count)),
                 true);
      return;
    }
    if ((message.words[2] & kEvict) != 0) {
      if (Backend* victim = OldestIdle(target, nullptr); victim != nullptr) {
        victim->lend_to_ = message.from + 1;
        victim->lend_answers_ = true;
        CloseBackend(*victim);
        return;
      }
    }
  }
  Publish(id, /*refusing=*/true);
  SendTo(message.from, kRefuse, id, board(id).lines[host_.shard_id()].epoch(), 0);
}

void Pool::OnAnswer(TargetId id, uint32_t shard) {
  Target& target = targets_[id];
  CHECK(target.outstanding[shard]);
  target.outstanding[shard] = false;
  RouteState& route = StateOf(target.asked_for[shard]);
  CHECK(route.asked > 0);
  --route.asked;
  target.dirty = true;
}

void Pool::OnMessage(engine::Message&& message) {
  const TargetId id = static_cast<TargetId>(message.words[0]);
  CHECK(id < target_count_);
  Target& target = targets_[id];
  switch (message.kind) {
    case kRequest:
      OnRequest(message);
      return;
    case kGrantBackendAnswer:
      OnAnswer(id, message.from);
      [[fallthrough]];
    case kGrantBackend: {
      ++target.slice;
      Backend& backend =
          driver_.Attach(static_cast<RouteId>(message.words[1]), id, std::move(message.body));
      Occupy(backend);
      Move(backend, BackendState::kLinked);
      Return(backend);
      return;
    }
    case kGrantSlotAnswer:
      OnAnswer(id, message.from);
      [[fallthrough]];
    case kGrantSlot:
      target.slice += static_cast<uint32_t>(message.words[1]);
      target.dirty = true;
      return;
    case kRefuse:
      OnAnswer(id, message.from);
      target.refused_at[message.from] = static_cast<uint32_t>(message.words[1]);
      return;
    case kFacts:
      Learn(id,
            {static_cast<uint32_t>(message.words[1]), static_cast<uint32_t>(message.words[2]), 0});
      return;
    case kCut:
      Cut(id);
      return;
    case kRecall:
      target.debt += static_cast<uint32_t>(message.words[1]);
      target.dirty = true;
      return;
    case kSlotsBack:
      SlotsBack(id, static_cast<uint32_t>(message.words[1]));
      return;
    default:
      UNREACHABLE();
  }
}

// Budget messages have their kinds here, their meaning in ledger.cc.
void Pool::TellSteward(TargetId id, const ServerFacts& facts) {
  SendTo(id % shared_.shards, kFacts, id, facts.max_connections,
         uint64_t{facts.superuser_reserved_connections} + facts.reserved_connections);
}
void Pool::TellStewardCut(TargetId id) { SendTo(id % shared_.shards, kCut, id, 0, 0); }
void Pool::Recall(TargetId id, uint32_t shard, uint32_t count) {
  SendTo(shard, kRecall, id, count, 0);
}
void Pool::GiveBack(TargetId id, uint32_t count) {
  SendTo(id % shared_.shards, kSlotsBack, id, count, 0);
}

}  // namespace weir::pool
