#include "pool/session/users.h"

#include <cstdint>
#include <utility>

#include "engine/address.h"
#include "engine/base/check.h"
#include "engine/base/text.h"
#include "pool/config/check_config.h"
#include "pool/session/backend_session.h"
#include "protocol/auth/secret.h"

namespace weir::pool {
namespace {

constexpr size_t kSaltBytes = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<const Users>> Users::Load(const Config& config,
                                                         engine::Entropy& entropy,
                                                         std::string salt_key) {
  auto users = std::make_unique<Users>();
  users->salt_key_ = std::move(salt_key);
  for (const AuthOptions& auth : config.auths) {
    absl::StatusOr<std::string> text = ReadSmallFile(auth.secret_file);
    if (!text.ok()) return text.status();
    absl::StatusOr<protocol::Secret> secret = protocol::ParseSecret(*text);
    protocol::Wipe(*text);
    if (!secret.ok()) {
      return absl::InvalidArgumentError(engine::Cat(
          auth.secret_file, ": ", std::string_view(std::string(secret.status().message()))));
    }
    Entry& entry = users->entries_[secret->username];
    entry.password = secret->password;
    entry.database = secret->dbname;
    entry.trust = auth.client_password_auth_type == "TRUST";
    uint8_t salt[kSaltBytes];
    entropy.Fill(salt);
    entry.verifier.salt.assign(reinterpret_cast<const char*>(salt), sizeof salt);
    const protocol::ScramKeys keys =
        protocol::DeriveScramKeys(entry.password, entry.verifier.salt, entry.verifier.iterations);
    entry.verifier.stored_key = keys.stored_key;
    entry.verifier.server_key = keys.server_key;
    protocol::Wipe(secret->password);
  }
  return users;
}

Users::~Users() {
  for (auto& [user, entry] : entries_) protocol::Wipe(entry.password);
}

protocol::ClientUser Users::Find(std::string_view user, bool local,
                                 protocol::ScramVerifier& mock) const {
  const auto found = entries_.find(user);
  if (found == entries_.end()) return Unknown(user, mock);
  const Entry& entry = found->second;
  return {.trust = entry.trust && local, .known = true, .verifier = &entry.verifier};
}

protocol::ClientUser Users::Unknown(std::string_view user, protocol::ScramVerifier& mock) const {
  mock = protocol::MockVerifier(user, salt_key_);
  return {.trust = false, .known = false, .verifier = &mock};
}

protocol::ServerLogin::Options Users::LoginOptions(std::string_view user,
                                                   const TargetOptions& target) const {
  protocol::ServerLogin::Options options;
  options.password = std::string(Password(user));
  const absl::StatusOr<engine::Address> address =
      engine::Address::FromHost(target.host == "localhost" ? "127.0.0.1" : target.host, 1);
  if (target.server_auth_methods.empty()) {
    // A rogue server must not be able to ask for less than it should get; on this machine there is
    // none.
    options.allow_md5 = options.allow_trust = address.ok() && address->IsLocal();
    return options;
  }
  options.allow_scram = false;
  for (const std::string& method : target.server_auth_methods) {
    options.allow_scram = options.allow_scram || method == "scram-sha-256";
    options.allow_md5 = options.allow_md5 || method == "md5";
    options.allow_trust = options.allow_trust || method == "trust";
  }
  return options;
}

std::vector<std::pair<std::string, std::string>> Users::Databases() const {
  std::vector<std::pair<std::string, std::string>> databases;
  for (const auto& [user, entry] : entries_) {
    if (!entry.database.empty()) databases.emplace_back(user, entry.database);
  }
  return databases;
}

std::string_view Users::Password(std::string_view user) const {
  const auto found = entries_.find(user);
  return found == entries_.end() ? std::string_view() : std::string_view(found->second.password);
}

// Derives keys where it may take long.
class DeriveJob final : public engine::Job {
 public:
  DeriveJob(SessionServices& services, ServerKeys& owner, std::string password,
            protocol::ScramKeyRequest request)
      : services_(services),
        owner_(owner),
        password_(std::move(password)),
        request_(std::move(request)) {}
  ~DeriveJob() override { protocol::Wipe(password_); }

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

void ServerKeys::Ask(SessionServices& services, BackendSession& backend, std::string_view user,
                     const protocol::ScramKeyRequest& request) {
  const std::string_view password = services.users->Password(user);
  for (const Known& known : known_) {
    if (known.request == request && known.password == password) {
      // A copy: the answer may lead to another question.
      const protocol::ScramKeys keys = known.keys;
      backend.OnServerKeys(keys);
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

void ServerKeys::OnDerived(SessionServices& services, std::string_view password,
                           const protocol::ScramKeyRequest& request,
                           const protocol::ScramKeys& keys) {
  if (known_.size() >= kKnownMax) known_.erase(known_.begin());
  known_.push_back({std::string(password), request, keys});
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (!(pending_[i].request == request) || pending_[i].password != password) continue;
    const Pending done = std::move(pending_[i]);
    pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(i));
    for (const engine::Handle<BackendSession> handle : done.backends) {
      if (BackendSession* backend = services.backends.Find(handle); backend != nullptr)
        backend->OnServerKeys(keys);
    }
    return;
  }
}

}  // namespace weir::pool
