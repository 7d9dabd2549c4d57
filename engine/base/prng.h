// A small generator for jitter and choices that need no secrecy (xoshiro256**, seeded through
// splitmix64), and the door to the system's entropy for keys and nonces.
#pragma once

#include <cstdint>

#include "engine/base/bytes.h"

namespace weir::engine {

class Prng {
 public:
  explicit Prng(uint64_t seed);
  uint64_t Next();
  // Uniform in [0, bound); bound > 0.
  uint64_t Below(uint64_t bound);
  // Uniform in [0, 1).
  double Fraction();

 private:
  uint64_t state_[4];
};

// Where keys and nonces come from; tests seed their own.
class Entropy {
 public:
  virtual ~Entropy() = default;
  virtual void Fill(MutableBytes out) = 0;
};

// getrandom(2); aborts if the kernel has none to give.
class SystemEntropy final : public Entropy {
 public:
  void Fill(MutableBytes out) override;
};

}  // namespace weir::engine
