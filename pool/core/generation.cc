// What ALTER ROLE and ALTER DATABASE ... SET change reaches new sessions only: when one has begun
// with other settings than those before it, or would now, the older ones go. Idle ones at once,
// here and by the janitors of other shards; linked ones when they return.
#include <cstdint>

#include "pool/core/pool.h"

namespace weir::pool {

using engine::Nanos;

namespace {

constexpr Nanos kPeriod = 60 * engine::kSecond;

}  // namespace

bool Pool::Outdated(const Backend& backend) const {
  if (backend.generation == 0) return false;
  const uint64_t newest = routes_.Get(backend.route()).generation.load(std::memory_order_relaxed);
  return newest != 0 && newest != backend.generation;
}

void Pool::LearnGeneration(const Backend& backend, const ServerFacts& facts) {
  const Route& route = routes_.Get(backend.route());
  route.generation_at.store(host_.Now(), std::memory_order_relaxed);
  if (facts.generation != 0) route.generation.store(facts.generation, std::memory_order_relaxed);
  CloseOutdated(StateOf(backend.route()));
}

void Pool::CloseOutdated(RouteState& route) {
  const uint64_t newest = routes_.Get(route.id).generation.load(std::memory_order_relaxed);
  if (newest == route.generation) return;
  route.generation = newest;
  Backend* next = nullptr;
  for (Backend* each = route.idle.Front(); each != nullptr; each = next) {
    next = route.idle.Next(*each);
    if (Outdated(*each)) CloseBackend(*each);
  }
}

// Of each route that has an idle backend here: what would a session begin with now?
void Pool::AskGenerations(Nanos now) {
  for (const auto& state : route_states_) {
    if (state == nullptr || state->idle.empty()) continue;
    const Route& route = routes_.Get(state->id);
    int64_t asked = route.generation_at.load(std::memory_order_relaxed);
    if (route.generation.load(std::memory_order_relaxed) == 0 || now - asked < kPeriod) continue;
    if (!route.generation_at.compare_exchange_strong(asked, now)) continue;
    Backend& idle = *state->idle.Back();
    if (driver_.AskFacts(idle)) Move(idle, BackendState::kAsking);
  }
}

}  // namespace weir::pool
