// The backend's half of an exchange: what the server still owes, in order, and to whom.
//
// Server bytes are looked at header by header; bodies are forwarded unread, but for three small
// messages (ErrorResponse, ParameterStatus, ReadyForQuery). A split header and a split one of those
// three are kept here until they are whole.
//
// What is owed is pushed by the client's half (Requests) when a message is sent, and popped when
// its last reply has come:
//
//   Parse '1' | Bind '2' | Close '3' | Describe 't'? then 'T' or 'n' | Execute ... 'C' 'I' or 's' |
//   Sync 'Z' Query ... 'Z' | FunctionCall 'V' 'Z'
//
// An error in the extended protocol makes the server skip everything up to the next Sync: those
// entries are undone (names and prepared statements that never came to be) and dropped. (PostgreSQL
// protocol 3.0, "Extended Query".)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/ring_queue.h"
#include "protocol/dialect.h"
#include "protocol/postgres/catalogue.h"
#include "protocol/postgres/profile.h"
#include "protocol/postgres/sql_scan.h"
#include "protocol/postgres/statements.h"

namespace weir::postgres {

using engine::Bytes;

enum class OwedKind : uint8_t {
  kParse,
  kBind,
  kClose,
  kDescribe,
  kExecute,
  kSync,
  kQuery,
  kFunctionCall,
  kFakeParse,  // weir answers itself, when it is the turn
  kFakeClose,
};

// The server answers with ReadyForQuery.
inline bool EndsRequest(OwedKind kind) {
  return kind == OwedKind::kSync || kind == OwedKind::kQuery || kind == OwedKind::kFunctionCall;
}

// Whose sequence values are readable on a backend, where it is not one client: those of several.
inline constexpr uint64_t kSeveralOwners = UINT64_MAX;

enum class OwedTo : uint8_t { kClient, kWeir, kNobody };

// What a statement of weir's own is for, where its answer counts.
enum class OwnPurpose : uint8_t {
  kNone,
  kReplay,        // brings the session to the client's profile, before its first message is sent
  kFencedReplay,  // ... in the same send as that: must end the session if it fails
  kQuestion,      // its rows are kept
  kRebase,        // gives the client its base back; its reports are the client's
  kPlace,         // statements under the client's own names, ahead of a message of its own
};

struct Owed {
  OwedKind kind = OwedKind::kSync;
  OwedTo owner = OwedTo::kClient;
  bool name_change = false;     // the client's oldest unconfirmed change of a name belongs to it
  bool unnamed_change = false;  // ... and of the unnamed statement
  bool unnamed_parse = false;   // a Parse of the unnamed statement
  bool discards_sequences = false;  // weir's DISCARD SEQUENCES ahead of a client's message
  bool resets = false;              // a Query that does nothing but reset settings
  bool fenced = false;  // a Query or FunctionCall that is skipped if what is ahead of it fails
  bool failed = false;  // its error has come
  OwnPurpose purpose = OwnPurpose::kNone;
  uint16_t copy_ends = 0;     // CopyDone or CopyFail sent behind it, before it was their turn
  StatementId statement = 0;  // prepared by this Parse, or closed by this Close, on the server
  // The client's name for the statement, where its id alone does not tell.
  std::unique_ptr<std::string> name = nullptr;
};

// It may prepare statements or close them, or change the unnamed one.
inline bool ChangesPrepared(const Owed& owed) {
  return owed.kind == OwedKind::kParse || owed.kind == OwedKind::kClose || owed.unnamed_change;
}

// A read that is in flight together with others (Requests::StartRead): it gets all replies up to
// its one ReadyForQuery. What weir has sent ahead of it, a Close or a Parse, is answered first.
struct OwedRead {
  class OwedListener* reader = nullptr;  // nullptr: nobody, its replies are swallowed
  uint16_t own_left = 0;                 // replies to what weir has sent ahead
  StatementId parses = 0;                // prepared by that, and not known to be there yet
  bool parses_unnamed = false;           // it, or weir ahead of it, parses the unnamed statement
  bool parse_left = false;               // the client's own Parse is not answered yet
  bool failed = false;                   // its error has come
  bool refused = false;                  // ... for its Parse
  bool begins = false;                   // a part of its reply has come
  bool begun = false;                    // ... in an earlier Take: the reader has it
};

// How the client's half hears what became of the changes it made in advance.
class OwedListener {
 public:
  virtual ~OwedListener() = default;
  virtual void OnNameConfirmed() = 0;            // the oldest change stands
  virtual void OnNamesUndone(size_t count) = 0;  // the oldest `count` changes never were
  // The same of the unnamed statement's changes.
  virtual void OnUnnamedConfirmed() = 0;
  virtual void OnUnnamedUndone(size_t count) = 0;
  virtual void OnUnnamedRefused() = 0;  // the server has none, behind what is confirmed
  virtual void OnBindsUndone() = 0;     // no portal that was bound is what it was to be
  virtual std::string NameOf(StatementId statement) = 0;  // the client's, for error texts
  virtual const Statement* StatementOf(std::string_view name) const = 0;  // nullptr: none
  virtual void OnPlacesSkipped() = 0;  // what was to be there of the client's own may not be
  virtual bool SettingsUncertain() const = 0;  // the session's settings may not be the profile's
  virtual void OnReplayFailed() = 0;           // fenced: the backend is lost
  // The value of a setting of the client's base, nullptr if it is none.
  virtual const std::string* BaseValue(std::string_view name) const = 0;
  virtual void OnTransactionEnded() = 0;  // the client knows it to be over
  // ... and that its request has failed. `syntax`: the server could not read it.
  virtual void OnRequestFailed(bool syntax) = 0;
};

class PostgresReplies final : public protocol::Replies {
 public:
  static constexpr size_t kOwedMax = 16384;
  static constexpr uint32_t kHeldMax = 64 * 1024;
  static constexpr size_t kAnswerValuesMax = 16384;  // more are no answer

