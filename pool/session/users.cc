#include "pool/session/users.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/address.h"
#include "engine/base/text.h"
#include "protocol/auth/crypto.h"
#include "protocol/auth/secret.h"

namespace weir::pool {

using engine::Cat;
using engine::Nanos;

namespace {

protocol::ClientMethod MethodOf(const AuthOptions& auth) {
  const std::string& type = auth.client_password_auth_type;
  if (auth.iam_auth == "REQUIRED") return protocol::ClientMethod::kIam;
  if (type == "TRUST") return protocol::ClientMethod::kTrust;
  if (type == "POSTGRES_MD5") return protocol::ClientMethod::kMd5;
  if (type == "POSTGRES_CERTIFICATE") return protocol::ClientMethod::kCertificate;
  return protocol::ClientMethod::kScram;
}

// Where a user has no secret: one that nobody knows.
std::string NobodysPassword(engine::Entropy& entropy) {
  std::string bytes(32, '\0');
  entropy.Fill({reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  std::string password = protocol::Base64(bytes);
  protocol::Wipe(bytes);
  return password;
}

// Of a user who is known already, with what is still good of it.
UserSecret Continue(const UserSecret& before, std::string_view password, Nanos grace, Nanos now) {
  UserSecret secret = before;
  if (secret.previous_until() != 0 && secret.previous(now).empty()) secret.DropPrevious();
  if (secret.password() == password) return secret;
  secret.Replace(password, now + grace);
  if (grace == 0) secret.DropPrevious();
  return secret;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Users>> Users::Load(const Config& config,
                                                         engine::Entropy& entropy,
                                                         std::string salt_key, const Users* before,
                                                         Nanos now, const RemoteSecrets* remote) {
  auto users = std::make_unique<Users>();
  users->salt_key_ = std::move(salt_key);
  for (const AuthOptions& auth : config.auths) {
    if (!auth.username.empty()) {
      std::string password = NobodysPassword(entropy);
      users->entries_.insert_or_assign(
          auth.username, Entry{UserSecret(auth.username, password, entropy), "", MethodOf(auth),
                               auth.certificate_names});
      protocol::Wipe(password);
      continue;
    }
    absl::StatusOr<protocol::Secret> secret = ReadSecret(auth, remote);
    if (!auth.secret_arn.empty() && (!secret.ok() || config.AuthOf(secret->username) != &auth)) {
      if (secret.ok()) protocol::Wipe(secret->password);
      continue;
    }
    if (!secret.ok()) return secret.status();
    const UserSecret* known = before == nullptr ? nullptr : before->Secret(secret->username);
    users->entries_.insert_or_assign(
        secret->username,
        Entry{known == nullptr ? UserSecret(secret->username, secret->password, entropy)
                               : Continue(*known, secret->password, auth.rotation_grace, now),
              secret->dbname, MethodOf(auth), auth.certificate_names});
    protocol::Wipe(secret->password);
  }
  return users;
}

Users::~Users() { protocol::Wipe(salt_key_); }

std::unique_ptr<const Users> Users::Next(const std::vector<Change>& changes,
                                         const std::vector<SecretNews::Accepted>& accepted,
                                         Nanos now, std::vector<std::string>& told) const {
  auto next = std::make_unique<Users>();
  next->entries_ = entries_;
  next->salt_key_ = salt_key_;
  told.clear();
  for (auto& [name, entry] : next->entries_) {
    const std::string_view user = name;
    const UserSecret& secret = entry.secret;
    if (secret.previous_until() == 0) continue;
    const bool confirmed =
        std::any_of(accepted.begin(), accepted.end(), [&](const SecretNews::Accepted& each) {
          return each.user == user && each.version == secret.version();
        });
    if (!confirmed && now < secret.previous_until()) continue;
    told.push_back(Cat("event=secret_settled user=\"", user, "\": ",
                       confirmed ? "the server has accepted the new value" : "its time is up",
                       "; the value before is forgotten"));
    entry.secret.DropPrevious();
  }
  for (const Change& change : changes) {
    const auto found = next->entries_.find(change.user);
    if (found == next->entries_.end() || found->second.secret.password() == change.password)
      continue;
    found->second.secret = Continue(found->second.secret, change.password, change.grace, now);
    told.push_back(Cat("event=secret_changed user=\"", change.user,
                       "\": the value before stays good until the server accepts the new one, at "
                       "most ",
                       change.grace / engine::kSecond, " s (rotation_grace)"));
  }
  if (told.empty()) return nullptr;
  return next;
}

protocol::ClientUser Users::Find(std::string_view user, bool local, Nanos now,
                                 protocol::ScramVerifier& mock) const {
  mock = {};
  const auto found = entries_.find(user);
  if (found == entries_.end()) return Unknown(user, mock);
  const Entry& entry = found->second;
  const bool scram = entry.method == protocol::ClientMethod::kTrust && !local;
  const protocol::ClientMethod method = scram ? protocol::ClientMethod::kScram : entry.method;
  // Who is known costs as much as who is not.
  if (method == protocol::ClientMethod::kScram) mock = protocol::MockVerifier(user, salt_key_);
  return {.method = method,
          .known = true,
          .verifier = &entry.secret.verifier(now),
          .md5_hashes = entry.secret.md5_hashes(now),
          .certificate_names = entry.certificate_names};
}

protocol::ClientUser Users::Unknown(std::string_view user, protocol::ScramVerifier& mock) const {
  if (mock.salt.empty()) mock = protocol::MockVerifier(user, salt_key_);
  return {.method = protocol::ClientMethod::kScram, .known = false, .verifier = &mock};
}

const UserSecret* Users::Secret(std::string_view user) const {
  const auto found = entries_.find(user);
  return found == entries_.end() ? nullptr : &found->second.secret;
}

std::vector<std::pair<std::string, std::string>> Users::Databases() const {
  std::vector<std::pair<std::string, std::string>> databases;
  for (const auto& [user, entry] : entries_) {
    if (!entry.database.empty()) databases.emplace_back(user, entry.database);
  }
  return databases;
}

bool Users::IsGood(std::string_view password, Nanos now) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& each) {
    const UserSecret& secret = each.second.secret;
    return secret.password() == password || secret.previous(now) == password;
  });
}

std::vector<protocol::Digest256> Users::StoredKeys() const {
  std::vector<protocol::Digest256> keys;
  for (const auto& [user, entry] : entries_) {
    for (const std::string_view password : {entry.secret.password(), entry.secret.previous(0)}) {
      if (const auto verifier = protocol::ParseScramVerifier(password))
        keys.push_back(verifier->stored_key);
    }
  }
  return keys;
}

protocol::ServerLogin::Options LoginOptionsOf(const TargetOptions& target) {
  protocol::ServerLogin::Options options;
  if (target.server_auth == "iam") {
    // A token has one method, and shows nobody who it is that asks.
    options.allow_scram = options.allow_scram_plus = false;
    options.allow_token = true;
    return options;
  }
  const absl::StatusOr<engine::Address> address =
      engine::Address::FromHost(target.host == "localhost" ? "127.0.0.1" : target.host, 1);
  // Ours may be enough, for we know whose server it is.
  const bool certified =
      target.tls_mode.starts_with("verify-") && !target.tls_certificate_file.empty();
  if (target.server_auth_methods.empty()) {
    // A rogue server must not be able to ask for less than it should get; on this machine there is
    // none.
    options.allow_md5 = options.allow_trust = address.ok() && address->IsLocal();
    options.allow_certificate = certified;
    return options;
  }
  const auto named = [&target](std::string_view method) {
    return std::find(target.server_auth_methods.begin(), target.server_auth_methods.end(),
                     method) != target.server_auth_methods.end();
  };
  options.allow_scram = named("scram-sha-256");
  options.allow_scram_plus = named("scram-sha-256-plus");
  options.allow_md5 = named("md5");
  options.allow_trust = named("trust");
  options.allow_password = named("password");
  options.allow_certificate = certified && named("certificate");
  return options;
}

}  // namespace weir::pool
