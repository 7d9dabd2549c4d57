#include "protocol/postgres/pins.h"

#include <bit>

#include "engine/base/check.h"
#include "engine/base/text.h"

namespace weir::postgres {

const PinWords& WordsOf(PinReason reason) {
  static constexpr PinWords kWords[] = {
      {"none", "", "", ""},
#define PIN(enumerator, name, sentence, ends_by, question, discardable) \
  {name, sentence, ends_by, question},
#include "protocol/postgres/pins.def"
#undef PIN
  };
  const auto index = static_cast<size_t>(reason);
  CHECK(index < sizeof kWords / sizeof kWords[0]);
  return kWords[index];
}

std::span<const std::string_view> PinNames() {
  static constexpr std::string_view kNames[] = {
      "none",
#define PIN(enumerator, name, sentence, ends_by, question, discardable) name,
#include "protocol/postgres/pins.def"
#undef PIN
  };
  return kNames;
}

PinReason FirstOf(PinSet set) {
  return set == 0 ? PinReason::kNone : static_cast<PinReason>(std::countr_zero(set));
}

std::string PinQuestion(PinSet reasons) {
  CHECK(reasons != 0 && (reasons & ~kAskable) == 0);
  std::string sql = "SELECT ";
  for (PinSet left = reasons; left != 0; left &= left - 1)
    engine::Append(sql, left == reasons ? "" : ", ", WordsOf(FirstOf(left)).question);
  return sql;
}

}  // namespace weir::postgres
