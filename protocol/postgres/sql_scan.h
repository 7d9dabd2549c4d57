// What a client's SQL may do to its session, from the text alone.
//
// An allow list: statements and built-in functions that are known to change no session state pass,
// everything else pins the client. What the text does not show (triggers, views, operators,
// functions of users, also behind built-in names) is in the database's catalogue, if it is known.
//
// If the text ends in an open string, quoted word or comment, the server refuses the whole of it;
// the verdict of what was read so far stands, which can only pin too much.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/bytes.h"
#include "protocol/postgres/call_effect.h"
#include "protocol/postgres/harmless_functions.h"
#include "protocol/postgres/pins.h"
#include "protocol/postgres/sql_kind.h"
#include "protocol/postgres/sql_lexer.h"

namespace weir::postgres {

class Catalogue;

struct Verdict {
  enum Flag : uint16_t {
    kWritesSequence =
        1 << 0,  // nextval, setval, INSERT, MERGE, COPY FROM: currval may be readable then
    kReadsSequence = 1 << 1,    // currval, lastval
    kDropsStatements = 1 << 2,  // DEALLOCATE ALL, DISCARD ALL
    kDropsSequences = 1 << 3,   // DISCARD SEQUENCES, DISCARD ALL
    kDdl = 1 << 4,
    kDeallocate = 1 << 5,  // exactly one DEALLOCATE of a name
    kResets = 1 << 7,      // RESET, SET TO DEFAULT, DISCARD ALL: what init_query has set is gone
    kPlainRead = 1 << 6,   // exactly one statement that only reads: running it twice is no harm
    kSets = 1 << 8,        // may change settings: sql_settings.h tells which
    kOpaque = 1 << 9,      // may change what the session can be asked about afterwards
    kNamesStatements = 1 << 10,  // PREPARE, EXECUTE, DEALLOCATE: sql_names.h tells which
    kRunsStatement = 1 << 11,    // EXECUTE among them
    kReadsStatements = 1 << 12,  // names pg_prepared_statements
  };
  PinSet pins = 0;                   // what may keep the backend from now on
  PinSet ends = 0;                   // what may do so no longer
  PinReason pin = PinReason::kNone;  // the first of `pins` in the text
  uint16_t flags = 0;
  uint8_t statements = 0;  // not empty; at most 255
  uint64_t kind = 0;       // of its shape (sql_kind.h); 0 only without a statement
};

// The statement may be sent behind those of others, and again if its answer does not come: it only
// reads, and neither needs nor leaves anything in the session. What views and the like do is not in
// its text: true only if the verdict was found with the catalogue of the database.
inline bool MayJoin(const Verdict& verdict) {
  return verdict.flags == Verdict::kPlainRead && verdict.pins == 0 && verdict.ends == 0 &&
         verdict.pin == PinReason::kNone && verdict.statements == 1 && verdict.kind != 0;
}

class SqlScanner {
 public:
  SqlScanner() = default;
  // Begins at once.
  SqlScanner(LexMode mode, const Catalogue* catalogue)
      : lexer_(mode), mode_(mode), catalogue_(catalogue) {}
  // `catalogue`: nullptr if it is not known.
  void Begin(LexMode mode, const Catalogue* catalogue = nullptr);
  void Feed(engine::Bytes bytes) { lexer_.Feed(bytes, *this); }
  // It is another one from now on.
  void UseCatalogue(const Catalogue* catalogue) { catalogue_ = catalogue; }
  // `text`: all that it has been fed, if that is still there; what must be read twice is opaque
  // otherwise.
  Verdict Finish(std::string_view text = {});

  // For the lexer.
  void OnToken(const Token& token);

 private:
  static constexpr int kDepthMax = 63;
  enum class Kind : uint8_t {
    kNone,
    kQuery,
    kDdl,
    kCreateTable,
    kCreateRoutine,
    kSet,
    kSetLocal,
    kCopy,
    kOther
  };

