#include "protocol/postgres/replies.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/reply_cursor.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {
namespace {

using protocol::ExchangeSink;
using protocol::ReplyStatus;
using protocol::TransactionStatus;

constexpr uint32_t kHeader = 5;

uint32_t ReadLength(const uint8_t* header) {
  return uint32_t{header[1]} << 24 | uint32_t{header[2]} << 16 | uint32_t{header[3]} << 8 |
         header[4];
}

bool IsFake(OwedKind kind) { return kind == OwedKind::kFakeParse || kind == OwedKind::kFakeClose; }

}  // namespace

void PostgresReplies::Join(protocol::Requests& requests) {
  CHECK(listener_ == nullptr && reads_.empty());
  auto& client = static_cast<PostgresRequests&>(requests);
  listener_ = &client;
  client.OnJoined();
}

void PostgresReplies::Part() {
  CHECK(listener_ != nullptr);
  for (size_t i = 0; i < owed_.size(); ++i) {
    if (owed_[i].owner == OwedTo::kClient) owed_[i].owner = OwedTo::kNobody;
    owed_[i].name_change = owed_[i].unnamed_change = false;
  }
  if (named_.size() > 0) SettleNamed();
  if (listener_->SettingsUncertain() && !WEIR_FAULT("settings_of_a_gone_client")) ForgetProfile();
  listener_ = nullptr;
  if (disposal_ == Disposal::kForward) disposal_ = Disposal::kSwallow;
  while (!owed_.empty() && IsFake(owed_.Front().kind)) PopFront();
}

ReplyStatus PostgresReplies::Take(Bytes in, ExchangeSink& sink) {
  Cursor cursor{in, sink};
  if (!reads_.empty()) reads_.Front().begun = reads_.Front().begins;
  // Nothing that comes behind a fatal error counts.
  while (cursor.left() > 0 && !malformed_ && fatal_error_.empty()) {
    if (body_left_ > 0) {
      TakeBody(cursor);
    } else {
      TakeHeader(cursor);
    }
  }
  // What came before a malformed message is answered.
  cursor.FlushRun();
  if (malformed_) return ReplyStatus::kMalformed;
  return fatal_error_.empty() ? ReplyStatus::kOk : ReplyStatus::kFatal;
}

void PostgresReplies::TakeHeader(Cursor& cursor) {
  const bool in_place = head_length_ == 0 && cursor.left() >= kHeader;
  if (in_place) {
    std::memcpy(head_, cursor.data(), kHeader);
  } else {
    const uint32_t part = std::min<uint32_t>(kHeader - head_length_, cursor.left());
    std::memcpy(head_ + head_length_, cursor.data(), part);
    cursor.Skip(part);
    head_length_ = static_cast<uint8_t>(head_length_ + part);
    if (head_length_ < kHeader) return;
  }
  head_length_ = 0;
  const uint32_t length = ReadLength(head_);
  if (length < 4 || length > kMessageLengthMax || !BeginMessage(head_[0], length - 4)) {
    malformed_ = true;
    return;
  }
  const uint32_t here = in_place ? kHeader : 0;
  switch (disposal_) {
    case Disposal::kForward:
      if (in_place) {
        cursor.Extend(kHeader);
      } else {
        cursor.Insert(Bytes(head_, kHeader));
      }
      break;
    case Disposal::kSwallow:
      cursor.Skip(here);
      break;
    case Disposal::kHold:
      if (in_place && body_left_ <= kHeldMax && cursor.left() >= kHeader + body_left_) {
        TakeWholeInPlace(cursor);
        return;
      }
      held_.assign(reinterpret_cast<const char*>(head_), kHeader);
      cursor.Skip(here);
      break;
  }
  if (body_left_ == 0) Finish(cursor);
}

void PostgresReplies::TakeBody(Cursor& cursor) {
  uint32_t part = std::min(body_left_, cursor.left());
  if (disposal_ == Disposal::kForward) {
    cursor.Extend(part);
  } else {
    if (disposal_ == Disposal::kHold) {
      part = std::min(part, kHeader + kHeldMax - static_cast<uint32_t>(held_.size()));
      held_.append(reinterpret_cast<const char*>(cursor.data()), part);
    }
    cursor.Skip(part);
  }
  body_left_ -= part;
  if (body_left_ > 0) {
    if (held_.size() == kHeader + kHeldMax) TakeBeginning(cursor);
    return;
  }
  if (disposal_ == Disposal::kHold) {
    std::string message;
    message.swap(held_);
    std::string rewritten;
    if (OnWhole(message, rewritten)) {
      cursor.Insert(engine::AsBytes(rewritten.empty() ? message : rewritten));
    }
  }
  Finish(cursor);
}

