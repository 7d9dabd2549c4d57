#include "pool/session/server_keys.h"

#include <cstdint>
#include <utility>

#include "pool/session/backend_session.h"
#include "pool/session/users.h"

namespace weir::pool {

// Derives keys where it may take long.
class DeriveJob final : public engine::Job {
 public:
  DeriveJob(SessionServices& services, ServerKeys& owner, std::string password,
            protocol::ScramKeyRequest request)
      : services_(services),
        owner_(owner),
        password_(std::move(password)),
        request_(std::move(request)) {}
  ~DeriveJob() override {
    protocol::Wipe(password_);
    protocol::Wipe(keys_);
  }

  void Run() override {
    keys_ = protocol::DeriveScramKeys(password_, request_.salt, request_.iterations);
  }
  void Done() override { owner_.OnDerived(services_, password_, request_, keys_); }

 private:
  SessionServices& services_;
  ServerKeys& owner_;
  std::string password_;
  const protocol::ScramKeyRequest request_;
  protocol::ScramKeys keys_;
};

ServerKeys::~ServerKeys() {
  for (const auto& known : known_) Wipe(*known);
}

void ServerKeys::Wipe(Known& known) {
  protocol::Wipe(known.password);
  protocol::Wipe(known.keys);
}

void ServerKeys::Ask(SessionServices& services, BackendSession& backend, std::string_view password,
                     const protocol::ScramKeyRequest& request) {
  if (const auto verifier = protocol::ParseScramVerifier(password)) {
    AskClientKeys(services, backend, *verifier, request);
    return;
  }
  for (const auto& known : known_) {
    if (known->request == request && known->password == password) {
      // A copy: the answer may lead to another question.
      protocol::ScramKeys keys = known->keys;
      backend.OnServerKeys(keys);
      protocol::Wipe(keys);
      return;
    }
  }
  for (Pending& pending : pending_) {
    if (pending.request == request && pending.password == password) {
      pending.backends.push_back(backend.self());
      return;
    }
  }
  pending_.push_back({std::string(password), request, {backend.self()}});
  services.shard.worker().Submit(
      services.shard.id(),
      std::make_unique<DeriveJob>(services, *this, std::string(password), request));
}

void ServerKeys::AskClientKeys(SessionServices& services, BackendSession& backend,
                               const protocol::ScramVerifier& verifier,
                               const protocol::ScramKeyRequest& request) {
  if (verifier.salt != request.salt || verifier.iterations != request.iterations) {
    backend.OnNoServerKeys(
        "the server's verifier of this role has another salt or iteration count than that in the "
        "secret: copy rolpassword from the server's pg_authid into the secret, or put the password "
        "there");
    return;
  }
  protocol::ScramKeys keys;
  if (!services.client_keys.Find(verifier.stored_key, keys.client_key)) {
    backend.OnNoServerKeys("the key that a client had shown has been given up meanwhile");
    return;
  }
  keys.stored_key = verifier.stored_key;
  keys.server_key = verifier.server_key;
  backend.OnServerKeys(keys);
  protocol::Wipe(keys);
}

void ServerKeys::Keep(const Users& users, engine::Nanos now) {
  std::erase_if(known_, [&](const std::unique_ptr<Known>& known) {
    if (users.IsGood(known->password, now)) return false;
    Wipe(*known);
    return true;
  });
}

void ServerKeys::OnDerived(SessionServices& services, std::string_view password,
                           const protocol::ScramKeyRequest& request,
                           const protocol::ScramKeys& keys) {
  if (services.users->IsGood(password, services.shard.now())) {
    if (known_.size() >= kKnownMax) {
      Wipe(*known_.front());
      known_.erase(known_.begin());
    }
    known_.push_back(std::make_unique<Known>(Known{std::string(password), request, keys}));
  }
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (!(pending_[i].request == request) || pending_[i].password != password) continue;
    Pending done = std::move(pending_[i]);
    pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(i));
    protocol::Wipe(done.password);
    for (const engine::Handle<BackendSession> handle : done.backends) {
      if (BackendSession* backend = services.backends.Find(handle); backend != nullptr)
        backend->OnServerKeys(keys);
    }
    return;
  }
}

}  // namespace weir::pool
