#include "tests/fuzz/model_session.h"

#include <algorithm>
#include <utility>

#include "protocol/postgres/encode.h"

namespace weir::fuzz {

using protocol::ReplyStatus;
using protocol::Taken;
using protocol::TakeStatus;
using protocol::TransactionStatus;

namespace {

const std::string& LostError() {
  static const std::string error =
      Encode('E', "S" + Z("ERROR") + "V" + Z("ERROR") + "C" + Z(kLostCode) + "M" +
                      Z("the server has ended the session") + '\0');
  return error;
}

}  // namespace

Backend::Backend(Choices& choices, ModelOptions options) : server(choices, options) {
  if (!options.initial) return;
  replies.set_initial(
      {{std::string(ModelSettings::kInitialName), std::string(ModelSettings::kInitialValue)}});
}

bool Backend::TakeOwn(std::string_view bytes) {
  CHECK(!joined);
  const ReplyStatus status = replies.Take(engine::AsBytes(bytes), *this);
  CHECK(status != ReplyStatus::kMalformed);
  CHECK(status != ReplyStatus::kFatal || server.fatal() || server.own_failed());
  return status == ReplyStatus::kOk && (!abandoned_ || Clean());
}

void Backend::Abandon(bool mid_message) {
  abandoned_ = true;
  if (!replies.FinishAbandoned(mid_message, *this) || !Clean()) spoilt = true;
}

bool Backend::Clean() {
  if (replies.copy_in()) CHECK(replies.FinishAbandoned(false, *this));
  if (!replies.quiet()) return true;
  if (cleaning_ && replies.own_statement_failed()) return false;
  if (replies.transaction_status() != TransactionStatus::kIdle) {
    if (std::exchange(cleaning_, true)) return false;
    replies.OwnStatement("ROLLBACK", *this);
    return true;
  }
  abandoned_ = cleaning_ = false;
  return true;
}

void Session::ForwardToServer(uint32_t offset, uint32_t length) {
  backend_->to_server += input_.substr(offset, length);
}

void Session::InsertToServer(engine::Bytes bytes) { backend_->to_server += engine::AsText(bytes); }

void Session::ForwardToClient(uint32_t offset, uint32_t length) {
  to_client_ += input_.substr(offset, length);
}

void Session::InsertToClient(engine::Bytes bytes) { to_client_ += engine::AsText(bytes); }

void Session::Deliver() { client.Take(std::exchange(to_client_, {})); }

bool Session::PumpClient(size_t length) {
  const size_t part = std::min(length, from_client.size());
  held_ += from_client.substr(0, part);
  from_client.erase(0, part);
  const size_t held = held_.size();
  Pump();
  return part > 0 || held_.size() != held;
}

void Session::Join(Backend& backend) {
  CHECK(backend_ == nullptr && backend.free());
  CHECK(backend.replies.owed() == 0 && !backend.replies.open_batch());
  backend_ = &backend;
  backend.joined = true;
  wants_backend_ = awaiting_ = false;
  backend.replies.Join(requests_);
  Pump();
}

void Session::Pump() {
  while (!awaiting_ && !wants_backend_ && !held_.empty() && held_.size() >= need_) {
    const std::string held = held_;
    input_ = held;
    const Taken taken = requests_.Take(
        engine::AsBytes(held), backend_ == nullptr ? nullptr : &backend_->replies, yield_, *this);
    input_ = {};
    held_.erase(0, taken.consumed);
    CHECK(taken.status != TakeStatus::kMore || taken.consumed > 0 || taken.need > held.size());
    if (!AfterTake(taken)) break;
  }
  // Nothing of what it has sent was for the server.
  if (!awaiting_ && !wants_backend_ && held_.empty() && AtEnd()) EndTransaction();
}

bool Session::AfterTake(const Taken& taken) {
  if (backend_ != nullptr) backend_->replies.Flush(*this);
  Deliver();
  need_ = 1;
  switch (taken.status) {
    case TakeStatus::kMore:
      need_ = taken.need;
      return true;
    case TakeStatus::kNeedsBackend:
      CHECK(backend_ == nullptr);
      wants_backend_ = true;
      return false;
    case TakeStatus::kAwaitReady:
      awaiting_ = true;
      return false;
    case TakeStatus::kRefused: {
      const std::string error(backend_->replies.own_error());
      CHECK(!error.empty());
      Unlink();
      requests_.Refuse(engine::AsBytes(error));
      return true;
    }
    case TakeStatus::kNeedsAnother:  // it has no base
    case TakeStatus::kTerminate:
    case TakeStatus::kMalformed:
      CHECK(false);  // the client keeps to the protocol
  }
  UNREACHABLE();
}

// The transaction is over, if it is not the first message that is still to come.
bool Session::AtEnd() const {
  return backend_ != nullptr && backend_->replies.quiet() &&
         backend_->replies.transaction_status() == TransactionStatus::kIdle &&
         !requests_.mid_message() && !requests_.entering();
}

void Session::OnRequestDone() {
  if (AtEnd()) return EndTransaction();
  if (awaiting_ && (backend_->replies.requests_owed() == 0 || backend_->replies.copy_in())) {
    awaiting_ = false;
    Pump();
  }
}

void Session::EndTransaction() {
  const bool pins = pinned_ || requests_.marks().pin_reason != 0;
  if (!pins && requests_.AskSession(backend_->replies, *this)) {
    awaiting_ = true;
    return;
  }
  pinned_ = requests_.marks().pin_reason != 0 || pinned_;
  resets_ = resets_ || (requests_.marks().resets && options_.initial);
  requests_.ClearMarks();
  const bool awaited = std::exchange(awaiting_, false);
  if (!pinned_) {
    CHECK(backend_->replies.at_boundary());
    CHECK(!requests_.session_at_risk());
    Backend& backend = *backend_;
    Unlink();
    if (std::exchange(resets_, false)) backend.spoilt = true;
  }
  if (!pinned_ || awaited) Pump();
}

void Session::Unlink() {
  backend_->replies.Part();
  backend_->joined = false;
  backend_ = nullptr;
  need_ = 1;
}

Session::Outcome Session::PumpServer(std::string_view bytes) {
  input_ = bytes;
  const ReplyStatus status = backend_->replies.Take(engine::AsBytes(bytes), *this);
  input_ = {};
  CHECK(status != ReplyStatus::kMalformed);  // the server keeps to the protocol
  CHECK(status != ReplyStatus::kFatal || backend_->server.fatal() || backend_->server.own_failed());
  Deliver();
  if (status == ReplyStatus::kFatal) return LoseBackend();
  OnRequestDone();
  return Outcome::kGoesOn;
}

Session::Outcome Session::LoseBackend() {
  postgres::PostgresReplies& replies = backend_->replies;
  if (pinned_ || requests_.session_at_risk() || !replies.at_boundary()) {
    Unlink();
    return Outcome::kBothLost;
  }
  const bool had_requests = replies.owed() > 0 || replies.open_batch() || requests_.mid_message();
  const bool in_transaction = replies.transaction_status() != TransactionStatus::kIdle;
  const bool open = replies.FailOwed(engine::AsBytes(LostError()), *this);
  requests_.OnBackendLost(open);
  if (!had_requests && in_transaction) requests_.Refuse(engine::AsBytes(LostError()));
  awaiting_ = resets_ = false;
  requests_.ClearMarks();
  Unlink();
  Deliver();
  Pump();
  return Outcome::kBackendLost;
}

void Session::Leave() {
  if (backend_ == nullptr) return;
  const bool resets = resets_ || (requests_.marks().resets && options_.initial);
  const bool mid_message = requests_.mid_message();
  Backend& backend = *backend_;
  backend.spoilt = pinned_ || resets || requests_.marks().pin_reason != 0;
  Unlink();
  if (!backend.spoilt) backend.Abandon(mid_message);
}

}  // namespace weir::fuzz