// An error too long to be held is judged by its beginning; the rest follows as it comes.
void PostgresReplies::TakeBeginning(Cursor& cursor) {
  CHECK(disposal_ == Disposal::kHold && type_ == backend::kErrorResponse);
  std::string beginning;
  beginning.swap(held_);
  std::string rewritten;
  disposal_ = OnWholeError(beginning, rewritten) ? Disposal::kForward : Disposal::kSwallow;
  if (disposal_ == Disposal::kForward)
    cursor.Insert(engine::AsBytes(rewritten.empty() ? beginning : rewritten));
}

void PostgresReplies::TakeWholeInPlace(Cursor& cursor) {
  const uint32_t whole = kHeader + body_left_;
  body_left_ = 0;
  std::string rewritten;
  const bool forward = OnWhole(engine::AsText(Bytes(cursor.data(), whole)), rewritten);
  if (forward && rewritten.empty()) {
    cursor.Extend(whole);
  } else {
    // What a server flushes when it ends the session is no reply: the read is sent again.
    if (!fatal_error_.empty() && !reads_.empty() && !reads_.Front().begun) cursor.DropRun();
    cursor.Skip(whole);
    if (forward) cursor.Insert(engine::AsBytes(rewritten));
  }
  Finish(cursor);
}

void PostgresReplies::Finish(Cursor& cursor) {
  if (malformed_ || !Complete()) {
    malformed_ = true;
    return;
  }
  if (read_over_) {
    EndRead(cursor);
    return;
  }
  if (std::exchange(sync_due_, false)) {
    static constexpr uint8_t kSync[] = {frontend::kSync, 0, 0, 0, 4};
    cursor.sink.InsertToServer(kSync);
  }
  if (!owed_.empty() && IsFake(owed_.Front().kind)) {
    cursor.FlushRun();
    Flush(cursor.sink);
  }
}

void PostgresReplies::Flush(ExchangeSink& sink) {
  // Not into a message that the client has a part of; Finish comes here again.
  if (!at_boundary()) return;
  while (!owed_.empty() && IsFake(owed_.Front().kind)) {
    if (owed_.Front().owner == OwedTo::kClient) {
      const uint8_t type = owed_.Front().kind == OwedKind::kFakeParse ? backend::kParseComplete
                                                                      : backend::kCloseComplete;
      const uint8_t message[kHeader] = {type, 0, 0, 0, 4};
      sink.InsertToClient(message);
    }
    if (owed_.Front().name_change && listener_ != nullptr) listener_->OnNameConfirmed();
    PopFront();
  }
}

bool PostgresReplies::BeginMessage(uint8_t type, uint32_t body) {
  if (!reads_.empty()) return BeginReadMessage(type, body);
  type_ = type;
  body_left_ = body;
  // What it listens for is the client's, whatever the server is at.
  const bool notification = type == backend::kNotificationResponse;
  const bool asynchronous =
      type == backend::kNoticeResponse || notification || type == backend::kParameterStatus;
  const bool too_long = body > kHeldMax && type != backend::kErrorResponse;
  // An answer that is too long to be held is none.
  const bool answer = type == backend::kDataRow && body <= kHeldMax && !owed_.empty() &&
                      owed_.Front().purpose == OwnPurpose::kQuestion;
  const bool whole = ReadWhole(type) || answer;
  if (whole && (body == 0 || too_long)) return false;
  if (whole) {
    disposal_ = Disposal::kHold;
  } else if (WEIR_FAULT("reply_not_swallowed") && listener_ != nullptr) {
    disposal_ = Disposal::kForward;
  } else if (listener_ != nullptr &&
             (asynchronous ? notification || owed_.empty() || owed_.Front().owner == OwedTo::kClient
                           : !owed_.empty() && owed_.Front().owner == OwedTo::kClient)) {
    disposal_ = Disposal::kForward;
  } else {
    disposal_ = Disposal::kSwallow;
  }
  return true;
}

bool PostgresReplies::Complete() {
  if (!reads_.empty()) return CompleteRead();
  switch (type_) {
    case backend::kNoticeResponse:
    case backend::kNotificationResponse:
    case backend::kParameterStatus:
      return true;
    case backend::kErrorResponse:
      return OnError();
    case backend::kReadyForQuery:
      return OnReadyForQuery();
    default:
      return !owed_.empty() && CompletePart(owed_.Front());
  }
}

