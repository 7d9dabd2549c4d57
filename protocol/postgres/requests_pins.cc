// What else than settings the client may have left in the session, and whether it has.
//
// A text only makes a suspect: what it names may have failed, been rolled back, or been gone again
// before the transaction's end. So between transactions the server is asked, for what the texts
// since the last answer may have begun, or ended of what stands; a text that does neither costs
// nothing. What no question tells of stands until the client leaves.
#include <bit>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/request_cursor.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {

namespace {

constexpr PinSet kStatements = Only(PinReason::kPreparedStatement);

constexpr size_t kStatementLogged = 4096;

}  // namespace

void PostgresRequests::Suspect(Cursor& cursor, PinReason reason, std::string_view text) {
  suspects_ |= Only(reason);
  if (marks_.pin_reason != 0) return;
  marks_.pin_reason = static_cast<uint8_t>(reason);
  Remember(cursor, text);
}

// It may be why the backend will be kept.
void PostgresRequests::Remember(Cursor& cursor, std::string_view text) {
  using Told = protocol::SessionMarks::Statement;
  marks_.statement = std::make_unique<Told>(Told{Digest(text, cursor.backend->lex_mode()),
                                                 std::string(text.substr(0, kStatementLogged))});
}

void PostgresRequests::MarkPins(Cursor& cursor, const Verdict& verdict, std::string_view text) {
  PinSet pins = verdict.pins;
  if (verdict.pin != PinReason::kNone) Suspect(cursor, verdict.pin, text);
  if ((verdict.flags & Verdict::kSets) != 0) {
    const PinSet settings = MarkSettings(cursor, verdict, text);
    if (settings != 0) Suspect(cursor, FirstOf(settings), text);
    pins |= settings;
  }
  if ((verdict.flags & Verdict::kOpaque) != 0) MarkOpaque(cursor, text);
  // With pg_temp in search_path what is created without a word of it is temporary, too.
  if ((verdict.flags & Verdict::kDdl) != 0) pins |= Only(PinReason::kTemporaryObject);
  // What others have parsed here may mean something else from now on.
  if (Has(verdict.pins, PinReason::kTemporaryObject)) cursor.backend->ForgetPrepared();
  suspects_ |= pins | (verdict.ends & stands_);
}

// Code runs that may leave behind whatever can be asked about.
void PostgresRequests::MarkOpaque(Cursor& cursor, std::string_view text) {
  using OpaqueCalls = protocol::ExchangeOptions::OpaqueCalls;
  switch (context_.options.opaque_calls) {
    case OpaqueCalls::kTrust:
      return;
    case OpaqueCalls::kPin:
      Suspect(cursor, PinReason::kFunction, text);
      return;
    case OpaqueCalls::kProbe:
      break;
  }
  suspects_ |= kAskable;
  if (touched_ == nullptr) touched_ = std::make_unique<Touched>();
  touched_->opaque = true;
  if (marks_.pin_reason == 0 && marks_.statement == nullptr) Remember(cursor, text);
}

// A statement of a kind that nobody knows has not run if the server could not read it: mostly, it
// is a slip of the keyboard.
void PostgresRequests::OnRequestFailed(bool syntax) {
  if (touched_ != nullptr) touched_->failed = true;
  if (!syntax || texts_ != 1 || suspects_ != Only(PinReason::kUnknownStatement)) return;
  suspects_ = 0;
  marks_.pin_reason = static_cast<uint8_t>(FirstOf(stands_));
}

void PostgresRequests::Pin(uint8_t reason) {
  stands_ |= Only(static_cast<PinReason>(reason));
  marks_.pin_reason = static_cast<uint8_t>(FirstOf(stands_));
}

bool PostgresRequests::discardable() const {
  return ((stands_ | suspects_) & ~kDiscardable) == 0 && !long_scan_;
}

// What it has set of names that nobody knows is not asked for: so nobody finds it here, the client
// neither.
bool PostgresRequests::AskSession(protocol::Replies& replies, protocol::ExchangeSink& sink) {
  PostgresReplies& backend = static_cast<PostgresReplies&>(replies);
  CHECK(backend.settled());
  Cursor cursor{{}, &backend, false, sink, {}};
  if (AskOn(cursor)) return true;
  if (doubted_ && stands_ == 0) {
    backend.ForgetProfile();
    backend.ForgetNamed();
  }
  return false;
}

// A question about the session is under way.
bool PostgresRequests::AsksNow() const {
  return asks_pins_ || stops_timeout_ || (touched_ != nullptr && touched_->asking != Asking::kNo) ||
         (named_touched_ != nullptr && named_touched_->asking);
}

