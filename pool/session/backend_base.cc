// A backend proves a client's base: it has no client meanwhile, and the one that waits for the
// answer may go.
#include <memory>
#include <string>
#include <utility>

#include "engine/base/check.h"
#include "pool/session/backend_session.h"
#include "pool/session/client_session.h"

namespace weir::pool {

using Next = protocol::BaseProof::Next;

// Lent by the pool for that, to a client whose greeting it decides.
void BackendSession::Prove(ClientSession& client, const protocol::Parameters& base,
                           std::string base_key) {
  CHECK(client_ == nullptr && proving_ == nullptr && replies_->settled());
  proving_ = std::make_unique<Proving>();
  proving_->client = services_.clients.HandleOf(client);
  proving_->proof = services_.dialect.NewBaseProof(base);
  proving_->base_key = std::move(base_key);
  Move(BackendPhase::kProving);
  services_.shard.timers().Arm(
      timer_, services_.shard.now() + services_.config->connection_pool.backend_connect_timeout);
  ContinueProof();
}

void BackendSession::ContinueProof() {
  // What it says unasked may be here in part.
  if (!replies_->quiet()) return;
  const Next next = proving_->proof->Continue(*replies_, *this);
  if (next == Next::kReceive) return;
  services_.shard.timers().Cancel(timer_);
  const std::unique_ptr<Proving> proving = std::move(proving_);
  SessionServices& services = services_;
  if (next == Next::kProven) {
    services.bases.Store(route(), proving->base_key,
                         {proving->proof->values(), replies_->reported(),
                          proving->proof->only_at_start(), services.greetings.Find(route())});
  }
  Move(BackendPhase::kReady);
  GiveBack();
  ClientSession* client = services.clients.Find(proving->client);
  if (client == nullptr) return;
  if (next == Next::kProven) {
    client->OnBaseProven();
  } else {
    client->OnBaseRefused(proving->proof->error());
  }
}

// It is lost. What the server has said of it may be its answer: a setting may make an error fatal.
void BackendSession::FailProof() {
  const std::unique_ptr<Proving> proving = std::move(proving_);
  if (proving == nullptr) return;
  ClientSession* client = services_.clients.Find(proving->client);
  if (client != nullptr) client->OnBaseRefused(replies_->fatal_error());
}

}  // namespace weir::pool
