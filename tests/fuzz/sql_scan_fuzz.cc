// The verdict on a text: the same in any pieces, and the same for texts that mean the same to a
// server. The settings that it names: those that stand in it, and all that the verdict speaks of.
//
// Input: mode, how the text is cut, the text. A byte 1 in the text stands for a name.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "protocol/postgres/sql_scan.h"
#include "protocol/postgres/sql_settings.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using postgres::LexMode;
using postgres::PinReason;
using postgres::Scan;
using postgres::SettingNames;
using postgres::SettingsOf;
using postgres::Verdict;

struct Tokens {
  std::string all;  // spelled out
  void OnToken(const postgres::Token& token) {
    all += static_cast<char>('0' + static_cast<int>(token.kind));
    all += token.quoted ? 'q' : '-';
    all += token.symbol;
    all += token.text;
    all += '\n';
    CHECK(token.text.size() <= postgres::SqlLexer::kTextMax);
  }
};

struct Lexed {
  std::string tokens;
  bool open = false;
  bool unreadable = false;
  bool operator==(const Lexed&) const = default;
};

Lexed Lex(std::string_view text, LexMode mode, Pieces* pieces = nullptr) {
  postgres::SqlLexer lexer(mode);
  Tokens tokens;
  while (!text.empty()) {
    const std::string_view part =
        text.substr(0, pieces == nullptr ? text.size() : pieces->Next(text.size()));
    text.remove_prefix(part.size());
    lexer.Feed(engine::AsBytes(part), tokens);
  }
  const bool open = lexer.open();
  lexer.Finish(tokens);
  return {tokens.all, open, lexer.unreadable()};
}

Verdict ScanInPieces(std::string_view text, LexMode mode, Pieces& pieces) {
  postgres::SqlScanner scanner;
  scanner.Begin(mode);
  while (!text.empty()) {
    const std::string_view part = text.substr(0, pieces.Next(text.size()));
    text.remove_prefix(part.size());
    scanner.Feed(engine::AsBytes(part));
  }
  return scanner.Finish();
}

bool Same(const Verdict& a, const Verdict& b) {
  return a.pin == b.pin && a.flags == b.flags && a.statements == b.statements && a.kind == b.kind;
}

std::string Cat(std::string_view a, std::string_view b) { return std::string(a).append(b); }

std::string WithName(std::string_view text, std::string_view name) {
  std::string out;
  for (const char c : text) {
    if (c == 1) {
      out += name;
    } else {
      out += c;
    }
  }
  return out;
}

// White space and comments around a text mean nothing.
void CheckSurroundings(std::string_view text, LexMode mode, const Verdict& verdict) {
  if (Lex(text, mode).open) return;
  CHECK(Same(verdict, Scan(Cat(text, " "), mode)));
  CHECK(Same(verdict, Scan(Cat(text, "\n"), mode)));
  CHECK(Same(verdict, Scan(Cat(text, " -- set a = 1"), mode)));
  CHECK(Same(verdict, Scan(Cat("/* set /* a */ = 1 */", text), mode)));
  CHECK(Same(verdict, Scan(Cat("-- set a = 1\n ", text), mode)));
}

struct Words {
  std::set<std::string> all;  // of the text and of its strings, in lower case
  void OnToken(const postgres::Token& token) {
    std::string word(token.text);
    for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    all.insert(word);
  }
};

bool Same(const SettingNames& a, const SettingNames& b) {
  return a.names == b.names && a.placeholders == b.placeholders && a.all == b.all &&
         a.roles == b.roles && a.unknown == b.unknown && a.shapes_lexing == b.shapes_lexing &&
         a.shapes_literals == b.shapes_literals;
}

