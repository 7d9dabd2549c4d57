// Backends and slots between shards: asked for by message, offered to needs on the board.
#include <algorithm>
#include <cstdint>
#include <memory>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "pool/core/pool.h"

namespace weir::pool {

using engine::Nanos;

namespace {

enum Kind : uint32_t {
  kRequest = Pool::kMessages,  // words: target, route, count with the wish in the top bits
  kGrantBackend,               // target, route; body
  kGrantBackendAnswer,
  kGrantSlot,  // target, count
  kGrantSlotAnswer,
  kRefuse,     // target, epoch with the wish in the top bits
  kFacts,      // to the steward: target, max_connections, reserved
  kCut,        // to the steward: a 53300
  kRecall,     // from the steward: target, count
  kSlotsBack,  // to the steward: target, count
  kLook,       // target: something is to be had here that the board does not name
};
constexpr int kWishShift = 62;
constexpr uint64_t kBelowWish = (uint64_t{1} << kWishShift) - 1;

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
  state.open = static_cast<uint32_t>(target.open - CountOf(target, BackendState::kClosing) -
                                     CountOf(target, BackendState::kOpening));
  state.spare = SpareSlots(id);
  state.waiting = KeptSlots(id) > 0;
  // Named is the oldest of those whom a slot would help. A route that has never logged in, and may
  // have to wait for long, hides no other.
  int best = 0;
  for (RouteState* route = target.active.Front(); route != nullptr;
       route = target.active.Next(*route)) {
    const uint32_t unserved = UnservedOf(*route);
    if (unserved == 0) continue;
    // One that failed last time asks for slots itself.
    const uint32_t need = route->failures > 0 ? 0 : NeedOf(*route);
    state.wanted += unserved;
    state.logins += need;
    const int rank = need == 0 ? 1 : Proven(route->id) ? 3 : 2;
    const Nanos since = route->waiters.Front()->since;
    if (rank < best || (rank == best && since >= state.oldest_since)) continue;
    best = rank;
    state.oldest_route = route->id;
    state.oldest_since = since;
  }
  // While the target is down a slot is worth having only for the next probe.
  if (Down(id)) state.logins = std::min(state.logins, 1u);
  return state;
}

// Returns whether there was news for the board.
bool Pool::Publish(TargetId id) {
  Target& target = targets_[id];
  if (shared_.shards == 1) return false;
  BoardLine& line = board(id).lines[host_.shard_id()];
  BoardState state = StateForBoard(id);
  const BoardState& old = target.published;
  const auto unpromised = [&](uint32_t on_board) {
    const int64_t claimed = target.claimed + int64_t{old.wanted} - on_board;
    return static_cast<uint32_t>(
        std::max<int64_t>(0, state.wanted - std::max<int64_t>(0, claimed)));
  };
  const uint32_t on_board = line.wanted();
  const uint32_t wanted = unpromised(on_board);
  // There is something else to be had here: who was refused asks again. What we need ourselves is
  // no reason, or two shards that refuse each other would ask for ever.
  const bool plenty = (state.idle == 0) != (old.idle == 0) || state.spare != old.spare ||
                      state.waiting != old.waiting || target.new_idle;
  const bool changed = plenty || (wanted == 0) != (on_board == 0) || wanted > on_board ||
                       state.oldest_since != old.oldest_since || state.logins != old.logins ||
                       state.oldest_route != old.oldest_route || state.free != old.free ||
                       state.slice != old.slice || state.open != old.open;
  if (!changed) return false;
  const uint32_t left = line.TakeWanted();
  state.wanted = unpromised(left);
  target.claimed += static_cast<int32_t>(old.wanted - left);
  target.published = state;
  if (plenty) target.refused = target.new_idle = false;
  line.Publish(state, plenty);
  return true;
}

// Plenty here, need there: they do not have to ask. What they need may not be what the board names:
// then they are told to look, once for each change here.
void Pool::OfferPlenty(TargetId id, bool fresh) {
  Target& target = targets_[id];
  if (shared_.shards == 1 || draining_) return;
  // Slots are for those who wait here first. An idle backend is of no use to them, or they had it.
  uint32_t spare = SpareSlots(id);
  for (uint32_t step = 1; step < shared_.shards; ++step) {
    const uint32_t shard = (host_.shard_id() + step) % shared_.shards;
    BoardLine& line = board(id).lines[shard];
    uint32_t granted = 0;
    while (line.wanted() > 0) {
      const BoardState state = line.Read();
      RouteState* route = state.oldest_route != 0 ? &StateOf(state.oldest_route) : nullptr;
      const bool idle = route != nullptr && !route->idle.empty();
      // Who waits there for his turn to log in has a slot already.
      if (!idle && (spare == 0 || state.logins <= state.free + granted)) {
        if (fresh && CountOf(target, BackendState::kIdle) > 0) SendTo(shard, kLook, id, 0, 0);
        break;
      }
      if (!line.Claim()) break;
      if (idle) {
        Lend(*route->idle.Front(), shard);
      } else {
        GrantSlots(id, shard, 1, false);
        --spare;
        ++granted;
      }
    }
  }
}

// Those who wait elsewhere can be helped again.
void Pool::TellToLook(TargetId id) {
  for (uint32_t shard = 0; shard < shared_.shards; ++shard) {
    if (shard != host_.shard_id()) SendTo(shard, kLook, id, 0, 0);
  }
}

// Asks one shard that may fulfil the wish; false if there is none to ask. `once`: not one that was
// asked for the oldest waiter before, if there is one.
bool Pool::Ask(TargetId id, RouteState& route, Wish wish, bool once) {
  Target& target = targets_[id];
  Waiter* oldest = route.waiters.Front();
  CHECK((oldest != nullptr || wish < Wish::kEviction) && shared_.shards <= 64);
  for (uint32_t step = 1; step < shared_.shards; ++step) {
    const uint32_t shard = (host_.shard_id() + step) % shared_.shards;
    if (target.outstanding[shard]) continue;
    const BoardLine& line = board(id).lines[shard];
    const uint32_t epoch = line.epoch();
    const BoardState state = line.Read();
    if (once && oldest != nullptr && (oldest->asked_ >> shard & 1) != 0) continue;
    const auto refused = [&](Wish which) {
      return !route.refused_at.empty() &&
             route.refused_at[shard][static_cast<size_t>(which)] == epoch;
    };
    if (wish >= Wish::kEviction) {
      // Who waits there himself closes no backend for us, and gives what he cannot use.
      if (state.idle == 0 || state.waiting || refused(wish)) continue;
      if (!MayEvict(id, route)) return false;
    } else {
      const bool idle = state.idle > 0 && Proven(route.id) && !refused(Wish::kIdle);
      const bool slot = wish == Wish::kIdleOrSlot && state.spare > 0 && !refused(wish);
      if (!idle && !slot) continue;
    }
    const uint64_t count = std::max(1u, NeedOf(route));
    target.outstanding[shard] = true;
    target.asked_for[shard] = route.id;
    if (wish != Wish::kEviction && oldest != nullptr) oldest->asked_ |= uint64_t{1} << shard;
    ++route.asked;
    SendTo(shard, kRequest, id, route.id, count | static_cast<uint64_t>(wish) << kWishShift);
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
  const uint32_t count = static_cast<uint32_t>(message.words[2] & kBelowWish);
  const Wish wish = static_cast<Wish>(message.words[2] >> kWishShift);
  Target& target = targets_[id];
  RouteState& route = StateOf(wanted);
  if (!route.idle.empty() && !draining_) {
    Backend& backend = *route.idle.Front();
    backend.lend_answers_ = true;
    Lend(backend, message.from);
    return;
  }
  bool late = false;
  // Our own waiters come first; they are served in the same tick.
  if (!draining_) {
    const uint32_t spare = SpareSlots(id);
    if (wish != Wish::kIdle && spare > 0) {
      GrantSlots(id, message.from, std::clamp(spare / 2, 1u, std::max(1u, count)), true);
      return;
    }
    const bool rare = wish == Wish::kRareEviction;
    late = rare && !MayEvictForNew(id);
    if (wish >= Wish::kEviction && !late && KeptSlots(id) == 0) {
      Backend* victim = OldestIdle(target, nullptr);
      if (victim != nullptr && (!rare || TakeForNew(id))) {
        victim->lend_to_ = message.from + 1;
        victim->lend_answers_ = true;
        CloseBackend(*victim);
        return;
      }
    }
  }
  // What it is based on must stand on the board, so that any plenty after it is a change.
  Publish(id);
  target.refused = true;
  // Another new route was first: this one may ask again though nothing has changed here.
  const uint32_t epoch = board(id).lines[host_.shard_id()].epoch() - (late ? 1 : 0);
  SendTo(message.from, kRefuse, id, epoch | (message.words[2] & ~kBelowWish), 0);
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

// What another shard gives: as an answer, or because it has claimed one of our wants.
void Pool::OnGrant(TargetId id, const engine::Message& message) {
  if (message.kind == kGrantBackendAnswer || message.kind == kGrantSlotAnswer) {
    OnAnswer(id, message.from);
  } else {
    if (!WEIR_FAULT("claim_never_ends")) --targets_[id].claimed;
    targets_[id].dirty = true;
  }
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
    case kGrantBackend: {
      OnGrant(id, message);
      target.slice += WEIR_FAULT("grant_counted_twice") ? 2 : 1;
      Backend& backend =
          driver_.Attach(static_cast<RouteId>(message.words[1]), id, std::move(message.body));
      Occupy(backend);
      Move(backend, BackendState::kLinked);
      Return(backend);
      return;
    }
    case kGrantSlotAnswer:
    case kGrantSlot:
      OnGrant(id, message);
      target.slice += static_cast<uint32_t>(message.words[1]);
      if (WEIR_FAULT("slot_counted_twice")) ++target.slice;
      target.dirty = true;
      return;
    case kRefuse: {
      RouteState& route = StateOf(target.asked_for[message.from]);
      const size_t wish = message.words[1] >> kWishShift;
      const uint32_t epoch = static_cast<uint32_t>(message.words[1]);
      if (route.refused_at.empty()) route.refused_at.resize(shared_.shards);
      auto& refused_at = route.refused_at[message.from];
      refused_at[wish] = epoch;
      if (wish == static_cast<size_t>(Wish::kIdleOrSlot))
        refused_at[static_cast<size_t>(Wish::kIdle)] = epoch;
      if (WEIR_FAULT("refusal_for_all_routes")) {
        for (const auto& other : route_states_) {
          if (other != nullptr) other->refused_at = route.refused_at;
        }
      }
      OnAnswer(id, message.from);
      return;
    }
    case kLook:
      target.dirty = true;
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
      SlotsBack(id, message.from, static_cast<uint32_t>(message.words[1]));
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