  void EndStatement();
  void BeginStatement(std::string_view word);
  void OnWord(const Token& token);
  void OnLeadingWord(std::string_view word);
  void OnQueryWord(std::string_view word);
  void OnOtherWord(std::string_view word);
  void OnQuotedWord();
  void OnExecute();
  void OnServerName(std::string_view word);
  void OnOpen();
  void OnCall();
  void OnAttribute(std::string_view name);
  void TakeFamily(FunctionFamily family);
  bool OnCallOfUser(std::string_view name, bool built_in);
  void Take(const CallEffect& effect, PinReason reason);
  void TakeBlocks(std::string_view text);
  void TakeUnseen();
  bool IsConstruct(std::string_view name) const;
  bool EndsOperator(const Token& token);
  void TakeToken(const Token& token);
  void OnClose();
  void Pin(PinReason reason);
  void End(PinReason reason) { verdict_.ends |= Only(reason); }

  SqlLexer lexer_;
  SqlKind shape_;
  LexMode mode_;
  const Catalogue* catalogue_ = nullptr;
  Verdict verdict_;
  Kind kind_ = Kind::kNone;
  int words_ = 0;  // of the statement, up to now
  int tokens_ = 0;
  char first_[16];  // the leading word
  size_t first_length_ = 0;
  int depth_ = 0;
  int prepares_ = 0;          // PREPARE: its AS among the words; 0: none
  uint64_t with_ = 0;         // a bit for each depth at which a WITH list is being read
  uint64_t distinct_on_ = 0;  // a bit for each depth at which that of DISTINCT ON is being read
  bool last_open_ = false;    // the last token is an opening parenthesis
  bool explain_ = false;
  bool explain_leads_ = false;  // nothing but EXPLAIN and its options has come
  bool reads_only_ = false;
  bool quiet_ = false;
  // Of the whole text: a statement may run code of the database's; ... and change tables.
  bool runs_ = false;
  bool writes_ = false;
  bool blocks_ = false;     // DO
  bool name_list_ = false;  // a column list may follow the next name
  bool call_checks_ = false;
  bool into_ = false;
  bool atomic_ = false;  // in BEGIN ATOMIC ... END
  int atomic_depth_ = 0;
  bool after_begin_ = false;
  bool from_ = false;
  // The last tokens, to tell a call from a column list.
  bool last_word_ = false;  // the last token is a name that may be called
  bool last_quoted_ = false;
  enum class Before : uint8_t { kNothing, kValue, kClosed, kWord };
  Before before_ =
      Before::kNothing;  // the token before it: behind a value stands an alias, not a call
  Before last_is_ = Before::kNothing;
  // What of OPERATOR(schema.symbol) has been read.
  enum class Operator : uint8_t { kNone, kOpen, kSchema, kDot, kSymbol };
  Operator operator_ = Operator::kNone;
  bool qualified_ = false;  // by a schema other than pg_catalog
  bool dot_ = false;
  bool of_value_ = false;  // what is qualified is a value, not a name: (a).b, $1.b, c[1].b
  // The last word and the one before it.
  int last_at_ = 0;
  size_t lengths_[2] = {};
  char texts_[2][SqlLexer::kTextMax];
  std::string_view last() const { return {texts_[last_at_], lengths_[last_at_]}; }
  std::string_view before() const { return {texts_[1 - last_at_], lengths_[1 - last_at_]}; }
  size_t qualifier_length_ = 0;
  char qualifier_[SqlLexer::kTextMax];
};

Verdict Scan(std::string_view text, LexMode mode, const Catalogue* catalogue = nullptr);

// The name in a text that is exactly DEALLOCATE [PREPARE] name.
std::string DeallocatedName(std::string_view text, LexMode mode);

// The text with its literals replaced by $1, $2, ..., in lower case, of bounded length: for log
// lines.
std::string Digest(std::string_view text, LexMode mode);

}  // namespace weir::postgres
