// PostgreSQL's lexical structure, resumable at any byte: the text may come in pieces ("SQL Syntax",
// "Lexical Structure").
//
// Finds identifiers (folded to lower case, cut at 63 bytes as the server does), strings, numbers,
// parameters, operators and punctuation; skips white space and comments. It never has to know more
// than the server: text that could be read in two ways sets `unreadable`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/base/bytes.h"

namespace weir::postgres {

// What lexing depends on in the session.
struct LexMode {
  bool standard_conforming_strings = true;
  bool ascii_trailing_bytes =
      false;  // an encoding in which a character may end with an ASCII byte (SJIS, GBK, ...)
  bool operator==(const LexMode&) const = default;
};

struct Token {
  enum class Kind : uint8_t { kWord, kString, kNumber, kParameter, kSymbol };
  Kind kind = Kind::kSymbol;
  bool quoted = false;    // a word in double quotes: never a keyword
  bool escaped = false;   // a string with escapes in it, which are not read here
  bool glued = false;     // a word right behind a number: perhaps its exponent
  char symbol = 0;        // ( ) [ ] , ; . or the first character of an operator
  std::string_view text;  // of words and strings, up to 63 bytes; good until the next Feed
};

// What bytes are in SQL.
struct SqlBytes {
  static constexpr bool IsWordStart(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
  }
  static constexpr bool IsWordPart(uint8_t c) { return IsWordStart(c) || IsDigit(c) || c == '$'; }
  static constexpr bool IsDigit(uint8_t c) { return c >= '0' && c <= '9'; }
  static bool IsSpace(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  static constexpr bool IsOperator(uint8_t c) {
    return std::string_view("~!@#^&|`?+-*/%<>=:").find(static_cast<char>(c)) !=
           std::string_view::npos;
  }
  static constexpr uint8_t Fold(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? static_cast<uint8_t>(c | 0x20) : c;
  }
};

// What may be part of a word, folded; else 0.
inline constexpr std::array<uint8_t, 256> kSqlWordParts = [] {
  std::array<uint8_t, 256> parts{};
  for (size_t c = 0; c < parts.size(); ++c) {
    const auto byte = static_cast<uint8_t>(c);
    if (SqlBytes::IsWordPart(byte)) parts[c] = SqlBytes::Fold(byte);
  }
  return parts;
}();

inline constexpr std::array<bool, 256> kSqlOperators = [] {
  std::array<bool, 256> operators{};
  for (size_t c = 0; c < operators.size(); ++c)
    operators[c] = SqlBytes::IsOperator(static_cast<uint8_t>(c));
  return operators;
}();

// One text. Sink has OnToken(const Token&).
class SqlLexer : private SqlBytes {
 public:
  static constexpr size_t kTextMax = 63;

  explicit SqlLexer(LexMode mode = {}) : mode_(mode) {}
  bool unreadable() const { return unreadable_; }
  // A string, quoted word or comment is open: at the end of the text, the server will refuse all of
  // it.
  bool open() const { return state_ >= State::kString; }
  // What operators have been made of up to now, but for their first characters: those are tokens.
  uint32_t operators() const { return operators_; }

  template <class Sink>
  void Feed(engine::Bytes bytes, Sink& sink) {
    const uint8_t* at = bytes.data();
    const uint8_t* const end = at + bytes.size();
    while (at != end) {
      // Most of a text is words.
      if (state_ == State::kWord && !mode_.ascii_trailing_bytes) {
        at = RestOfWord(at, end);
        if (at == end) return;
      }
      while (!Step(*at, sink)) {
      }
      ++at;
    }
  }
  // The last token.
  template <class Sink>
  void Finish(Sink& sink) {
    // (A dollar that began no quote is one.)
    while (state_ != State::kBetween && (!open() || state_ == State::kTag)) Step(0, sink);
  }

 private:
  // Those from kString on are open.
  enum class State : uint8_t {
    kBetween,
    kWord,
    kNumber,
    kOperator,
    kDollar,
    kParameter,
    kPrefix,
    kStringQuote,
    kAfterString,
    kQuotedWordQuote,
    kString,
    kEscapedString,
    kEscape,
    kQuotedWord,
    kTag,
    kDollarBody,
    kDollarEnd,
    kLineComment,
    kBlockComment,
    kBlockStar,
    kBlockSlash
  };

  const uint8_t* RestOfWord(const uint8_t* at, const uint8_t* end) {
    size_t length = length_;
    for (; at != end; ++at) {
      const uint8_t part = kSqlWordParts[*at];
      if (part == 0) break;
      if (length < kTextMax) text_[length++] = static_cast<char>(part);
    }
    length_ = length;
    return at;
  }

