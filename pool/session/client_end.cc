// The ends of a client: its own, its backend's, cancel, time, shutdown.
#include <algorithm>
#include <cstdint>
#include <string>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"
#include "pool/session/backend_session.h"
#include "pool/session/client_session.h"
#include "pool/session/pin.h"
#include "pool/session/session_log.h"

namespace weir::pool {

using protocol::TransactionStatus;

namespace {

constexpr engine::Nanos kUnfinishedTimeout = 10 * engine::kSecond;
constexpr uint32_t kUnfinishedProgress = 64 * 1024;

}  // namespace

void ClientSession::OnEnd(engine::StreamEnd end) {
  if (state_ == ClientState::kClosing) return;
  if (end == engine::StreamEnd::kOrderly) {
    end_of_stream_ = true;
    Goodbye();
    return;
  }
  if (end == engine::StreamEnd::kWriteTimeout) {
    LogClientClosed(services_, number(), endpoint_,
                    "it took none of its reply for client_write_timeout");
  }
  if (end == engine::StreamEnd::kTlsFailed) {
    const std::string why = engine::Cat("TLS: ", stream_.tls()->error());
    if (state_ == ClientState::kLogin) {
      services_.metrics.Add(Counter::kClientConnectionsSetupFailedAuth);
      LogLoginFailure(services_, number(), endpoint_, arrival_->login->identity().user, why);
    } else {
      LogClientClosed(services_, number(), endpoint_, why);
    }
  }
  if (state_ == ClientState::kLinked) AbandonBackend(true);
  Close();
}

// The client will ask nothing more. What it has asked is served to its end.
void ClientSession::Goodbye() {
  CHECK(end_of_stream_);
  switch (state_) {
    case ClientState::kClosing:
    case ClientState::kMoving:
    case ClientState::kWaiting:
    case ClientState::kReading:
      return;
    case ClientState::kLogin:
    case ClientState::kGreeting:
      Close();
      return;
    case ClientState::kIdle:
      // A request whose end is missing will never be whole.
      if (held_.empty() || held_.size() < need_) Close();
      return;
    case ClientState::kLinked: {
      if (awaiting_ready_ || (!held_.empty() && held_.size() >= need_)) return;
      if (backend_->replies().owed() > 0 && !WEIR_FAULT("half_closed_client_dropped") &&
          !requests_->mid_message() && !backend_->replies().copy_in())
        return;
      AbandonBackend(false);
      Close();
      return;
    }
  }
}

// Leaves the backend as it is; it is cleaned up by itself, or closed.
void ClientSession::AbandonBackend(bool reset) {
  BackendSession& backend = *backend_;
  const bool mid_message = requests_->mid_message();
  // What is under way may leave something behind before it would have pinned.
  const protocol::SessionMarks& marks = requests_->marks();
  const bool resets =
      reset_backend_ || (marks.resets && !services_.config->connection_pool.init_query.empty());
  Leftover left = Leftover::kNothing;
  if ((requests_->leaves_state() || resets) && !WEIR_FAULT("state_of_a_gone_client")) {
    const bool discard =
        requests_->discardable() && services_.config->connection_pool.init_query.empty();
    left = discard ? Leftover::kDiscardable : Leftover::kForGood;
  }
  LogUnpinned();
  if (marks.ddl) backend.NoteDdl();
  backend_ = nullptr;
  backend.Abandon(mid_message, left, reset);
}

// It loses its backend. If it was its own, that is told.
void ClientSession::LogUnpinned() {
  if (!pinned_ && !keeps_link_) return;
  const uint8_t reason = pinned_ ? pin_reason_ : services_.dialect.SequencePin();
  LogPinEnd(services_, *this, *backend_, pinned_at_, reason);
}

void ClientSession::Close() {
  if (state_ == ClientState::kClosing) return;
  if (state_ == ClientState::kReading) {
    LeaveRead();
  } else if (backend_ != nullptr) {
    AbandonBackend(false);
  }
  if (waiting()) services_.pool.Leave(*this);
  services_.shard.timers().Cancel(timer_);
  held_.Clear();
  input_ = {};
  Move(ClientState::kClosing);
  services_.metrics.Add(Counter::kClientConnectionsClosed);
  if (stream_.open()) stream_.CloseWhenSent();
}

void ClientSession::Kill(const Refusal& refusal) {
  if (state_ == ClientState::kClosing || state_ == ClientState::kMoving) return;
  const bool boundary =
      backend_ == nullptr || (state_ == ClientState::kReading ? backend_->AtBoundaryOf(*this)
                                                              : backend_->replies().at_boundary());
  if (boundary && stream_.open()) {
    const std::string error = services_.dialect.EncodeError(true, refusal.sqlstate, refusal.text);
    stream_.Queue(engine::AsBytes(error));
  }
  Close();
}

void ClientSession::OnClosed() {
  CHECK(state_ == ClientState::kClosing);
  SessionServices& services = services_;
  services.clients.Erase(*this);
  services.OnClientClosed();
  services.OnConnectionClosed();
}

// The server is gone, or what it says makes no sense. `server_error` is its last message, if there
// was one.
void ClientSession::OnBackendLost(std::string_view server_error) {
  CHECK(state_ == ClientState::kLinked);
  BackendSession& backend = *backend_;
  protocol::Replies& replies = backend.replies();
  // What it has set is lost with the backend, and it knows it to be set.
  const bool fatal = pinned_ || requests_->session_at_risk() || !replies.at_boundary();
  const std::string error =
      server_error.empty()
          ? services_.dialect.EncodeError(fatal, kConnectionLost.sqlstate, kConnectionLost.text)
          : services_.dialect.ReencodeError(server_error, fatal);
  LogUnpinned();
  // Whether it was committed is not known.
  if (requests_->marks().ddl) services_.catalogues.OnDdl(services_, route, /*stale=*/false);
  if (fatal) {
    if (replies.at_boundary()) stream_.Queue(engine::AsBytes(error));
    backend_ = nullptr;
    backend.PartLost();
    Close();
    return;
  }
  // A message that is forwarded in part with nothing owed is data of a COPY that has failed.
  const bool had_requests = replies.owed() > 0 || replies.open_batch();
  const bool in_transaction = replies.transaction_status() != TransactionStatus::kIdle;
  const bool open = replies.FailOwed(engine::AsBytes(error), *this);
  requests_->OnBackendLost(open);
  if (!had_requests && in_transaction) requests_->Refuse(engine::AsBytes(error));
  awaiting_ready_ = keeps_link_ = reset_backend_ = cancel_due_ = false;
  requests_->ClearMarks();
  backend_ = nullptr;
  Move(ClientState::kIdle);
  backend.PartLost();
  need_ = 1;
  if (!stream_.receiving() && stream_.open()) stream_.ResumeReceiving();
  PumpHeld();
}

void ClientSession::OnCatalogueKnown() {
  if (state_ != ClientState::kIdle || !awaiting_ready_) return;
  awaiting_ready_ = false;
  catalogue_known_ = true;
  PumpHeld();
}

void ClientSession::Cancel(uint32_t secret) {
  if (cancel_secret_ == 0) return;
  if (secret != cancel_secret_ && !WEIR_FAULT("cancel_without_secret")) return;
  if (state_ == ClientState::kWaiting) {
    services_.pool.Leave(*this);
    Move(ClientState::kIdle);
    RefuseRequest(kCancelled.sqlstate, kCancelled.text);
    return;
  }
  if (state_ == ClientState::kReading) {
    CancelRead();
    return;
  }
  if (state_ != ClientState::kLinked || backend_->replies().owed() == 0) return;
  cancel_due_ = true;
  CancelIfDue();
}

// Not while the server is at something of weir's.
void ClientSession::CancelIfDue() {
  if (!cancel_due_ || !backend_->replies().client_at_head()) return;
  cancel_due_ = false;
  backend_->CancelRequest();
}

// Others wait, and this client holds a backend with a message that it does not finish.
void ClientSession::CheckUnfinished(engine::Nanos now) {
  if (state_ != ClientState::kLinked) return;
  const engine::Nanos idle_limit = services_.config->connection_pool.idle_transaction_timeout;
  if (idle_limit > 0 && !pinned_ && backend_->replies().owed() == 0 && !requests_->mid_message() &&
      now - std::max(last_active_, backend_->last_reply()) > idle_limit) {
    Kill(kIdleTransaction);
    return;
  }
  const bool unfinished = requests_->unfinished_message() || (!held_.empty() && !awaiting_ready_);
  if (!unfinished || !services_.pool.OthersWait(backend_->target())) {
    unfinished_since_ = 0;
    return;
  }
  const uint32_t bytes = taken_bytes_ + static_cast<uint32_t>(held_.size());
  if (unfinished_since_ == 0 || bytes - unfinished_bytes_ >= kUnfinishedProgress) {
    unfinished_since_ = now;
    unfinished_bytes_ = bytes;
    return;
  }
  if (now - unfinished_since_ >= kUnfinishedTimeout) Kill(kUnfinishedMessage);
}

// How long it may be idle: by the configuration, or by a setting of its own.
engine::Nanos ClientSession::IdleLimit() const {
  const engine::Nanos most = services_.config->proxy.idle_client_timeout;
  const uint64_t own = requests_->idle_timeout_ms();
  return own == 0 ? most : std::min(most, static_cast<engine::Nanos>(own) * engine::kMillisecond);
}

void ClientSession::ArmTimer() {
  const ProxyOptions& options = services_.config->proxy;
  engine::Nanos next = last_active_ + IdleLimit();
  if (options.client_lifetime > 0) next = std::min(next, accepted_at_ + options.client_lifetime);
  // A client with work under way is looked at again later.
  const engine::Nanos now = services_.shard.now();
  services_.shard.timers().Arm(timer_, next > now ? next : now + engine::kSecond);
}

void ClientSession::OnTimer() {
  const engine::Nanos now = services_.shard.now();
  const ProxyOptions& options = services_.config->proxy;
  switch (state_) {
    case ClientState::kLogin:
      if (!arrival_->delayed_answer.empty()) {
        stream_.Queue(engine::AsBytes(arrival_->delayed_answer));
        FinishLogin(protocol::ClientLogin::Next::kFailed);
        return;
      }
      services_.metrics.Add(Counter::kClientConnectionsSetupFailedAuth);
      LogLoginFailure(services_, number(), endpoint_, arrival_->login->identity().user,
                      kLoginTimeout.text);
      Kill(kLoginTimeout);
      return;
    case ClientState::kIdle:
      if (now - last_active_ >= IdleLimit()) {
        Kill(IdleLimit() < options.idle_client_timeout ? kIdleSession : kIdleTooLong);
        return;
      }
      if (options.client_lifetime > 0 && now - accepted_at_ >= options.client_lifetime) {
        Kill(kLifetimeOver);
        return;
      }
      requests_->Trim();
      ArmTimer();
      return;
    case ClientState::kLinked: {
      const bool idle = backend_->replies().quiet() &&
                        backend_->replies().transaction_status() == TransactionStatus::kIdle;
      if (idle && now - last_active_ >= IdleLimit()) {
        Kill(IdleLimit() < options.idle_client_timeout ? kIdleSession : kIdleTooLong);
        return;
      }
      ArmTimer();
      return;
    }
    case ClientState::kWaiting:
    case ClientState::kReading:
    case ClientState::kGreeting:
      ArmTimer();
      return;
    case ClientState::kMoving:
    case ClientState::kClosing:
      return;
  }
}

void ClientSession::Drain() {
  switch (state_) {
    case ClientState::kLogin:
    case ClientState::kGreeting:
    case ClientState::kIdle:
      Kill(kShuttingDown);
      return;
    case ClientState::kLinked: {
      const protocol::Replies& replies = backend_->replies();
      if (replies.quiet() && replies.transaction_status() == TransactionStatus::kIdle &&
          !requests_->mid_message()) {
        Kill(kShuttingDown);
      }
      return;
    }
    case ClientState::kReading:  // when it has its reply
    case ClientState::kWaiting:  // the pool tells it
    case ClientState::kMoving:
    case ClientState::kClosing:
      return;
  }
}

void ClientSession::Describe(std::string& out) const {
  static constexpr std::string_view kNames[] = {"login",   "moving", "greeting", "idle",
                                                "waiting", "linked", "reading",  "closing"};
  const std::string_view user =
      route == 0 ? std::string_view() : services_.routes.Get(route).key.user;
  engine::Append(out, "client=", number(), " state=", kNames[static_cast<size_t>(state_)],
                 " user=", engine::Visible(user), " route=", route, pinned_ ? " pinned=" : "",
                 pinned_ ? services_.dialect.Pin(pin_reason_).name : std::string_view(),
                 " held=", held_.size());
}

}  // namespace weir::pool
