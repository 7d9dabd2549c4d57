// What is random in the program is the same in every run of a test.
#pragma once

#include <cstdint>

#include "engine/base/prng.h"

namespace weir::engine {

class SeededEntropy final : public Entropy {
 public:
  void Fill(MutableBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(prng_.Next());
  }

 private:
  Prng prng_{1};
};

}  // namespace weir::engine