// A name is made of words that stand in the text, or it is what another word stands for.
void CheckName(std::string_view name, const Words& words) {
  static constexpr std::string_view kMeant[] = {"client_encoding",
                                                "default_transaction_deferrable",
                                                "default_transaction_isolation",
                                                "default_transaction_read_only",
                                                "role",
                                                "search_path",
                                                "session_authorization",
                                                "timezone",
                                                "xmloption"};
  CHECK(!name.empty() && name.size() < postgres::SqlLexer::kTextMax);
  for (const char c : name) CHECK(c < 'A' || c > 'Z');
  if (std::find(std::begin(kMeant), std::end(kMeant), name) != std::end(kMeant)) return;
  if (words.all.contains(std::string(name))) return;
  // Words in quotes may hold dots themselves.
  std::vector<bool> reached(name.size() + 2);
  reached[0] = true;
  for (size_t at = 0; at <= name.size(); ++at) {
    if (!reached[at]) continue;
    if (at < name.size() && name[at] == '.') reached[at + 1] = true;
    for (const std::string& word : words.all) {
      if (!word.empty() && name.substr(at).starts_with(word)) reached[at + word.size()] = true;
    }
  }
  CHECK(reached[name.size()]);
}

// The settings that a text names are in it, and are the same whatever stands beside them.
void CheckSettings(std::string_view text, LexMode mode) {
  const SettingNames found = SettingsOf(text, mode);
  postgres::SqlLexer lexer(mode);
  Words words;
  lexer.Feed(engine::AsBytes(text), words);
  const bool open = lexer.open();
  lexer.Finish(words);
  for (const std::string& name : found.names) CheckName(name, words);
  for (const std::string& name : found.placeholders) {
    CheckName(name, words);
    CHECK(name.find('.') != std::string::npos);
  }
  if (found.roles) CHECK(found.all);
  if (found.all) CHECK(found.shapes_lexing && found.shapes_literals);
  for (const std::string& name : found.names) {
    if (postgres::ShapesLexing(name)) CHECK(found.shapes_lexing);
  }
  if (open) return;
  CHECK(Same(found, SettingsOf(Cat(text, " "), mode)));
  CHECK(Same(found, SettingsOf(Cat("/* set /* a */ = 1 */", text), mode)));
  CHECK(Same(found, SettingsOf(Cat("select 1;", text), mode)));
}

struct Depth {
  int depth = 0;
  void OnToken(const postgres::Token& token) {
    if (token.kind != postgres::Token::Kind::kSymbol) return;
    if (token.symbol == '(') ++depth;
    if (token.symbol == ')' && depth > 0) --depth;
  }
};

// A parenthesis is open at its end.
bool Opens(std::string_view text, LexMode mode) {
  Depth depth;
  postgres::SqlLexer lexer(mode);
  lexer.Feed(engine::AsBytes(text), depth);
  lexer.Finish(depth);
  return depth.depth > 0;
}

// What the scanner takes for a change of settings behind a text, the reader finds.
void CheckChange(std::string_view text, LexMode mode, std::string_view change, auto finds) {
  const std::string both = Cat(text, change);
  const Verdict alone = Scan(text, mode);
  const Verdict verdict = Scan(both, mode);
  if ((alone.flags & Verdict::kSets) != 0 || (verdict.flags & Verdict::kSets) == 0) return;
  const SettingNames found = SettingsOf(both, mode);
  CHECK(verdict.pin != PinReason::kNone || found.unknown || finds(found));
}

void CheckChanges(std::string_view text, LexMode mode) {
  // In an open parenthesis a semicolon ends nothing; the server refuses the text.
  if (Lex(text, mode).open || Opens(text, mode)) return;
  const auto named = [](const SettingNames& found) {
    return std::find(found.names.begin(), found.names.end(), "zz1") != found.names.end();
  };
  CheckChange(text, mode, ";SET zz1 = 1", named);
  CheckChange(text, mode, ";RESET \"ZZ1\"", named);
  CheckChange(text, mode, ";SELECT set_config('zz1', '1', false)", named);
  CheckChange(text, mode, ";RESET ALL", [](const SettingNames& found) { return found.all; });
  CheckChange(text, mode, ";DISCARD ALL", [](const SettingNames& found) { return found.roles; });
}

