// What is taken out of a text: digests never show what a string holds, and the name in a DEALLOCATE
// is the one that the server would find.
//
// Input: mode, the length of a name, the name, the text.
#include <cstdint>
#include <string>

#include "protocol/postgres/sql_scan.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using postgres::DeallocatedName;
using postgres::Digest;
using postgres::LexMode;
using postgres::Verdict;

constexpr std::string_view kHidden = "hunter2hunter2";

struct Nothing {
  void OnToken(const postgres::Token&) {}
};

bool Open(std::string_view text, LexMode mode) {
  postgres::SqlLexer lexer(mode);
  Nothing nothing;
  lexer.Feed(engine::AsBytes(text), nothing);
  return lexer.open();
}

void CheckDigest(std::string_view before, std::string_view behind, LexMode mode) {
  const std::string digest = Digest(std::string(before), mode);
  CHECK(digest.size() <= 1024 + 3);
  if (Open(before, mode) || before.find("hunter") != std::string_view::npos ||
      behind.find("hunter") != std::string_view::npos) {
    return;
  }
  for (const char* open : {"'", " E'", " $hidden$", " B'", " U&'"}) {
    const std::string_view close = open[1] == '$' ? "$hidden$" : "'";
    std::string text = std::string(before).append(open).append(kHidden).append(close);
    CHECK(Digest(text, mode).find(kHidden) == std::string::npos);
    text.append(behind);
    CHECK(Digest(text, mode).find(kHidden) == std::string::npos);
  }
}

void CheckName(std::string_view name, LexMode mode) {
  if (name.empty() || name.size() > 63 || name.find('\0') != std::string_view::npos) return;
  std::string quoted = "\"";
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  quoted += '"';
  for (const char* front : {"DEALLOCATE ", "deallocate PREPARE ", "/**/DEALLOCATE--\n"}) {
    for (const char* back : {"", ";", " ; -- x"}) {
      const std::string text = front + quoted + back;
      CHECK(DeallocatedName(text, mode) == name);
      CHECK((Scan(text, mode).flags & Verdict::kDeallocate) != 0);
    }
  }
}

// A text that is taken for a DEALLOCATE of one name is one.
void CheckText(std::string_view text, LexMode mode) {
  if ((Scan(text, mode).flags & Verdict::kDeallocate) == 0) return;
  const std::string name = DeallocatedName(text, mode);
  if (name.empty() || Open(text, mode)) return;
  // What follows it makes it another statement, or none.
  const std::string more = std::string(text) + " zz1 ";
  if (name != "prepare") CHECK(DeallocatedName(more, mode).empty());
  CHECK(DeallocatedName(std::string(text) + " 1 ", mode).empty());
  CHECK(DeallocatedName(std::string(text) + " 'a' ", mode).empty());
}

FUZZ_TARGET(sql_digest) {
  Choices choices(input);
  const uint8_t options = choices.Byte();
  const LexMode mode{.standard_conforming_strings = (options & 1) == 0,
                     .ascii_trailing_bytes = (options & 2) != 0};
  const std::string_view name = choices.Text(choices.Byte());
  const std::string_view text = choices.Rest();
  CheckDigest(text, name, mode);
  CheckName(name, mode);
  CheckText(text, mode);
}

}  // namespace
}  // namespace weir::fuzz
