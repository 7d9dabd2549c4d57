// One run of the simulator: weir's shards over the virtual network, a server behind, clients
// before.
//
// Each shard runs on a stack of its own; the seed says who goes on, at every tick and at every word
// that shards share. A seed also chooses the shape of the run: how many of everything, which
// faults.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace weir::sim {

struct RunResult {
  uint64_t digest = 0;
  uint64_t steps = 0;
  uint64_t answers = 0;
  uint64_t refused = 0;
  uint64_t lost = 0;
  std::string shape;
};

// Runs one seed. A violation prints the seed, the step and the last transitions, and aborts.
RunResult Run(uint64_t seed, bool verbose);

}  // namespace weir::sim
