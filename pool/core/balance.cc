// What can be done for those who wait: ask another shard, use a slot, close an idle backend of
// another route.
#include <algorithm>
#include <cstdint>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "pool/core/pool.h"

namespace weir::pool {

using engine::Nanos;

namespace {

constexpr Nanos kRefusalRemembered = engine::kSecond;
// A secret that is changed on the server first comes to us so much later, at most.
constexpr Nanos kSecretPatience = 5 * engine::kSecond;
constexpr Nanos kNewRoutePeriod = 10 * engine::kSecond;
constexpr Nanos kFirstRetry = 100 * engine::kMillisecond;
constexpr Nanos kLongestRetry = 3 * engine::kSecond;
constexpr Nanos kLaunchRetry = 5 * engine::kMillisecond;
// While a target is down the shards take turns with the probe, this much apart.
constexpr Nanos kProbeTurn = engine::kMillisecond;
constexpr Nanos kMoreTurn = 2 * kLaunchRetry;
// When no login has begun for so long because those under way give no answer, one more may, of a
// route that has none under way: it may be theirs that hang. So many at most.
constexpr Nanos kLoginPatience = engine::kSecond;
constexpr uint32_t kMoreLogins = 3;
// What one tick may do for one target.
constexpr int kStepsPerPass = 256;
// With more routes than this waiting, a backend that returns looks through them only so often.
constexpr size_t kRoutesToLookAt = 16;
constexpr Nanos kLookPeriod = engine::kMillisecond;

// Until the next attempt after so many failures.
Nanos RetryDelay(uint32_t failures, engine::Prng& random) {
  const Nanos delay = std::min(kLongestRetry, kFirstRetry << std::min(failures - 1, 6u));
  return static_cast<Nanos>(static_cast<double>(delay) * (0.75 + 0.5 * random.Fraction()));
}

}  // namespace

// The waiters of a route that an idle backend, wherever it is, would help: a login may take long.
uint32_t Pool::UnservedOf(const RouteState& route) const {
  return static_cast<uint32_t>(route.waiters.size() -
                               std::min<size_t>(route.waiters.size(), route.asked));
}

// The waiters of a route that nothing is under way for and that a login may help. A route that has
// never logged in, or failed last time, makes one attempt at a time, however many wait for it.
uint32_t Pool::NeedOf(const RouteState& route) const {
  const size_t covered = route.opening + route.asked;
  if (route.waiters.size() <= covered || Held(route)) return 0;
  if (OneAtATime(route)) return covered == 0 ? 1 : 0;
  return static_cast<uint32_t>(route.waiters.size() - covered);
}

// The slots that those who wait here may come to use. Who has asked another shard may hear that it
// has nothing: given away meanwhile, slots would go to and fro.
uint32_t Pool::KeptSlots(TargetId id) const {
  Target& target = targets_[id];
  // The next probe is another shard's, if somebody waits there.
  if (Down(id) && board(id).tried_on.load(std::memory_order_relaxed) == host_.shard_id()) return 0;
  uint32_t kept = 0;
  for (RouteState* route = target.active.Front(); route != nullptr;
       route = target.active.Next(*route)) {
    if (Held(*route)) continue;
    if (OneAtATime(*route)) {
      kept += route->opening == 0 ? 1 : 0;
    } else if (route->waiters.size() > route->opening) {
      kept += static_cast<uint32_t>(route->waiters.size() - route->opening);
    }
  }
  return kept;
}

// Free slots beyond those.
uint32_t Pool::SpareSlots(TargetId id) const {
  const Target& target = targets_[id];
  const uint32_t free = free_slots(target);
  const uint32_t kept = target.debt + KeptSlots(id);
  return free > kept ? free - kept : 0;
}

// The route whose oldest waiter has waited longest, of those that a slot would help.
Pool::RouteState* Pool::OldestNeedy(TargetId id, bool proven_only) {
  Target& target = targets_[id];
  RouteState* oldest = nullptr;
  for (RouteState* route = target.active.Front(); route != nullptr;
       route = target.active.Next(*route)) {
    if (NeedOf(*route) == 0 || (proven_only && !Proven(route->id))) continue;
    if (oldest == nullptr || route->waiters.Front()->since < oldest->waiters.Front()->since)
      oldest = route;
  }
  return oldest;
}

// The oldest route here that has waited so long and may switch. One that never logged in and may
// not take a slot now does not stand in the way of those behind it. Every backend that returns
// comes by: they are looked through once in a while.
Pool::RouteState* Pool::RouteToSwitchTo(TargetId id, const RouteState& from, Nanos longer_than) {
  const Nanos now = host_.Now();
  Target& target = targets_[id];
  if (target.active.size() > kRoutesToLookAt && now < target.look_at) return nullptr;
  target.look_at = now + kLookPeriod;
  for (const bool proven_only : {false, true}) {
    RouteState* other = OldestNeedy(id, proven_only);
    if (other == nullptr || other == &from) return nullptr;
    if (now - other->waiters.Front()->since <= longer_than) return nullptr;
    if (other->refused_until <= now && MayEvict(id, *other)) return other;
  }
  return nullptr;
}

// Those that wait, oldest waiter first; while the target is down the one that has not been tried
// for longest: the login of the other may be what hangs.
void Pool::BeginPass(TargetId id) {
  Target& target = targets_[id];
  target.pass.clear();
  target.passed = 0;
  const bool down = Down(id);
  for (RouteState* route = target.active.Front(); route != nullptr;
       route = target.active.Next(*route)) {
    if (UnservedOf(*route) == 0) continue;
    target.pass.push_back(
        {down ? route->launched_at : 0, route->waiters.Front()->since, route->id});
  }
  std::sort(target.pass.begin(), target.pass.end());
}

// One thing for those who wait for the route; false if there is none for now.
bool Pool::Help(TargetId id, RouteState& route, Nanos* retry_at) {
  Target& target = targets_[id];
  const Nanos now = host_.Now();
  if (route.refused_until > now) {
    FailWaiters(route, BorrowFailure::kRefused, route.refusal);
    return false;
  }
  const bool free = free_slots(target) > target.debt;
  const bool needy = NeedOf(route) > 0;
  Nanos launch_at = engine::kForever;
  const bool may_launch = needy && free && MayLaunch(id, route, &launch_at);
  // Who can help himself asks once: two shards that ask each other could do so for ever.
  const bool once = may_launch || !route.idle.empty() ||
                    (needy && !free && Proven(route.id) && OldestIdle(target, &route) != nullptr);
  if (Ask(id, route, free || !needy ? Wish::kIdle : Wish::kIdleOrSlot, once)) return true;
  if (!route.idle.empty() && !may_launch && (needy || Held(route))) {
    // Its last one, which it did not want (debug_borrow), rather than none.
    Serve(*route.waiters.Front(), *route.idle.Back());
    return true;
  }
  if (!needy) {
    if (Held(route)) *retry_at = std::min(*retry_at, route.held_until);
    return false;
  }
  if (free) {
    if (may_launch) {
      Launch(id, route);
    } else {
      *retry_at = std::min(*retry_at, launch_at);
    }
    return may_launch;
  }
  if (Evict(id, route)) return true;
  // A route that may not take a slot yet is looked at again.
  if (OneAtATime(route)) *retry_at = std::min(*retry_at, now + options_.route_switch_bound);
  return false;
}

void Pool::Balance(TargetId id) {
  Target& target = targets_[id];
  if (target.active.empty() || draining_) return;
  const Nanos now = host_.Now();
  Nanos retry_at = engine::kForever;
  const bool goes_on = target.passed < target.pass.size();
  if (!goes_on) BeginPass(id);
  // Where one tick ends the next goes on.
  for (int step = 0; step < kStepsPerPass && target.passed < target.pass.size(); ++step) {
    RouteState& route = StateOf(target.pass[target.passed].route);
    if (UnservedOf(route) == 0 || !Help(id, route, &retry_at)) ++target.passed;
  }
  // What has changed since it was begun is for another one.
  if (goes_on || target.passed < target.pass.size()) retry_at = now;
  if (retry_at != engine::kForever)
    host_.Timers().Arm(target.retry, std::max(retry_at, now + engine::kMillisecond));
}

// How many shards try to log in before this one does again.
uint32_t Pool::TurnOf(TargetId id) const {
  const uint32_t after = board(id).tried_on.load(std::memory_order_relaxed) + 1;
  return (host_.shard_id() + shared_.shards - after) % shared_.shards;
}

// When the next probe of a target that is down is this shard's.
Nanos Pool::ProbeAt(TargetId id) const {
  return board(id).retry_at.load(std::memory_order_relaxed) + TurnOf(id) * kProbeTurn;
}

bool Pool::MayLaunch(TargetId id, const RouteState& route, Nanos* retry_at) const {
  if (Held(route)) {
    *retry_at = route.held_until;
    return false;
  }
  const TargetBoard& target_board = board(id);
  const Nanos now = host_.Now();
  if (Down(id)) {
    // One probe at a time, when it is time.
    *retry_at = std::max(ProbeAt(id), now + kLaunchRetry);
    return now >= ProbeAt(id) && LoginFits(id, route, 1);
  }
  // A server that had no connection left is left alone for a moment.
  const Nanos put_off = target_board.retry_at.load(std::memory_order_relaxed);
  *retry_at = std::max(put_off, now + kLaunchRetry);
  if (now < put_off) return false;
  if (OneAtATime(route) && route.opening > 0) return false;
  return LoginFits(id, route,
                   std::max(4u, target_board.budget.load(std::memory_order_relaxed) / 10));
}

// `most` logins at a time, but for those that give no answer.
bool Pool::LoginFits(TargetId id, const RouteState& route, uint32_t most) const {
  const TargetBoard& target_board = board(id);
  const uint32_t launching = target_board.launching.load(std::memory_order_relaxed);
  if (launching < most) return true;
  const Nanos waited = host_.Now() - target_board.launched_at.load(std::memory_order_relaxed);
  return launching < most + kMoreLogins && route.opening == 0 &&
         waited >= kLoginPatience + TurnOf(id) * kMoreTurn;
}

void Pool::Launch(TargetId id, RouteState& route) {
  board(id).launching.fetch_add(1);
  board(id).launched_at.store(host_.Now(), std::memory_order_relaxed);
  board(id).tried_on.store(host_.shard_id(), std::memory_order_relaxed);
  ++route.opening;
  route.launched_at = host_.Now();
  Backend& backend = driver_.Open(route.id, id);
  backend.opened_at = host_.Now();
  Occupy(backend);
}

// The idle backend that has been so for longest, of another route.
Backend* Pool::OldestIdle(Target& target, const RouteState* but) {
  auto& idle = target.backends[static_cast<int>(BackendState::kIdle)];
  for (Backend* each = idle.Front(); each != nullptr; each = idle.Next(*each)) {
    if (but == nullptr || each->route() != but->id) return each;
  }
  return nullptr;
}

// Closes an idle backend of another route, here or elsewhere, so that this one gets the slot.
bool Pool::Evict(TargetId id, RouteState& route) {
  Backend* victim = OldestIdle(targets_[id], &route);
  if (victim == nullptr || !MayEvict(id, route) || (OneAtATime(route) && !TakeForNew(id)))
    return Ask(id, route, OneAtATime(route) ? Wish::kRareEviction : Wish::kEviction);
  CloseFor(*victim, route);
  return true;
}

void Pool::CloseFor(Backend& victim, RouteState& route) {
  ++route.asked;
  victim.evicted_for_ = route.id;
  CloseBackend(victim);
}

// A route that has never logged in may be a mistake, and one that failed may fail again: it costs
// others a warm backend only after it has waited, or could not wait so long, and not often.
bool Pool::MayEvict(TargetId id, const RouteState& route) const {
  // While the target is down a slot is worth having only for the next probe.
  if (Down(id) && (host_.Now() < ProbeAt(id) || !LoginFits(id, route, 1))) return false;
  if (!OneAtATime(route)) return true;
  if (route.waiters.empty()) return false;
  const Waiter& oldest = *route.waiters.Front();
  const Nanos now = host_.Now();
  if (now - oldest.since < options_.route_switch_bound && now < oldest.deadline) return false;
  return MayEvictForNew(id);
}

bool Pool::MayEvictForNew(TargetId id) const {
  const Nanos last = board(id).new_route_at.load(std::memory_order_relaxed);
  return last == 0 || host_.Now() - last >= kNewRoutePeriod;
}

// ... which it does now; false if another shard was first.
bool Pool::TakeForNew(TargetId id) {
  engine::Shared<Nanos>& last = board(id).new_route_at;
  Nanos seen = last.load(std::memory_order_relaxed);
  const Nanos now = host_.Now();
  return (seen == 0 || now - seen >= kNewRoutePeriod) && last.compare_exchange_strong(seen, now);
}

// A login has failed for reasons of its route: nobody else's business. Its waiters wait for the
// backends that it has.
void Pool::Hold(RouteState& route, const LaunchFailure& failure) {
  route.trouble = failure.text;
  if (!Held(route)) route.held_until = host_.Now() + RetryDelay(++route.failures, host_.Random());
}

// Who was let in before may have a new secret on its way to us.
bool Pool::WaitsForSecret(RouteState& route, Nanos now) {
  if (!routes_.Get(route.id).proven.load(std::memory_order_relaxed)) return false;
  if (route.shut_out_since == 0) route.shut_out_since = now;
  return now - route.shut_out_since < kSecretPatience;
}

void Pool::OnLaunchFailure(TargetId id, RouteState& route, const LaunchFailure& failure,
                           Nanos began) {
  using Kind = LaunchFailure::Kind;
  TargetBoard& target_board = board(id);
  const Nanos now = host_.Now();
  targets_[id].dirty = true;
  switch (failure.kind) {
    case Kind::kUnreachable:
    case Kind::kTimeout:
    case Kind::kStarting: {
      // Others have logged in meanwhile.
      if (failure.kind == Kind::kTimeout && target_board.up_at.load() > began) {
        Hold(route, failure);
        return;
      }
      // Logins that were under way together and fail together are one failure.
      if (target_board.failures.load() > 0 && now < target_board.retry_at.load()) return;
      const uint32_t failures = target_board.failures.fetch_add(1) + 1;
      target_board.retry_at.store(now + RetryDelay(failures, host_.Random()));
      target_board.tried_on.store(host_.shard_id());
      if (failures == 1) {
        const std::string_view reason =
            failure.kind == Kind::kStarting ? "CONNECTION_FAILED" : "UNREACHABLE";
        host_.PoolLog(
            true, engine::Cat("the target is UNAVAILABLE, reason ", reason, ": ", failure.text));
      }
      return;
    }
    case Kind::kTooManyConnections:
      host_.PoolLog(true,
                    "the target has no connection left, reason PENDING_PROXY_CAPACITY: the budget "
                    "is cut for 30 s");
      target_board.retry_at.store(now + kFirstRetry);
      Cut(id);
      // With nothing open there is nobody to wait for: as if it were down.
      if (target_board.budget.load() <= 1) {
        target_board.failures.fetch_add(1);
        target_board.tried_on.store(host_.shard_id());
      }
      return;
    case Kind::kRouteFull:
      Hold(route, failure);
      return;
    case Kind::kOtherSecret:
      return;
    case Kind::kNoSecret:
      if (WaitsForSecret(route, now)) {
        Hold(route, failure);
      } else {
        // Not remembered: another shard may hear of one first.
        FailWaiters(route, BorrowFailure::kRefused, failure.server_error);
      }
      return;
    case Kind::kAuthentication:
      if (WaitsForSecret(route, now)) {
        Hold(route, failure);
        return;
      }
      [[fallthrough]];
    case Kind::kDatabase:
    case Kind::kOther:
      route.refused_until = now + kRefusalRemembered;
      route.refusal = failure.server_error;
      FailWaiters(route, BorrowFailure::kRefused, route.refusal);
      return;
  }
}

}  // namespace weir::pool
