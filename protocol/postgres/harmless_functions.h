// The built-in functions that are known to change no session state.
#pragma once

#include <string_view>

namespace weir::postgres {

// `name`: folded, without its schema.
bool IsHarmlessFunction(std::string_view name);

// It does something (to others, to the server, to files), waits for something, or takes a
// transaction's number: a text that calls it does not only read. Also of well-known extensions.
bool ActsFunction(std::string_view name);

// Why a built-in function is not harmless, for the log: the family that it belongs to.
enum class FunctionFamily : unsigned char {
  kHarmless,
  kActs,  // harmless to the session, but does something
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
