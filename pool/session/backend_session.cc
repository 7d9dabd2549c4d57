// A backend in use: joining, parting, cleaning, moving, closing. Its login is in backend_login.cc.
#include "pool/session/backend_session.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"
#include "pool/session/cancel.h"
#include "pool/session/client_session.h"
#include "pool/session/session_log.h"

namespace weir::pool {

using protocol::ReplyStatus;
using protocol::TransactionStatus;

namespace {

// A server that does not close after Terminate gives its slot back after this time.
constexpr engine::Nanos kTerminateTimeout = 5 * engine::kSecond;
// A server that has got a request has begun with it after this time.
constexpr engine::Nanos kBeginsWithin = engine::kSecond;

bool Allowed(BackendPhase from, BackendPhase to) {
  switch (to) {
    case BackendPhase::kConnecting:
      return false;
    case BackendPhase::kLoggingIn:
      return from == BackendPhase::kConnecting;
    case BackendPhase::kReady:
      return from == BackendPhase::kLoggingIn || from == BackendPhase::kAsking ||
             from == BackendPhase::kAbandoned || from == BackendPhase::kCleaning ||
             from == BackendPhase::kCancelling || from == BackendPhase::kConnecting ||
             from == BackendPhase::kProving;
    case BackendPhase::kAsking:
    case BackendPhase::kProving:
    case BackendPhase::kAbandoned:
    case BackendPhase::kDetaching:
      return from == BackendPhase::kReady;
    case BackendPhase::kCleaning:
      return from == BackendPhase::kAbandoned || from == BackendPhase::kCleaning ||
             from == BackendPhase::kCancelling;
    case BackendPhase::kCancelling:
      return from == BackendPhase::kReady || from == BackendPhase::kAbandoned ||
             from == BackendPhase::kCleaning;
    case BackendPhase::kTerminating:
      return from != BackendPhase::kTerminating;
  }
  UNREACHABLE();
}

}  // namespace

void BackendSession::Move(BackendPhase to) {
  services_.trace->Record("backend becomes", process_id(), static_cast<uint64_t>(to));
  CHECK(Allowed(phase_, to));
  phase_ = to;
  if (to == BackendPhase::kTerminating) StopReading();
  CHECK(client_ == nullptr || phase_ == BackendPhase::kReady);
}

void BackendSession::Join(ClientSession& client, protocol::Requests& requests) {
  CHECK(client_ == nullptr && phase_ == BackendPhase::kReady && replies_->settled());
  CHECK(replies_->fatal_error().empty());
  client_ = &client;
  services_.trace->Record("backend joins client", process_id(), client.number());
  replies_->Join(requests);
}

void BackendSession::Part(bool discard) {
  CHECK(client_ != nullptr && replies_->quiet());
  CHECK(replies_->transaction_status() == TransactionStatus::kIdle && !pinned);
  client_ = nullptr;
  repeat_.reset();
  replies_->Part();
  if (!stream_.receiving()) stream_.ResumeReceiving();
  if (discard) {
    services_.pool.Discard(*this);
    return;
  }
  if (cancels_ > 0 && !WEIR_FAULT("lent_before_cancel_is_answered")) {
    Move(BackendPhase::kCancelling);
    services_.shard.timers().Arm(timer_, services_.shard.now() + kCleanTimeout);
    return;
  }
  GiveBack();
}

void BackendSession::GiveBack() {
  CHECK(client_ == nullptr && phase_ == BackendPhase::kReady);
  profile = replies_->profile();
  if (std::exchange(ddl_, false)) services_.catalogues.OnDdl(services_, route(), /*stale=*/true);
  if (!ReadCatalogue()) services_.pool.Return(*this);
}

void BackendSession::PartLost() {
  CHECK(client_ != nullptr);
  client_ = nullptr;
  repeat_.reset();
  replies_->Part();
}

void BackendSession::Fail(std::string_view reason) {
  CHECK(client_ == nullptr);
  LogBackendLost(services_, *this, reason);
  Lost();
}

// The client is gone in the middle. Complete requests run to their end; what it left open is ended.
void BackendSession::Abandon(bool mid_message, Leftover left, bool reset) {
  CHECK(client_ != nullptr);
  const bool busy = replies_->owed() > 0;
  if (reset && busy) SendCancel();
  client_ = nullptr;
  repeat_.reset();
  pinned = false;
  replies_->Part();
  if (left == Leftover::kForGood || !replies_->FinishAbandoned(mid_message, *this)) {
    Move(BackendPhase::kAbandoned);
    services_.pool.Discard(*this);
    return;
  }
  Move(BackendPhase::kAbandoned);
  discard_due_ = left == Leftover::kDiscardable && !WEIR_FAULT("discard_missing");
  if (!stream_.receiving()) stream_.ResumeReceiving();
  services_.shard.timers().Arm(timer_, services_.shard.now() + kCleanTimeout);
  Clean();
}

void BackendSession::Clean() {
  // It has asked for data since.
  if (replies_->copy_in() && !replies_->FinishAbandoned(false, *this)) UNREACHABLE();
  if (!replies_->quiet()) return;
  if (phase_ == BackendPhase::kCleaning && replies_->own_statement_failed()) {
    services_.pool.Discard(*this);
    return;
  }
  if (replies_->transaction_status() != TransactionStatus::kIdle &&
      !WEIR_FAULT("rollback_missing")) {
    if (phase_ == BackendPhase::kCleaning) {
      services_.pool.Discard(*this);
      return;
    }
    Move(BackendPhase::kCleaning);
    replies_->OwnStatement(services_.dialect.RollbackStatement(), *this);
    return;
  }
  if (discard_due_ && discarding_) {
    replies_->OnDiscarded();
    discard_due_ = discarding_ = false;
  }
  if (cancels_ > 0) {
    Move(BackendPhase::kCancelling);
    return;
  }
  // Not before the last cancel has come: it may hit the statement.
  if (discard_due_) {
    Move(BackendPhase::kCleaning);
    discarding_ = true;
    replies_->OwnStatement(services_.dialect.DiscardStatement(), *this);
    return;
  }
  services_.shard.timers().Cancel(timer_);
  Move(BackendPhase::kReady);
  GiveBack();
}

void BackendSession::SendCancel() {
  if (cancels_ >= 8) return;
  ++cancels_;
  StartCancel(services_, *this);
}

void BackendSession::CancelRequest() {
  SendCancel();
  // Whether the server has begun with it is not known.
  const engine::Nanos since = services_.shard.now() - std::max(last_reply_, last_request_);
  if (since < kBeginsWithin) repeat_ = std::make_unique<CancelRepeat>(services_, *this);
}

void BackendSession::Send(engine::Slice bytes) {
  last_request_ = services_.shard.now();
  stream_.Queue(std::move(bytes));
}

void BackendSession::OnCancelAnswered() {
  CHECK(cancels_ > 0);
  --cancels_;
  if (cancels_ > 0 || phase_ != BackendPhase::kCancelling) return;
  if (discard_due_) {
    Clean();
    return;
  }
  services_.shard.timers().Cancel(timer_);
  Move(BackendPhase::kReady);
  GiveBack();
}

void BackendSession::OnBytes(engine::Slice bytes) {
  last_reply_ = services_.shard.now();
  switch (phase_) {
    case BackendPhase::kReady:
      if (client_ != nullptr) {
        client_->OnReplies(std::move(bytes));
      } else if (carries_) {
        TakeReads(std::move(bytes));
      } else {
        TakeOwn(bytes);
      }
      return;
    case BackendPhase::kProving:
    case BackendPhase::kAbandoned:
    case BackendPhase::kCleaning:
    case BackendPhase::kCancelling:
      TakeOwn(bytes);
      return;
    case BackendPhase::kLoggingIn:
    case BackendPhase::kAsking: {
      std::string out;
      const protocol::ServerLogin::Next next = login_->OnBytes(bytes.bytes(), out);
      if (!out.empty()) stream_.Queue(engine::AsBytes(out));
      ContinueLogin(next);
      return;
    }
    case BackendPhase::kConnecting:
    case BackendPhase::kDetaching:
    case BackendPhase::kTerminating:
      return;
  }
}

// Bytes that no client is to see.
void BackendSession::TakeOwn(const engine::Slice& bytes) {
  const ReplyStatus status = replies_->Take(bytes.bytes(), *this);
  if (status != ReplyStatus::kOk) {
    LogBackendLost(services_, *this,
                   status == ReplyStatus::kFatal
                       ? services_.dialect.ErrorText(replies_->fatal_error())
                       : std::string_view("unexpected message from the server"));
    Lost();
    return;
  }
  if (phase_ == BackendPhase::kAbandoned || phase_ == BackendPhase::kCleaning) Clean();
  if (phase_ == BackendPhase::kProving) ContinueProof();
}

void BackendSession::OnEnd(engine::StreamEnd end) {
  const std::string why = end == engine::StreamEnd::kTlsFailed
                              ? engine::Cat("TLS: ", stream_.tls()->error())
                              : "the server closed the connection";
  switch (phase_) {
    case BackendPhase::kTerminating:
      stream_.Close();
      return;
    case BackendPhase::kConnecting:
    case BackendPhase::kLoggingIn:
      if (end == engine::StreamEnd::kTlsFailed) {
        FailOpen(FailureOfTls());
      } else {
        FailOpen({LaunchFailure::Kind::kUnreachable, engine::Cat(why, " during the login"), {}});
      }
      return;
    case BackendPhase::kReady:
      if (client_ != nullptr) {
        client_->OnBackendLost({});
        LogBackendLost(services_, *this, why);
      }
      if (carries_) {
        LoseReads(why, {});
      } else {
        Lost();
      }
      return;
    case BackendPhase::kAsking:
    case BackendPhase::kProving:
    case BackendPhase::kAbandoned:
    case BackendPhase::kCleaning:
    case BackendPhase::kCancelling:
    case BackendPhase::kDetaching:
      Lost();
      return;
  }
}

// The connection is of no use any more, and it was not the pool that said so.
void BackendSession::Lost() {
  if (phase_ == BackendPhase::kTerminating) return;
  CHECK(client_ == nullptr);
  if (state() == BackendState::kOpening) {
    FailOpen({LaunchFailure::Kind::kUnreachable,
              "the server closed the connection behind the login",
              {}});
    return;
  }
  services_.shard.timers().Cancel(timer_);
  Move(BackendPhase::kTerminating);
  stream_.Close();
  services_.pool.OnLost(*this);
  FailProof();
}

// The pool wants it closed.
void BackendSession::Terminate() {
  CHECK(client_ == nullptr);
  if (phase_ == BackendPhase::kTerminating) return;
  const bool connected = phase_ != BackendPhase::kConnecting;
  Move(BackendPhase::kTerminating);
  if (!connected) {
    // Without a secret it was about to say so: that timer ends it.
    if (connector_.active()) connector_.Cancel();
    return;
  }
  stream_.Queue(engine::AsBytes(services_.dialect.Terminate()));
  if (!stream_.receiving()) stream_.ResumeReceiving();
  services_.shard.timers().Arm(timer_, services_.shard.now() + kTerminateTimeout);
}

void BackendSession::OnClosed() {
  CHECK(phase_ == BackendPhase::kTerminating && client_ == nullptr);
  SessionServices& services = services_;
  services.shard.timers().Cancel(timer_);
  if (ddl_) services.catalogues.OnDdl(services, route(), /*stale=*/false);
  services.pool.OnClosed(*this);
  services.backends.Erase(*this);
  services.OnConnectionClosed();
}

void BackendSession::OnDrained() {
  if (client_ != nullptr) client_->OnBackendDrained();
}

void BackendSession::InsertToServer(engine::Bytes bytes) { stream_.Queue(bytes); }

void BackendSession::DetachStream() {
  CHECK(client_ == nullptr && replies_->settled() && cancels_ == 0);
  if (stream_.queued_bytes() > 0) {
    // Rows of a COPY that the server has given up are still on the way. Only the slot goes.
    Lost();
    return;
  }
  Move(BackendPhase::kDetaching);
  stream_.Detach();
}

void BackendSession::OnDetached(engine::Detached&& detached) {
  CHECK(phase_ == BackendPhase::kDetaching);
  auto moving = std::make_unique<MovingBackend>();
  moving->connection = std::move(detached);
  replies_->Leave();
  moving->replies = std::move(replies_);
  moving->login = std::move(login_);
  moving->opened_at = opened_at;
  moving->expires_at = expires_at;
  moving->generation = generation;
  SessionServices& services = services_;
  services.pool.OnDetached(*this, std::move(moving));
  services.backends.Erase(*this);
}

void BackendSession::Attach(MovingBackend& moving) {
  CHECK(phase_ == BackendPhase::kConnecting);
  replies_ = std::move(moving.replies);
  services_.dialect.Adopt(*replies_);
  KnowCatalogue();
  profile = replies_->profile();
  login_ = std::move(moving.login);
  opened_at = moving.opened_at;
  expires_at = moving.expires_at;
  generation = moving.generation;
  Move(BackendPhase::kReady);
  // An idle server may have said something on the way: encrypted, it comes from the stream.
  std::vector<uint8_t> said;
  if (moving.connection.tls == nullptr) said.swap(moving.connection.unread);
  stream_.Attach(services_.shard.streams(), std::move(moving.connection),
                 engine::BufferGroup::kBackends, *this);
  if (said.empty()) return;
  // If that was its end, its life is over: the pool closes it.
  if (replies_->Take(said, *this) != ReplyStatus::kOk) expires_at = 0;
}

void BackendSession::OnTimer() {
  switch (phase_) {
    case BackendPhase::kConnecting:
    case BackendPhase::kLoggingIn:
      if (secret_ == nullptr) {
        OnNoServerKeys(no_secret_);
        return;
      }
      FailOpen({LaunchFailure::Kind::kTimeout,
                "the login was not finished within backend_connect_timeout",
                {}});
      return;
    case BackendPhase::kAsking:
      if (awaits_catalogue_) {
        EndReading();
        return;
      }
      [[fallthrough]];
    case BackendPhase::kProving:
      LogBackendLost(services_, *this, "no answer to a question of the proxy's own");
      Lost();
      return;
    case BackendPhase::kAbandoned:
    case BackendPhase::kCleaning:
    case BackendPhase::kCancelling:
      services_.pool.Discard(*this);
      return;
    case BackendPhase::kTerminating:
      if (no_secret_.empty()) {
        stream_.Close();
      } else {
        OnClosed();
      }
      return;
    case BackendPhase::kReady:
    case BackendPhase::kDetaching:
      return;
  }
}

engine::Handle<BackendSession> BackendSession::self() const {
  return services_.backends.HandleOf(*this);
}

std::unique_ptr<protocol::ServerCancel> BackendSession::NewCancel() const {
  return services_.dialect.NewServerCancel(
      login_->process_id(), login_->secret(),
      encrypted() ? protocol::TlsUse::kAlways : protocol::TlsUse::kNever);
}

void BackendSession::NoteSequenceRead() {
  services_.routes.Get(route()).sequences_are_read.store(true);
}
bool BackendSession::SequencesAreRead() const {
  return services_.routes.Get(route()).sequences_are_read.load();
}

void BackendSession::Describe(std::string& out) const {
  static constexpr std::string_view kNames[] = {
      "connecting", "logging-in", "ready",      "asking",    "proving",
      "abandoned",  "cleaning",   "cancelling", "detaching", "terminating"};
  engine::Append(out, "backend=", process_id(), " phase=", kNames[static_cast<size_t>(phase_)],
                 " route=", route(), " target=", target(), pinned ? " pinned" : "");
}

}  // namespace weir::pool
