// Digests of statements for the log, and the name in a DEALLOCATE.
#include <string>

#include "protocol/postgres/sql_scan.h"

namespace weir::postgres {
namespace {

// Words of a text, as DEALLOCATE needs them.
struct WordCollector {
  std::string words[4];
  size_t count = 0;
  bool other = false;  // there is more than words
  void OnToken(const Token& token) {
    if (token.kind == Token::Kind::kWord) {
      if (count < 4) words[count++] = std::string(token.text);
    } else if (token.kind != Token::Kind::kSymbol || token.symbol != ';') {
      other = true;
    }
  }
};

// Writes a digest.
struct Digester {
  std::string out;
  int literals = 0;
  bool set_value = false;
  bool set = false;
  void Put(std::string_view text) {
    static constexpr std::string_view kTight = "(.,;)]:";
    const bool tight_before =
        out.empty() ||
        (text.size() == 1 && kTight.find(text[0]) != std::string_view::npos && text[0] != '(');
    const bool tight_after =
        !out.empty() && (out.back() == '(' || out.back() == '.' || out.back() == ',' ||
                         out.back() == ':' || out.back() == '[');
    if (!tight_before && !tight_after) out.push_back(' ');
    out.append(text);
  }
  void PutLiteral() {
    std::string name = "$";
    name += std::to_string(++literals);
    Put(name);
  }
  void OnToken(const Token& token) {
    switch (token.kind) {
      case Token::Kind::kWord:
        if (out.empty()) set = token.text == "set";
        if (set_value) {
          PutLiteral();
        } else {
          Put(token.text);
        }
        if (set && token.text == "to") set_value = true;
        return;
      case Token::Kind::kString:
      case Token::Kind::kNumber:
      case Token::Kind::kParameter:
        PutLiteral();
        return;
      case Token::Kind::kSymbol:
        Put(std::string_view(&token.symbol, 1));
        if (set && token.symbol == '=') set_value = true;
        if (token.symbol == ';') set_value = set = false;
        return;
    }
  }
};

constexpr size_t kDigestMax = 1024;

}  // namespace

std::string DeallocatedName(std::string_view text, LexMode mode) {
  SqlLexer lexer(mode);
  WordCollector collector;
  lexer.Feed(engine::AsBytes(text), collector);
  lexer.Finish(collector);
  if (collector.other) return {};
  if (collector.count == 3 && collector.words[1] == "prepare") return collector.words[2];
  return collector.count == 2 ? collector.words[1] : std::string();
}

std::string Digest(std::string_view text, LexMode mode) {
  SqlLexer lexer(mode);
  Digester digester;
  lexer.Feed(engine::AsBytes(text.substr(0, 4 * kDigestMax)), digester);
  if (!lexer.open()) lexer.Finish(digester);
  if (digester.out.size() > kDigestMax) {
    digester.out.resize(kDigestMax);
    digester.out += "...";
  }
  return std::move(digester.out);
}

}  // namespace weir::postgres
