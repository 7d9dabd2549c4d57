// A server and a client that keep to the protocol, to stand on both sides of an exchange.
//
// Both are models: they know texts, names, transactions and COPY as far as the protocol shows them.
// The server answers an execution with a row that holds the text it has run; the client knows which
// text that must be. So an answer that belongs to another request is seen.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {

// What a failed transaction still takes.
inline bool EndsTransaction(std::string_view text) {
  return text == "COMMIT" || text == "ROLLBACK";
}

// Texts that a model runs. The first ones are about the session, the others mean nothing.
extern const std::vector<std::string_view> kTexts;

// PostgreSQL's side. What a request leads to (an error, COPY, few rows or none) is chosen.
class ModelServer {
 public:
  explicit ModelServer(Choices& choices) : choices_(choices) {}

  // Takes the client's bytes; the answer is appended to `out`.
  void Take(std::string_view bytes, std::string& out);
  // It has found a message that cannot be there, and has ended the session.
  bool fatal() const { return fatal_; }

 private:
  enum class Copy : uint8_t { kNone, kSimple, kExtended };

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
  bool RunText(std::string_view text, Copy copy);
  bool DoText(std::string_view text);
  void Error(std::string_view sqlstate, std::string_view text);
  void Fail(std::string_view sqlstate, std::string_view text);  // up to Sync
  void Ready();
  void Say(char type, std::string_view body) { *out_ += Encode(type, body); }
  bool Chosen(size_t one_in);

  Choices& choices_;
  MessageReader reader_;
  std::string* out_ = nullptr;
  std::map<std::string, std::string, std::less<>> statements_;
  std::string portal_;
  bool has_portal_ = false;
  bool portal_has_run_ = false;
  bool skipping_ = false;
  bool fatal_ = false;
  Copy copy_ = Copy::kNone;
  std::string copy_text_;
  char status_ = 'I';
};

// A driver's side: sends what is chosen, and knows what must come back.
class ModelClient {
 public:
  // `tag` makes some of its texts its own.
  ModelClient(Choices& choices, char tag) : choices_(choices), tag_(tag) {}

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
  };

  void Ask(std::string& out, char type, std::string_view body, std::string name, std::string text);
  std::string AnyText();
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
  void Effects(std::string_view text);
  void CheckRow(const Message& message, std::string_view text) const;
  bool Known(const std::string& name) const { return names_.contains(name); }
  // In a failed transaction the rest is an error.
  bool Possible(std::string_view text) const { return status_ != 'E' || EndsTransaction(text); }

  Choices& choices_;
  const char tag_;
  MessageReader reader_;
  std::deque<Expected> expected_;
  std::map<std::string, std::string> names_;  // as the server has told them
  std::string portal_;
  bool has_portal_ = false;
  bool skipping_ = false;    // an error has come; all up to Sync is not answered
  bool open_batch_ = false;  // the server waits for a Sync
  bool has_copies_ = false;  // a COPY has been sent
  bool copying_ = false;     // the server waits for data
  char status_ = 'I';        // of the transaction
};

}  // namespace weir::fuzz
