#include "pool/core/pool.h"

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"

namespace weir::pool {

using engine::Nanos;

namespace {

constexpr Nanos kJanitorPeriod = engine::kSecond;
// How many idle backends are looked at for one in the client's settings.
constexpr int kProfileLooks = 32;
// What a borrow without a timeout waits for a backend that is idle on another shard.
constexpr Nanos kAtOnce = 100 * engine::kMillisecond;

bool Allowed(BackendState from, BackendState to) {
  switch (to) {
    case BackendState::kOpening:
      return false;
    case BackendState::kIdle:
      return from == BackendState::kLinked || from == BackendState::kAsking;
    case BackendState::kAsking:
    case BackendState::kLeaving:
      return from == BackendState::kIdle || from == BackendState::kLinked;
    case BackendState::kLinked:
      return from == BackendState::kIdle || from == BackendState::kOpening ||
             from == BackendState::kAsking;
    case BackendState::kClosing:
      return from != BackendState::kClosing;
  }
  UNREACHABLE();
}

}  // namespace

PoolShared::PoolShared(uint32_t shard_count, uint32_t target_count)
    : shards(shard_count), clients(std::make_unique<std::atomic<uint32_t>[]>(shard_count)) {
  for (uint32_t i = 0; i < target_count; ++i)
    targets.push_back(std::make_unique<TargetBoard>(shard_count));
}

Pool::Pool(PoolHost& host, BackendDriver& driver, PoolShared& shared, RouteCache& routes,
           const PoolOptions& options)
    : host_(host),
      driver_(driver),
      shared_(shared),
      routes_(routes),
      options_(options),
      targets_(std::make_unique<Target[]>(shared.targets.size())),
      target_count_(static_cast<uint32_t>(shared.targets.size())) {
  for (TargetId id = 0; id < target_count_; ++id) {
    Target& target = targets_[id];
    target.pool = this;
    target.retry.Bind(engine::Callback::To<&Target::OnRetry>(target));
    target.outstanding.assign(shared.shards, false);
    target.asked_for.assign(shared.shards, 0);
    target.recalled_from.assign(shared.shards, 0);
    // Until a server has said how many it grants, there is one slot, the steward's.
    if (steward(id)) target.slice = target.issued = 1;
    target.dirty = true;
  }
  janitor_.Bind(engine::Callback::To<&Pool::OnJanitor>(*this));
  host_.Timers().Arm(janitor_, host_.Now() + kJanitorPeriod);
}

Pool::~Pool() {
  host_.Timers().Cancel(janitor_);
  // What is left dies with its owners.
  for (const auto& route : route_states_) {
    if (route == nullptr) continue;
    while (Waiter* waiter = route->waiters.Front()) Dequeue(*route, *waiter);
    while (route->idle.PopFront() != nullptr) {
    }
    while (route->carriers.PopFront() != nullptr) {
    }
  }
  for (TargetId id = 0; id < target_count_; ++id) {
    for (auto& list : targets_[id].backends) {
      while (list.PopFront() != nullptr) {
      }
    }
  }
  for (TargetId id = 0; id < target_count_; ++id) host_.Timers().Cancel(targets_[id].retry);
}

void Pool::Target::OnRetry() { dirty = true; }

void Waiter::OnDeadline() { pool_->OnDeadline(*this); }

Pool::RouteState& Pool::StateOf(RouteId route) {
  if (route_states_.size() <= route) route_states_.resize(route + 1);
  std::unique_ptr<RouteState>& state = route_states_[route];
  if (state == nullptr) {
    state = std::make_unique<RouteState>();
    state->id = route;
  }
  return *state;
}

size_t Pool::CountOf(const Target& target, BackendState state) const {
  return target.backends[static_cast<int>(state)].size();
}

void Pool::Move(Backend& backend, BackendState to) {
  CHECK(Allowed(backend.state_, to));
  Target& target = TargetOf(backend);
  if (backend.state_ == BackendState::kIdle) StateOf(backend.route()).idle.Remove(backend);
  CHECK(!backend.carrier_link_.linked());
  target.backends[static_cast<int>(backend.state_)].Remove(backend);
  backend.state_ = to;
  target.backends[static_cast<int>(to)].PushBack(backend);
  if (to == BackendState::kIdle) StateOf(backend.route()).idle.PushFront(backend);
  CHECK((to == BackendState::kIdle) == backend.idle_link_.linked());
}

// A backend that has just come to be, in a slot of ours.
void Pool::Occupy(Backend& backend) {
  CHECK(backend.state_ == BackendState::kOpening && !backend.state_link_.linked());
  Target& target = TargetOf(backend);
  target.backends[static_cast<int>(BackendState::kOpening)].PushBack(backend);
  ++target.open;
  backend.number = ++numbers_;
}

Backend* Pool::Borrow(Waiter& waiter) {
  CHECK(!waiter.waiting() && waiter.route != 0);
  RouteState& route = StateOf(waiter.route);
  route.used_at = host_.Now();
  CloseOutdated(route);
  if (Backend* backend = TakeIdle(route, waiter); backend != nullptr) {
    Move(*backend, BackendState::kLinked);
    waiter.Got(*backend);
    return backend;
  }
  if (waiter.deadline <= host_.Now() && IdleElsewhere(route.target)) {
    // "At once" includes the way from another shard.
    waiter.deadline = host_.Now() + kAtOnce;
  }
  Enqueue(route, waiter);
  return nullptr;
}

bool Pool::IdleElsewhere(TargetId id) const {
  for (uint32_t shard = 0; shard < shared_.shards; ++shard) {
    if (shard != host_.shard_id() && board(id).lines[shard].Read().idle > 0) return true;
  }
  return false;
}

// The one it prefers; or the most recently used of those in its own settings, if one is among the
// first; or the most recently used.
Backend* Pool::TakeIdle(RouteState& route, Waiter& waiter) {
  if (route.idle.empty()) return nullptr;
  if (options_.rotate) return TakeAnother(route, waiter);
  if (waiter.preferred != 0) {
    for (Backend* each = route.idle.Front(); each != nullptr; each = route.idle.Next(*each)) {
      if (each->number == waiter.preferred) return each;
    }
  }
  int looked_at = 0;
  for (Backend* each = route.idle.Front(); each != nullptr && looked_at < kProfileLooks;
       each = route.idle.Next(*each), ++looked_at) {
    if (each->profile == waiter.profile) return each;
  }
  return route.idle.Front();
}

// The one that has been idle for longest, but not the one it had last. Where there is only that, it
// waits for another: Balance opens one, or gives it its last one.
Backend* Pool::TakeAnother(RouteState& route, const Waiter& waiter) {
  Backend* oldest = route.idle.Back();
  if (oldest->number != waiter.last) return oldest;
  if (route.idle.size() > 1) return route.idle.Previous(*oldest);
  return waiter.deadline > host_.Now() && !draining_ ? nullptr : oldest;
}

void Pool::Enqueue(RouteState& route, Waiter& waiter) {
  Target& target = targets_[route.target];
  waiter.pool_ = this;
  waiter.asked_ = 0;
  waiter.timer_.Bind(engine::Callback::To<&Waiter::OnDeadline>(waiter));
  // Who comes too late is told, but not before Borrow has returned.
  const Nanos deadline = draining_ ? host_.Now() : waiter.deadline;
  if (!WEIR_FAULT("deadline_forgotten")) host_.Timers().Arm(waiter.timer_, deadline);
  if (route.waiters.empty()) target.active.PushBack(route);
  route.waiters.PushBack(waiter);
  ++target.waiting;
  target.dirty = true;
}

void Pool::Dequeue(RouteState& route, Waiter& waiter) {
  Target& target = targets_[route.target];
  host_.Timers().Cancel(waiter.timer_);
  route.waiters.Remove(waiter);
  if (route.waiters.empty()) target.active.Remove(route);
  CHECK(target.waiting > 0);
  --target.waiting;
  target.dirty = true;
}

void Pool::Leave(Waiter& waiter) {
  CHECK(waiter.waiting());
  Dequeue(StateOf(waiter.route), waiter);
}

void Pool::OnDeadline(Waiter& waiter) {
  RouteState& route = StateOf(waiter.route);
  // What this one could not wait for serves the next.
  if (!Proven(route.id) && route.opening + route.asked == 0 && !draining_ &&
      free_slots(targets_[route.target]) == 0)
    Evict(route.target, route);
  if (!WEIR_FAULT("waiter_not_removed")) Dequeue(StateOf(waiter.route), waiter);
  if (draining_) {
    waiter.OnBorrowFailed(BorrowFailure::kShutdown, {});
    return;
  }
  const std::string_view why = route.failures > 0 ? route.trouble : std::string_view();
  waiter.OnBorrowFailed(BorrowFailure::kTimedOut, engine::AsBytes(why));
}

void Pool::Serve(Waiter& waiter, Backend& backend) {
  CHECK(waiter.waiting() && waiter.route == backend.route());
  Dequeue(StateOf(waiter.route), waiter);
  if (backend.state() != BackendState::kLinked) Move(backend, BackendState::kLinked);
  waiter.Got(backend);
  waiter.OnBorrowed(backend);
}

void Pool::Return(Backend& backend) {
  CHECK(backend.state() == BackendState::kLinked && !backend.pinned);
  returning_.push_back(&backend);
  // Serving a waiter may return its backend at once: one after the other, not one inside the other.
  if (settling_) return;
  settling_ = true;
  for (size_t i = 0; i < returning_.size(); ++i) Settle(*returning_[i]);
  returning_.clear();
  settling_ = false;
}

// Who gets it?
void Pool::Settle(Backend& backend) {
  Target& target = TargetOf(backend);
  RouteState& route = StateOf(backend.route());
  const Nanos now = host_.Now();
  const bool asked = std::exchange(backend.asked_, false);
  if (draining_ || target.debt > CountOf(target, BackendState::kClosing) ||
      now >= backend.expires_at || Outdated(backend)) {
    CloseBackend(backend);
    return;
  }
  if (SettleElsewhere(backend, route)) return;
  if (WEIR_FAULT("served_across_routes") && !target.active.empty() && route.waiters.empty()) {
    Serve(*target.active.Front()->waiters.Front(), backend);
    return;
  }
  if (Waiter* waiter = route.waiters.Front(); waiter != nullptr) {
    Serve(*waiter, backend);
    if (backend.reads > 0) OfferRoom(backend);
    return;
  }
  MakeIdle(backend, asked ? backend.idle_since : now);
}

// A waiter of another route or another shard that has waited clearly longer than ours.
bool Pool::SettleElsewhere(Backend& backend, RouteState& route) {
  Target& target = TargetOf(backend);
  const Nanos now = host_.Now();
  Waiter* here = route.waiters.Front();
  const Nanos age = here == nullptr ? 0 : now - here->since;
  if (target.active.size() > (here == nullptr ? 0u : 1u)) {
    RouteState* other = RouteToSwitchTo(backend.target(), route, age + options_.route_switch_bound);
    if (other != nullptr && (!OneAtATime(*other) || TakeForNew(backend.target()))) {
      CloseFor(backend, *other);
      return true;
    }
  }
  if (!target.wanted_elsewhere) return false;
  const Nanos bound = here == nullptr ? 0 : age + age / 2 + 200 * engine::kMicrosecond;
  for (uint32_t step = 1; step < shared_.shards; ++step) {
    const uint32_t shard = (host_.shard_id() + step) % shared_.shards;
    BoardLine& line = board(backend.target()).lines[shard];
    if (line.wanted() == 0) continue;
    const BoardState state = line.Read();
    const Nanos waited = now - state.oldest_since;
    if (state.oldest_route == route.id) {
      if (waited <= bound || !line.Claim()) continue;
      Lend(backend, shard);
      return true;
    }
    // Of another route: the backend is closed, its slot goes there.
    if (state.oldest_route == 0 || waited <= age + options_.route_switch_bound) continue;
    if (state.logins <= state.free || Down(backend.target())) continue;
    const bool rare = !Proven(state.oldest_route);
    if ((rare && !MayEvictForNew(backend.target())) || !line.Claim()) continue;
    // The want is claimed, whoever else takes something at this moment.
    if (rare) TakeForNew(backend.target());
    backend.lend_to_ = shard + 1;
    CloseBackend(backend);
    return true;
  }
  return false;
}

void Pool::MakeIdle(Backend& backend, Nanos since) {
  backend.idle_since = since;
  Move(backend, BackendState::kIdle);
  Target& target = TargetOf(backend);
  target.dirty = true;
  if (target.refused && StateOf(backend.route()).idle.size() == 1) target.new_idle = true;
}

void Pool::Discard(Backend& backend) {
  CHECK(backend.state() == BackendState::kLinked);
  CloseBackend(backend);
}

void Pool::CloseBackend(Backend& backend) {
  Move(backend, BackendState::kClosing);
  TargetOf(backend).dirty = true;
  driver_.Close(backend);
}

void Pool::OnOpened(Backend& backend, const ServerFacts& facts) {
  RouteState& route = StateOf(backend.route());
  TargetBoard& target_board = board(backend.target());
  CHECK(backend.state() == BackendState::kOpening && route.opening > 0);
  --route.opening;
  target_board.launching.fetch_sub(1);
  if (target_board.failures.exchange(0) > 0) {
    target_board.retry_at.store(0);
    host_.PoolLog(false, "the target is AVAILABLE again");
    TellToLook(backend.target());
  }
  routes_.Get(route.id).proven.store(true, std::memory_order_relaxed);
  route.refused_until = route.held_until = route.shut_out_since = 0;
  route.failures = 0;
  const Nanos now = host_.Now();
  target_board.up_at.store(now);
  backend.opened_at = now;
  backend.expires_at = now + static_cast<Nanos>(static_cast<double>(options_.lifetime) *
                                                (0.9 + 0.1 * host_.Random().Fraction()));
  Learn(backend.target(), facts);
  backend.generation = facts.generation;
  LearnGeneration(backend, facts);
  Move(backend, BackendState::kLinked);
  Return(backend);
}

void Pool::OnOpenFailed(Backend& backend, const LaunchFailure& failure) {
  RouteState& route = StateOf(backend.route());
  CHECK(route.opening > 0);
  --route.opening;
  if (!WEIR_FAULT("launch_not_ended")) board(backend.target()).launching.fetch_sub(1);
  if (backend.state() != BackendState::kClosing) Move(backend, BackendState::kClosing);
  OnLaunchFailure(backend.target(), route, failure, backend.opened_at);
}

void Pool::OnFacts(Backend& backend, const ServerFacts& facts) {
  CHECK(backend.state() == BackendState::kAsking);
  Learn(backend.target(), facts);
  LearnGeneration(backend, facts);
  Move(backend, BackendState::kLinked);
  Return(backend);
}

// As idle as it was.
void Pool::OnAnswered(Backend& backend) {
  CHECK(backend.state() == BackendState::kAsking);
  Move(backend, BackendState::kLinked);
  backend.asked_ = true;
  Return(backend);
}

void Pool::OnLost(Backend& backend) {
  if (backend.state() == BackendState::kClosing) return;
  CHECK(backend.state() != BackendState::kOpening);
  Move(backend, BackendState::kClosing);
  TargetOf(backend).dirty = true;
}

// The slot is free again.
void Pool::OnClosed(Backend& backend) {
  Target& target = TargetOf(backend);
  CHECK(backend.state() == BackendState::kClosing && target.open > 0);
  target.backends[static_cast<int>(BackendState::kClosing)].Remove(backend);
  --target.open;
  target.dirty = true;
  if (backend.evicted_for_ != 0) {
    RouteState& route = StateOf(backend.evicted_for_);
    CHECK(route.asked > 0);
    --route.asked;
    // The slot is for this route, not for one that may take free slots only. Who could not wait so
    // long may come again: then the login is started all the same.
    Nanos launch_at = 0;
    if (NeedOf(route) > 0 && free_slots(target) > target.debt && !draining_ &&
        route.refused_until <= host_.Now() && MayLaunch(backend.target(), route, &launch_at)) {
      Launch(backend.target(), route);
    } else if (!Proven(route.id) && route.waiters.empty()) {
      Prewarm(route.id);
    }
  }
  if (backend.lend_to_ == 0) return;
  // A grant whose backend broke on the way out, or was closed for another shard's route: the slot
  // goes alone.
  GrantSlots(backend.target(), backend.lend_to_ - 1, 1, backend.lend_answers_);
}

void Pool::FailWaiters(RouteState& route, BorrowFailure failure, engine::Bytes error) {
  // Those that come meanwhile are not among them.
  for (size_t left = route.waiters.size(); left > 0 && !route.waiters.empty(); --left) {
    Waiter& waiter = *route.waiters.Front();
    Dequeue(route, waiter);
    waiter.OnBorrowFailed(failure, error);
  }
}

void Pool::OnTickEnd() {
  JudgeReads();
  for (TargetId id = 0; id < target_count_; ++id) {
    Target& target = targets_[id];
    target.wanted_elsewhere = false;
    for (uint32_t shard = 0; shard < shared_.shards; ++shard) {
      if (shard != host_.shard_id() && board(id).lines[shard].wanted() > 0)
        target.wanted_elsewhere = true;
    }
    if (!target.dirty && !target.wanted_elsewhere) continue;
    bool published = false;
    for (int round = 0; round < 2; ++round) {
      target.dirty = false;
      PayDebt(id);
      Balance(id);
      if (!Publish(id)) break;
      published = true;
      if (WEIR_FAULT("board_without_second_look")) break;
      // Whoever publishes need or plenty looks again, or two shards could miss each other for ever.
      BoardFence();
    }
    OfferPlenty(id, published);
  }
}

void Pool::Drain() {
  draining_ = true;
  for (const auto& route : route_states_) {
    if (route != nullptr) FailWaiters(*route, BorrowFailure::kShutdown, {});
  }
  for (TargetId id = 0; id < target_count_; ++id) {
    while (Backend* idle = targets_[id].backends[static_cast<int>(BackendState::kIdle)].Front())
      CloseBackend(*idle);
  }
}

void Pool::Forgive() {
  for (const auto& route : route_states_) {
    if (route == nullptr) continue;
    route->refused_until = route->held_until = route->shut_out_since = 0;
    route->failures = 0;
    targets_[route->target].dirty = true;
  }
}

void Pool::Prewarm(RouteId route) {
  RouteState& state = StateOf(route);
  state.used_at = host_.Now();
  Nanos retry_at = 0;
  if (!draining_ && free_slots(targets_[state.target]) > 0 &&
      MayLaunch(state.target, state, &retry_at))
    Launch(state.target, state);
}

}  // namespace weir::pool
