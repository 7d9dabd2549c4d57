// The kind of a text: a number for its shape.
//
// Texts that differ in literals, comments, white space and the case of words without quotes have
// one kind; a list of literals counts as one, and so does a list of lists: (1, 2), (3, 4).
// Parameters count as literals. Two shapes have the same kind only by chance.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "protocol/postgres/sql_lexer.h"

namespace weir::postgres {

class SqlKind {
 public:
  // `operators`: those of the lexer.
  void Take(const Token& token, uint32_t operators) {
    operators_ = operators;
    switch (token.kind) {
      case Token::Kind::kWord:
        if (token.glued && !token.quoted && EndsNumber(token.text)) return;
        if (list_ != List::kNone) TakeBack();
        MixWord(token.text, token.quoted);
        operand_ = false;
        return;
      case Token::Kind::kString:
      case Token::Kind::kNumber:
      case Token::Kind::kParameter:
        OnLiteral();
        operand_ = false;
        return;
      case Token::Kind::kSymbol:
        OnSymbol(token.symbol);
        return;
    }
  }

  // Never 0.
  uint64_t value() const {
    const uint64_t value = Multiply(hash_ ^ operators_, kFactor);
    return value == 0 ? 1 : value;
  }

 private:
  // Where in a list of literals it is. What stands behind the last literal or list is not mixed in
  // before it is clear that no other follows.
  enum class List : uint8_t {
    kNone,
    kEnded,          // by a semicolon, which counts only if something follows
    kOpen,           // (
    kLiteral,        // 1
    kLiteralComma,   // 1,
    kFirst,          // (1
    kFirstComma,     // (1,
    kList,           // (1)
    kListComma,      // (1),
    kListCommaOpen,  // (1), (
    kNext,           // (1), (2
    kNextComma       // (1), (2,
  };

  static constexpr uint64_t kFactor = 0x9e3779b97f4a7c15;
  static constexpr uint64_t kLiteralMark = 0x100;
  static constexpr uint64_t kSymbolMark = 0x200;
  static constexpr uint64_t kQuotedMark = 0x400;

  static uint64_t Multiply(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  template <class Number>
  static uint64_t Load(const char* at) {
    Number number = 0;
    std::memcpy(&number, at, sizeof number);
    return number;
  }

  void Mix(uint64_t first, uint64_t second) {
    hash_ = Multiply(hash_ ^ first ^ operators_, second ^ kFactor);
  }
  void MixSymbol(char symbol) { Mix(kSymbolMark, static_cast<uint8_t>(symbol)); }
  void MixWord(std::string_view word, bool quoted) {
    const char* at = word.data();
    size_t left = word.size();
    const uint64_t mark = (uint64_t{word.size()} << 56) ^ (quoted ? kQuotedMark : 0);
    for (; left > 16; at += 16, left -= 16) Mix(Load<uint64_t>(at), Load<uint64_t>(at + 8));
    if (left >= 8) {
      Mix(Load<uint64_t>(at) ^ mark, Load<uint64_t>(at + left - 8));
    } else if (left >= 4) {
      Mix(Load<uint32_t>(at) ^ mark, Load<uint32_t>(at + left - 4));
    } else if (left > 0) {
      const uint64_t bytes = Load<uint8_t>(at) | Load<uint8_t>(at + left / 2) << 8 |
                             Load<uint8_t>(at + left - 1) << 16;
      Mix(bytes ^ mark, 0);
    }
  }

  // What the lexer takes for a word is the rest of a number: 1e5, 0xff, 1_000.
  static bool EndsNumber(std::string_view word) {
    if (word[0] != 'e' && word[0] != 'x' && word[0] != 'o' && word[0] != 'b' && word[0] != '_')
      return false;
    return word.find_first_not_of("0123456789abcdef_", 1) == std::string_view::npos;
  }

  void OnLiteral();
  void OnSymbol(char symbol);
  void TakeBack();

  uint64_t hash_ = 0;
  uint32_t operators_ = 0;
  List list_ = List::kNone;
  bool operand_ = true;  // one is to come: a sign there is a literal's
};

}  // namespace weir::postgres
