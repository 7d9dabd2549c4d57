// One session of a simulated PostgreSQL: messages in, replies out, at once and without time.
//
// It knows a handful of statements, each of which carries a tag that its answer repeats, and what a
// session is made of: transactions, prepared statements, portals, settings, temporary tables,
// sequences, COPY. The same code runs in the simulated server and, fed with what one client sends,
// as the model of what that client must see: whatever weir does in between must not show.
//
// Copyable: a model goes back to where a request began when weir answers it with an error.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/pg_lasting.h"

namespace weir::sim {

struct PgMessage {
  char type = 0;
  std::string body;
  bool operator==(const PgMessage&) const = default;
};

std::string Encode(const PgMessage& message);
// Takes the first message of `in`; false if it is not whole.
bool Decode(std::string& in, PgMessage& message);
// A field of an ErrorResponse; empty if absent.
std::string ErrorFieldOf(const PgMessage& message, char field);
PgMessage ErrorMessage(std::string_view severity, std::string_view code, std::string_view text);
std::string Number(int64_t value);
// Four bytes in network order, as they stand in messages.
std::string U32(uint32_t value);
uint32_t ReadU32(std::string_view bytes);
// For people: bytes that do not print stand as dots.
std::string Readable(const PgMessage& message, size_t most);

// What all sessions of a server share.
struct PgDatabase {
  int64_t sequence = 0;
  std::map<std::string, int> rows;  // committed inserts, by tag
  int max_connections = 100;
  int64_t generation = 1;        // of what new sessions begin with
  bool tells_catalogue = false;  // questions about what it has of functions and the like
};

class PgSession {
 public:
  // Values that the model cannot know stand in its replies as these.
  static constexpr std::string_view kAnyNumber = "<any number>";
  static constexpr std::string_view kOwnNumber = "<the client's last>";

  explicit PgSession(PgDatabase* database = nullptr) : database_(database) {}

  // `cancelled`: what it runs is cancelled. Appends to `out`.
  void Take(const PgMessage& message, bool cancelled, std::vector<PgMessage>& out);
  // What this message would sleep for, in seconds; 0 if it does not.
  double SleepOf(const PgMessage& message) const;
  // The connection was lost under an unpinned client: what a transaction would have undone.
  void Abort();

  char status() const { return status_; }
  bool copying() const { return copying_; }
  void set_startup(const std::string& name, const std::string& value) {
    settings_[name] = startup_[name] = value;
  }
  // The value of a setting that is in force.
  const std::string& Shown(const std::string& name) const;
  bool HasStatement(const std::string& name) const { return statements_.count(name) > 0; }
  // Something of it must not be seen by others, outside of transactions.
  bool lasts() const { return !lasting_.empty(); }
  bool HasUnnamed() const { return unnamed_.has_value(); }

 private:
  struct Portal {
    std::string sql;
    std::string parameter;                               // the first
    std::vector<std::optional<std::string>> parameters;  // none: NULL
    int64_t rows_done = 0;
  };
  struct Statement {
    std::string sql;
    std::string source;  // the text that has made it
  };
  struct Outcome {
    std::string tag;  // of CommandComplete; empty: none was sent
    bool failed = false;
    bool suspended = false;
  };
  static Outcome Failed() { return {{}, true, false}; }
  static Outcome Suspended() { return {{}, false, true}; }

  void Query(const std::string& text, bool cancelled, std::vector<PgMessage>& out);
  void TellCatalogue(const std::string& text, std::vector<PgMessage>& out);
  void Parse(std::string_view body, std::vector<PgMessage>& out);
  void Bind(std::string_view body, std::vector<PgMessage>& out);
  void Describe(std::string_view body, std::vector<PgMessage>& out);
  void Execute(std::string_view body, bool cancelled, std::vector<PgMessage>& out);
  void Close(std::string_view body, std::vector<PgMessage>& out);
  void Copy(const PgMessage& message, std::vector<PgMessage>& out);
  void Ready(std::vector<PgMessage>& out);
  void Fail(std::string_view code, std::string_view text, std::vector<PgMessage>& out);
  // Runs one statement. `described`: rows are preceded by their description.
  Outcome Run(const std::string& sql, const std::string& parameter, bool described, int64_t limit,
              int64_t* rows_done, bool cancelled, std::vector<PgMessage>& out);
  Outcome RunTransaction(const std::string& sql, std::vector<PgMessage>& out);
  Outcome RunRows(const std::string& tag, int64_t count, bool described, int64_t limit,
                  int64_t* rows_done, std::vector<PgMessage>& out);
  Outcome TellSession(const Portal& portal, std::vector<PgMessage>& out);
  Outcome RunSettings(const Portal& portal, std::vector<PgMessage>& out);
  void Set(const std::string& name, const std::optional<std::string>& value, bool local);
  void ResetAll();
  Outcome RunState(const std::string& sql, bool described, std::vector<PgMessage>& out);
  Outcome RunSequence(const std::string& sql, bool described, std::vector<PgMessage>& out);
  std::optional<Outcome> RunNamed(const std::string& sql, bool described,
                                  std::vector<PgMessage>& out);
  Outcome RunPrepare(const std::string& sql, std::vector<PgMessage>& out);
  Outcome RunStatementsQuestion(const Portal& portal, std::vector<PgMessage>& out);
  Outcome RunLasting(const PgLasting::Reply& reply, bool described, std::vector<PgMessage>& out);
  Outcome One(const std::string& value, bool described, std::vector<PgMessage>& out);
  Outcome Complete(const std::string& tag, std::vector<PgMessage>& out);
  void BeginImplicit();
  void EndTransaction(bool commit);

  PgDatabase* database_;  // nullptr: a model
  char status_ = 'I';
  bool skipping_ = false;  // to the next Sync
  bool copying_ = false;
  bool copy_extended_ = false;
  int64_t copy_rows_ = 0;
  std::string copy_tag_;
  std::map<std::string, Statement> statements_;
  std::string source_;  // the text at hand
  std::optional<std::string> unnamed_;
  std::map<std::string, Portal> portals_;
  // Every session knows these, so that a name says nothing of who has set it. `base` is reported;
  // `start` can only be set at the start; PREPARE reads `timezone`.
  std::map<std::string, std::string> settings_ = {{"mine", "none"},
                                                  {"base", "none"},
                                                  {"start", "none"},
                                                  {"timezone", "none"},
                                                  {"exit_on_error", "off"}};
  std::map<std::string, std::string> startup_ = settings_;
  std::map<std::string, std::string> local_;  // for this transaction
  // What has been set in the session, not reset; of settings_ and of local_.
  std::set<std::string> made_;
  std::set<std::string> made_local_;
  bool implicit_ = false;  // a transaction that nobody has begun in words
  std::map<std::string, std::string> saved_settings_;  // as at BEGIN
  std::set<std::string> saved_made_;
  PgLasting lasting_;
  std::optional<int64_t> last_number_;
  std::vector<std::string> inserted_;  // in the transaction under way
};

}  // namespace weir::sim