  // protocol::Replies
  void Join(protocol::Requests& requests) override;
  void Part() override;
  [[nodiscard]] protocol::ReplyStatus Take(Bytes in, protocol::ExchangeSink& sink) override;
  void Flush(protocol::ExchangeSink& sink) override;
  protocol::TransactionStatus transaction_status() const override { return status_; }
  bool settled() const override { return owed_.empty() && !open_batch_ && reads_.empty(); }
  bool quiet() const override { return settled() && between_messages(); }
  bool at_boundary() const override { return body_left_ == 0 || disposal_ != Disposal::kForward; }
  size_t owed() const override { return owed_.size(); }
  bool client_at_head() const override {
    if (!reads_.empty()) return reads_.Front().reader != nullptr;
    return !owed_.empty() && owed_.Front().owner == OwedTo::kClient;
  }
  uint64_t requests_ended() const override { return requests_ended_; }
  size_t requests_owed() const override { return requests_owed_; }
  bool copy_in() const override { return copy_in_; }
  std::string_view fatal_error() const override { return fatal_error_; }
  std::string_view fatal_sqlstate() const override { return fatal_sqlstate_; }
  bool open_batch() const override { return open_batch_; }
  bool FailOwed(Bytes error, protocol::ExchangeSink& sink) override;
  bool FinishAbandoned(bool mid_message, protocol::ExchangeSink& sink) override;
  void OnDiscarded() override;
  void ForgetUnnamed() override { unnamed_tag_ = 0; }
  void OwnStatement(std::string_view sql, protocol::ExchangeSink& sink) override;
  bool own_statement_failed() const override { return own_error_.has_value(); }
  std::string_view own_error() const override {
    return own_error_.has_value() ? std::string_view(*own_error_) : std::string_view();
  }
  uint64_t profile() const override {
    return profile_known_ ? profile_.id() : protocol::kUnknownProfile;
  }
  const protocol::Parameters& reported() const override { return reported_; }
  void Leave() override;
  bool ascii_trailing_bytes() const override { return lex_mode_.ascii_trailing_bytes; }
  void UseCatalogue(const protocol::CatalogueView* view) override { catalogue_ = view; }
  uint64_t sequence_owner() const override { return sequence_owner_; }
  size_t reads() const override { return reads_.size(); }
  void DisownRead(size_t place) override;