// Replies to the request at the head, but for the three that are read.
bool PostgresReplies::CompletePart(Owed& head) {
  const bool simple = head.kind == OwedKind::kQuery;
  const bool execute = head.kind == OwedKind::kExecute;
  switch (type_) {
    case backend::kParseComplete:
      if (head.kind != OwedKind::kParse) return false;
      PopFront();
      return true;
    case backend::kBindComplete:
      if (head.kind != OwedKind::kBind) return false;
      PopFront();
      return true;
    case backend::kCloseComplete:
      if (head.kind != OwedKind::kClose) return false;
      PopFront();
      return true;
    case backend::kParameterDescription:
      return head.kind == OwedKind::kDescribe;
    case backend::kRowDescription:
    case backend::kNoData:
      if (head.kind == OwedKind::kDescribe) {
        PopFront();
        return true;
      }
      return simple && type_ == backend::kRowDescription;
    case backend::kDataRow:
      return simple || execute;
    case backend::kCommandComplete:
    case backend::kEmptyQueryResponse:
      copy_in_ = false;
      // The portal that was to drop names was another one.
      if (type_ == backend::kEmptyQueryResponse && execute) head.failed = true;
      if (execute) PopFront();
      return simple || execute;
    case backend::kPortalSuspended:
      if (!execute) return false;
      PopFront();
      return true;
    case backend::kCopyInResponse:
    case backend::kCopyBothResponse:
      if (!simple && !execute) return false;
      OnCopyIn();
      return true;
    case backend::kCopyOutResponse:
    case backend::kCopyData:
    case backend::kCopyDone:
      return simple || execute;
    case backend::kFunctionCallResponse:
      return head.kind == OwedKind::kFunctionCall;
    default:
      return false;
  }
}

// While it waits for the client's data the server ignores Sync: those sent behind the request and
// before the end of the data get no answer. The end may have been sent already.
void PostgresReplies::OnCopyIn() {
  while (owed_.Front().copy_ends == 0 && owed_.size() > 1 && owed_[1].kind == OwedKind::kSync) {
    Owed head = owed_.PopFront();
    CountEnd(owed_.Front());
    head.copy_ends = owed_.Front().copy_ends;
    owed_.Front() = std::move(head);
  }
  if (owed_.size() == 1 && owed_.Front().kind == OwedKind::kExecute) open_batch_ = true;
  copy_in_ = owed_.Front().copy_ends == 0;
  if (!copy_in_) --owed_.Front().copy_ends;
}

void PostgresReplies::EndCopyIn() {
  if (copy_in_) {
    copy_in_ = false;
  } else if (!owed_.empty() && owed_.Back().copy_ends < UINT16_MAX &&
             !WEIR_FAULT("copy_end_ahead_forgotten")) {
    ++owed_.Back().copy_ends;
  }
}

bool PostgresReplies::OnReadyForQuery() {
  if (owed_.empty() || !EndsRequest(owed_.Front().kind)) return false;
  switch (ready_status_) {
    case 'I':
      status_ = TransactionStatus::kIdle;
      break;
    case 'T':
      status_ = TransactionStatus::kInTransaction;
      break;
    case 'E':
      status_ = TransactionStatus::kFailed;
      break;
    default:
      return false;
  }
  copy_in_ = false;
  if (status_ == TransactionStatus::kIdle && client_at_head() && listener_ != nullptr)
    listener_->OnTransactionEnded();
  PopFront();
  return true;
}

bool PostgresReplies::OnError() {
  if (!fatal_error_.empty()) return true;
  if (owed_.empty()) return false;
  copy_in_ = false;
  if (client_at_head() && listener_ != nullptr) listener_->OnRequestFailed(syntax_error_);
  if (owed_.Front().kind == OwedKind::kQuery || owed_.Front().kind == OwedKind::kFunctionCall) {
    owed_.Front().failed = true;
    return true;
  }
  SkipToSync();
  return true;
}

// An entry of owed_ that never came to be, from the front on. `refused`: the server has seen it.
void PostgresReplies::Undo(const Owed& owed, bool refused, Undone& undone) {
  if (owed.name_change) ++undone.names;
  // A refused Parse has destroyed what was there. What weir parsed again stays the client's.
  const bool destroyed = refused && owed.unnamed_parse && owed.owner == OwedTo::kClient;
  if (owed.unnamed_change && !destroyed) ++undone.unnamed;
  if (!destroyed || listener_ == nullptr) return;
  if (owed.unnamed_change) listener_->OnUnnamedConfirmed();
  listener_->OnUnnamedRefused();
}

