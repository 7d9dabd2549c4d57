// Deliberate faults, by name, in the simulator's build only: they show that the simulator finds
// what it is there to find. In the program WEIR_FAULT is false, and nothing is left of it.
#pragma once

#include <cstdint>
#include <string_view>

namespace weir::engine {

#ifdef WEIR_SIM

consteval uint64_t FaultId(std::string_view name) {
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  return hash;
}
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): the simulator's one thread
extern uint64_t active_fault;  // 0: none
#define WEIR_FAULT(name) (::weir::engine::active_fault == ::weir::engine::FaultId(name))

#else

#define WEIR_FAULT(name) false

#endif

}  // namespace weir::engine
