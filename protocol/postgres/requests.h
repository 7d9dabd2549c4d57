// The client's half of an exchange: what the client asks for, message by message.
//
// Frames the client's bytes, scans the SQL in them, gives prepared statements their names on the
// server, and tells Replies what the server will owe. Bodies are forwarded as they came; only these
// are looked into: Query and Parse (whole, up to the scan limit), the two names at the front of a
// Bind, Describe, Close.
//
// Statement names. A client's named statement is known by the id of its text and types
// (statements.h). On first use on a backend that lacks it, its Parse goes ahead. The unnamed
// statement outlives Sync: its text is remembered, and parsed again ahead of a Bind or Describe
// when something else has run on the backend. Changes of names and of the unnamed statement are
// made when the message is sent and undone when the server skips it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ring_queue.h"
#include "protocol/dialect.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/profile.h"
#include "protocol/postgres/replies.h"
#include "protocol/postgres/sql_names.h"
#include "protocol/postgres/sql_scan.h"
#include "protocol/postgres/sql_settings.h"
#include "protocol/postgres/statements.h"

namespace weir::postgres {

// What all clients of a shard share.
struct RequestsContext {
  // Of a statement, by the catalogue that it was found with last.
  struct KnownVerdict {
    uint64_t catalogue = 0;  // its number; 0: none
    Verdict verdict;
  };

  explicit RequestsContext(StatementTable& table) : statements(table) {}

  StatementCache statements;
  ProfileTable profiles;
  protocol::ExchangeOptions options;
  std::vector<KnownVerdict> verdicts;  // by statement
  // Settings of the users' own that texts have named: no question lists them.
  std::set<std::string> custom_settings;
  uint64_t unnamed_tags = 0;    // last one given
  uint64_t sequence_marks = 0;  // last one given
  std::string scratch;          // messages under construction
  // What FindRead has found last, and of which client.
  struct FoundRead {
    const void* of = nullptr;
    const Catalogue* catalogue = nullptr;
    Verdict verdict;
    const Statement* statement = nullptr;  // its Bind's, if it is a named one
    bool parses = false;                   // it begins with a Parse of the unnamed statement
    bool binds = false;                    // it is in the extended protocol
    uint32_t bind_at = 0;                  // the Bind's place
  } read;
  std::string key_scratch;  // ... and the key of a statement
};

class PostgresRequests final : public protocol::Requests, public OwedListener {
 public:
  // The part of an unfinished message that is enough to ask for a backend.
  static constexpr uint32_t kBorrowBytes = 16 * 1024;

  explicit PostgresRequests(RequestsContext& context) : context_(context) {}

  // protocol::Requests
  [[nodiscard]] protocol::Taken Take(Bytes in, protocol::Replies* backend, bool yield,
                                     protocol::ExchangeSink& sink) override;
  void Refuse(Bytes error) override;
  void OnBackendLost(bool open_batch) override;
  bool mid_message() const override { return body_left_ > 0 && !dropping_; }
  bool unfinished_message() const override { return body_left_ > 0; }
  const protocol::SessionMarks& marks() const override { return marks_; }
  void ClearMarks() override;
  uint64_t profile() const override { return profile_.id(); }
  bool entering() const override { return entry_ == Entry::kWaiting || entry_ == Entry::kEntered; }
  bool DoubtCode(bool must_ask) override;
  [[nodiscard]] bool AskSession(protocol::Replies& backend, protocol::ExchangeSink& sink) override;
  bool leaves_state() const override { return (suspects_ | stands_) != 0; }
  bool discardable() const override;
  void Pin(uint8_t reason) override;
  bool session_at_risk() const override {
    return pin_committed_ || (touched_ != nullptr && touched_->committed) ||
           (named_touched_ != nullptr && !named_touched_->names.empty());
  }
  uint64_t sequence_mark() const override { return sequence_mark_; }
  void KeepSequencesApart() override { keep_sequences_apart_ = true; }
  void BeginWith(const protocol::Parameters& base) override;
  [[nodiscard]] protocol::Parameters MoveBase() override;
  uint64_t idle_timeout_ms() const override { return profile_.idle_timeout_ms(); }
  void Trim() override;
  protocol::Read FindRead(Bytes in, const protocol::CatalogueView& catalogue) override;
  [[nodiscard]] bool StartRead(Bytes request, protocol::Replies& backend,
                               protocol::ExchangeSink& sink) override;
  void OnReadEnded(bool refused) override;
  void RefuseRead(Bytes error, protocol::ExchangeSink& sink) override;

