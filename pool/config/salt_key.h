// The key from which the salts of unknown users are made: the same for all instances, outliving
// restarts, so that a stranger cannot tell an unknown user from a known one by its salt.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/prng.h"
#include "pool/config/config.h"

namespace weir::pool {

enum class MissingKey : uint8_t {
  kMake,   // the program starts
  kLeave,  // a check of the configuration, perhaps by another user: changes nothing
};

// From proxy.salt_key_file; without it, from "<configuration file>.salt-key", which is made at the
// first start. If that cannot be written, a key for this run only, with a warning in the log.
absl::StatusOr<std::string> LoadSaltKey(const Config& config, engine::Entropy& entropy,
                                        MissingKey missing);

}  // namespace weir::pool
