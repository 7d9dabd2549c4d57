// What looking at bytes from a peer can say. Incomplete, malformed and absent are different
// answers.
#pragma once

#include <cstdint>

namespace weir::protocol {

enum class [[nodiscard]] Decode : uint8_t{kOk, kNeedMore, kMalformed};

}  // namespace weir::protocol
