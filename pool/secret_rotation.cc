#include "pool/secret_rotation.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/log.h"
#include "engine/base/text.h"
#include "protocol/auth/crypto.h"

namespace weir::pool {

using engine::Cat;
using engine::Nanos;

void SecretRotation::Begin(const Config& config) {
  sources_.clear();
  // What has changed since it was read is seen at the first look, which reads it again.
  for (const AuthOptions& auth : config.auths)
    sources_.push_back({.stamp = StampOf(auth, remote_)});
  look_at_ = 0;
  new_users_ = false;
}

std::unique_ptr<const Users> SecretRotation::Poll(const Config& config, const Users& users,
                                                  Nanos now) {
  CHECK(sources_.size() == config.auths.size());
  const SecretNews::Told news = news_.Take();
  read_all_ = read_all_ || news.refused;
  std::vector<Users::Change> changes;
  const bool read_now = read_all_ && now >= read_at_;
  if (read_now && remote_ != nullptr) remote_->AskAgain();
  if (read_now || now >= look_at_ || RemoteChanged(config)) {
    if (read_now) read_at_ = now + kReadPeriod;
    look_at_ = now + kLookPeriod;
    Look(config, users, changes);
    if (read_now) read_all_ = false;
  }
  std::vector<std::string> told;
  std::unique_ptr<const Users> next = users.Next(changes, news.accepted, now, told);
  for (Users::Change& change : changes) protocol::Wipe(change.password);
  for (const std::string& line : told) engine::Log(engine::LogLevel::kInfo, line);
  return next;
}

void SecretRotation::Look(const Config& config, const Users& users,
                          std::vector<Users::Change>& changes) {
  for (size_t i = 0; i < sources_.size(); ++i) {
    const AuthOptions& auth = config.auths[i];
    Source& source = sources_[i];
    // Before it is read: who writes meanwhile makes it another one. Two changes within one tick of
    // the file system's clock look alike: what has just changed is read once more.
    const SecretStamp stamp = StampOf(auth, remote_);
    const bool same = stamp == source.stamp;
    if (same && source.settled && !read_all_ && source.told.empty()) continue;
    source.stamp = stamp;
    source.settled = same;
    std::string problem = Read(config, i, users, changes);
    if (!problem.empty() && problem != source.told) {
      engine::Log(engine::LogLevel::kWarn,
                  Cat("event=secret_unusable: ", problem, "; the value before stays in force"));
    }
    source.told = std::move(problem);
  }
}

bool SecretRotation::RemoteChanged(const Config& config) const {
  if (remote_ == nullptr) return false;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const std::string& arn = config.auths[i].secret_arn;
    if (!arn.empty() && remote_->Version(arn) != sources_[i].stamp.changed_at) return true;
  }
  return false;
}

// What is wrong with it; empty: nothing, or somebody else says so.
std::string SecretRotation::Read(const Config& config, size_t number, const Users& users,
                                 std::vector<Users::Change>& changes) {
  const AuthOptions& auth = config.auths[number];
  if (!auth.username.empty()) return {};  // without a secret
  absl::StatusOr<protocol::Secret> secret = ReadSecret(auth, remote_);
  if (!secret.ok())
    return auth.secret_arn.empty() ? std::string(secret.status().message()) : std::string();
  std::string problem = SecretProblem(auth, protocol::KindOf(secret->password));
  const UserSecret* known = users.Secret(secret->username);
  const bool elsewhere = !auth.secret_arn.empty();
  const AuthOptions* entry = config.AuthOf(secret->username);
  const bool named = std::any_of(config.users.begin(), config.users.end(),
                                 [number](const auto& each) { return each.second == number; });
  if (!problem.empty()) {
    // It stays as it is.
  } else if (elsewhere && !named && entry != nullptr) {
    problem = Cat("the user \"", secret->username, "\" has two [[auth]] entries");
  } else if (elsewhere && !named) {
    new_users_ = true;
  } else if (known == nullptr || (elsewhere && entry != &auth)) {
    problem = "it names another user than before: that needs a reload (SIGHUP)";
  } else if (known->password() != secret->password) {
    changes.push_back({secret->username, secret->password, auth.rotation_grace});
  }
  protocol::Wipe(secret->password);
  return problem.empty() ? problem : Cat(SecretName(auth), ": ", problem);
}

}  // namespace weir::pool
