#include "protocol/postgres/sql_scan.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>

#include "protocol/postgres/words.h"

namespace weir::postgres {
namespace {

// Statements that change nothing in the session, whatever follows the leading word.
constexpr std::string_view kHarmlessStatements[] = {
    "abort",   "analyze",    "begin",    "checkpoint", "close",     "cluster",  "comment",
    "commit",  "deallocate", "delete",   "discard",    "end",       "fetch",    "grant",
    "import",  "lock",       "move",     "notify",     "reassign",  "refresh",  "reindex",
    "release", "reset",      "revoke",   "rollback",   "savepoint", "security", "show",
    "start",   "truncate",   "unlisten", "update",     "vacuum"};
static_assert(std::is_sorted(std::begin(kHarmlessStatements), std::end(kHarmlessStatements)));

// Statements that run no code of the database's: triggers, views and the like have no part in them.
constexpr std::string_view kQuietStatements[] = {
    "abort",     "begin",  "close", "commit",  "deallocate", "discard",
    "end",       "listen", "load",  "release", "reset",      "rollback",
    "savepoint", "set",    "show",  "start",   "unlisten"};
static_assert(std::is_sorted(std::begin(kQuietStatements), std::end(kQuietStatements)));

}  // namespace

void SqlScanner::Begin(LexMode mode, const Catalogue* catalogue) {
  *this = SqlScanner(mode, catalogue);
}

Verdict SqlScanner::Finish(std::string_view text) {
  lexer_.Finish(*this);
  EndStatement();
  if (lexer_.unreadable()) Pin(PinReason::kUnreadable);
  if (blocks_) TakeBlocks(text);
  if (runs_ && catalogue_ != nullptr) TakeUnseen();
  if (verdict_.statements == 1 && reads_only_ && verdict_.pin == PinReason::kNone)
    verdict_.flags |= Verdict::kPlainRead;
  if (verdict_.statements > 0) verdict_.kind = shape_.value();
  if (verdict_.statements != 1) verdict_.flags &= static_cast<uint16_t>(~Verdict::kDeallocate);
  return verdict_;
}

void SqlScanner::Pin(PinReason reason) {
  if (verdict_.pin == PinReason::kNone) verdict_.pin = reason;
  verdict_.pins |= Only(reason);
}

void SqlScanner::EndStatement() {
  if (kind_ == Kind::kNone) return;
  if (verdict_.statements < 255) ++verdict_.statements;
  runs_ = runs_ || !quiet_;
  writes_ = writes_ || !(quiet_ || reads_only_);
  kind_ = Kind::kNone;
  words_ = tokens_ = 0;
  depth_ = 0;
  prepares_ = 0;
  with_ = distinct_on_ = 0;
  last_open_ = false;
  explain_ = explain_leads_ = name_list_ = call_checks_ = into_ = atomic_ = after_begin_ = from_ =
      false;
  last_word_ = qualified_ = dot_ = false;
  before_ = last_is_ = Before::kNothing;
  operator_ = Operator::kNone;
}

void SqlScanner::OnToken(const Token& token) {
  shape_.Take(token, lexer_.operators());
  const bool ends_operator = operator_ != Operator::kNone && EndsOperator(token);
  TakeToken(token);
  last_open_ = token.kind == Token::Kind::kSymbol && token.symbol == '(';
  // Behind an operator stands an operand: a call, if it looks like one.
  if (ends_operator) last_is_ = Before::kNothing;
}

// OPERATOR(schema.symbol) is an operator, here at its token behind the parenthesis. With anything
// else within it is a call of a function of that name; with a star it may be.
bool SqlScanner::EndsOperator(const Token& token) {
  const bool symbol = token.kind == Token::Kind::kSymbol;
  switch (std::exchange(operator_, Operator::kNone)) {
    case Operator::kNone:
      return false;
    case Operator::kOpen:
      if (token.kind == Token::Kind::kWord) operator_ = Operator::kSchema;
      break;
    case Operator::kSchema:
      if (symbol && token.symbol == '.') operator_ = Operator::kDot;
      break;
    case Operator::kDot:
      if (symbol && std::string_view("+-/<>=~!@#%^&|`?").find(token.symbol) != std::string::npos)
        operator_ = Operator::kSymbol;
      break;
    case Operator::kSymbol:
      if (symbol && token.symbol == ')') return true;
      break;
  }
  if (operator_ == Operator::kNone) Pin(PinReason::kFunction);
  return false;
}

void SqlScanner::TakeToken(const Token& token) {
  if (token.kind == Token::Kind::kWord) {
    OnWord(token);
    return;
  }
  if (token.kind != Token::Kind::kSymbol) {
    if (kind_ == Kind::kNone) BeginStatement("?");
    before_ = last_is_;
    last_is_ = Before::kValue;
    last_word_ = dot_ = qualified_ = false;
    ++tokens_;
    return;
  }
  switch (token.symbol) {
    case ';':
      if (depth_ == 0 && !atomic_) {
        EndStatement();
        return;
      }
      break;
    case '(':
      if (kind_ == Kind::kNone) BeginStatement("select");
      OnOpen();
      return;
    case ')':
      OnClose();
      last_word_ = false;
      return;
    case '.':
      of_value_ = last_word_ ? of_value_ : last_is_ != Before::kNothing;
      // A qualified name: what stands before the dot is its schema.
      qualifier_length_ = last_word_ ? last().size() : 0;
      std::copy_n(last().begin(), qualifier_length_, qualifier_);
      qualified_ = true;
      dot_ = true;
      return;
    default:
      break;
  }
  last_word_ = dot_ = qualified_ = false;
  before_ = Before::kNothing;
  last_is_ = token.symbol == ']' ? Before::kValue : Before::kNothing;
  ++tokens_;
}

void SqlScanner::OnWord(const Token& token) {
  const std::string_view word = token.text;
  const bool keyword = !token.quoted && !dot_;
  if (kind_ == Kind::kNone) {
    BeginStatement(token.quoted ? std::string_view("?") : word);
  } else {
    ++words_;
    if (keyword) OnQueryWord(word);
    if (token.quoted && !dot_) OnQuotedWord();
    if (word.starts_with("pg_")) OnServerName(word);
  }
  if (dot_ && of_value_ && call_checks_) OnAttribute(word);
  if (!dot_) {
    before_ = last_is_;
    qualified_ = of_value_ = false;
    last_at_ = 1 - last_at_;
  }
  dot_ = false;
  lengths_[last_at_] = word.size();
  std::copy(word.begin(), word.end(), texts_[last_at_]);
  last_quoted_ = token.quoted;
  last_word_ = true;
  last_is_ = keyword ? Before::kWord : Before::kValue;
  ++tokens_;
}

void SqlScanner::OnServerName(std::string_view word) {
  // Its rules set what is written to it.
  if (word == "pg_settings" && kind_ == Kind::kQuery && !reads_only_)
    verdict_.flags |= Verdict::kOpaque;
  if (word.starts_with("pg_prepared_statement")) verdict_.flags |= Verdict::kReadsStatements;
  // What is open in the session at the moment.
  if (word.starts_with("pg_cursor")) reads_only_ = false;
  // Whatever it is used for, the temporary schema is the session's.
  if (word.starts_with("pg_temp")) Pin(PinReason::kTemporaryObject);
}

void SqlScanner::BeginStatement(std::string_view word) {
  first_length_ = std::min(word.size(), sizeof first_);
  std::copy_n(word.begin(), first_length_, first_);
  words_ = 1;
  kind_ = Kind::kOther;
  reads_only_ = false;
  if (word == "select" || word == "with" || word == "values" || word == "table") {
    kind_ = Kind::kQuery;
    call_checks_ = true;
    reads_only_ = true;
    if (word == "with") with_ = 1;
  } else if (word == "insert" || word == "merge") {
    kind_ = Kind::kQuery;
    call_checks_ = true;
    verdict_.flags |= Verdict::kWritesSequence;
  } else if (word == "update" || word == "delete" || word == "declare") {
    kind_ = Kind::kQuery;
    call_checks_ = true;
  } else if (word == "explain") {
    kind_ = Kind::kQuery;
    call_checks_ = true;
    explain_ = explain_leads_ = true;
  } else if (word == "create") {
    kind_ = Kind::kDdl;
    verdict_.flags |= Verdict::kDdl;
  } else if (word == "alter" || word == "drop") {
    kind_ = Kind::kDdl;
    if (word == "drop") End(PinReason::kTemporaryObject);
    verdict_.flags |= Verdict::kDdl;
  } else if (word == "copy") {
    kind_ = Kind::kCopy;
    call_checks_ = true;
    name_list_ = true;
  } else if (word == "set") {
    kind_ = Kind::kSet;
  } else if (word == "listen") {
    Pin(PinReason::kListen);
  } else if (word == "load") {
    Pin(PinReason::kLoad);
  } else if (word == "do" || word == "call") {
    if (catalogue_ == nullptr) Pin(PinReason::kOpaque);
    if (word == "do") blocks_ = true;
    call_checks_ = word == "call";
  } else if (word == "execute") {
    kind_ = Kind::kQuery;
    OnExecute();
  } else if (word != "prepare" && !In(kHarmlessStatements, word)) {
    Pin(PinReason::kUnknownStatement);
  }
  quiet_ = kind_ == Kind::kSet || (kind_ == Kind::kOther && In(kQuietStatements, word));
  if (word == "reset") verdict_.flags |= Verdict::kResets | Verdict::kSets;
  if (word == "close") End(PinReason::kHoldCursor);
  if (word == "unlisten") End(PinReason::kListen);
  if (word == "deallocate") End(PinReason::kPreparedStatement);
  if (word == "reindex" || word == "refresh" || word == "import" || word == "reassign")
    verdict_.flags |= Verdict::kDdl;
}

// A word that is not the first of its statement and may be a keyword.
void SqlScanner::OnQueryWord(std::string_view word) {
  const std::string_view first(first_, first_length_);
  switch (kind_) {
    case Kind::kNone:
      return;
    case Kind::kQuery:
      OnLeadingWord(word);
      return;
    case Kind::kCopy:
      if (depth_ == 0 && word == "from") verdict_.flags |= Verdict::kWritesSequence;
      // COPY t FROM STDIN (FORMAT csv, FORCE_NULL (a)) WHERE b > 1
      if (depth_ == 0 && (word == "from" || word == "to")) name_list_ = call_checks_ = false;
      if (depth_ == 0 && word == "where") call_checks_ = true;
      OnLeadingWord(word);
      return;
    case Kind::kDdl:
      if (first == "create" && words_ <= 5 && depth_ == 0) {
        if (word == "temp" || word == "temporary") Pin(PinReason::kTemporaryObject);
        if (word == "table" || word == "materialized") kind_ = Kind::kCreateTable;
        if (word == "function" || word == "procedure") kind_ = Kind::kCreateRoutine;
      }
      return;
    case Kind::kCreateTable:
      // CREATE TABLE ... AS runs a query.
      if (word == "select" || word == "values" ||
          (word == "with" && !call_checks_ && last() == "as"))
        call_checks_ = true;
      if (word == "execute" && last() == "as") OnExecute();
      return;
    case Kind::kCreateRoutine:
      if (word == "atomic" && after_begin_) {
        atomic_ = true;
        atomic_depth_ = 1;
      } else if (atomic_ && word == "case") {
        ++atomic_depth_;
      } else if (atomic_ && word == "end" && --atomic_depth_ == 0) {
        atomic_ = false;
      }
      after_begin_ = word == "begin";
      return;
    case Kind::kSet:
      // SET ... TO DEFAULT is a RESET.
      if (word == "default") verdict_.flags |= Verdict::kResets;
      if (words_ != 2) return;
      if (word == "local") {
        kind_ = Kind::kSetLocal;
      } else if (word == "transaction" || word == "constraints") {
        kind_ = Kind::kOther;
      } else {
        verdict_.flags |= Verdict::kSets;
      }
      return;
    case Kind::kSetLocal:
      // Also what ends with the transaction decides how texts within it are parsed.
      if (words_ == 3) verdict_.flags |= Verdict::kSets;
      return;
    case Kind::kOther:
      OnOtherWord(word);
      return;
  }
}

void SqlScanner::OnOtherWord(std::string_view word) {
  const std::string_view first(first_, first_length_);
  // DEALLOCATE [PREPARE] ALL
  const bool deallocate_prepare =
      first == "deallocate" && words_ == 3 && last() == "prepare" && !last_quoted_;
  if (word == "all" && deallocate_prepare) {
    verdict_.flags &= static_cast<uint16_t>(~Verdict::kDeallocate);
    verdict_.flags |= Verdict::kDropsStatements;
  }
  if (first == "prepare" && word == "as" && depth_ == 0) {
    // What is behind it runs later, and then only its name is seen.
    kind_ = Kind::kQuery;
    call_checks_ = true;
    prepares_ = words_;
  }
  if (words_ != 2) return;
  if (first == "prepare" && word != "transaction") {
    verdict_.flags |= Verdict::kNamesStatements;
  } else if (first == "deallocate") {
    verdict_.flags |= word == "all" ? Verdict::kDropsStatements
                                    : Verdict::kDeallocate | Verdict::kNamesStatements;
  } else if (first == "discard") {
    if (word == "all") {
      verdict_.flags |=
          Verdict::kDropsStatements | Verdict::kDropsSequences | Verdict::kResets | Verdict::kSets;
      verdict_.ends |= kAskable;
    }
    if (word == "temp" || word == "temporary") End(PinReason::kTemporaryObject);
    if (word == "sequences") verdict_.flags |= Verdict::kDropsSequences;
  }
}

// A name in quotes where a keyword might stand, too: it is never that, but it may be what counts.
void SqlScanner::OnQuotedWord() {
  const std::string_view first(first_, first_length_);
  if ((kind_ == Kind::kSet && words_ == 2) || (kind_ == Kind::kSetLocal && words_ == 3)) {
    verdict_.flags |= Verdict::kSets;
  } else if (kind_ == Kind::kOther && words_ == 2) {
    if (first == "prepare" || first == "deallocate") verdict_.flags |= Verdict::kNamesStatements;
    if (first == "deallocate") verdict_.flags |= Verdict::kDeallocate;
  }
}

// A keyword inside of a query.
void SqlScanner::OnLeadingWord(std::string_view word) {
  const uint64_t here = uint64_t{1} << std::min(depth_, kDepthMax);
  const std::string_view first(first_, first_length_);
  if (into_) {
    if (word == "temp" || word == "temporary" || word == "local" || word == "global")
      Pin(PinReason::kTemporaryObject);
    into_ = false;
  }
  const bool leads = explain_leads_;
  if (depth_ == 0 && word != "analyze" && word != "analyse" && word != "verbose")
    explain_leads_ = false;
  switch (word.size()) {
    case 3:
      if (word == "for") reads_only_ = false;
      return;
    case 4:
      if (word == "into") {
        reads_only_ = false;
        into_ = true;
        name_list_ = first == "insert" || first == "merge" || with_ != 0 ||
                     (verdict_.flags & Verdict::kWritesSequence) != 0;
        if (!name_list_) verdict_.flags |= Verdict::kDdl;
      } else if (word == "with") {
        // Only where a query begins: WITH ORDINALITY, WITH TIME ZONE and the like are something
        // else.
        if (last_open_ || (explain_ && words_ == 2) || (prepares_ != 0 && words_ == prepares_ + 1))
          with_ |= here;
      } else if (word == "hold" && first == "declare") {
        if (last() == "with") Pin(PinReason::kHoldCursor);
      }
      return;
    case 5:
      if (word == "merge") {
        reads_only_ = false;
        verdict_.flags |= Verdict::kWritesSequence;
        with_ &= ~here;
      }
      return;
    case 6:
      if (word == "select" || word == "values") {
        with_ &= ~here;
      } else if (word == "insert") {
        reads_only_ = false;
        verdict_.flags |= Verdict::kWritesSequence;
        with_ &= ~here;
      } else if (word == "update" || word == "delete") {
        reads_only_ = false;
        with_ &= ~here;
      } else if (word == "create" && explain_) {
        verdict_.flags |= Verdict::kDdl;
      }
      return;
    case 7:
      if (word == "execute" && explain_) {
        const bool name_list = name_list_;
        OnExecute();
        // EXPLAIN SELECT execute(1)
        name_list_ = name_list || (leads && depth_ == 0);
      }
      return;
    default:
      return;
  }
}

// EXECUTE: a name, then its arguments. What the statement does was seen when it was prepared.
void SqlScanner::OnExecute() {
  verdict_.flags |= Verdict::kNamesStatements | Verdict::kRunsStatement | Verdict::kWritesSequence;
  call_checks_ = true;
  name_list_ = true;
}

void SqlScanner::OnOpen() {
  if (last_word_ && call_checks_) OnCall();
  const bool distinct_on =
      last_word_ && last() == "on" && before_ == Before::kWord && before() == "distinct";
  ++depth_;
  const uint64_t here = uint64_t{1} << std::min(depth_, kDepthMax);
  with_ &= ~here;
  distinct_on_ = distinct_on ? distinct_on_ | here : distinct_on_ & ~here;
  if (depth_ > kDepthMax) Pin(PinReason::kUnreadable);
  last_word_ = qualified_ = dot_ = false;
  before_ = last_is_ = Before::kNothing;
  ++tokens_;
}

void SqlScanner::OnClose() {
  const uint64_t here = uint64_t{1} << std::min(depth_, kDepthMax);
  // Behind DISTINCT ON (a) stands an operand.
  last_is_ = (distinct_on_ & here) != 0 ? Before::kNothing : Before::kClosed;
  if (depth_ > 0) --depth_;
}

Verdict Scan(std::string_view text, LexMode mode, const Catalogue* catalogue) {
  SqlScanner scanner(mode, catalogue);
  scanner.Feed(engine::AsBytes(text));
  return scanner.Finish(text);
}

}  // namespace weir::postgres
