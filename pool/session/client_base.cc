// The end of a client's login: its route, its base, its greeting.
//
// A base that is not known is proven on a backend first. A setting in it that only the beginning of
// a session can make belongs to the route: then all begins again with that.
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "pool/session/backend_session.h"
#include "pool/session/client_session.h"
#include "pool/session/pin.h"
#include "pool/session/startup_parameters.h"

namespace weir::pool {

namespace {

// So many backends may be lost before its base is proven.
constexpr uint32_t kProofsLostMax = 3;

}  // namespace

// It has shown who it is.
void ClientSession::BeginSession() {
  const protocol::ClientIdentity& identity = arrival_->login->identity();
  requests_ = services_.dialect.NewRequests();
  if (identity.replication) requests_->Pin(services_.dialect.ReplicationPin());
  arrival_->startup = services_.dialect.SplitStartup(identity);
  Move(ClientState::kGreeting);
  services_.shard.timers().Cancel(timer_);
  since = services_.shard.now();
  const ConnectionPoolOptions& options = services_.config->connection_pool;
  deadline = since + (options.connection_borrow_timeout > 0 ? options.connection_borrow_timeout
                                                            : options.backend_connect_timeout);
  ChooseRoute();
}

void ClientSession::ChooseRoute() {
  const protocol::ClientIdentity& identity = arrival_->login->identity();
  const protocol::StartupSettings& startup = arrival_->startup;
  const absl::StatusOr<RouteId> found = services_.routes.Intern(
      {TargetRole::kReadWrite, identity.database, identity.user, ToCanonical(startup.route)});
  if (!found.ok()) {
    Kill({"53000", std::string_view(std::string(found.status().message()))});
    return;
  }
  route = *found;
  arrival_->base_key = ToCanonical(startup.base);
  if (SendGreeting()) return;
  if (Backend* backend = services_.pool.Borrow(*this); backend != nullptr) OnBorrowed(*backend);
}

// It waits for its greeting, and has a backend for that: of the route, which may have had none.
void ClientSession::ProveOn(BackendSession& backend) {
  CHECK(state_ == ClientState::kGreeting);
  const protocol::Parameters& base = arrival_->startup.base;
  if (!base.empty() &&
      services_.bases.Find(route, arrival_->base_key, services_.greetings.Find(route)) == nullptr) {
    backend.Prove(*this, base, arrival_->base_key);
    return;
  }
  services_.pool.Return(backend);
  if (!SendGreeting()) Kill({"XX000", "the database server sent no greeting"});
}

void ClientSession::OnBaseProven() {
  if (state_ != ClientState::kGreeting) return;
  if (!SendGreeting()) Kill({"XX000", "the database server sent no greeting"});
}

// `server_error`: empty if the backend was lost.
void ClientSession::OnBaseRefused(std::string_view server_error) {
  if (state_ != ClientState::kGreeting) return;
  if (server_error.empty()) {
    if (++arrival_->proofs_lost >= kProofsLostMax || services_.draining) {
      Kill(kConnectionLost);
    } else if (Backend* backend = services_.pool.Borrow(*this); backend != nullptr) {
      OnBorrowed(*backend);
    }
    return;
  }
  const std::string error = services_.dialect.ReencodeError(server_error, /*fatal=*/true);
  stream_.Queue(engine::AsBytes(error));
  services_.metrics.Add(Counter::kClientConnectionsSetupFailedAuth);
  Close();
}

// True if the client's login has gone on: it is greeted, or has another route.
bool ClientSession::SendGreeting() {
  const Greetings::Greeting greeting = services_.greetings.Find(route);
  if (greeting == nullptr) return false;
  if (arrival_->startup.base.empty()) {
    Greet(*greeting);
    return true;
  }
  const ProvenBase* base = services_.bases.Find(route, arrival_->base_key, greeting);
  if (base == nullptr) return false;
  if (base->only_at_start.empty()) {
    requests_->BeginWith(base->values);
    Greet(WEIR_FAULT("greeting_of_another_base") ? *greeting : base->greeting);
    return true;
  }
  protocol::StartupSettings& startup = arrival_->startup;
  for (const auto& each : base->only_at_start) {
    startup.route.push_back(each);
    std::erase(startup.base, each);
  }
  ChooseRoute();
  return true;
}

// Its backends begin with its base from now on, so that resets go back to it within a text, too.
// True: its message can be looked at again.
bool ClientSession::TakeOwnRoute() {
  if (std::exchange(keeps_link_, false))
    LogPinEnd(services_, *this, *backend_, pinned_at_, services_.dialect.SequencePin());
  Unlink();
  RouteKey key = services_.routes.Get(route).key;
  protocol::Parameters parameters = FromCanonical(key.parameters);
  for (auto& each : requests_->MoveBase()) parameters.push_back(std::move(each));
  key.parameters = ToCanonical(parameters);
  const absl::StatusOr<RouteId> found = services_.routes.Intern(key);
  if (!found.ok()) {
    Kill({"53000", std::string_view(std::string(found.status().message()))});
    return false;
  }
  // Who logs in, and with what, is proven: it may take connections from other routes at once.
  const Route& old = services_.routes.Get(route);
  if (old.proven.load(std::memory_order_relaxed))
    services_.routes.Get(*found).proven.store(true, std::memory_order_relaxed);
  route = *found;
  preferred = 0;
  return true;
}

void ClientSession::Greet(const protocol::Parameters& greeting) {
  uint8_t random[4];
  services_.shard.entropy().Fill(random);
  cancel_secret_ =
      uint32_t{random[0]} << 24 | uint32_t{random[1]} << 16 | uint32_t{random[2]} << 8 | random[3];
  std::string out;
  services_.dialect.EncodeGreeting(greeting, {number(), cancel_secret_}, out);
  stream_.Queue(engine::AsBytes(out));
  arrival_.reset();
  BecomeReady();
}

}  // namespace weir::pool