  // OwedListener
  void OnNameConfirmed() override;
  void OnNamesUndone(size_t count) override;
  void OnUnnamedConfirmed() override;
  void OnUnnamedUndone(size_t count) override;
  void OnUnnamedRefused() override;
  void OnBindsUndone() override;
  std::string NameOf(StatementId statement) override;
  const Statement* StatementOf(std::string_view name) const override { return names_.Find(name); }
  void OnPlacesSkipped() override;
  bool SettingsUncertain() const override {
    return touched_ != nullptr || entry_ == Entry::kWaiting;
  }
  const std::string* BaseValue(std::string_view name) const override;
  void OnReplayFailed() override { careful_profile_ = profile_.id(); }
  void OnTransactionEnded() override {
    if (touched_ != nullptr) touched_->committed = true;
    pin_committed_ = marks_.pin_reason != 0;
  }
  void OnRequestFailed(bool syntax) override;

  // It has got a backend.
  void OnJoined() { entry_ = Entry::kDue; }

 private:
  struct Cursor;
  struct NameChange {
    std::string name;  // empty: all names go
    const Statement* statement = nullptr;
    const Statement* previous = nullptr;
    StatementNames all = {};  // what they were
  };
  struct Unnamed {
    uint64_t tag = 0;  // 0: none
    Verdict verdict;
    LexMode lex_mode;                          // by which the verdict was found
    uint64_t catalogue = 0;                    // ... and by the catalogue of this number; 0: none
    std::unique_ptr<std::string> deallocates;  // its text was a DEALLOCATE of this name
    std::string parse_tail;
  };
  enum class Step : uint8_t { kTaken, kStop };
  // Whether the backend is in the client's settings.
  // kWaiting: for the answer to a replay. kEntered: it is, and nothing of the client's has been
  // sent.
  enum class Entry : uint8_t { kDone, kDue, kWaiting, kEntered };
  enum class Alone : uint8_t { kYes, kNo, kUnknown };
  enum class Asking : uint8_t { kNo, kSession, kValues, kDefaults, kAtDefault };
  // What the texts since the last answer may have changed, and what the server says of it.
  struct Touched {
    std::vector<std::string> names;  // sorted and unique once it asks
    bool all = false;
    bool opaque = false;               // code may have set others
    std::vector<std::string> guessed;  // names that it may have set; sorted
    bool lexing = false;
    bool literals = false;
    bool committed = false;  // some of it is, and the client knows
    bool failed = false;     // some of it has, and the client knows
    bool discarded = false;  // by a DISCARD ALL, and nothing unknown has been set since
    Asking asking = Asking::kNo;
    std::vector<std::optional<std::string>> values;
    std::vector<bool> at_default;      // behind opaque code, in the order of names; ...
    std::vector<bool> privileged;      // not everybody may set it
    std::vector<std::string> changed;  // those whose defaults are asked
  };
  // Settings of the base that texts have reset, or may have: the backend's session is then at its
  // own values. They are set to the client's again before its next message.
  struct Rebase {
    struct Name {
      std::string name;
      bool local = false;   // for the transaction only
      bool masked = false;  // ... set for it, too (SettingNames)
    };
    std::vector<Name> names;
    bool certain = false;  // a Query of one statement that does nothing else
    // It has been sent (kSent), as the last message of a batch that goes on (kInBatch).
    enum class State : uint8_t { kBound, kInBatch, kSent } state = State::kBound;
  };

