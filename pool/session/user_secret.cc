#include "pool/session/user_secret.h"

#include <algorithm>

#include "engine/base/check.h"
#include "protocol/auth/crypto.h"
#include "protocol/auth/md5.h"

namespace weir::pool {

using protocol::PasswordKind;
using protocol::ScramVerifier;

namespace {

constexpr size_t kSaltBytes = 16;

}  // namespace

UserSecret::UserSecret(std::string_view user, std::string_view password, engine::Entropy& entropy)
    : user_(user) {
  uint8_t salt[kSaltBytes];
  entropy.Fill(salt);
  verifier_.salt.assign(reinterpret_cast<const char*>(salt), sizeof salt);
  password_ = std::string(password);
  SetUp();
}

UserSecret::~UserSecret() {
  protocol::Wipe(password_);
  protocol::Wipe(previous_);
  for (std::string& hash : md5_hashes_) protocol::Wipe(hash);
}

void UserSecret::Replace(std::string_view password, engine::Nanos until) {
  CHECK(!password.empty() && password != password_);
  ++version_;
  if (previous_ == password) {
    // Back again before the other was ever accepted.
    DropPrevious();
  } else if (previous_.empty()) {
    previous_ = password_;
    previous_until_ = until;
  }
  protocol::Wipe(password_);
  password_ = std::string(password);
  SetUp();
}

void UserSecret::DropPrevious() {
  protocol::Wipe(previous_);
  previous_until_ = 0;
  both_ = verifier_;
  if (md5_hashes_.size() > 1) {
    protocol::Wipe(md5_hashes_.back());
    md5_hashes_.pop_back();
  }
}

std::optional<ScramVerifier::Keys> UserSecret::KeysOf(std::string_view password) const {
  switch (protocol::KindOf(password)) {
    case PasswordKind::kText: {
      protocol::ScramKeys keys =
          protocol::DeriveScramKeys(password, verifier_.salt, verifier_.iterations);
      protocol::Wipe(keys.client_key);
      return ScramVerifier::Keys{keys.stored_key, keys.server_key};
    }
    case PasswordKind::kScramVerifier: {
      const std::optional<ScramVerifier> parsed = protocol::ParseScramVerifier(password);
      if (!parsed || parsed->salt != verifier_.salt || parsed->iterations != verifier_.iterations)
        return std::nullopt;
      return ScramVerifier::Keys{parsed->stored_key, parsed->server_key};
    }
    case PasswordKind::kMd5Hash:
      return std::nullopt;
  }
  UNREACHABLE();
}

// All that follows from password_ and previous_.
void UserSecret::SetUp() {
  if (const auto parsed = protocol::ParseScramVerifier(password_)) {
    verifier_ = *parsed;
  } else {
    // Of a hash nobody has the key.
    const ScramVerifier::Keys keys = KeysOf(password_).value_or(ScramVerifier::Keys());
    verifier_.stored_key = keys.stored_key;
    verifier_.server_key = keys.server_key;
  }
  both_ = verifier_;
  if (!previous_.empty()) both_.previous = KeysOf(previous_);
  for (std::string& hash : md5_hashes_) protocol::Wipe(hash);
  md5_hashes_.clear();
  for (const std::string* password : {&password_, &previous_}) {
    if (!password->empty() && protocol::KindOf(*password) != PasswordKind::kScramVerifier)
      md5_hashes_.push_back(protocol::Md5Hash(user_, *password));
  }
}

std::string_view UserSecret::previous(engine::Nanos now) const {
  return now < previous_until_ ? std::string_view(previous_) : std::string_view();
}

const ScramVerifier& UserSecret::verifier(engine::Nanos now) const {
  return previous(now).empty() ? verifier_ : both_;
}

std::span<const std::string> UserSecret::md5_hashes(engine::Nanos now) const {
  const std::span<const std::string> all(md5_hashes_);
  return previous(now).empty() ? all.first(std::min<size_t>(all.size(), 1)) : all;
}

}  // namespace weir::pool