bool PostgresRequests::DoubtCode(bool must_ask) {
  using OpaqueCalls = protocol::ExchangeOptions::OpaqueCalls;
  if (texts_ == 0 || doubted_ || context_.options.opaque_calls == OpaqueCalls::kTrust) return false;
  // The answer is to what has been asked.
  if (AsksNow()) return false;
  // It is kept, whatever the answers.
  if (((suspects_ | stands_) & ~(kAskable | Only(PinReason::kSettings))) != 0) return false;
  doubted_ = true;
  if (context_.options.opaque_calls == OpaqueCalls::kPin && !must_ask) {
    suspects_ |= Only(PinReason::kFunction);
    return true;
  }
  // Statements that others have left under their names are here, too: no question tells whose.
  suspects_ |= kAskable & ~kStatements;
  if (touched_ == nullptr) touched_ = std::make_unique<Touched>();
  touched_->opaque = true;
  return true;
}

bool PostgresRequests::AskOn(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  if (touched_ == nullptr && suspects_ == 0) {
    rebase_.reset();
    return StopIdleTimeout(cursor);
  }
  // Asked beside settings: those may ask on.
  if (asks_pins_) KeepPins(backend);
  if (!AskSettings(cursor))
    return AskStatements(cursor) || AskPins(cursor) || StopIdleTimeout(cursor);
  AskPinsToo(cursor);
  return true;
}

// On a backend that others may have the server must not end the session because a client is idle:
// weir ends that client. True if something has been sent.
bool PostgresRequests::StopIdleTimeout(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  if (stops_timeout_) {
    stops_timeout_ = false;
    if (backend.own_statement_failed()) backend.ForgetProfile();
    return false;
  }
  if (profile_.idle_timeout_ms() == 0 || stands_ != 0 || !backend.InProfile(profile_)) return false;
  stops_timeout_ = true;
  Settings settings = profile_.settings();
  for (Setting& each : settings) {
    if (each.name == kIdleTimeout) each.value = "0";
  }
  const Calls calls = {kIdleTimeout, "0"};
  SendOwn(cursor, SetConfigs(calls), OwnPurpose::kReplay, calls);
  backend.set_profile(context_.profiles.Intern(std::move(settings)));
  // If it goes on here, it has its own again.
  entry_ = Entry::kDue;
  return true;
}

// Beside the first question of settings, if its answer cannot matter.
void PostgresRequests::AskPinsToo(Cursor& cursor) {
  constexpr PinSet kSettings = Only(PinReason::kSettings);
  const bool first = touched_->asking == Asking::kSession || touched_->asking == Asking::kValues;
  const bool kept = (stands_ & ~kAskable) != 0 || (suspects_ & ~(kAskable | kSettings)) != 0;
  TouchAllNames(*cursor.backend);
  if (!first || kept || PinsToAsk() == 0) return;
  asks_pins_ = true;
  cursor.backend->DoubtOwnName();
  SendOwn(cursor, PinQuestion(PinsToAsk()), OwnPurpose::kQuestion);
}

// Statements that have names are asked about by these (AskStatements).
PinSet PostgresRequests::PinsToAsk() const {
  const bool names = named_touched_ != nullptr && !named_touched_->names.empty();
  return suspects_ & kAskable & (names ? ~kStatements : ~PinSet{0});
}

bool PostgresRequests::AskPins(Cursor& cursor) {
  stands_ |= suspects_ & ~kAskable;
  suspects_ &= kAskable;
  // Whatever the answer, it is kept.
  if ((stands_ & ~kAskable) != 0) stands_ |= std::exchange(suspects_, 0);
  if (suspects_ == 0) {
    TellPin();
    return false;
  }
  asks_pins_ = true;
  SendOwn(cursor, PinQuestion(suspects_), OwnPurpose::kQuestion);
  return true;
}

void PostgresRequests::KeepPins(PostgresReplies& backend) {
  const auto& [answer, failed] = backend.last_answer();
  const PinSet asked = PinsToAsk();
  const bool known = !failed && answer.size() == static_cast<size_t>(std::popcount(asked));
  asks_pins_ = false;
  if (Has(asked, PinReason::kTemporaryObject)) backend.ForgetPrepared();
  size_t at = 0;
  for (PinSet left = asked; left != 0; left &= left - 1, ++at) {
    const PinSet reason = Only(FirstOf(left));
    const bool gone = known && answer[at] == "f";
    if (gone || WEIR_FAULT("answer_about_pins_ignored")) {
      stands_ &= ~reason;
    } else {
      stands_ |= reason;
    }
  }
  if ((asked & kStatements) != 0) unknown_names_ = (stands_ & kStatements) != 0;
  suspects_ &= ~asked;
}

// For which of the reasons the backend is kept: the one whose statement is known, if it stands.
void PostgresRequests::TellPin() {
  if (Has(stands_, static_cast<PinReason>(marks_.pin_reason))) return;
  if (marks_.pin_reason != 0) marks_.statement.reset();
  marks_.pin_reason = static_cast<uint8_t>(FirstOf(stands_));
}

}  // namespace weir::postgres
