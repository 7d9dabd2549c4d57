// A backend's way to ready: connect, log in, learn the server's limits, run init_query.
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/address.h"
#include "engine/base/check.h"
#include "engine/base/text.h"
#include "pool/session/backend_session.h"
#include "pool/session/cancel.h"
#include "pool/session/server_tokens.h"
#include "pool/session/session_log.h"
#include "pool/session/startup_parameters.h"
#include "protocol/auth/secret.h"

namespace weir::pool {

using Next = protocol::ServerLogin::Next;

BackendSession::BackendSession(SessionServices& services, RouteId route, TargetId target)
    : Backend(route, target), services_(services) {
  timer_.Bind(engine::Callback::To<&BackendSession::OnTimer>(*this));
}

BackendSession::~BackendSession() {
  CHECK(client_ == nullptr);
  services_.shard.timers().Cancel(timer_);
}

// What it logs in with; nullptr: nothing, as no_secret_ says.
std::unique_ptr<LoginSecret> BackendSession::ChooseSecret() {
  const TargetOptions& options = services_.config->targets[target()];
  const std::string& user = services_.routes.Get(route()).key.user;
  const engine::Nanos now = services_.shard.now();
  if (options.server_auth != "iam")
    return services_.server_secrets.Choose(*services_.users, user, now, no_secret_);
  if (services_.users->Secret(user) == nullptr) {
    no_secret_ = engine::Cat("there is no [[auth]] of the user \"", user, "\" any more");
    return nullptr;
  }
  auto secret = std::make_unique<LoginSecret>();
  secret->token = true;
  no_secret_ = "tokens are not made here";
  if (services_.server_tokens != nullptr) {
    secret->password = services_.server_tokens->Make(
        options.host, static_cast<uint16_t>(options.port), user, no_secret_);
  }
  return secret->password.empty() ? nullptr : std::move(secret);
}

void BackendSession::Open() {
  const TargetOptions& target_options = services_.config->targets[target()];
  services_.metrics.Add(Counter::kDatabaseConnectionRequests);
  secret_ = ChooseSecret();
  if (secret_ == nullptr) {
    // Nothing is answered at once.
    services_.shard.timers().Arm(timer_, services_.shard.now());
    return;
  }
  if (services_.TlsOf(target()).use != protocol::TlsUse::kNever)
    services_.metrics.Add(Counter::kDatabaseConnectionRequestsWithTLS);
  const engine::Nanos login_deadline =
      services_.shard.now() + services_.config->connection_pool.backend_connect_timeout;
  services_.shard.timers().Arm(timer_, login_deadline);
  connector_.Start(services_.shard, target_options.host, target_options.port, login_deadline,
                   *this);
}

void BackendSession::OnConnected(int fd) {
  if (phase_ == BackendPhase::kTerminating) {
    stream_.Attach(services_.shard.streams(), fd, engine::BufferGroup::kBackends, *this);
    stream_.Close();
    return;
  }
  Move(BackendPhase::kLoggingIn);
  stream_.Attach(services_.shard.streams(), fd, engine::BufferGroup::kBackends, *this);
  const RouteKey& route_key = services_.routes.Get(route()).key;
  protocol::ServerLogin::Options options = LoginOptionsOf(services_.config->targets[target()]);
  options.tls = services_.TlsOf(target()).use;
  options.user = route_key.user;
  // A verifier proves nothing by itself.
  if (protocol::KindOf(secret_->password) != protocol::PasswordKind::kScramVerifier)
    options.password = secret_->password;
  options.database = route_key.database;
  options.parameters = FromCanonical(route_key.parameters);
  options.init_query = services_.config->connection_pool.init_query;
  login_ = services_.dialect.NewServerLogin(std::move(options));
  std::string out;
  login_->Start(out);
  stream_.Queue(engine::AsBytes(out));
}

void BackendSession::StartTls() {
  const TlsContexts::Target& tls = services_.TlsOf(target());
  if (tls.context == nullptr) {
    FailOpen({LaunchFailure::Kind::kOther, "a reload has taken TLS away meanwhile", {}});
    return;
  }
  stream_.StartTls(tls.context->NewConnection(), {});
}

void BackendSession::OnEncrypted() {
  if (phase_ != BackendPhase::kLoggingIn) return;
  std::string out;
  login_->OnEncrypted(TransportOf(stream_), out);
  stream_.Queue(engine::AsBytes(out));
}

void BackendSession::OnConnectFailed(int error, std::string_view text) {
  if (phase_ == BackendPhase::kTerminating) {
    OnClosed();
    return;
  }
  const bool timeout = error == ETIMEDOUT;
  FailOpen({timeout ? LaunchFailure::Kind::kTimeout : LaunchFailure::Kind::kUnreachable,
            std::string(text),
            {}});
}

void BackendSession::OnCancelled() {
  CHECK(phase_ == BackendPhase::kTerminating);
  OnClosed();
}

void BackendSession::ContinueLogin(Next next) {
  switch (next) {
    case Next::kReceive:
      return;
    case Next::kStartTls:
      StartTls();
      return;
    case Next::kNeedKeys:
      services_.server_keys.Ask(services_, *this, secret_->password, login_->key_request());
      return;
    case Next::kDone:
      OnLoggedIn();
      return;
    case Next::kFailed:
      if (phase_ == BackendPhase::kAsking && state() != BackendState::kOpening) {
        LogBackendLost(services_, *this, login_->failure_text());
        Lost();
        return;
      }
      OnRefused();
      return;
  }
}

void BackendSession::OnServerKeys(const protocol::ScramKeys& keys) {
  if (phase_ != BackendPhase::kLoggingIn) return;
  std::string out;
  const Next next = login_->OnKeys(keys, out);
  if (!out.empty()) stream_.Queue(engine::AsBytes(out));
  ContinueLogin(next);
}

void BackendSession::OnNoServerKeys(std::string_view why) {
  if (phase_ != BackendPhase::kLoggingIn && phase_ != BackendPhase::kConnecting) return;
  const LaunchFailure::Kind kind = phase_ == BackendPhase::kConnecting
                                       ? LaunchFailure::Kind::kNoSecret
                                       : LaunchFailure::Kind::kAuthentication;
  const std::string own = services_.dialect.EncodeError(
      true, "08006", engine::Cat("cannot connect to the database: ", why));
  FailOpen({kind, std::string(why), std::vector<uint8_t>(own.begin(), own.end())});
}

// The login has failed. With a wrong password another one may be worth a try.
void BackendSession::OnRefused() {
  LaunchFailure failure = FailureOfLogin();
  if (failure.kind == LaunchFailure::Kind::kAuthentication && secret_ != nullptr && secret_->token)
    services_.server_tokens->OnRefused();
  if (login_->failure() == protocol::LoginFailure::kPassword && secret_ != nullptr &&
      !secret_->token &&
      services_.server_secrets.OnRefused(*services_.users, services_.routes.Get(route()).key.user,
                                         *secret_, services_.shard.now())) {
    failure.kind = LaunchFailure::Kind::kOtherSecret;
    failure.text += "; the other value of the secret comes next";
  }
  FailOpen(failure);
}

void BackendSession::OnLoggedIn() {
  services_.shard.timers().Cancel(timer_);
  const protocol::ServerLogin::Facts& facts = login_->facts();
  const ServerFacts server{facts.max_connections, facts.superuser_reserved_connections,
                           facts.reserved_connections, Generation()};
  if (phase_ == BackendPhase::kAsking && reader_ != nullptr) {
    OnRows();
    return;
  }
  if (phase_ == BackendPhase::kAsking) {
    Move(BackendPhase::kReady);
    services_.pool.OnFacts(*this, server);
    return;
  }
  CHECK(phase_ == BackendPhase::kLoggingIn);
  if (!secret_->token)
    services_.server_secrets.OnAccepted(services_.routes.Get(route()).key.user, *secret_);
  secret_.reset();
  replies_ = services_.dialect.NewReplies(login_->parameters(), login_->initial());
  services_.greetings.Store(route(), login_->parameters());
  services_.metrics.Add(Counter::kDatabaseConnectionsSetupSucceeded);
  KnowCatalogue();
  Move(BackendPhase::kReady);
  if (!ReadCatalogue()) BeReady();
}

// The pool gets it, for the first time or again.
void BackendSession::BeReady() {
  const protocol::ServerLogin::Facts& facts = login_->facts();
  switch (state()) {
    case BackendState::kOpening:
      services_.pool.OnOpened(*this, {facts.max_connections, facts.superuser_reserved_connections,
                                      facts.reserved_connections, Generation()});
      return;
    case BackendState::kAsking:
      services_.pool.OnAnswered(*this);
      return;
    case BackendState::kIdle:
    case BackendState::kLinked:
    case BackendState::kLeaving:
    case BackendState::kClosing:
      CHECK(state() == BackendState::kLinked);
      services_.pool.Return(*this);
      return;
  }
}

// What a session of ours begins with now: init_query is a part of it.
uint64_t BackendSession::Generation() const {
  const uint64_t hash = login_->facts().generation;
  if (hash == 0) return 0;
  const std::string& init_query = services_.config->connection_pool.init_query;
  return hash ^ (init_query.empty() ? 0 : engine::TextHash()(init_query));
}

void BackendSession::FailOpen(const LaunchFailure& failure) {
  services_.metrics.Add(Counter::kDatabaseConnectionsSetupFailed);
  services_.shard.timers().Cancel(timer_);
  LogOpenFailure(services_, *this, failure);
  secret_.reset();
  const bool connecting = phase_ == BackendPhase::kConnecting;
  Move(BackendPhase::kTerminating);
  services_.pool.OnOpenFailed(*this, failure);
  if (!connecting) {
    // What TLS has to say to the server leaves before.
    if (encrypted() && !stream_.tls()->ready()) {
      stream_.CloseWhenSent();
    } else {
      stream_.Close();
    }
  } else if (connector_.active()) {
    connector_.Cancel();
  } else {
    OnClosed();
  }
}

LaunchFailure BackendSession::FailureOfLogin() const {
  using Kind = LaunchFailure::Kind;
  Kind kind = Kind::kOther;
  switch (login_->failure()) {
    case protocol::LoginFailure::kPassword:
    case protocol::LoginFailure::kAuthentication:
    case protocol::LoginFailure::kMethod:
      kind = Kind::kAuthentication;
      break;
    case protocol::LoginFailure::kDatabase:
      kind = Kind::kDatabase;
      break;
    case protocol::LoginFailure::kTooMany:
      kind = Kind::kTooManyConnections;
      break;
    case protocol::LoginFailure::kRouteFull:
      kind = Kind::kRouteFull;
      break;
    case protocol::LoginFailure::kStarting:
      kind = Kind::kStarting;
      break;
    case protocol::LoginFailure::kNone:
    case protocol::LoginFailure::kProtocol:
    case protocol::LoginFailure::kInitQuery:
    case protocol::LoginFailure::kOther:
      break;
  }
  // What is not the server's own error is told to those who wait all the same.
  const std::string_view error = login_->server_error();
  return {kind, std::string(login_->failure_text()),
          error.empty() ? OwnError(login_->failure_text())
                        : std::vector<uint8_t>(error.begin(), error.end())};
}

LaunchFailure BackendSession::FailureOfTls() const {
  const std::string text =
      engine::Cat("TLS with the database server failed: ", stream_.tls()->error(),
                  " (tls_mode of the [[target]])");
  return {LaunchFailure::Kind::kOther, text, OwnError(text)};
}

std::vector<uint8_t> BackendSession::OwnError(std::string_view why) const {
  const std::string error = services_.dialect.EncodeError(
      true, "08006", engine::Cat("cannot connect to the database: ", why));
  return {error.begin(), error.end()};
}

bool BackendSession::AskFacts() {
  // The login's reader takes over, at the beginning of a message.
  if (!replies_->quiet()) return false;
  Move(BackendPhase::kAsking);
  replies_->ForgetUnnamed();
  services_.shard.timers().Arm(
      timer_, services_.shard.now() + services_.config->connection_pool.backend_connect_timeout);
  std::string out;
  login_->AskFacts(out);
  stream_.Queue(engine::AsBytes(out));
  return true;
}

}  // namespace weir::pool
