#pragma once
#include <algorithm>
#include <cstdint>

#include "engine/base/clock.h"
namespace weir::pool {
class HotBackends {
 public:
  uint32_t target() const { return target_; }
  void OnEnded(uint32_t, uint32_t in_flight, uint32_t most, engine::Nanos) {
    target_ = std::min(most, std::max(1u, 4u));
  }

 private:
  uint32_t target_ = 4;
};
}  // namespace weir::pool