  // Which of the client's statements its texts may have made or taken away under the server's eyes
  // only, since the last answer.
  struct NamedTouched {
    struct Name {
      std::string name;
      const Statement* made = nullptr;
      bool named = true;      // by a text; else it is there, and code may have done what it will
      bool answered = false;  // that text is
      bool skipped = false;   // ... or it has been skipped, or what was to be there before it
    };
    std::vector<Name> names;
    bool all = false;     // code that nobody sees may have done so with any
    bool asking = false;  // the question is on its way
  };
  // The statements that a text names, or may reach.
  struct Named {
    SqlNames names;
    bool all = false;
    bool shown = false;  // it may see which there are
    bool bound = false;  // a Bind of the one that is named
  };

  struct Bound {
    Verdict verdict;
    std::string_view text;
    Named named;
  };

  // Each takes the message at the cursor, whose header is valid, or says in cursor.result why it
  // cannot.
  Step TakeUnlinked(Cursor& cursor);
  Step TakeRefused(Cursor& cursor);
  Step TakeLinked(Cursor& cursor);
  Step TakeEntered(Cursor& cursor);
  Step TakeQuery(Cursor& cursor);
  Step TakeParse(Cursor& cursor);
  Step TakeNamedParse(Cursor& cursor, std::string_view name, std::string_view tail);
  Step TakeBind(Cursor& cursor);
  Step TakeExecute(Cursor& cursor);
  Step TakeDescribeOrClose(Cursor& cursor);
  Step TakeCopy(Cursor& cursor);
  Step TakeFunctionCall(Cursor& cursor);
  Step TakeLongText(Cursor& cursor);
  Step TakeLongParse(Cursor& cursor);
  void BeginLongScan(Cursor& cursor);
  void TakeBody(Cursor& cursor);

  Step Forward(Cursor& cursor, Owed owed);
  Step Drop(Cursor& cursor);
  Step Need(Cursor& cursor, uint32_t bytes);
  Step Malformed(Cursor& cursor, const char* error);
  Step Await(Cursor& cursor);

