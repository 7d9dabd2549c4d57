#include "engine/topology.h"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace weir::engine {

double ReadQuota(const std::string& root) {
  std::ifstream self(root + "/proc/self/cgroup");
  double least = 0;
  for (std::string line; std::getline(self, line);) {
    if (!line.starts_with("0::")) continue;
    for (std::string path = line.substr(3);; path.resize(path.rfind('/'))) {
      std::ifstream file(root + "/sys/fs/cgroup" + path + "/cpu.max");
      double quota = 0;  // "max": no number
      double period = 0;
      if (file >> quota >> period && quota > 0 && period > 0) {
        const double cpus = quota / period;
        least = least == 0 ? cpus : std::min(least, cpus);
      }
      if (path.empty() || path.rfind('/') == std::string::npos) break;
    }
  }
  return least;
}

uint32_t Topology::DefaultShards() const {
  uint32_t shards = cpus;
  if (quota > 0) shards = std::min(shards, std::max(1u, static_cast<uint32_t>(quota)));
  return std::clamp(shards, 1u, 64u);
}

Topology ReadTopology() {
  Topology topology;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    topology.cpus = static_cast<uint32_t>(CPU_COUNT(&set));
  topology.quota = ReadQuota();
  return topology;
}

void PinThread(uint32_t index) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  uint32_t seen = 0;
  const uint32_t wanted = index % static_cast<uint32_t>(std::max(1, CPU_COUNT(&allowed)));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || seen++ != wanted) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

}  // namespace weir::engine
