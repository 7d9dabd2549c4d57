// The reasons for a pin, declared once in pin_reason.def.
#pragma once

#include <cstdint>
#include <string_view>

namespace weir::postgres {

enum class PinReason : uint8_t {
  kNone,
#define PIN_REASON(enumerator, name, sentence, ends_by) enumerator,
#include "protocol/postgres/pin_reason.def"
#undef PIN_REASON
};

struct PinReasonWords {
  std::string_view name;
  std::string_view reason;
  std::string_view ends_by;
};

const PinReasonWords& WordsOf(PinReason reason);

}  // namespace weir::postgres
