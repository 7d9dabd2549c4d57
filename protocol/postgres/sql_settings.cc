#include "protocol/postgres/sql_settings.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "protocol/postgres/sql_reading.h"

namespace weir::postgres {
namespace {

// Statements that do nothing by the settings in force.
bool MindsNoSetting(std::string_view keyword) {
  static constexpr std::string_view kWords[] = {"begin",   "close", "commit",  "deallocate",
                                                "discard", "end",   "reset",   "rollback",
                                                "set",     "start", "unlisten"};
  return std::find(std::begin(kWords), std::end(kWords), keyword) != std::end(kWords);
}

std::string Folded(std::string_view name) {
  std::string folded(name);
  for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return folded;
}

// Reads statement by statement: SET and RESET by their words, set_config wherever it stands.
class Reader {
 public:
  explicit Reader(SettingNames& found) : found_(found) {}

  void OnToken(const Token& token) {
    OnCall(token);
    const bool symbol = token.kind == Token::Kind::kSymbol;
    if (symbol && token.symbol == ';' && depth_ == 0) {
      EndStatement();
      return;
    }
    if (symbol && token.symbol == '(') ++depth_;
    if (symbol && token.symbol == ')' && depth_ > 0) --depth_;
    OnStatement(token);
    last_dot_ = symbol && token.symbol == '.';
  }

  // The text is over.
  void Finish() {
    EndStatement();
    found_.only_resets = statements_ == 1 && !called_ && (found_.all || !found_.resets.empty());
    for (size_t i = 0; i < changes_.size(); ++i) {
      if (changes_[i].local && MasksReset(i)) found_.masked.push_back(changes_[i].name);
    }
  }

 private:
  void EndStatement() {
    if (state_ == State::kName || state_ == State::kWord) Add(name_, local_);
    // SET NAMES alone, too.
    if (state_ == State::kValue) OnDefault();
    if (state_ != State::kBegin) ++statements_;
    has_reset_ = found_.all || !found_.resets.empty();
    state_ = State::kBegin;
    added_.clear();
    local_ = reset_ = last_dot_ = false;
    depth_ = 0;
    name_.clear();
  }

  enum class State : uint8_t {
    kBegin,
    kVerb,     // behind SET or RESET
    kScope,    // behind SESSION or LOCAL
    kWord,     // behind a word that may be a name or the first of several
    kName,     // behind a name, which may go on with a dot
    kValue,    // before a value, which may be DEFAULT
    kDiscard,  // behind DISCARD
    kOther,    // nothing more of interest
  };
  enum class Call : uint8_t { kNone, kName, kArguments };

  void OnDefault() { Reset(local_); }

  void Reset(bool local) {
    if (added_.empty()) return;
    found_.resets.push_back({added_, local});
    changes_.push_back({added_, local, true});
  }

  void OnAll() {
    found_.all = found_.shapes_lexing = found_.shapes_literals = true;
    changes_.push_back({{}, false, true});
  }

  // What the text does last to the setting beyond the transaction is to reset it, and that is
  // before this change.
  bool MasksReset(size_t change) const {
    bool reset = false;
    for (size_t i = 0; i < changes_.size(); ++i) {
      const Change& each = changes_[i];
      if (each.local || (!each.name.empty() && each.name != changes_[change].name)) continue;
      if (i > change) return false;
      reset = each.reset;
    }
    return reset;
  }

  void Add(std::string_view name, bool local) {
    const std::string folded = Folded(name);
    added_.clear();
    // "" is no name to the server either.
    if (folded.empty() || folded.starts_with("transaction_")) return;
    added_ = folded;
    if (reset_) {
      OnDefault();
    } else {
      changes_.push_back({folded, local, false});
    }
    found_.shapes_lexing = found_.shapes_lexing || ShapesLexing(folded);
    found_.shapes_literals = found_.shapes_literals || ShapesLiterals(folded);
    const bool own = folded.find('.') != std::string::npos;
    if (local && !own) return;
    // Longer names are cut by the lexer.
    if (folded.size() >= SqlLexer::kTextMax) {
      found_.unknown = true;
      return;
    }
    (local ? found_.placeholders : found_.names).push_back(folded);
  }

