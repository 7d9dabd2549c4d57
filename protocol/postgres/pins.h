// The reasons for a pin, declared once in pins.def, and the questions that tell whether they stand.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace weir::postgres {

enum class PinReason : uint8_t {
  kNone,
#define PIN(enumerator, name, sentence, ends_by, question, discardable) enumerator,
#include "protocol/postgres/pins.def"
#undef PIN
};

struct PinWords {
  std::string_view name;
  std::string_view reason;
  std::string_view ends_by;
  std::string_view question;  // an expression; empty: it stands until the client leaves
};
const PinWords& WordsOf(PinReason reason);
std::span<const std::string_view> PinNames();  // by the numbers of the reasons

// Several reasons: a bit for each.
using PinSet = uint32_t;
constexpr PinSet Only(PinReason reason) {
  return reason == PinReason::kNone ? 0 : PinSet{1} << static_cast<unsigned>(reason);
}
constexpr bool Has(PinSet set, PinReason reason) { return (set & Only(reason)) != 0; }
PinReason FirstOf(PinSet set);  // kNone if it is empty

// Those that a question tells of, and those that DISCARD ALL takes away.
inline constexpr PinSet kAskable = 0
#define PIN(enumerator, name, sentence, ends_by, question, discardable) \
  | (sizeof(question) > 1 ? Only(PinReason::enumerator) : 0)
#include "protocol/postgres/pins.def"
#undef PIN
    ;
inline constexpr PinSet kDiscardable = 0
#define PIN(enumerator, name, sentence, ends_by, question, discardable) \
  | ((discardable) ? Only(PinReason::enumerator) : 0)
#include "protocol/postgres/pins.def"
#undef PIN
    ;

// Which of these reasons stand? One row, a boolean for each, in order.
std::string PinQuestion(PinSet reasons);

}  // namespace weir::postgres
