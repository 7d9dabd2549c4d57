// The built-in functions that are known to change no session state.
#pragma once

#include <string_view>

namespace weir::postgres {

// `name`: folded, without its schema.
bool IsHarmlessFunction(std::string_view name);

// Why a built-in function is not harmless, for the log: the family that it belongs to.
enum class FunctionFamily : unsigned char {
  kHarmless,
  kUnknown,
  kLocks,    // takes session-level advisory locks
  kUnlocks,  // ... and gives them back
  kSeed,
  kSetConfig,
  kReadsSequence,
  kWritesSequence
};
FunctionFamily FamilyOf(std::string_view name);

}  // namespace weir::postgres
