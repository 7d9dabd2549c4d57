#include "protocol/postgres/pin_reason.h"

#include "engine/base/check.h"

namespace weir::postgres {

const PinReasonWords& WordsOf(PinReason reason) {
  static constexpr PinReasonWords kWords[] = {
      {"none", "", ""},
#define PIN_REASON(enumerator, name, sentence, ends_by) {name, sentence, ends_by},
#include "protocol/postgres/pin_reason.def"
#undef PIN_REASON
  };
  const auto index = static_cast<size_t>(reason);
  CHECK(index < sizeof kWords / sizeof kWords[0]);
  return kWords[index];
}

}  // namespace weir::postgres
