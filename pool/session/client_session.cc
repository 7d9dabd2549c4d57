// A logged-in client: requests, borrowing, linking. The login is in client_login.cc, the ends in
// client_end.cc.
#include "pool/session/client_session.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"
#include "pool/session/backend_session.h"
#include "pool/session/pin.h"

namespace weir::pool {

using protocol::Taken;
using protocol::TakeStatus;
using protocol::TransactionStatus;

namespace {

// A client that waits is read on to this many bytes.
constexpr uint32_t kHeldMax = 16 * 1024;

bool Allowed(ClientState from, ClientState to) {
  switch (from) {
    case ClientState::kLogin:
      return to == ClientState::kMoving || to == ClientState::kGreeting ||
             to == ClientState::kClosing;
    case ClientState::kMoving:
      return to == ClientState::kClosing;
    case ClientState::kGreeting:
      return to == ClientState::kIdle || to == ClientState::kClosing;
    case ClientState::kIdle:
      return to == ClientState::kWaiting || to == ClientState::kLinked ||
             to == ClientState::kClosing;
    case ClientState::kWaiting:
      return to == ClientState::kIdle || to == ClientState::kLinked ||
             to == ClientState::kReading || to == ClientState::kClosing;
    case ClientState::kLinked:
    case ClientState::kReading:
      return to == ClientState::kIdle || to == ClientState::kClosing;
    case ClientState::kClosing:
      return false;
  }
  UNREACHABLE();
}

}  // namespace

void ClientSession::Move(ClientState to) {
  services_.trace->Record("client becomes", services_.clients.HandleOf(*this).seat,
                          static_cast<uint64_t>(to));
  CHECK(Allowed(state_, to));
  state_ = to;
  CHECK((state_ == ClientState::kLinked || state_ == ClientState::kReading) ==
        (backend_ != nullptr));
  if (backend_ == nullptr) ddl_.reset();
}

void ClientSession::OnBytes(engine::Slice bytes) {
  switch (state_) {
    case ClientState::kLogin:
      ContinueLogin(std::move(bytes));
      return;
    case ClientState::kMoving:
    case ClientState::kGreeting:
      Hold(bytes);
      return;
    case ClientState::kIdle:
    case ClientState::kLinked:
      if (end_of_stream_) return;
      if (held_.empty() && !awaiting_ready_) {
        Pump(std::move(bytes));
      } else {
        Hold(bytes);
        if (!awaiting_ready_) PumpHeld();
      }
      return;
    case ClientState::kWaiting:
    case ClientState::kReading:
      if (!end_of_stream_) Hold(bytes);
      return;
    case ClientState::kClosing:
      return;
  }
}

void ClientSession::Hold(const engine::Slice& bytes) {
  held_.Append(services_.shard.chunks(), bytes);
  Backpressure();
}

// Reading stops when enough is held or the backend is behind, and goes on when neither is so.
void ClientSession::Backpressure() {
  if (state_ == ClientState::kClosing || state_ == ClientState::kMoving || !stream_.open()) return;
  const bool waits = state_ == ClientState::kWaiting || state_ == ClientState::kReading ||
                     state_ == ClientState::kGreeting || awaiting_ready_;
  // When the shard's memory is used up, nobody who waits brings more of it.
  const uint32_t most = services_.shard.chunks().exhausted() ? 1 : kHeldMax;
  const bool enough = waits && held_.size() >= std::max(most, need_);
  const bool behind = backend_ != nullptr && backend_->stream().above_high_water();
  if (enough || behind) {
    stream_.StopReceiving();
  } else if (!stream_.receiving()) {
    stream_.ResumeReceiving();
  }
}

// Takes what it can from bytes that lie in the receive buffer; the rest is held.
void ClientSession::Pump(engine::Slice bytes) {
  while (bytes.length > 0) {
    input_ = std::move(bytes);
    const Taken taken = requests_->Take(
        input_.bytes(), backend_ == nullptr ? nullptr : &backend_->replies(),
        backend_ != nullptr && services_.pool.OthersWait(backend_->target()), *this);
    taken_bytes_ += taken.consumed;
    bytes = input_.Sub(taken.consumed, input_.length - taken.consumed);
    input_ = {};
    if (taken.status == TakeStatus::kNeedsBackend && state_ == ClientState::kIdle) {
      const Reading reading = BorrowToRead(bytes.bytes());
      if (reading == Reading::kStarted) return;
      if (reading == Reading::kWaits) break;
      if (reading == Reading::kLinked) continue;
    }
    if (!AfterTake(taken)) break;
  }
  if (bytes.length > 0 && state_ != ClientState::kClosing && !end_of_stream_) Hold(bytes);
  if (backend_ != nullptr) Backpressure();
}

void ClientSession::PumpHeld() {
  while ((state_ == ClientState::kIdle || state_ == ClientState::kLinked) && !awaiting_ready_ &&
         !held_.empty() && held_.size() >= need_) {
    input_ = held_.Front();
    if (input_.length < need_) input_ = held_.Gather(services_.shard.chunks(), need_);
    const Taken taken = requests_->Take(
        input_.bytes(), backend_ == nullptr ? nullptr : &backend_->replies(),
        backend_ != nullptr && services_.pool.OthersWait(backend_->target()), *this);
    CHECK(taken.status != TakeStatus::kMore || taken.consumed > 0 || taken.need > input_.length);
    input_ = {};
    taken_bytes_ += taken.consumed;
    held_.Consume(taken.consumed);
    if (taken.status == TakeStatus::kNeedsBackend && state_ == ClientState::kIdle &&
        held_.size() == held_.Front().length) {
      const engine::Slice request = held_.Front();
      const Reading reading = BorrowToRead(request.bytes());
      if (reading == Reading::kStarted) held_.Consume(request.length);
      if (reading == Reading::kLinked) continue;
      if (reading != Reading::kNo) break;
    }
    if (!AfterTake(taken) && taken.status != TakeStatus::kMore) break;
  }
  Backpressure();
  if (end_of_stream_) Goodbye();
}

bool ClientSession::AfterTake(const Taken& taken) {
  if (backend_ != nullptr && requests_->marks().ddl && ddl_ == nullptr)
    ddl_ = services_.catalogues.BeginDdl(services_, route);
  if (backend_ != nullptr) backend_->replies().Flush(*this);
  need_ = 1;
  switch (taken.status) {
    case TakeStatus::kMore:
      need_ = taken.need;
      return false;
    case TakeStatus::kNeedsBackend:
      if (state_ != ClientState::kIdle) return false;
      Borrow(services_.shard.now());
      return backend_ != nullptr;
    case TakeStatus::kAwaitReady:
      awaiting_ready_ = true;
      return false;
    case TakeStatus::kRefused:
      OnSettingsRefused();
      return true;
    case TakeStatus::kNeedsAnother:
      return TakeOwnRoute();
    case TakeStatus::kTerminate:
      end_of_stream_ = true;
      held_.Clear();
      Goodbye();
      return false;
    case TakeStatus::kMalformed:
      services_.metrics.Add(Counter::kClientProtocolErrors);
      Kill({"08P01", taken.error});
      return false;
  }
  UNREACHABLE();
}

// The server refuses settings that the client has made: so its request cannot be served.
void ClientSession::OnSettingsRefused() {
  const std::string error =
      services_.dialect.ReencodeError(backend_->replies().own_error(), /*fatal=*/false);
  Unlink();
  requests_->Refuse(engine::AsBytes(error));
}

void ClientSession::Borrow(engine::Nanos asked) {
  CHECK(state_ == ClientState::kIdle && backend_ == nullptr);
  if (!std::exchange(catalogue_known_, false) &&
      services_.catalogues.Holds(services_, *this, route)) {
    awaiting_ready_ = true;
    return;
  }
  services_.metrics.Add(Counter::kDatabaseConnectionsBorrowRequests);
  since = asked;
  deadline = since + services_.config->connection_pool.connection_borrow_timeout;
  profile = requests_->profile();
  reads = false;
  Move(ClientState::kWaiting);
  Backend* backend = services_.pool.Borrow(*this);
  if (backend == nullptr) return;
  Link(static_cast<BackendSession&>(*backend));
}

void ClientSession::Link(BackendSession& backend) {
  CHECK(state_ == ClientState::kWaiting && backend_ == nullptr);
  backend_ = &backend;
  preferred = 0;
  Move(ClientState::kLinked);
  backend.Join(*this, *requests_);
  JudgeByNow();
  if (backend.SequencesAreRead()) requests_->KeepSequencesApart();
  services_.metrics.RecordBorrow(services_.shard.now() - since);
  if (before != 0) services_.metrics.Add(Counter::kDatabaseConnectionsBorrowedAgain);
  if (before != 0 && before != last)
    services_.metrics.Add(Counter::kDatabaseConnectionsBorrowedOther);
  transaction_began_ = services_.shard.now();
}

void ClientSession::OnBorrowed(Backend& backend) {
  if (state_ == ClientState::kGreeting) {
    ProveOn(static_cast<BackendSession&>(backend));
    return;
  }
  auto& session = static_cast<BackendSession&>(backend);
  if (StartHeldRead(session)) return;
  if (!session.carries()) {
    Link(session);
  } else {
    // It cannot join those that are in flight here. Its time goes on.
    Move(ClientState::kIdle);
    Borrow(since);
  }
  PumpHeld();
}

void ClientSession::OnBorrowFailed(BorrowFailure failure, engine::Bytes why) {
  engine::Bytes server_error;
  std::string text(kBorrowTimedOut.text);
  switch (failure) {
    case BorrowFailure::kTimedOut:
      services_.metrics.Add(Counter::kDatabaseConnectionsBorrowRequestsAborted);
      if (!why.empty()) engine::Append(text, " The last login failed: ", engine::AsText(why));
      break;
    case BorrowFailure::kRefused:
      server_error = why;
      break;
    case BorrowFailure::kShutdown:
      Kill(kShuttingDown);
      return;
  }
  if (state_ == ClientState::kGreeting) {
    if (server_error.empty()) {
      Kill({kBorrowTimedOut.sqlstate, text});
      return;
    }
    const std::string error = services_.dialect.ReencodeError(engine::AsText(server_error), true);
    stream_.Queue(engine::AsBytes(error));
    services_.metrics.Add(Counter::kClientConnectionsSetupFailedAuth);
    Close();
    return;
  }
  CHECK(state_ == ClientState::kWaiting);
  Move(ClientState::kIdle);
  if (server_error.empty()) {
    RefuseRequest(kBorrowTimedOut.sqlstate, text);
  } else {
    const std::string error = services_.dialect.ReencodeError(engine::AsText(server_error), false);
    requests_->Refuse(engine::AsBytes(error));
    PumpHeld();
  }
}

// The request that is held gets an error; the connection stays.
void ClientSession::RefuseRequest(std::string_view sqlstate, std::string_view text) {
  CHECK(state_ == ClientState::kIdle);
  const std::string error = services_.dialect.EncodeError(false, sqlstate, text);
  requests_->Refuse(engine::AsBytes(error));
  PumpHeld();
}

void ClientSession::OnReplies(engine::Slice bytes) {
  CHECK(state_ == ClientState::kLinked);
  input_ = std::move(bytes);
  const protocol::ReplyStatus status = backend_->replies().Take(input_.bytes(), *this);
  input_ = {};
  switch (status) {
    case protocol::ReplyStatus::kOk:
      if (stream_.above_high_water() || (services_.shard.chunks().exhausted() &&
                                         stream_.queued_bytes() > engine::Stream::kLowWater)) {
        stream_.TellWhenDrained();
        backend_->stream().StopReceiving();
      }
      CancelIfDue();
      OnRequestDone();
      return;
    case protocol::ReplyStatus::kMalformed: {
      BackendSession& backend = *backend_;
      const std::string error =
          services_.dialect.EncodeError(true, kServerProtocol.sqlstate, kServerProtocol.text);
      services_.metrics.Add(Counter::kServerProtocolErrors);
      OnBackendLost(error);
      backend.Fail("unexpected message from the server");
      return;
    }
    case protocol::ReplyStatus::kFatal: {
      BackendSession& backend = *backend_;
      const std::string error(backend.replies().fatal_error());
      OnBackendLost(error);
      backend.Fail("the server ended the session");
      return;
    }
  }
}

// Replies have come or a message has gone: is the transaction over, may held bytes go on?
void ClientSession::OnRequestDone() {
  protocol::Replies& replies = backend_->replies();
  if (replies.quiet() && replies.transaction_status() == TransactionStatus::kIdle &&
      !requests_->mid_message() && !requests_->entering()) {
    EndTransaction();
    return;
  }
  if (awaiting_ready_ && (replies.requests_owed() == 0 || replies.copy_in())) {
    awaiting_ready_ = false;
    PumpHeld();
    return;
  }
  if (end_of_stream_) Goodbye();
}

void ClientSession::EndTransaction() {
  const engine::Nanos now = services_.shard.now();
  last_active_ = now;
  DoubtCode();
  // Before anybody else may have the backend: what has the transaction made of the session?
  bool asks = requests_->AskSession(backend_->replies(), *this);
  // What has come to light since that was asked.
  if (!asks && DoubtCode()) asks = requests_->AskSession(backend_->replies(), *this);
  if (asks) {
    awaiting_ready_ = true;
    return;
  }
  // A link that has carried nothing is not a transaction.
  services_.metrics.RecordTransaction(now - transaction_began_);
  transaction_began_ = now;
  const bool ddl = requests_->marks().ddl;
  CheckPin();
  awaiting_ready_ = cancel_due_ = false;
  const bool unlinks = !pinned_ && !keeps_link_;
  // What is asked from now on is judged by what it has made.
  if (ddl) services_.catalogues.OnDdl(services_, route, /*stale=*/unlinks);
  ddl_.reset();
  if (unlinks) {
    Unlink();
  } else {
    JudgeByNow();
  }
  if (requests_->idle_timeout_ms() > 0) ArmTimer();
  if (services_.draining) {
    Kill(kShuttingDown);
  } else if (!held_.empty() || end_of_stream_) {
    PumpHeld();
  }
}

void ClientSession::JudgeByNow() {
  backend_->set_judged_by(services_.catalogues.Reading(services_, route));
}

// What texts do is judged when they are sent. If the database has become another one since, or may
// have, functions, triggers and views may have done more than was seen. True: it is to be asked.
bool ClientSession::DoubtCode() {
  if (requests_->marks().ddl) return requests_->DoubtCode(/*must_ask=*/true);
  const uint64_t reading = services_.catalogues.Reading(services_, route);
  return (reading == 0 || reading != backend_->judged_by()) &&
         requests_->DoubtCode(/*must_ask=*/services_.catalogues.Unknown(services_, route));
}

// After a transaction: has it left something behind that no other client may see?
void ClientSession::CheckPin() {
  const protocol::SessionMarks& marks = requests_->marks();
  const bool kept = std::exchange(keeps_link_, false);
  if (marks.pin_reason != 0 && !pinned_ && !WEIR_FAULT("pin_forgotten")) {
    pinned_ = true;
    pin_reason_ = marks.pin_reason;
    pinned_at_ = services_.shard.now();
    backend_->set_pinned(true);
    LogPin(services_, *this, *backend_, pin_reason_, marks);
    if (services_.config->proxy.pin_notice)
      stream_.Queue(
          engine::AsBytes(services_.dialect.EncodeNotice(PinNotice(services_, pin_reason_))));
  } else if (marks.pin_reason == 0 && pinned_) {
    LogPinEnd(services_, *this, *backend_, pinned_at_, pin_reason_);
    pinned_ = false;
    backend_->set_pinned(false);
  }
  if (marks.writes_sequence || marks.reads_sequence) {
    if (marks.reads_sequence) backend_->NoteSequenceRead();
    if (marks.writes_sequence && backend_->SequencesAreRead()) keeps_link_ = true;
    if (backend_->replies().sequence_owner() == requests_->sequence_mark())
      preferred = backend_->number;
  }
  if (!pinned_ && kept != keeps_link_) {
    const uint8_t reason = services_.dialect.SequencePin();
    if (kept) {
      LogPinEnd(services_, *this, *backend_, pinned_at_, reason);
    } else {
      pinned_at_ = services_.shard.now();
      LogPin(services_, *this, *backend_, reason, marks);
    }
  }
  // A reset has undone init_query: this backend is not what the next client expects.
  reset_backend_ =
      reset_backend_ || (marks.resets && !services_.config->connection_pool.init_query.empty());
  requests_->ClearMarks();
}

void ClientSession::Unlink() {
  BackendSession& backend = *backend_;
  backend_ = nullptr;
  Move(ClientState::kIdle);
  need_ = 1;
  backend.Part(std::exchange(reset_backend_, false));
  if (!stream_.receiving() && stream_.open()) stream_.ResumeReceiving();
}

void ClientSession::ForwardToServer(uint32_t offset, uint32_t length) {
  backend_->Send(input_.Sub(offset, length));
}

void ClientSession::InsertToServer(engine::Bytes bytes) { backend_->stream().Queue(bytes); }

void ClientSession::ForwardToClient(uint32_t offset, uint32_t length) {
  stream_.Queue(input_.Sub(offset, length));
}

void ClientSession::InsertToClient(engine::Bytes bytes) { stream_.Queue(bytes); }

void ClientSession::OnDrained() {
  if (backend_ != nullptr && !backend_->stream().receiving()) backend_->stream().ResumeReceiving();
}

void ClientSession::OnBackendDrained() {
  Backpressure();
  if (!awaiting_ready_) PumpHeld();
}

}  // namespace weir::pool
