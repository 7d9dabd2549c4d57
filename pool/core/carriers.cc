// Backends that carry reads of several clients at once.
//
// A read joins where others are in flight if as many backends of its route carry reads as are worth
// it (HotBackends), and one of them has room: fewer than pipeline_depth in flight, which are not
// expected to take longer than pipeline_max_wait. Else it takes an idle backend, which carries from
// then on; a backend whose last read has ended is returned like any other. Nobody joins while
// somebody waits who could use the backend for himself; those who wait to read are let in together
// when it is their turn.
#include <algorithm>
#include <cstdint>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "pool/core/pool.h"

namespace weir::pool {

namespace {

// A route that could use another backend for its reads asks for one so often.
constexpr engine::Nanos kGrowPeriod = 5 * engine::kMillisecond;

}  // namespace

bool Pool::MayJoinAny(const RouteState& route, const Target& target) const {
  if (WEIR_FAULT("joins_before_who_waits")) return true;
  return route.waiters.empty() && target.active.empty() && !target.wanted_elsewhere;
}

bool Pool::TakesRead(const Backend& backend, const Waiter& waiter) const {
  return !backend.closed_to_reads && backend.profile == waiter.profile &&
         backend.reads < options_.pipeline_depth &&
         backend.read_load + waiter.read_cost <= options_.pipeline_max_wait &&
         host_.Now() < backend.expires_at && !Outdated(backend);
}

// The one on which the wait is expected to be shortest.
Backend* Pool::BestCarrier(RouteState& route, const Waiter& waiter) {
  Backend* best = nullptr;
  for (Backend* each = route.carriers.Front(); each != nullptr; each = route.carriers.Next(*each)) {
    if (!TakesRead(*each, waiter)) continue;
    if (best == nullptr || each->read_load < best->read_load ||
        (each->read_load == best->read_load && each->reads < best->reads))
      best = each;
  }
  for (Backend* each =
           targets_[route.target].backends[static_cast<int>(BackendState::kLinked)].Front();
       WEIR_FAULT("joins_in_a_transaction") && each != nullptr;
       each =
           targets_[route.target].backends[static_cast<int>(BackendState::kLinked)].Next(*each)) {
    if (each->route() == route.id && TakesRead(*each, waiter)) return each;
  }
  return best;
}

Backend* Pool::BorrowToRead(Waiter& waiter) {
  CHECK(!waiter.waiting() && waiter.route != 0);
  RouteState& route = StateOf(waiter.route);
  Target& target = targets_[route.target];
  const bool joins = waiter.reads && !draining_ && !options_.rotate && target.debt == 0 &&
                     MayJoinAny(route, target);
  if (joins && !route.carriers.empty()) {
    if (route.hot == nullptr) route.hot = NewHotBackends(route);
    const uint32_t worth = options_.hot_backends > 0 ? options_.hot_backends : route.hot->target();
    const bool enough = route.carriers.size() >= worth;
    if (enough || route.idle.empty()) {
      Backend* carrier = BestCarrier(route, waiter);
      if (!enough) Grow(route);
      if (carrier != nullptr) {
        waiter.Got(*carrier);
        return carrier;
      }
    }
  }
  return Borrow(waiter);
}

void Pool::OnReadStarted(Backend& backend, engine::Nanos cost) {
  CHECK(backend.state() == BackendState::kLinked && !backend.pinned);
  RouteState& route = StateOf(backend.route());
  if (!backend.carrier_link_.linked()) route.carriers.PushBack(backend);
  ++backend.reads;
  backend.read_load += cost;
  ++route.reads;
}

void Pool::OnReadEnded(Backend& backend, engine::Nanos cost) {
  CHECK(backend.reads > 0);
  RouteState& route = StateOf(backend.route());
  --backend.reads;
  --route.reads;
  backend.read_load -= cost;
  if (route.reads_ended++ == 0) read_in_tick_.push_back(&route);
}

void Pool::OfferRoom(Backend& backend) {
  RouteState& route = StateOf(backend.route());
  const Target& target = TargetOf(backend);
  while (!route.waiters.empty()) {
    Waiter& waiter = *route.waiters.Front();
    const bool alone = target.active.size() == 1 && !target.wanted_elsewhere && target.debt == 0;
    if (!waiter.reads || !alone || draining_ || options_.rotate || !TakesRead(backend, waiter))
      return;
    ++targets_[route.target].let_in;
    Serve(waiter, backend);
  }
}

void Pool::EndReads(Backend& backend) {
  CHECK(backend.reads == 0 && backend.read_load == 0);
  backend.closed_to_reads = false;
  StateOf(backend.route()).carriers.Remove(backend);
}

// It could use one more backend than there are.
void Pool::Grow(RouteState& route) {
  const engine::Nanos now = host_.Now();
  if (now < route.grow_at || route.opening + route.asked > 0) return;
  route.grow_at = now + kGrowPeriod;
  engine::Nanos retry_at = 0;
  if (free_slots(targets_[route.target]) > 0) {
    if (MayLaunch(route.target, route, &retry_at)) Launch(route.target, route);
    return;
  }
  Ask(route.target, route, Wish::kIdleOrSlot, /*once=*/true);
}

uint32_t Pool::MostCarriers(const RouteState& route) const {
  const size_t here = route.carriers.size() + route.idle.size() + route.opening +
                      free_slots(targets_[route.target]);
  const uint32_t share =
      board(route.target).budget.load(std::memory_order_relaxed) / shared_.shards;
  return std::max({1u, static_cast<uint32_t>(here), share});
}

std::unique_ptr<HotBackends> Pool::NewHotBackends(const RouteState& route) const {
  return std::make_unique<HotBackends>(host_.shard_id() << 16 ^ route.id);
}

// How well did they do in this tick?
void Pool::JudgeReads() {
  for (RouteState* route : read_in_tick_) {
    if (route->hot == nullptr) route->hot = NewHotBackends(*route);
    const auto in_flight = route->reads + static_cast<uint32_t>(route->waiters.size());
    route->hot->OnEnded(std::exchange(route->reads_ended, 0), in_flight, MostCarriers(*route),
                        host_.Now());
  }
  read_in_tick_.clear();
}

}  // namespace weir::pool