  // For the client's half.
  // A read may be sent, behind those that are in flight.
  bool TakesReads() const;
  void PushRead(const OwedRead& read) { reads_.PushBack(read); }
  // One that is in flight prepares the statement: whether it will be there is not known.
  bool ReadParses(StatementId statement) const;
  bool AnyReadParses() const;
  void Push(Owed owed);
  // What OwnStatementMessages will be answered with (kRebase, kPlace and a DISCARD SEQUENCES: with
  // its portal closed, too). Returns whether its name has to be closed first.
  bool PushOwnStatement(bool sync, OwnPurpose purpose = OwnPurpose::kNone,
                        bool discards_sequences = false);
  // The same of AppendOwnExecution.
  void PushOwnExecution(OwnPurpose purpose);
  // One that has been sent, and may fail, may leave its name to the next.
  void DoubtOwnName() { own_name_left_ = true; }
  void ForgetAnswers();  // a statement of weir's own is about to be sent whose answer counts
  // What a question was answered with: the values of its rows, one row behind the other; no value:
  // NULL.
  struct Answer {
    std::vector<std::optional<std::string>> values;
    bool failed = false;
  };
  // Of the questions sent since then, in their order. There is one; all that were sent together
  // have been answered.
  const Answer& first_answer() const;
  const Answer& last_answer() const;

  // The settings that the session is in, if known.
  bool InProfile(const ProfileRef& profile) const { return profile_known_ && profile_ == profile; }
  bool profile_known() const { return profile_known_; }
  const Settings& settings() const { return profile_.settings(); }
  void set_profile(const ProfileRef& profile) {
    profile_ = profile;
    profile_known_ = true;
  }
  void ForgetProfile() { profile_known_ = false; }
  // What init_query has set: every session of the route begins with it.
  const Settings& initial() const { return initial_; }
  void set_initial(Settings initial) { initial_ = std::move(initial); }
  // It has come from another shard.
  void Arrive(ProfileTable& profiles);
  // Of the client itself, the requests that are not answered.
  size_t client_requests_owed() const { return requests_owed_ - own_requests_owed_; }
  // Something is owed that the server answers, not weir.
  bool awaits_server() const;
  bool full() const { return owed_.size() >= kOwedMax; }
  // An earlier request that prepares the statement or closes it is not answered yet: whether it
  // will be there is not known.
  bool StatementInFlight(StatementId statement) const;
  // The same of the unnamed statement, unless the request at hand changes it first.
  bool UnnamedInFlight() const;
  bool skipping() const { return skipping_; }  // the server ignores all but Sync
  // A CopyDone or CopyFail has been sent. It may be ahead of the server's CopyInResponse.
  void EndCopyIn();
  LexMode lex_mode() const { return lex_mode_; }
  const Catalogue* catalogue() const {
    return catalogue_ == nullptr ? nullptr : static_cast<const Catalogue*>(catalogue_->now);
  }
  void set_parameter(std::string_view name,
                     std::string_view value);  // at login, then by ParameterStatus

  PreparedSet& prepared() { return prepared_; }
  // What it has under clients' own names, of whichever client: nobody else may find it there.
  StatementNames& named() { return named_; }
  void ForgetNamed();
  // What is to be there, or to go, may be skipped by the server.
  bool places_in_flight() const { return places_owed_ > 0 && requests_owed_ > 0; }
  // A DISCARD or DEALLOCATE may have failed after the map was cleared: a Parse is then preceded by
  // a Close.
  void ForgetPrepared();
  bool close_first() const { return close_first_; }
  // It is on the server, or may be, and does not count as prepared.
  void Forget(StatementId id) {
    close_first_ = true;
    forgotten_.push_back(id);
  }
  // Those, each once. They are about to be closed.
  std::vector<StatementId> TakeForgotten();

  uint64_t unnamed_tag() const {
    return unnamed_tag_;
  }  // which unnamed statement the server will have; 0: unknown
  void set_unnamed_tag(uint64_t tag) { unnamed_tag_ = tag; }
  void set_sequence_owner(uint64_t owner) { sequence_owner_ = owner; }
  // Whether the sequence values of others are gone is not known yet.
  bool discard_in_flight() const { return discards_owed_ > 0; }

 private:
  enum class Disposal : uint8_t { kForward, kSwallow, kHold };
  struct Cursor;

