#include "tests/fuzz/fuzz.h"

#include "protocol/postgres/encode.h"

namespace weir::fuzz {

void CheckError(const Message& message, std::string_view severity) {
  CHECK(message.type == 'E');
  CHECK(message.body.size() >= 2 && message.body.back() == '\0');
  CHECK(postgres::ErrorField(message.body, 'S') == severity);
  CHECK(postgres::ErrorField(message.body, 'V') == severity);
  CHECK(postgres::ErrorField(message.body, 'C').size() == 5);
  CHECK(!postgres::ErrorField(message.body, 'M').empty());
}

}  // namespace weir::fuzz
