// What the catalogue of the database adds to a text's verdict: calls of users' functions, DO
// blocks, and code that no text names.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/postgres/catalogue.h"
#include "protocol/postgres/sql_scan.h"

namespace weir::postgres {
namespace {

constexpr std::string_view kSpace = " \t\n\v\f\r";

// The source in a literal: what stands between its quotes. `byte`: the one behind which the lexer
// was sure of its end, the last of one in dollars. None: one that is not read here.
std::optional<std::string> SourceIn(std::string_view literal, std::string_view byte) {
  const size_t begin = literal.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return std::nullopt;
  literal.remove_prefix(begin);
  if (literal[0] == '$') {
    const size_t tag = literal.find('$', 1);
    if (byte != "$" || tag == std::string_view::npos || literal.size() < 2 * tag + 1)
      return std::nullopt;
    return std::string(literal.substr(tag + 1, literal.size() - 2 * tag - 1));
  }
  literal = literal.substr(0, literal.find_last_not_of(kSpace) + 1);
  // With a backslash its meaning depends on a setting.
  if (literal[0] != '\'' || literal.size() < 2 || literal.back() != '\'' ||
      literal.find('\\') != std::string_view::npos)
    return std::nullopt;
  std::string source;
  for (size_t i = 1; i + 1 < literal.size(); ++i) {
    source.push_back(literal[i]);
    if (literal[i] != '\'') continue;
    if (literal[i + 1] != '\'' || i + 2 >= literal.size()) return std::nullopt;
    ++i;
  }
  return source;
}

// DO blocks in a text: DO [LANGUAGE name] 'source' [LANGUAGE name], in parts that are tokens.
class BlockReader {
 public:
  struct Block {
    std::optional<std::string> source;
    bool plpgsql = true;
  };

  explicit BlockReader(std::string_view text) : text_(text) {}

  void OnToken(const Token& token) {
    const bool word = token.kind == Token::Kind::kWord;
    if (token.kind == Token::Kind::kSymbol && token.symbol == ';') {
      starts_ = true;
      open_ = false;
    } else if (std::exchange(starts_, false)) {
      open_ = word && !token.quoted && token.text == "do";
      if (open_) blocks_.emplace_back();
    } else if (open_ && token.kind == Token::Kind::kString) {
      blocks_.back().source =
          SourceIn(text_.substr(end_of_last_, at_ - end_of_last_), text_.substr(at_, 1));
    } else if (open_ && word && token.text != "language") {
      blocks_.back().plpgsql = token.text == "plpgsql";
    }
    // A word ends where the lexer sees what is none of it.
    end_of_last_ = at_;
  }
  // The byte that the lexer reads.
  void set_at(size_t at) { at_ = at; }
  const std::vector<Block>& blocks() const { return blocks_; }

 private:
  std::string_view text_;
  std::vector<Block> blocks_;
  bool starts_ = true;
  bool open_ = false;
  size_t at_ = 0;
  size_t end_of_last_ = 0;
};

}  // namespace

// True if nothing more is to be said of it. `built_in`: there is a built-in function of this name.
bool SqlScanner::OnCallOfUser(std::string_view name, bool built_in) {
  const CallEffect* effect = catalogue_->Find(name);
  // One that the text calls by its schema is not the user's.
  if (effect == nullptr || (qualified_ && built_in)) return false;
  Take(*effect, PinReason::kFunction);
  return !built_in;
}

void SqlScanner::Take(const CallEffect& effect, PinReason reason) {
  // What SQL prepares runs later, and then only its name is seen.
  const bool later = prepares_ != 0 && effect.effect != Effect::kHarmless;
  if (effect.effect == Effect::kUnaskable || later) Pin(reason);
  if (effect.effect == Effect::kOpaque) verdict_.flags |= Verdict::kOpaque;
  if (effect.writes_sequence) verdict_.flags |= Verdict::kWritesSequence;
  if (effect.reads_sequence) verdict_.flags |= Verdict::kReadsSequence;
  if (effect.ddl) verdict_.flags |= Verdict::kDdl;
  const bool changes = effect.effect != Effect::kHarmless || effect.writes_sequence ||
                       effect.reads_sequence || effect.writes || effect.ddl || effect.acts;
  if (changes) reads_only_ = false;
}

void SqlScanner::TakeBlocks(std::string_view text) {
  if (catalogue_ == nullptr) return;
  if (text.empty()) {
    Pin(PinReason::kOpaque);
    return;
  }
  // Byte by byte, to know where each token ends.
  BlockReader reader(text);
  SqlLexer lexer(mode_);
  for (size_t i = 0; i < text.size(); ++i) {
    reader.set_at(i);
    lexer.Feed(engine::AsBytes(text.substr(i, 1)), reader);
  }
  reader.set_at(text.size());
  lexer.Finish(reader);
  for (const BlockReader::Block& block : reader.blocks()) {
    if (!block.plpgsql) {
      Pin(PinReason::kOpaque);
    } else if (block.source.has_value()) {
      Take(catalogue_->EffectOfBlock(*block.source, mode_.ascii_trailing_bytes),
           PinReason::kOpaque);
    } else {
      verdict_.flags |= Verdict::kOpaque;
    }
  }
}

// Views, triggers and the like. An operator in C that nobody knows would otherwise pin all clients
// of its database: what is reached in this way is asked for, and believed to do nothing else.
void SqlScanner::TakeUnseen() {
  const auto take = [this](Scope scope) {
    CallEffect effect = catalogue_->Unseen(scope);
    effect.effect = std::min(effect.effect, Effect::kOpaque);
    Take(effect, PinReason::kFunction);
  };
  take(Scope::kAll);
  if (writes_) take(Scope::kWrites);
  if ((verdict_.flags & Verdict::kDdl) != 0) take(Scope::kDdl);
}

}  // namespace weir::postgres