  void Start() { length_ = 0; }
  void Keep(uint8_t c) {
    if (length_ < kTextMax) text_[length_++] = static_cast<char>(c);
  }
  std::string_view text() const { return {text_, length_}; }

  // Takes the byte (true), or ends what came before it and wants it again (false).
  template <class Sink>
  bool Step(uint8_t c, Sink& sink) {
    switch (state_) {
      case State::kBetween:
        return Between(c, sink);
      case State::kWord:
        if (IsWordPart(c)) {
          Keep(Fold(c));
          if (c >= 0x80 && mode_.ascii_trailing_bytes) unreadable_ = true;
          return true;
        }
        if (c == '\'' && length_ == 1 &&
            (text_[0] == 'e' || text_[0] == 'b' || text_[0] == 'x' || text_[0] == 'n')) {
          BeginString(text_[0] == 'e' || (text_[0] == 'n' && !mode_.standard_conforming_strings));
          return true;
        }
        if (c == '&' && length_ == 1 && text_[0] == 'u') {
          state_ = State::kPrefix;
          return true;
        }
        Emit(Token::Kind::kWord, 0, sink);
        return false;
      case State::kPrefix:  // u&
        if (c == '\'') {
          BeginString(false);
          escaped_text_ = true;
          return true;
        }
        if (c == '"') {
          // Escapes could spell any name.
          unreadable_ = true;
          Start();
          state_ = State::kQuotedWord;
          return true;
        }
        Emit(Token::Kind::kWord, 0, sink);
        EmitSymbol('&', sink);
        return false;
      case State::kNumber:
        if (IsDigit(c) || c == '.') return true;
        Emit(Token::Kind::kNumber, 0, sink);
        glued_ = IsWordStart(c);
        return false;
      case State::kParameter:
        if (IsDigit(c)) return true;
        Emit(Token::Kind::kParameter, 0, sink);
        return false;
      case State::kOperator:
        if (c == '-' && last_ == '-') {
          state_ = State::kLineComment;
          return true;
        }
        if (c == '*' && last_ == '/') {
          state_ = State::kBlockComment;
          goes_on_ = false;
          depth_ = 1;
          return true;
        }
        if (kSqlOperators[c]) {
          if (symbol_ != 0) EmitSymbol(symbol_, sink);
          symbol_ = 0;
          state_ = State::kOperator;
          if (c != '-' && c != '/') {
            operators_ = operators_ * 31 + c;
            last_ = c;
            return true;
          }
          symbol_ = static_cast<char>(c);
          last_ = c;
          return true;
        }
        if (symbol_ != 0) EmitSymbol(symbol_, sink);
        symbol_ = 0;
        state_ = State::kBetween;
        return false;
      case State::kString:
        if (c == '\'') {
          state_ = State::kStringQuote;
        } else {
          Keep(c);
          if (c >= 0x80 && mode_.ascii_trailing_bytes) unreadable_ = true;
        }
        return true;
      case State::kEscapedString:
        if (c == '\'') {
          state_ = State::kStringQuote;
        } else if (c == '\\') {
          state_ = State::kEscape;
          escaped_text_ = true;
        } else {
          Keep(c);
          if (c >= 0x80 && mode_.ascii_trailing_bytes) unreadable_ = true;
        }
        return true;
      case State::kEscape:
        Keep(c);
        if (c >= 0x80 && mode_.ascii_trailing_bytes) unreadable_ = true;
        state_ = State::kEscapedString;
        return true;
      case State::kStringQuote:
        if (c == '\'') {
          Keep(c);
          state_ = escaping_ ? State::kEscapedString : State::kString;
          return true;
        }
        state_ = State::kAfterString;
        newline_ = false;
        return false;
      case State::kAfterString:
        // A string goes on behind white space with a newline in it, by the same rules.
        if (IsSpace(c)) {
          newline_ = newline_ || c == '\n' || c == '\r';
          return true;
        }
        if (c == '\'' && newline_) {
          state_ = escaping_ ? State::kEscapedString : State::kString;
          return true;
        }
        Emit(Token::Kind::kString, 0, sink);
        // A comment to the end of the line is white space there: what follows it is read here as a
        // string of its own, but by the same rules.
        goes_on_ = c == '-';
        return false;
      case State::kQuotedWord:
        if (c == '"') {
          state_ = State::kQuotedWordQuote;
        } else {
          Keep(c);
          if (c >= 0x80 && mode_.ascii_trailing_bytes) unreadable_ = true;
        }
        return true;
      case State::kQuotedWordQuote:
        if (c == '"') {
          Keep(c);
          state_ = State::kQuotedWord;
          return true;
        }
        quoted_ = true;
        Emit(Token::Kind::kWord, 0, sink);
        return false;
      case State::kDollar:
        if (IsDigit(c)) {
          state_ = State::kParameter;
          return true;
        }
        tag_length_ = 0;
        state_ = State::kTag;
        return false;
      case State::kTag:
        if (c == '$') {
          state_ = State::kDollarBody;
          return true;
        }
        if (IsWordPart(c) && tag_length_ < sizeof tag_) {
          tag_[tag_length_++] = static_cast<char>(c);
          return true;
        }
        // Not a quote after all, or one with a tag longer than ours: nobody writes that.
        if (IsWordPart(c)) unreadable_ = true;
        EmitSymbol('$', sink);
        return false;
      case State::kDollarBody:
        if (c == '$') {
          matched_ = 0;
          state_ = State::kDollarEnd;
        }
        return true;
      case State::kDollarEnd:
        if (c == '$' && matched_ == tag_length_) {
          Start();
          Emit(Token::Kind::kString, 0, sink);
          return true;
        }
        if (matched_ < tag_length_ && tag_[matched_] == static_cast<char>(c)) {
          ++matched_;
          return true;
        }
        state_ = State::kDollarBody;
        return false;
      case State::kLineComment:
        if (c == '\n' || c == '\r') {
          symbol_ = 0;
          state_ = State::kBetween;
        }
        return true;
      case State::kBlockComment:
        if (c == '*') state_ = State::kBlockStar;
        if (c == '/') state_ = State::kBlockSlash;
        return true;
      case State::kBlockStar:
        if (c == '/') {
          symbol_ = 0;
          state_ = --depth_ == 0 ? State::kBetween : State::kBlockComment;
        } else if (c != '*') {
          state_ = State::kBlockComment;
        }
        return true;
      case State::kBlockSlash:
        if (c == '*') {
          ++depth_;
          state_ = State::kBlockComment;
        } else if (c != '/') {
          state_ = State::kBlockComment;
        }
        return true;
    }
    return true;
  }

