// The part of a client's life before its first request: proof, placement. The greeting is in
// client_base.cc.
#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/check.h"
#include "pool/core/placement.h"
#include "pool/session/backend_session.h"
#include "pool/session/cancel.h"
#include "pool/session/client_counts.h"
#include "pool/session/client_session.h"
#include "pool/session/session_log.h"
#include "pool/session/token_checker.h"

namespace weir::pool {

using Next = protocol::ClientLogin::Next;

ClientSession::ClientSession(SessionServices& services, uint32_t endpoint)
    : services_(services), endpoint_(endpoint) {
  timer_.Bind(engine::Callback::To<&ClientSession::OnTimer>(*this));
}

ClientSession::~ClientSession() {
  CHECK(backend_ == nullptr && !waiting());
  services_.shard.timers().Cancel(timer_);
  if (counted_ != nullptr) counted_->Leave();
}

void ClientSession::Accept(int fd, bool local, bool on_unix_socket, std::string refusal) {
  arrival_->refusal = std::move(refusal);
  arrival_->local = local;
  arrival_->on_unix_socket = on_unix_socket;
  accepted_at_ = last_active_ = services_.shard.now();
  const bool offers_tls =
      services_.tls != nullptr && services_.tls->clients != nullptr && !on_unix_socket;
  arrival_->login = services_.dialect.NewClientLogin(offers_tls);
  services_.metrics.Add(Counter::kClientConnectionsReceived);
  services_.shard.timers().Arm(timer_, accepted_at_ + services_.config->proxy.client_login_timeout);
  stream_.Attach(services_.shard.streams(), fd, engine::BufferGroup::kClients, *this);
}

void ClientSession::Place(PlacedClient& placed) {
  arrival_->local = placed.local;
  accepted_at_ = last_active_ = services_.shard.now();
  arrival_->login = std::move(placed.login);
  services_.shard.timers().Arm(timer_, placed.login_deadline);
  held_.Append(services_.shard.chunks(), engine::Bytes(placed.held));
  stream_.Attach(services_.shard.streams(), std::move(placed.connection),
                 engine::BufferGroup::kClients, *this);
  ResumeLogin();
}

void ClientSession::ContinueLogin(engine::Slice bytes) {
  while (bytes.length > 0 && state_ == ClientState::kLogin) {
    size_t consumed = 0;
    std::string out;
    const Next next = arrival_->login->OnBytes(bytes.bytes(), consumed, out);
    if (next == Next::kFailed && arrival_->login->wrong_proof() && DelayFailure(out)) return;
    if (!out.empty()) stream_.Queue(engine::AsBytes(out));
    const uint32_t taken = static_cast<uint32_t>(consumed);
    bytes = bytes.Sub(taken, bytes.length - taken);
    if (next == Next::kStartTls) {
      StartTls(bytes);
      return;
    }
    if (next == Next::kReceive && consumed == 0) {
      if (arrival_->token_asked) held_.Append(services_.shard.chunks(), bytes);
      break;
    }
    if (next == Next::kNeedUser || next == Next::kCheckToken || next == Next::kDone) {
      // What follows is kept until the login is over.
      if (bytes.length > 0) held_.Append(services_.shard.chunks(), bytes);
      bytes = {};
    }
    FinishLogin(next);
  }
}

// `received`: not empty if the client has begun without asking.
void ClientSession::StartTls(const engine::Slice& received) {
  // Offered when it came; a reload may have taken it away since.
  if (services_.tls == nullptr || services_.tls->clients == nullptr) {
    Close();
    return;
  }
  stream_.StartTls(
      services_.tls->clients->NewConnection(/*direct=*/received.length > 0, services_.shard.now()),
      received);
}

// The answer to a wrong password may have to wait; true if it does.
bool ClientSession::DelayFailure(const std::string& answer) {
  const engine::Nanos now = services_.shard.now();
  const engine::Nanos delay = services_.login_delays.OnFailure(
      services_.shard.io().PeerHost(stream_.fd()), arrival_->login->identity().user, now);
  if (delay == 0) return false;
  arrival_->delayed_answer = answer;
  held_.Clear();
  stream_.StopReceiving();
  services_.shard.timers().Arm(timer_, now + delay);
  return true;
}

void ClientSession::FinishLogin(Next next) {
  switch (next) {
    case Next::kReceive:
      return;
    case Next::kStartTls:
      UNREACHABLE();
    case Next::kNeedUser:
      OnIdentity();
      return;
    case Next::kCheckToken:
      CheckToken();
      return;
    case Next::kDone:
      OnLoggedIn();
      return;
    case Next::kFailed:
      services_.metrics.Add(Counter::kClientConnectionsSetupFailedAuth);
      LogLoginFailure(services_, number(), endpoint_, arrival_->login->identity().user,
                      arrival_->why_unknown.empty() ? arrival_->login->failure()
                                                    : std::string_view(arrival_->why_unknown));
      Close();
      return;
    case Next::kCancel:
      RouteCancel(services_, arrival_->login->cancel_key());
      Close();
      return;
  }
}

void ClientSession::CheckToken() {
  CHECK(state_ == ClientState::kLogin && !arrival_->token_asked);
  arrival_->token_asked = true;
  // It has nothing to say until it has its answer.
  stream_.StopReceiving();
  if (services_.tokens == nullptr) {
    OnTokenChecked(false, "no tokens are checked here");
    return;
  }
  const protocol::ClientLogin& login = *arrival_->login;
  services_.tokens->Check(services_, services_.clients.HandleOf(*this),
                          {login.identity().user, login.token(), endpoint_});
}

void ClientSession::OnTokenChecked(bool good, std::string_view why) {
  if (state_ != ClientState::kLogin || !arrival_->token_asked) return;
  arrival_->token_asked = false;
  std::string out;
  const Next next = arrival_->login->OnTokenChecked(good, why, out);
  if (next == Next::kFailed && DelayFailure(out)) return;
  if (!out.empty()) stream_.Queue(engine::AsBytes(out));
  if (next == Next::kDone && !stream_.receiving()) stream_.ResumeReceiving();
  FinishLogin(next);
}

void ClientSession::OnIdentity() {
  if (!arrival_->refusal.empty()) {
    services_.metrics.Add(Counter::kClientsRefused);
    Kill({"53300", arrival_->refusal});
    return;
  }
  if (services_.config->proxy.require_tls && !encrypted() && !arrival_->on_unix_socket) {
    services_.metrics.Add(Counter::kClientConnectionsSetupFailedAuth);
    LogLoginFailure(services_, number(), endpoint_, arrival_->login->identity().user,
                    kTlsRequired.text);
    Kill(kTlsRequired);
    return;
  }
  if (services_.config->access_rules.in_force() && AdmittingRule() == nullptr) return;
  arrival_->home = services_.PlaceClient();
  // An answer on its way (to an SSLRequest) does not travel: then it stays.
  if (arrival_->home == services_.shard.id() || stream_.queued_bytes() > 0) {
    ResumeLogin();
    return;
  }
  Move(ClientState::kMoving);
  services_.shard.timers().Cancel(timer_);
  stream_.Detach();
}

void ClientSession::OnDetached(engine::Detached&& detached) {
  CHECK(state_ == ClientState::kMoving);
  auto placed = std::make_unique<PlacedClient>();
  placed->connection = std::move(detached);
  if (!held_.empty()) {
    const engine::Slice held =
        held_.Gather(services_.shard.chunks(), static_cast<uint32_t>(held_.size()));
    const engine::Bytes bytes = held.bytes();
    placed->held.assign(bytes.begin(), bytes.end());
    held_.Clear();
  }
  placed->login = std::move(arrival_->login);
  placed->endpoint = endpoint_;
  placed->local = arrival_->local;
  placed->login_deadline = accepted_at_ + services_.config->proxy.client_login_timeout;
  engine::Message message;
  message.kind = kPlaceClientMessage;
  message.body = std::move(placed);
  services_.shard.Post(arrival_->home, std::move(message));
  Move(ClientState::kClosing);
  SessionServices& services = services_;
  services.clients.Erase(*this);
  services.OnClientMoved();
  services.OnConnectionClosed();
}

void ClientSession::ResumeLogin() {
  protocol::ScramVerifier mock;
  const std::string& name = arrival_->login->identity().user;
  protocol::ClientUser user =
      services_.users->Find(name, arrival_->local, services_.shard.now(), mock);
  if (services_.config->access_rules.in_force()) {
    // Once more: this may be another shard, with a later configuration.
    const AccessRule* rule = AdmittingRule();
    if (rule == nullptr) return;
    if (WantsAnotherMethod(*rule, user)) user = services_.users->Unknown(name, mock);
  }
  // Not whoever is known and comes in a way that the rules do not admit.
  user.reveal =
      services_.config->proxy.reveal_unknown_roles && services_.users->Secret(name) == nullptr;
  std::string out;
  const Next next = arrival_->login->Resume(user, TransportOf(stream_), out);
  if (!out.empty()) stream_.Queue(engine::AsBytes(out));
  FinishLogin(next);
  if (state_ == ClientState::kLogin && !held_.empty()) {
    const engine::Slice held =
        held_.Gather(services_.shard.chunks(), static_cast<uint32_t>(held_.size()));
    held_.Clear();
    ContinueLogin(held);
  }
}

void ClientSession::OnLoggedIn() {
  const protocol::ClientIdentity& identity = arrival_->login->identity();
  if (services_.login_delays.size() > 0) {
    services_.login_delays.OnSuccess(services_.shard.io().PeerHost(stream_.fd()), identity.user);
  }
  // With it backends of its route can log in, where the secret is a verifier.
  if (const std::string_view key = arrival_->login->client_key();
      !key.empty() && services_.client_keys.Learn(key))
    services_.pool.Forgive();
  if (CountIn()) BeginSession();
}

void ClientSession::BecomeReady() {
  Move(ClientState::kIdle);
  last_active_ = services_.shard.now();
  services_.metrics.Add(Counter::kClientConnectionsSetupSucceeded);
  ArmTimer();
  if (!held_.empty() || end_of_stream_) PumpHeld();
}

uint32_t ClientSession::number() const {
  return ClientNumber(services_.shard.id(), services_.clients.HandleOf(*this).seat);
}

}  // namespace weir::pool