  bool Uncertain(Cursor& cursor, std::string_view name, const Statement* statement) const;
  std::unique_ptr<std::string> NameToTell(std::string_view name) const;
  void ParsePassing(Cursor& cursor, std::string_view tail, Owed owed);
  void ClosePassing(Cursor& cursor);
  void PassEmpty(Cursor& cursor);
  void Prepare(Cursor& cursor, const Statement& statement, OwedTo owner, bool name_change,
               OwnPurpose purpose = OwnPurpose::kNone);
  const Statement* FindStatement(Cursor& cursor, std::string_view tail);
  const Verdict& VerdictOn(Cursor& cursor, const Statement& statement);
  const Verdict& VerdictOn(const Catalogue* catalogue, LexMode mode, const Statement& statement);
  void JudgeUnnamed(Cursor& cursor);
  // requests_reads.cc
  bool MayRead() const;
  bool FindQuery(std::string_view request, const Catalogue* catalogue);
  bool FindBatch(std::string_view request, const Catalogue* catalogue);
  bool FindBind(std::string_view body, const Catalogue* catalogue, std::string_view& portal);
  bool PrepareForRead(PostgresReplies& backend, OwedRead& read, std::string& out);
  void KeepUnnamed(PostgresReplies& backend, std::string_view request);
  void ParseUnnamedForRead(PostgresReplies& backend, OwedRead& read, std::string& out);
  void AppendBind(std::string_view request, std::string& out) const;
  // Under a name of weir's on the server.
  static bool IsShared(const Statement* statement) {
    return statement != nullptr && statement != &kNotShared && !statement->from_sql();
  }
  const Statement* FindNamed(Cursor& cursor, std::string_view name);
  std::string_view ParseKey(const Cursor& cursor);
  bool ParsingUncertain() const {
    return settings_unknown_ || (touched_ != nullptr && (touched_->lexing || touched_->literals));
  }
  bool ParsesUncertainly(Cursor& cursor, std::string_view name, const Statement* statement);
  bool IsTouched(std::string_view name) const;
  void Touch(std::string_view name, const Statement* made);
  void TouchOwn(PostgresReplies& backend, std::string_view name, const Statement* made);
  bool IsOwnThere(PostgresReplies& backend, std::string_view name) const;
  bool FindNames(Cursor& cursor, Verdict& verdict, std::string_view text, Named& named);
  bool MustBeMadeBefore(Cursor& cursor, const Verdict& verdict, std::string_view text) const;
  bool Lacks(PostgresReplies& backend) const;
  bool Place(Cursor& cursor, const std::string& name, bool also_failed = false);
  bool PlaceAll(Cursor& cursor, bool shown);
  void PlaceNames(Cursor& cursor, const Named& named, bool may_fence = true);
  void PlaceFromSql(Cursor& cursor, const Statement& statement);
  void CloseName(Cursor& cursor, std::string_view name);
  void CloseForeign(Cursor& cursor);
  bool Fence(bool fenced);
  void MarkRuns(Cursor& cursor, const Named& named);
  bool MarkNames(Cursor& cursor, const Verdict& verdict, const Named& named, std::string_view text,
                 bool query);
  const Statement* Made(Cursor& cursor, std::string_view name, const Verdict& verdict,
                        std::string_view text);
  bool TooMany(std::string_view text) const;
  bool HasPrivate() const;
  bool AskStatements(Cursor& cursor);
  void SendStatementsQuestion(Cursor& cursor);
  bool KeepStatements(PostgresReplies& backend);
  bool UnnamedIsThere(const Cursor& cursor) const;
  bool PlaceForParse(Cursor& cursor, Verdict verdict, std::string_view text);
  bool FindBound(Cursor& cursor, std::string_view name, const Statement* statement, Bound& bound);
  void PrivateName(Cursor& cursor, std::string_view name);
  Step TakePrivateParse(Cursor& cursor, std::string_view name, std::string_view text);
  void CloseOnServer(Cursor& cursor, StatementId id);
  bool LeaveUnnamed(Cursor& cursor);
  void EnsureUnnamed(Cursor& cursor);
  Step Enter(Cursor& cursor);
  bool Replay(Cursor& cursor, const ProfileRef& target, bool careful);
  void SendChanges(Cursor& cursor, const Settings& from, const Settings& to,
                   const std::vector<SettingChange>& changes, OwnPurpose purpose);
  void SendOwn(Cursor& cursor, std::string_view sql, OwnPurpose purpose,
               OwnParameters parameters = {});
  bool DropRefused(std::string_view error);
  ProfileRef WithoutWhatItSets(Cursor& cursor) const;
  Alone StandsAlone(const Cursor& cursor) const;
  PinSet MarkSettings(Cursor& cursor, const Verdict& verdict, std::string_view text);
  bool LexingUncertain(Cursor& cursor);
  const Setting* ResetEarly(Cursor& cursor, const Verdict& verdict, std::string_view text) const;
  bool CanMoveBase(PostgresReplies& backend) const;
  bool MayMove(PostgresReplies& backend) const;
  static bool MustWaitToMove(const PostgresReplies& backend);
  Step NeedAnother(Cursor& cursor);
  void RefuseEarlyReset(Cursor& cursor, const Setting& setting, bool unnamed_change);
  void MarkResets(const SettingNames& found);
  bool RebaseQuery();
  void RebaseExecuted();
  bool RestoreBase(Cursor& cursor);
  void SendBase(Cursor& cursor, bool sync);
  bool RestoreBaseWhenIdle(Cursor& cursor);
  void MarkOpaque(Cursor& cursor, std::string_view text);
  void AskAll(Cursor& cursor);
  bool KeepSession(const PostgresReplies& backend);
  void AskValues(Cursor& cursor);
  bool AskDefaults(Cursor& cursor);
  void AskWhetherAtDefault(Cursor& cursor);
  bool AtDefault(const PostgresReplies& backend, size_t place) const;
  void KeepAnswers(PostgresReplies& backend);
  bool AskSettings(Cursor& cursor);
  void StepSettings(Cursor& cursor);
  void LoseSettings();
  bool CanReplay() const;
  void ForgetUntracked(PostgresReplies& backend);
  bool AskOn(Cursor& cursor);
  bool AskPins(Cursor& cursor);
  void AskPinsToo(Cursor& cursor);
  PinSet PinsToAsk() const;
  bool TouchAllNames(PostgresReplies& backend);
  bool StopIdleTimeout(Cursor& cursor);
  void KeepPins(PostgresReplies& backend);
  void TellPin();
  void Suspect(Cursor& cursor, PinReason reason, std::string_view text);
  void Remember(Cursor& cursor, std::string_view text);
  void CountText() { texts_ = texts_ == 0 ? 1 : 2; }
  void MarkPins(Cursor& cursor, const Verdict& verdict, std::string_view text);
  void MarkText(Cursor& cursor, const Verdict& verdict, std::string_view text);
  bool MustWaitForDiscard(Cursor& cursor, uint16_t flags) const;
  void DiscardSequences(Cursor& cursor);
  bool AsksNow() const;
  bool RewriteDeallocate(Cursor& cursor, const std::string& name, bool unnamed_change);
  void ChangeName(PostgresReplies& backend, std::string_view name, const Statement* statement);
  void ChangeOwnName(PostgresReplies& backend, std::string_view name, const Statement* statement);
  void DropNames(PostgresReplies& backend);
  bool IsPending(std::string_view name) const;
  void Apply(NameChange& change);
  void TakeBackChanges();
  void ApplyChanges();

