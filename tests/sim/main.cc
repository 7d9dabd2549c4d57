// The simulator's command line.
//
//   sim --seeds FIRST COUNT     runs seeds; stops at the first that fails
//   sim --seed N [--verbose]    runs one, twice, and compares; --verbose shows weir's log
//   sim --minutes M             new seeds until the time is over
//   sim --fault NAME FIRST COUNT  runs with a deliberate fault; says which seed finds it
//   sim --mutants               how many seeds each deliberate fault needs
//   sim --recorded-mutants      each deliberate fault with the seed that is known to find it
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "engine/base/fault.h"
#include "tests/sim/world.h"

namespace weir::sim {
namespace {

uint64_t ToNumber(const char* text) { return std::strtoull(text, nullptr, 10); }

int RunSeeds(uint64_t first, uint64_t count) {
  uint64_t answers = 0;
  uint64_t steps = 0;
  uint64_t joined = 0;
  uint64_t repeated = 0;
  uint64_t digest = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const RunResult result = Run(seed, false);
    answers += result.answers;
    steps += result.steps;
    joined += result.joined;
    repeated += result.repeated;
    digest = (digest ^ result.digest) * 1099511628211u;
  }
  std::printf("%llu seeds, %llu answers, %llu reads joined, %llu sent again, %llu steps, ",
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(answers),
              static_cast<unsigned long long>(joined), static_cast<unsigned long long>(repeated),
              static_cast<unsigned long long>(steps));
  std::printf("digest %016llx: ok\n", static_cast<unsigned long long>(digest));
  return 0;
}

int RunOne(uint64_t seed, bool verbose) {
  const RunResult one = Run(seed, verbose);
  const RunResult two = Run(seed, false);
  std::printf("seed %llu: %s, %llu answers, %llu refused, %llu lost, %llu steps, digest %016llx\n",
              static_cast<unsigned long long>(seed), one.shape.c_str(),
              static_cast<unsigned long long>(one.answers),
              static_cast<unsigned long long>(one.refused),
              static_cast<unsigned long long>(one.lost), static_cast<unsigned long long>(one.steps),
              static_cast<unsigned long long>(one.digest));
  if (one.digest == two.digest) return 0;
  std::printf("the second run went another way\n");
  return 1;
}

int RunMinutes(double minutes) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(60 * minutes);
  uint64_t seed =
      static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  uint64_t count = 0;
  for (; std::chrono::steady_clock::now() < end; ++seed, ++count) Run(seed, false);
  std::printf("%llu seeds: ok\n", static_cast<unsigned long long>(count));
  return 0;
}

struct Fault {
  const char* name;
  uint64_t seed;  // one that finds it
  const char* what;
};

constexpr Fault kFaults[] = {
#define FAULT(name, seed, what) {name, seed, what},
#include "tests/sim/faults.def"
#undef FAULT
};
// A fault that needs more seeds than this is not found.
constexpr uint64_t kSeedsMax = 500;

uint64_t HashOf(std::string_view name) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  return hash;
}

// Whether the seed finds the fault: in a process of its own, which dies of it.
bool Finds(std::string_view fault, uint64_t seed) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(0);
    alarm(60);
    engine::active_fault = HashOf(fault);
    Run(seed, false);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status != 0;
}

// The first seed from `first` on that finds the fault; 0: none of `count` does.
uint64_t FirstFinder(std::string_view fault, uint64_t first, uint64_t count) {
  for (uint64_t seed = first; seed < first + count; ++seed) {
    if (Finds(fault, seed)) return seed;
  }
  return 0;
}

// How many seeds each fault needs.
int RunMutants() {
  int survived = 0;
  std::printf("%-34s %5s  %s\n", "fault", "seeds", "what");
  for (const Fault& fault : kFaults) {
    const uint64_t seed = FirstFinder(fault.name, 1, kSeedsMax);
    std::printf("%-34s %5s  %s\n", fault.name, seed == 0 ? "-" : std::to_string(seed).c_str(),
                fault.what);
    std::fflush(stdout);
    if (seed == 0) ++survived;
  }
  std::printf("%zu faults, %d survive %d seeds\n", std::size(kFaults), survived,
              static_cast<int>(kSeedsMax));
  return survived == 0 ? 0 : 1;
}

// Each fault with its recorded seed; where that finds it no more, any seed may.
int RunRecorded() {
  int found = 0;
  int lost = 0;
  for (const Fault& fault : kFaults) {
    if (Finds(fault.name, fault.seed) || FirstFinder(fault.name, 1, kSeedsMax) != 0) {
      ++found;
      continue;
    }
    ++lost;
    std::printf("the fault %s survives %d seeds\n", fault.name, static_cast<int>(kSeedsMax));
  }
  std::printf("%d passed, %d failed\n", found, lost);
  return lost == 0 ? 0 : 1;
}

int RunFault(std::string_view name, uint64_t first, uint64_t count) {
  const uint64_t seed = FirstFinder(name, first, count);
  if (seed == 0) {
    std::printf("survived\n");
    return 1;
  }
  std::printf("%llu\n", static_cast<unsigned long long>(seed));
  return 0;
}

int Main(int count, char** values) {
  const std::string_view what = count > 1 ? values[1] : "";
  if (what == "--seeds" && count == 4) return RunSeeds(ToNumber(values[2]), ToNumber(values[3]));
  if (what == "--seed" && count >= 3) {
    return RunOne(ToNumber(values[2]), count > 3 && std::string_view(values[3]) == "--verbose");
  }
  if (what == "--minutes" && count == 3) return RunMinutes(std::atof(values[2]));
  if (what == "--mutants" && count == 2) return RunMutants();
  if (what == "--recorded-mutants" && count == 2) return RunRecorded();
  if (what == "--fault" && count == 5) {
    return RunFault(values[2], ToNumber(values[3]), ToNumber(values[4]));
  }
  std::fprintf(stderr,
               "usage: sim --seeds FIRST COUNT | --seed N [--verbose] | --minutes M | "
               "--fault NAME FIRST COUNT | --mutants | --recorded-mutants\n");
  return 2;
}

}  // namespace
}  // namespace weir::sim

int main(int count, char** values) { return weir::sim::Main(count, values); }