  void OnStatement(const Token& token) {
    const bool word = token.kind == Token::Kind::kWord;
    const std::string_view keyword = word && !token.quoted ? token.text : std::string_view();
    switch (state_) {
      case State::kBegin:
        state_ = State::kOther;
        if (has_reset_ && !MindsNoSetting(keyword)) found_.resets_first = true;
        if (keyword == "set" || keyword == "reset") state_ = State::kVerb;
        if (keyword == "discard") state_ = State::kDiscard;
        reset_ = keyword == "reset";
        return;
      case State::kDiscard:
        if (keyword == "all") {
          OnAll();
          found_.roles = true;
        }
        state_ = State::kOther;
        return;
      case State::kVerb:
        if (reset_ && keyword == "all") {
          OnAll();
          state_ = State::kOther;
          return;
        }
        if (!reset_ && (keyword == "session" || keyword == "local")) {
          local_ = keyword == "local";
          name_ = token.text;
          state_ = State::kScope;
          return;
        }
        OnFirstWord(token, keyword);
        return;
      case State::kScope:
        OnScoped(token, keyword);
        return;
      case State::kWord:
        OnSecondWord(token, keyword);
        return;
      case State::kName:
        OnAfterName(token);
        return;
      case State::kValue:
        if (keyword == "to" || (token.kind == Token::Kind::kSymbol && token.symbol == '=')) return;
        if (keyword == "default" || (keyword == "local" && added_ == "timezone")) OnDefault();
        state_ = State::kOther;
        return;
      case State::kOther:
        return;
    }
  }

  // SET SESSION | LOCAL, then: AUTHORIZATION, CHARACTERISTICS, or what stands behind SET alone.
  void OnScoped(const Token& token, std::string_view keyword) {
    if (keyword == "authorization" && !local_) {
      Add("session_authorization", false);
      // The role goes with it.
      Add("role", false);
      state_ = State::kOther;
    } else if (keyword == "characteristics" && !local_) {
      Add("default_transaction_isolation", false);
      Add("default_transaction_read_only", false);
      Add("default_transaction_deferrable", false);
      state_ = State::kOther;
    } else if (token.kind == Token::Kind::kWord) {
      OnFirstWord(token, keyword);
    } else {
      // A setting whose name is the word itself: the server refuses it or knows it.
      local_ = false;
      state_ = State::kName;
      OnAfterName(token);
    }
  }

  void OnFirstWord(const Token& token, std::string_view keyword) {
    if (token.kind != Token::Kind::kWord) {
      state_ = State::kOther;  // the server refuses it
      return;
    }
    name_ = token.text;
    state_ = State::kName;
    if (keyword == "names") {
      Add("client_encoding", local_);
      state_ = State::kValue;
    } else if (keyword == "schema" && !reset_) {
      // SET SCHEMA 'x'; a setting of this name does not exist.
      Add("search_path", local_);
      state_ = State::kOther;
    } else if (keyword == "transaction" || keyword == "constraints") {
      state_ = State::kOther;
    } else if (keyword == "time" || keyword == "xml" || keyword == "session") {
      state_ = State::kWord;
    }
  }

  // TIME ZONE, XML OPTION, SESSION AUTHORIZATION; or a setting of that one name.
  void OnSecondWord(const Token& token, std::string_view keyword) {
    const std::string first = name_;
    if (first == "time" && keyword == "zone") {
      Add("timezone", local_);
      state_ = reset_ ? State::kOther : State::kValue;
      return;
    } else if (first == "xml" && keyword == "option") {
      Add("xmloption", local_);
    } else if (first == "session" && keyword == "authorization") {
      Add("session_authorization", local_);
      Add("role", local_);
    } else {
      state_ = State::kName;
      OnAfterName(token);
      return;
    }
    state_ = State::kOther;
  }

  void OnAfterName(const Token& token) {
    const bool dot = token.kind == Token::Kind::kSymbol && token.symbol == '.';
    if (dot) {
      name_.push_back('.');
    } else if (last_dot_ && token.kind == Token::Kind::kWord) {
      name_ += token.text;
    } else {
      Add(name_, local_);
      state_ = reset_ ? State::kOther : State::kValue;
      if (!reset_) OnStatement(token);
    }
  }

