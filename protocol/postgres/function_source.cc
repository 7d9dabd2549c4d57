#include "protocol/postgres/function_source.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>

#include "engine/base/bytes.h"
#include "protocol/postgres/sql_settings.h"

namespace weir::postgres {
namespace {

bool Is(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

class SourceReader {
 public:
  explicit SourceReader(SourceFacts& facts) : facts_(facts) {}

  void OnToken(const Token& token) {
    const bool word = token.kind == Token::Kind::kWord;
    const bool after_dot = symbol_ == '.';
    const std::string_view keyword =
        word && !token.quoted && !after_dot ? token.text : std::string_view();
    OnSetting(token, keyword, after_dot);
    OnName(token);
    OnAttribute(token, after_dot);
    if (!keyword.empty()) OnKeyword(keyword);
    if (word &&
        (token.text.starts_with("pg_temp") || token.text.starts_with("pg_prepared_statement")))
      facts_.effect.AtLeast(Effect::kOpaque);
    starts_ = token.kind == Token::Kind::kSymbol
                  ? token.symbol == ';' || token.symbol == '>'
                  : Is(keyword, {"begin", "then", "else", "loop", "atomic", "declare"});
    symbol_ = token.kind == Token::Kind::kSymbol ? token.symbol : '\0';
    word_ = word;
    if (word) last_ = token.text;
    keyword_ = !keyword.empty();
  }

  void Finish() { EndSetting(); }

 private:
  enum class Setting : uint8_t { kNone, kBehindSet, kName, kCall, kArgument };

  // A name in front of a parenthesis.
  void OnName(const Token& token) {
    if (!word_ || token.kind != Token::Kind::kSymbol || token.symbol != '(') return;
    facts_.calls.push_back(last_);
    if (last_ == "set_config") setting_ = Setting::kArgument;
  }

  // A name behind a value and a dot, (a).b or c[1].b: a field, or a function of that argument.
  void OnAttribute(const Token& token, bool after_dot) {
    if (token.kind == Token::Kind::kSymbol && token.symbol == '.') {
      if (!word_) of_value_ = symbol_ == ')' || symbol_ == ']' || symbol_ == '\0';
    } else if (!after_dot) {
      of_value_ = false;
    } else if (of_value_ && token.kind == Token::Kind::kWord) {
      facts_.calls.emplace_back(token.text);
    }
  }

  void OnKeyword(std::string_view word) {
    CallEffect& effect = facts_.effect;
    if (word == "execute") effect.AtLeast(Effect::kOpaque);
    const bool behind_word = keyword_;
    if (word == "hold" && behind_word && last_ == "with") effect.AtLeast(Effect::kOpaque);
    if ((word == "temp" || word == "temporary") && behind_word &&
        Is(last_, {"create", "global", "into", "local", "recursive", "replace"}))
      effect.AtLeast(Effect::kOpaque);
    if (Is(word, {"copy", "delete", "insert", "merge", "truncate", "update"})) effect.writes = true;
    if (Is(word, {"copy", "insert", "merge"})) effect.writes_sequence = true;
    if (Is(word, {"alter", "create", "drop", "import", "reassign", "refresh", "reindex"}))
      effect.ddl = effect.writes = true;
    // ... FOR SHARE, IN SHARE MODE.
    if (Is(word, {"grant", "lock", "notify", "revoke", "share"})) effect.acts = true;
    if (starts_) OnStatement(word);
  }

  void OnStatement(std::string_view word) {
    CallEffect& effect = facts_.effect;
    if (word == "set") setting_ = Setting::kBehindSet;
    if (Is(word, {"discard", "do", "listen", "prepare", "reset"})) effect.AtLeast(Effect::kOpaque);
    if (Is(word, {"analyze", "checkpoint", "cluster", "comment", "security", "vacuum"}))
      effect.acts = true;
    // What weir has prepared itself would go, too.
    if (Is(word, {"deallocate", "load"})) effect.AtLeast(Effect::kUnaskable);
  }

  // SET [SESSION | LOCAL] name, set_config('name', ...).
  void OnSetting(const Token& token, std::string_view keyword, bool after_dot) {
    switch (setting_) {
      case Setting::kNone:
      case Setting::kCall:
        return;
      case Setting::kBehindSet:
        if (Is(keyword, {"local", "session"})) return;
        setting_ = Setting::kNone;
        if (Is(keyword, {"constraints", "transaction"})) return;
        facts_.effect.AtLeast(keyword == "seed" ? Effect::kUnaskable : Effect::kOpaque);
        if (token.kind != Token::Kind::kWord) return;
        name_ = token.text;
        setting_ = Setting::kName;
        return;
      case Setting::kName:
        if (token.kind == Token::Kind::kWord && after_dot) {
          name_.append(".").append(token.text);
        } else if (token.kind != Token::Kind::kSymbol || token.symbol != '.') {
          EndSetting();
        }
        return;
      case Setting::kArgument:
        setting_ = Setting::kNone;
        if (token.kind != Token::Kind::kString || token.escaped) return;
        name_ = token.text;
        Keep();
        return;
    }
  }

  void EndSetting() {
    if (setting_ == Setting::kName) Keep();
    setting_ = Setting::kNone;
  }

  void Keep() {
    for (char& c : name_) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    // How texts that are already on their way are read would not be known.
    if (ShapesLexing(name_)) facts_.effect.AtLeast(Effect::kUnaskable);
    // Longer ones are cut by the lexer.
    if (name_.find('.') != std::string::npos && name_.size() < SqlLexer::kTextMax)
      facts_.settings.push_back(name_);
  }

  SourceFacts& facts_;
  // Of the last token.
  bool starts_ = true;  // a statement may begin behind it
  bool word_ = false;
  bool keyword_ = false;  // a word that may be a keyword
  bool of_value_ = false;
  char symbol_ = 0;
  std::string last_;  // the last word
  Setting setting_ = Setting::kNone;
  std::string name_;
};

// Adds what the source says, read in one way. False: it says nothing, a string or comment is open
// at its end, which the server refuses.
bool Read(std::string_view source, LexMode mode, SourceFacts& facts) {
  SourceFacts found;
  SqlLexer lexer(mode);
  SourceReader reader(found);
  lexer.Feed(engine::AsBytes(source), reader);
  // The end of a comment.
  lexer.Feed(engine::AsBytes("\n"), reader);
  if (lexer.open()) return false;
  lexer.Finish(reader);
  reader.Finish();
  facts.effect.Merge(found.effect);
  // Words could be spelled in a way that is not read here.
  if (lexer.unreadable()) facts.effect.AtLeast(Effect::kUnaskable);
  std::move(found.calls.begin(), found.calls.end(), std::back_inserter(facts.calls));
  std::move(found.settings.begin(), found.settings.end(), std::back_inserter(facts.settings));
  return true;
}

void SortUnique(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

}  // namespace

SourceFacts FactsOfSource(std::string_view source, bool ascii_trailing_bytes) {
  SourceFacts facts;
  LexMode mode{.ascii_trailing_bytes = ascii_trailing_bytes};
  bool readable = Read(source, mode, facts);
  if (source.find('\\') != std::string_view::npos) {
    mode.standard_conforming_strings = false;
    readable = Read(source, mode, facts) || readable;
  }
  if (!readable) facts.effect.AtLeast(Effect::kUnaskable);
  SortUnique(facts.calls);
  SortUnique(facts.settings);
  return facts;
}

}  // namespace weir::postgres