  bool between_messages() const { return body_left_ == 0 && head_length_ == 0; }
  void TakeHeader(Cursor& cursor);
  void TakeBody(Cursor& cursor);
  void TakeBeginning(Cursor& cursor);
  void TakeWholeInPlace(Cursor& cursor);
  void Finish(Cursor& cursor);
  bool BeginMessage(uint8_t type, uint32_t body);
  // A message that is read, header included; of an error perhaps only the beginning. Returns
  // whether the client gets it; `rewritten` if not as it is.
  bool OnWhole(std::string_view message, std::string& rewritten);
  bool OnWholeError(std::string_view message, std::string& rewritten);
  bool OnReport(std::string_view body, std::string& rewritten);
  void OnAnswer(std::string_view body);
  std::string Reported(std::string_view name) const;
  void Report(std::string_view name, std::string_view value);
  void RewriteNames(std::string_view message, std::string& rewritten) const;
  // The same for the read at the head, in replies_reads.cc.
  bool BeginReadMessage(uint8_t type, uint32_t body);
  // What comes is the answer to what the reader has sent, not to what weir has.
  bool reader_answered() const {
    return reads_.Front().reader != nullptr && reads_.Front().own_left == 0;
  }
  bool CompleteRead();
  bool CompletePartOfRead(OwedRead& read);
  bool OnReadError(OwedRead& read);
  void EndRead(Cursor& cursor);
  // What a whole message means for owed_; false: the server must not send it now.
  bool Complete();
  bool CompletePart(Owed& head);
  bool OnError();
  bool OnReadyForQuery();
  void OnCopyIn();
  // What became of the changes that belong to what is owed.
  struct Undone {
    size_t names = 0;
    size_t unnamed = 0;
  };
  void Undo(const Owed& owed, bool refused, Undone& undone);
  void TellUndone(const Undone& undone);
  void SkipToSync();
  void CountEnd(const Owed& owed);
  void PopFront();
  void EndFence();
  void SettleNamed();

  // What every message touches.
  engine::RingQueue<Owed> owed_;
  engine::RingQueue<OwedRead> reads_;  // or these: while there are any, nothing else is owed
  OwedListener* listener_ = nullptr;   // the joined client's half
  uint32_t body_left_ = 0;
  uint8_t head_length_ = 0;  // bytes of a split header
  uint8_t head_[5] = {};
  uint8_t type_ = 0;
  uint8_t ready_status_ = 0;  // of the ReadyForQuery in hand
  Disposal disposal_ = Disposal::kSwallow;
  bool open_batch_ = false;  // messages sent that wait for a Sync
  bool skipping_ = false;
  bool copy_in_ = false;
  bool malformed_ = false;
  bool close_first_ = false;
  bool sync_due_ = false;   // weir has to end what the server skips
  bool read_over_ = false;  // the message in hand is the last of the read at the head
  protocol::TransactionStatus status_ = protocol::TransactionStatus::kIdle;
  LexMode lex_mode_;
  const protocol::CatalogueView* catalogue_ = nullptr;
  size_t requests_owed_ = 0;
  size_t own_requests_owed_ = 0;  // ... of them weir's own
  uint64_t requests_ended_ = 0;
  size_t discards_owed_ = 0;
  size_t places_owed_ = 0;   // of those under clients' names
  size_t changes_owed_ = 0;  // of those that change what is prepared
  uint64_t unnamed_tag_ = 0;
  uint64_t sequence_owner_ = 0;

  ProfileRef profile_;
  bool profile_known_ = true;
  Settings initial_;
  protocol::Parameters reported_;  // as the session's client has been told
  Settings carried_;               // of the profile, between shards
  std::vector<Answer> answers_;
  size_t answered_ = 0;                   // of them
  bool own_name_left_ = false;            // a statement of weir's own has failed before its Close
  std::optional<std::string> own_error_;  // of weir's last statement that failed, as a message

  PreparedSet prepared_;
  std::vector<StatementId> forgotten_;
  StatementNames named_;
  std::string held_;  // a message that is read, header included
  std::string fatal_error_;
  std::string fatal_sqlstate_;
  bool syntax_error_ = false;  // the error in hand
};

}  // namespace weir::postgres