void PostgresReplies::TellUndone(const Undone& undone) {
  if (listener_ == nullptr) return;
  if (undone.names > 0) listener_->OnNamesUndone(undone.names);
  if (undone.unnamed > 0) listener_->OnUnnamedUndone(undone.unnamed);
}

// The server reads on to the next Sync. What stands before it in owed_ never came to be.
void PostgresReplies::SkipToSync() {
  size_t skipped = 0;
  Undone undone;
  while (skipped < owed_.size() && owed_[skipped].kind != OwedKind::kSync &&
         !owed_[skipped].fenced) {
    const Owed& owed = owed_[skipped];
    Undo(owed, skipped == 0, undone);
    if (owed.kind == OwedKind::kParse && owed.statement != 0 &&
        !WEIR_FAULT("failed_parse_remembered"))
      prepared_.Remove(owed.statement);
    if (owed.kind == OwedKind::kClose && owed.statement != 0 && skipped > 0) Forget(owed.statement);
    if (owed.unnamed_parse) unnamed_tag_ = 0;
    if (owed.purpose == OwnPurpose::kPlace) {
      --places_owed_;
      ForgetNamed();
      if (listener_ != nullptr) listener_->OnPlacesSkipped();
    }
    if (ChangesPrepared(owed)) --changes_owed_;
    if (owed.discards_sequences) {
      --discards_owed_;
      sequence_owner_ = kSeveralOwners;
    }
    CountEnd(owed);
    ++skipped;
  }
  TellUndone(undone);
  for (; skipped > 0; --skipped) owed_.PopFront();
  bool bound = false;
  for (size_t i = 0; i < owed_.size(); ++i) bound = bound || owed_[i].kind == OwedKind::kBind;
  if (!bound && listener_ != nullptr) listener_->OnBindsUndone();
  if (owed_.empty()) {
    skipping_ = open_batch_ = true;
  } else {
    owed_.Front().failed = true;
    if (owed_.Front().fenced) EndFence();
  }
}

// The server skips a Query, too, behind a message of weir's that has failed: the error is its
// answer, and its end that of a Sync.
void PostgresReplies::EndFence() {
  owed_.Front().kind = OwedKind::kSync;
  owed_.Front().fenced = false;
  sync_due_ = true;
  if (client_at_head() && listener_ != nullptr) listener_->OnRequestFailed(/*syntax=*/false);
}

// One that leaves owed_.
void PostgresReplies::CountEnd(const Owed& owed) {
  if (!EndsRequest(owed.kind)) return;
  CHECK(requests_owed_ > 0);
  --requests_owed_;
  ++requests_ended_;
  if (owed.owner == OwedTo::kWeir) --own_requests_owed_;
  if (owed.purpose == OwnPurpose::kQuestion) ++answered_;
  CHECK(own_requests_owed_ <= requests_owed_);
}

void PostgresReplies::PopFront() {
  const Owed owed = owed_.PopFront();
  if (ChangesPrepared(owed)) --changes_owed_;
  if (owed.discards_sequences) --discards_owed_;
  if (owed.purpose == OwnPurpose::kPlace) --places_owed_;
  CountEnd(owed);
  if (listener_ == nullptr) return;
  if (owed.name_change && owed.failed) {
    listener_->OnNamesUndone(1);
  } else if (owed.name_change && !IsFake(owed.kind)) {
    listener_->OnNameConfirmed();
  }
  if (owed.unnamed_change) listener_->OnUnnamedConfirmed();
}

void PostgresReplies::Push(Owed owed) {
  CHECK(!skipping_ || owed.kind == OwedKind::kSync);
  if (EndsRequest(owed.kind)) {
    ++requests_owed_;
    if (owed.owner == OwedTo::kWeir) ++own_requests_owed_;
    owed.failed = skipping_;
    open_batch_ = skipping_ = false;
  } else {
    open_batch_ = true;
  }
  if (ChangesPrepared(owed)) ++changes_owed_;
  if (owed.discards_sequences) ++discards_owed_;
  if (owed.purpose == OwnPurpose::kPlace) ++places_owed_;
  owed_.PushBack(std::move(owed));
}

bool PostgresReplies::awaits_server() const {
  size_t left = owed_.size();
  while (left > 0 && IsFake(owed_[left - 1].kind)) --left;
  return left > 0;
}

}  // namespace weir::postgres