  template <class Sink>
  bool Between(uint8_t c, Sink& sink) {
    if (IsWordStart(c)) {
      Start();
      Keep(Fold(c));
      if (c >= 0x80 && mode_.ascii_trailing_bytes) unreadable_ = true;
      state_ = State::kWord;
    } else if (IsSpace(c)) {
    } else if (IsDigit(c)) {
      state_ = State::kNumber;
    } else if (c == '\'') {
      BeginString(goes_on_ ? escaping_ : !mode_.standard_conforming_strings);
    } else if (c == '"') {
      Start();
      state_ = State::kQuotedWord;
    } else if (c == '$') {
      state_ = State::kDollar;
    } else if (kSqlOperators[c]) {
      symbol_ = last_ = static_cast<char>(c);
      state_ = State::kOperator;
    } else {
      EmitSymbol(static_cast<char>(c), sink);
    }
    return true;
  }

  void BeginString(bool escaping) {
    escaping_ = escaping;
    Start();
    state_ = escaping ? State::kEscapedString : State::kString;
  }

  template <class Sink>
  void Emit(Token::Kind kind, char symbol, Sink& sink) {
    state_ = State::kBetween;
    const bool has_text = kind == Token::Kind::kWord || kind == Token::Kind::kString;
    sink.OnToken(Token{kind, quoted_, escaped_text_, glued_, symbol,
                       has_text ? text() : std::string_view()});
    quoted_ = escaped_text_ = glued_ = goes_on_ = false;
  }
  template <class Sink>
  void EmitSymbol(char symbol, Sink& sink) {
    Emit(Token::Kind::kSymbol, symbol, sink);
  }

  LexMode mode_;
  State state_ = State::kBetween;
  bool escaping_ = false;      // in the string at hand a backslash escapes
  bool escaped_text_ = false;  // ... and one did, or may have
  bool newline_ = false;
  bool quoted_ = false;
  bool glued_ = false;
  bool goes_on_ = false;  // a string that is told already may go on behind a comment
  bool unreadable_ = false;
  char symbol_ = 0;  // of the operator at hand; 0: told already
  uint8_t last_ = 0;
  uint8_t tag_length_ = 0;
  uint8_t matched_ = 0;
  uint32_t depth_ = 0;  // of block comments
  uint32_t operators_ = 0;
  size_t length_ = 0;
  char text_[kTextMax];
  char tag_[64];
};

}  // namespace weir::postgres