  // set_config(name, value, is_local): the name must be a plain literal.
  void OnCall(const Token& token) {
    const bool symbol = token.kind == Token::Kind::kSymbol;
    switch (call_) {
      case Call::kNone:
        call_ = token.kind == Token::Kind::kWord && token.text == "set_config" ? Call::kName
                                                                               : Call::kNone;
        return;
      case Call::kName:
        if (!symbol || token.symbol != '(') {
          call_ = Call::kNone;
          return;
        }
        call_ = Call::kArguments;
        call_depth_ = 1;
        argument_ = argument_tokens_ = 0;
        literal_ = local_call_ = value_told_ = false;
        called_ = true;
        return;
      case Call::kArguments:
        OnArgument(token, symbol);
        return;
    }
  }

  void OnArgument(const Token& token, bool symbol) {
    if (symbol && token.symbol == '(') ++call_depth_;
    if (symbol && token.symbol == ')' && --call_depth_ == 0) {
      EndCall();
      return;
    }
    if (symbol && token.symbol == ',' && call_depth_ == 1) {
      ++argument_;
      argument_tokens_ = 0;
      return;
    }
    ++argument_tokens_;
    const bool only = argument_tokens_ == 1;
    if (argument_ == 0) {
      literal_ = only && token.kind == Token::Kind::kString && !token.escaped;
      call_name_ = token.text;
    } else if (argument_ == 1) {
      value_told_ =
          only && (token.kind == Token::Kind::kString || token.kind == Token::Kind::kNumber);
    } else if (argument_ == 2) {
      local_call_ =
          only && token.kind == Token::Kind::kWord && !token.quoted && token.text == "true";
    }
    // A call within a call: too much for this reader.
    if (token.kind == Token::Kind::kWord && token.text == "set_config") found_.unknown = true;
  }

  void EndCall() {
    call_ = Call::kNone;
    // Named notation and the like are not read.
    if (argument_ != 2 || !literal_ || call_name_.empty()) {
      found_.unknown = true;
      return;
    }
    Add(call_name_, local_call_);
    if (!value_told_) Reset(local_call_);
    added_.clear();
  }

  struct Change {
    std::string name;  // empty: all
    bool local = false;
    bool reset = false;
  };

  SettingNames& found_;
  std::vector<Change> changes_;  // in the order of the text
  State state_ = State::kBegin;
  bool reset_ = false;
  bool has_reset_ = false;  // an earlier statement
  bool local_ = false;
  bool last_dot_ = false;
  int depth_ = 0;
  int statements_ = 0;
  std::string added_;  // the setting that the statement has named last
  std::string name_;
  Call call_ = Call::kNone;
  int call_depth_ = 0;
  int argument_ = 0;
  int argument_tokens_ = 0;
  bool literal_ = false;     // the first argument is a literal as it stands
  bool value_told_ = false;  // the second is a literal
  bool local_call_ = false;  // the third is true
  bool called_ = false;      // set_config stands in the text
  std::string call_name_;
};

}  // namespace

bool ShapesLiterals(std::string_view setting) {
  static constexpr std::string_view kNames[] = {"array_nulls",           "datestyle",
                                                "intervalstyle",         "timezone",
                                                "transform_null_equals", "xmloption"};
  static_assert(std::is_sorted(std::begin(kNames), std::end(kNames)));
  return std::binary_search(std::begin(kNames), std::end(kNames), setting);
}

bool ShapesLexing(std::string_view setting) {
  return setting == "standard_conforming_strings" || setting == "client_encoding";
}

bool ShapesParsing(std::string_view setting) {
  return ShapesLiterals(setting) || ShapesLexing(setting) || setting == "role" ||
         setting == "row_security" || setting == "search_path" ||
         setting == "session_authorization";
}

SettingNames SettingsOf(std::string_view text, LexMode mode) {
  SettingNames found;
  Reader reader(found);
  if (!ReadAgain(text, mode, reader)) found.unknown = true;
  return found;
}

}  // namespace weir::postgres
