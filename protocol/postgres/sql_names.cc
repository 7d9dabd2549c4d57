#include "protocol/postgres/sql_names.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "protocol/postgres/sql_reading.h"

namespace weir::postgres {
namespace {

class Reader {
 public:
  explicit Reader(SqlNames& found) : found_(found) {}

  void OnToken(const Token& token) {
    if (token.kind == Token::Kind::kSymbol && token.symbol == ';') {
      EndStatement();
      return;
    }
    const bool word = token.kind == Token::Kind::kWord;
    const std::string_view keyword = word && !token.quoted ? token.text : std::string_view();
    switch (state_) {
      case State::kBegin:
        ++statements_;
        state_ = keyword == "prepare"                          ? State::kPrepare
                 : keyword == "deallocate"                     ? State::kDeallocate
                 : keyword == "execute"                        ? State::kExecute
                 : keyword == "explain" || keyword == "create" ? State::kMayExecute
                                                               : State::kOther;
        return;
      case State::kPrepare:
        state_ = State::kOther;
        if (!word || keyword == "transaction") return;
        found_.prepares = token.text;
        Add(found_.changes, token.text);
        return;
      case State::kDeallocate:
        // It may be the name itself.
        state_ = keyword == "prepare" ? State::kDeallocatePrepare : State::kOther;
        if (state_ == State::kOther && word && keyword != "all") Add(found_.changes, token.text);
        return;
      case State::kDeallocatePrepare:
        state_ = State::kOther;
        if (word && keyword != "all") Add(found_.changes, token.text);
        return;
      case State::kMayExecute:
        if (keyword == "execute") state_ = State::kExecute;
        return;
      case State::kExecute:
        state_ = State::kOther;
        if (word) Add(found_.runs, token.text);
        return;
      case State::kOther:
        return;
    }
  }

  // The text is over.
  void Finish() {
    EndStatement();
    if (statements_ != 1) found_.prepares.clear();
  }

 private:
  enum class State : uint8_t {
    kBegin,
    kPrepare,            // behind PREPARE
    kDeallocate,         // behind DEALLOCATE
    kDeallocatePrepare,  // behind DEALLOCATE PREPARE
    kMayExecute,         // EXECUTE may come
    kExecute,            // behind EXECUTE
    kOther,              // nothing more of interest
  };

  void EndStatement() {
    if (state_ == State::kDeallocatePrepare) Add(found_.changes, "prepare");
    state_ = State::kBegin;
  }

  void Add(std::vector<std::string>& names, std::string_view name) {
    // The server refuses "".
    if (name.empty()) return;
    const auto plain = [](char c) { return c >= ' ' && c <= '~'; };
    if (!std::all_of(name.begin(), name.end(), plain)) {
      found_.unknown = true;
    } else if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.emplace_back(name);
    }
  }

  SqlNames& found_;
  State state_ = State::kBegin;
  int statements_ = 0;
};

}  // namespace

SqlNames NamesIn(std::string_view text, LexMode mode) {
  SqlNames found;
  Reader reader(found);
  if (!ReadAgain(text, mode, reader)) found.unknown = true;
  if (found.unknown) found.prepares.clear();
  return found;
}

}  // namespace weir::postgres