  // What every message touches.
  RequestsContext& context_;
  // Names the client's last sequence values, among those of all clients; 0: it has made none.
  uint64_t sequence_mark_ = 0;
  uint32_t body_left_ = 0;  // of a message that is forwarded or dropped as it comes
  bool dropping_ = false;
  uint8_t texts_ = 0;           // since the session was asked last; more than two are two
  bool bound_drops_ = false;    // what the portal bound last will do when executed
  bool earlier_drops_ = false;  // ... and one bound earlier, which may still be there
  // Bits, so that they fit beside: every idle client has them.
  Entry entry_ : 2 = Entry::kDone;
  bool skip_to_sync_ : 1 = false;          // of a request that has got its error from weir
  bool aliases_ : 1 = false;               // two names of the client's were one statement
  bool keep_sequences_apart_ : 1 = false;  // currval or lastval was seen on the route
  bool exempt_ : 1 = false;                // what its first message sets has not been replayed
  bool settings_unknown_ : 1 = false;      // what it has set is not all in the profile
  bool doubted_ : 1 = false;               // what its texts have run
  bool asks_pins_ : 1 = false;             // the question is on its way
  bool stops_timeout_ : 1 = false;         // ... the statement that ends idle_session_timeout
  bool pin_committed_ : 1 = false;         // what may pin is made, and the client knows
  bool from_sql_ : 1 = false;              // SQL has made some of its statements
  bool places_skipped_ : 1 = false;        // a statement of its own may be missing on the server
  bool unknown_names_ : 1 = false;         // code has made statements under names of its own
  bool fenced_ : 1 = false;                // what it has sent last may be skipped
  bool moves_base_ : 1 = false;            // before its next transaction
  std::unique_ptr<SqlScanner> long_scan_;  // of a text that streams
  std::unique_ptr<std::string> bound_deallocate_;  // ... and the name that it takes away
  Unnamed unnamed_;
  StatementNames names_;
  ProfileRef profile_;
  ProfileRef base_;                   // all of its names are in the profile, too
  std::unique_ptr<Rebase> rebase_;    // nullptr: nothing
  std::unique_ptr<Touched> touched_;  // nullptr: nothing
  std::unique_ptr<NamedTouched> named_touched_;
  PinSet suspects_ = 0;           // what may keep the backend, by the texts since the last answer
  PinSet stands_ = 0;             // what does
  uint64_t careful_profile_ = 0;  // a replay of it has failed: it is sent alone, and waited for

  // Made, not confirmed; oldest first. Of the unnamed statement: what it was before.
  std::unique_ptr<engine::RingQueue<NameChange>> changes_;
  std::unique_ptr<engine::RingQueue<Unnamed>> unnamed_changes_;
  std::unique_ptr<std::string> refusal_;  // the error for the next request
  protocol::SessionMarks marks_;
};

}  // namespace weir::postgres
