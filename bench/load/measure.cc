#include "bench/load/measure.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <sstream>

#include "bench/load/socket.h"
#include "engine/base/text.h"

namespace weir::load {

using engine::Nanos;

void Latencies::Record(Nanos latency) {
  const uint64_t value = static_cast<uint64_t>(std::max<Nanos>(latency, 0));
  const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kSubBits - 1);
  ++buckets_[(static_cast<size_t>(shift) << kSubBits) + (value >> shift)];
  ++count_;
  greatest_ = std::max(greatest_, latency);
}

Nanos Latencies::Percentile(double fraction) const {
  uint64_t left = static_cast<uint64_t>(static_cast<double>(count_) * fraction);
  for (size_t i = 0; i < buckets_.size(); ++i) {
    if (buckets_[i] <= left) {
      left -= buckets_[i];
      continue;
    }
    const size_t shift = i >> kSubBits > 0 ? (i >> kSubBits) - 1 : 0;
    const size_t low = (i - (shift << kSubBits)) << shift;
    return std::min(greatest_, static_cast<Nanos>(low + (size_t{1} << shift) / 2));
  }
  return greatest_;
}

Usage UsageOf(pid_t pid, const std::string& counter) {
  Usage usage;
  if (!counter.empty()) {
    std::ifstream file(counter, std::ios::binary);
    if (!file.read(reinterpret_cast<char*>(&usage.allocations), sizeof usage.allocations))
      Fail("cannot read " + counter);
  }
  if (pid == 0) return usage;
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
    Fail(engine::Cat("there is no process ", pid));
  usage.cpu = time.tv_sec * engine::kSecond + time.tv_nsec;
  std::ifstream file(engine::Cat("/proc/", pid, "/stat"));
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  fields >> usage.user_ticks >> usage.system_ticks;
  for (int field = 16; field < 24; ++field) fields >> skipped;
  fields >> usage.resident;
  usage.resident *= static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return usage;
}

}  // namespace weir::load
