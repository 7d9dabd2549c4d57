// The CPUs that this process may use.
#pragma once

#include <cstdint>
#include <string>

namespace weir::engine {

struct Topology {
  uint32_t cpus = 1;  // of the affinity mask
  double quota = 0;   // CPUs that the cgroup grants; 0: no limit
  // One shard per CPU that can really be used.
  uint32_t DefaultShards() const;
};

Topology ReadTopology();
// The quota of the cgroup (v2) that this process is in, or of any above it: the smallest, in CPUs;
// 0: none. `root` stands before /proc and /sys.
double ReadQuota(const std::string& root = {});

// Pins the calling thread to the `index`-th CPU of the affinity mask.
void PinThread(uint32_t index);

}  // namespace weir::engine
