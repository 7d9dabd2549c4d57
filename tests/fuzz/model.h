// A server and a client that keep to the protocol, to stand on both sides of an exchange.
//
// Both are models: they know texts, names, transactions, settings and COPY as far as the protocol
// shows them. The server answers an execution with rows that hold the text it has run, what that
// was parsed under, and all settings of the session; the client knows what those must be. So an
// answer that belongs to another request is seen, and one from a session that is not the client's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/model_settings.h"

namespace weir::fuzz {

inline bool EndsTransaction(std::string_view text) {
  return text == "COMMIT" || text == "ROLLBACK";
}
// What a failed transaction still takes.
inline bool RunsInFailed(std::string_view text) {
  return EndsTransaction(text) || text == "ROLLBACK TO s";
}

// Texts that a model runs. The first ones are about the session, the others mean nothing.
extern const std::vector<std::string_view> kTexts;

struct ModelOptions {
  bool settings = false;         // the client changes settings
  bool initial = false;          // init_query has made some
  bool reports_at_once = false;  // the server reports a change before the request is over
};

// What a row, a completion or a description of the model server's holds.
struct Told {
  std::string text;
  std::string lexed;  // the settings that it was parsed under
  std::string all;    // the session's: of a completion behind it, else before
};
inline std::string Encoded(const Told& told) {
  return told.text + '\n' + told.lexed + '\n' + told.all;
}
Told ToldBy(const Message& message);

// An error by which the server's end is told, where the connection stays.
inline constexpr std::string_view kLostCode = "57P01";
// The error of a statement that weir runs for itself.
inline constexpr std::string_view kOwnFails = "53200";

// PostgreSQL's side. What a request leads to (an error, COPY, few rows or none) is chosen.
class ModelServer {
 public:
  ModelServer(Choices& choices, ModelOptions options)
      : choices_(choices), options_(options), settings_(options.initial) {}

  // Takes the client's bytes; the answer is appended to `out`.
  void Take(std::string_view bytes, std::string& out);
  // It has ended the session: by a message that cannot be there, or an error that was to do so.
  bool fatal() const { return fatal_; }
  // A statement of weir's own has failed.
  bool own_failed() const { return own_failed_; }

 private:
  enum class Copy : uint8_t { kNone, kSimple, kExtended };
  struct Statement {
    std::string text;
    std::string lexed;  // the settings that it was parsed under
  };
  struct Portal {
    Statement statement;
    std::vector<std::optional<std::string>> parameters;
    bool has_run = false;
  };

  void OnMessage(const Message& message);
  void OnExtended(const Message& message);
  void OnCopy(const Message& message);
  void OnParse(std::string_view body);
  void OnBind(std::string_view body);
  void OnDescribe(std::string_view body);
  void OnClose(std::string_view body);
  void OnExecute(std::string_view body);
  void OnQuery(std::string_view text);
  // Runs a text; false: it has failed, the error is told. Or the COPY has begun.
  bool RunText(const Statement& statement, Copy copy);
  bool RunNamed(std::string_view name, Copy copy);
  bool DoText(const Statement& statement);
  bool DoTransaction(std::string_view text);
  bool RunOwn(const Portal& portal);
  bool RunSetConfigs(const Portal& portal);
  bool OwnFails(std::string_view text);
  void Tell(char type, const Statement& statement, const std::string& all);
  void Report();
  void Error(std::string_view sqlstate, std::string_view text);
  void Fail(std::string_view sqlstate, std::string_view text);  // up to Sync
  void Ready();
  void Say(char type, std::string_view body) { *out_ += Encode(type, body); }
  bool Chosen(size_t one_in);

  Choices& choices_;
  MessageReader reader_;
  std::string* out_ = nullptr;
  const ModelOptions options_;
  ModelSettings settings_;
  std::map<std::string, std::string> reported_;
  std::map<std::string, Statement, std::less<>> statements_;
  std::optional<Portal> portal_;  // the unnamed one
  Portal own_portal_;
  bool skipping_ = false;
  bool fatal_ = false;
  bool own_failed_ = false;
  Copy copy_ = Copy::kNone;
  Statement copy_statement_;
  char status_ = 'I';
};

// A driver's side: sends what is chosen, and knows what must come back.
class ModelClient {
 public:
  // `tag` makes some of its texts its own.
  ModelClient(Choices& choices, ModelOptions options, char tag)
      : choices_(choices), options_(options), tag_(tag), settings_(options.initial) {}

  // A message or several, chosen; appended to `out`.
  void Send(std::string& out);
  // What ends everything that is open.
  void Finish(std::string& out);
  // Takes what comes from the server, and CHECKs that it is due.
  void Take(std::string_view bytes);
  // Everything asked for has been answered.
  bool satisfied() const { return expected_.empty() && reader_.empty(); }
  bool copying() const { return copying_; }

 private:
  struct Expected {
    char type = 0;  // of the client's message
    std::string name;
    std::string text;
    bool copied = false;  // the data of a COPY went with it
    bool may_copy = false;
    // Of a Query: its statements that have run, what it was parsed under, whether one has failed.
    size_t done = 0;
    std::string lexed = {};
    bool failed = false;
    bool lost = false;  // by the end of its backend
  };
  // What stands behind a name. It may be parsed anew at any time, under the client's settings.
  struct Known {
    std::string text;
    std::set<std::string> lexed;
    bool maybe_gone = false;
    bool from_sql = false;  // it stays as it was parsed
  };

  void Ask(std::string& out, char type, std::string_view body, std::string name, std::string text);
  std::string AnyText(bool simple);
  std::string AnyName();
  void SendCopy(std::string& out);
  void MaySendBlind(std::string& out);
  bool CopyUnsettled() const;
  void OnReply(const Message& message);
  void OnQueryReply(const Message& message);
  void OnExecuteReply(const Message& message);
  void OnParsed();
  void OnBound();
  void OnError(const Message& message);
  void OnCopyIn();
  void OnRun(const Message& message, const Known& asked);
  void OnReady(const Message& message);
  void OnReport(const Message& message);
  // What an execution has done; the server has told what it was parsed under.
  void Effects(std::string_view text, std::string_view lexed);
  void OnSettingsChanged();
  void ForgetUnnamed(bool lost);
  // A row, a completion, a description: it is of what was asked, parsed as the client's session
  // would. Returns the settings by which it was parsed.
  std::string CheckText(const Told& told, const Known& expected) const;
  void CheckSettings(std::string_view all) const;
  bool IsKnown(const std::string& name) const { return names_.contains(name); }
  // What an EXECUTE runs is what stands behind its name.
  Known Asked(const Known& asked);
  // In a failed transaction the rest is an error.
  bool Possible(std::string_view text) const { return status_ != 'E' || RunsInFailed(text); }

  Choices& choices_;
  const ModelOptions options_;
  const char tag_;
  MessageReader reader_;
  std::deque<Expected> expected_;
  std::map<std::string, Known> names_;  // as the server has told them
  std::optional<Known> portal_;
  ModelSettings settings_;
  std::map<std::string, std::string> reported_;
  bool refused_ = false;  // its settings, by a server
  bool lost_ = false;  // a transaction with its backend: what was reported of it is not taken back
  // A RESET of what init_query has set gives that again, or the server's own.
  bool initial_reset_ = false;
  bool skipping_ = false;    // an error has come; all up to Sync is not answered
  bool open_batch_ = false;  // the server waits for a Sync
  bool has_copies_ = false;  // a COPY has been sent
  bool copying_ = false;     // the server waits for data
  char status_ = 'I';        // of the transaction
};

}  // namespace weir::fuzz