// What pins alone pins before and behind something else.
void CheckNeighbours(std::string_view text, LexMode mode, const Verdict& verdict) {
  if (Lex(text, mode).open) return;
  const Verdict before = Scan(Cat(text, ";select 1"), mode);
  const Verdict behind = Scan(Cat("select 1;", text), mode);
  if (verdict.pin != PinReason::kNone) {
    CHECK(before.pin != PinReason::kNone && behind.pin != PinReason::kNone);
  }
  constexpr uint16_t kEffects = Verdict::kWritesSequence | Verdict::kReadsSequence |
                                Verdict::kDropsStatements | Verdict::kDropsSequences |
                                Verdict::kResets;
  CHECK((verdict.flags & kEffects) == (verdict.flags & before.flags & kEffects));
  CHECK((verdict.flags & kEffects) == (behind.flags & kEffects));
  CHECK(verdict.statements == 255 || behind.statements == verdict.statements + 1);
  if (verdict.statements > 0) CHECK((behind.flags & Verdict::kPlainRead) == 0);
  // Inside of a block what pins does so too.
  const Verdict block = Scan(Cat("begin;", Cat(text, ";commit")), mode);
  if (verdict.pin != PinReason::kNone) CHECK(block.pin != PinReason::kNone);
}

// Names are the same with quotes and without, in any case; keywords in any case.
void CheckSpelling(std::string_view text, LexMode mode) {
  if (text.find_first_of("'\"$") != std::string_view::npos) return;
  const std::string plain = WithName(text, " zz1 ");
  const Verdict verdict = Scan(plain, mode);
  std::string upper = plain;
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  CHECK(Same(verdict, Scan(upper, mode)));
  CHECK(Same(SettingsOf(plain, mode), SettingsOf(upper, mode)));
  CHECK(Same(SettingsOf(plain, mode), SettingsOf(WithName(text, " \"zz1\" "), mode)));
  // Words in quotes stand where an expression ends: there OVER and FILTER are read for what they
  // are.
  for (const char* word : {"OVER", "FILTER"}) {
    if (upper.find(word) != std::string::npos) return;
  }
  const Verdict quoted = Scan(WithName(text, " \"zz1\" "), mode);
  CHECK((verdict.pin == PinReason::kNone) || quoted.pin != PinReason::kNone);
  CHECK((verdict.flags & ~Verdict::kPlainRead) ==
        (verdict.flags & quoted.flags & ~Verdict::kPlainRead));
}

FUZZ_TARGET(sql_scan) {
  Choices choices(input);
  const uint8_t options = choices.Byte();
  const LexMode mode{.standard_conforming_strings = (options & 1) == 0,
                     .ascii_trailing_bytes = (options & 2) != 0};
  Pieces pieces(choices.Byte());
  std::string_view text = choices.Rest();
  CHECK(Lex(text, mode, &pieces) == Lex(text, mode));
  const Verdict verdict = Scan(text, mode);
  CHECK(Same(verdict, ScanInPieces(text, mode, pieces)));
  if ((verdict.flags & Verdict::kPlainRead) != 0) {
    CHECK(verdict.pin == PinReason::kNone && verdict.statements == 1 && verdict.kind != 0);
    CHECK((verdict.flags & (Verdict::kWritesSequence | Verdict::kDdl)) == 0);
  }
  // A text ends at a NUL.
  text = text.substr(0, text.find('\0'));
  CheckSettings(text, mode);
  CheckChanges(text, mode);
  CheckSurroundings(text, mode, Scan(text, mode));
  CheckNeighbours(text, mode, Scan(text, mode));
  CheckSpelling(text, mode);
}

}  // namespace
}  // namespace weir::fuzz
