// Wall time as a seam: tokens and certificates are good for a while of it. The system's in the
// program, steered in tests.
#pragma once

#include "engine/base/clock.h"

namespace weir::engine {

class WallClock {
 public:
  virtual ~WallClock() = default;
  virtual Nanos Now() const = 0;  // since 1970
};

class SystemWallClock final : public WallClock {
 public:
  Nanos Now() const override;
};

}  // namespace weir::engine
