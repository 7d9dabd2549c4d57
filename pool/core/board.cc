#include "pool/core/board.h"

namespace weir::pool {

void BoardLine::Publish(const BoardState& state, bool plenty) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  logins_.store(state.logins, kRelaxed);
  oldest_route_.store(state.oldest_route, kRelaxed);
  oldest_since_.store(state.oldest_since, kRelaxed);
  idle_.store(state.idle, kRelaxed);
  free_.store(state.free, kRelaxed);
  spare_.store(state.spare, kRelaxed);
  slice_.store(state.slice, kRelaxed);
  open_.store(state.open, kRelaxed);
  waiting_.store(state.waiting, kRelaxed);
  wanted_.store(state.wanted, kRelaxed);
  epoch_.store(epoch_.load(kRelaxed) + (plenty ? 1 : 0), std::memory_order_release);
}

BoardState BoardLine::Read() const {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  BoardState state;
  state.wanted = wanted_.load(kRelaxed);
  state.logins = logins_.load(kRelaxed);
  state.oldest_route = oldest_route_.load(kRelaxed);
  state.oldest_since = oldest_since_.load(kRelaxed);
  state.idle = idle_.load(kRelaxed);
  state.free = free_.load(kRelaxed);
  state.spare = spare_.load(kRelaxed);
  state.slice = slice_.load(kRelaxed);
  state.open = open_.load(kRelaxed);
  state.waiting = waiting_.load(kRelaxed);
  return state;
}

bool BoardLine::Claim() {
  uint32_t wanted = wanted_.load(std::memory_order_relaxed);
  while (wanted > 0) {
    if (wanted_.compare_exchange_weak(wanted, wanted - 1, std::memory_order_acq_rel)) return true;
  }
  return false;
}

}  // namespace weir::pool
