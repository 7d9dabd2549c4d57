// Bodies that are read: the fields of errors, names of statements.
//
// Input: the body of an ErrorResponse.
#include <cstdint>
#include <string>

#include "protocol/postgres/dialect.h"
#include "protocol/postgres/encode.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using postgres::ErrorField;

// A server's error under another severity: framed, all else as it was.
void CheckReencoded(std::string_view body, const std::string& message, bool fatal) {
  const std::vector<Message> whole = AllMessages(message);
  CHECK(whole.size() == 1 && whole[0].type == 'E');
  const std::string& again = whole[0].body;
  CHECK(!again.empty() && again.back() == '\0');
  for (int field = 1; field < 256; ++field) {
    const char name = static_cast<char>(field);
    const std::string_view before = ErrorField(body, name);
    const std::string_view after = ErrorField(again, name);
    if (name == 'S' || name == 'V') {
      if (!before.empty()) CHECK(after == (fatal ? "FATAL" : "ERROR"));
    } else {
      CHECK(before == after);
    }
  }
}

void CheckNames(std::string_view text) {
  const postgres::StatementId id = postgres::IdOfServerName(text);
  if (id == 0) return;
  CHECK(text.starts_with(postgres::kServerNamePrefix));
  CHECK(postgres::IdOfServerName(postgres::ServerName(id)) == id);
}

FUZZ_TARGET(messages) {
  const std::string_view body = engine::AsText(input);
  postgres::StatementTable table;
  ZeroEntropy entropy;
  postgres::PostgresDialect dialect(table, entropy, 1);
  const std::string message = Encode('E', body);
  for (const bool fatal : {false, true}) {
    CheckReencoded(body, dialect.ReencodeError(message, fatal), fatal);
  }
  CHECK(dialect.ErrorText(message) == ErrorField(body, 'M'));
  for (size_t cut = 0; cut < 6; ++cut) CHECK(dialect.ErrorText(message.substr(0, cut)).size() <= 1);
  CheckNames(body);
  CheckNames(std::string(postgres::kServerNamePrefix) + std::string(body));
  const std::string_view text = body.substr(0, body.find('\0'));
  const std::vector<Message> own = AllMessages(dialect.EncodeError(true, "08P01", text));
  CHECK(own.size() == 1 && ErrorField(own[0].body, 'M') == text);
}

}  // namespace
}  // namespace weir::fuzz
