#include "protocol/auth/secret.h"

#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "protocol/auth/crypto.h"
#include "protocol/auth/md5.h"
#include "protocol/auth/scram.h"

namespace weir::protocol {
namespace {

absl::Status Take(const nlohmann::json& object, const char* key, bool required, std::string& out) {
  const auto found = object.find(key);
  if (found == object.end()) {
    return required ? absl::InvalidArgumentError(engine::Cat("the key \"", key, "\" is missing"))
                    : absl::OkStatus();
  }
  const std::string* text = found->get_ptr<const std::string*>();
  if (text == nullptr)
    return absl::InvalidArgumentError(engine::Cat("the value of \"", key, "\" is not a string"));
  if (text->empty() && required)
    return absl::InvalidArgumentError(engine::Cat("\"", key, "\" is empty"));
  if (text->find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(engine::Cat("\"", key, "\" holds a NUL character"));
  }
  out = *text;
  return absl::OkStatus();
}

// What no password begins with by chance.
constexpr std::string_view kVerifierBegin = "SCRAM-SHA-256$";

}  // namespace

PasswordKind KindOf(std::string_view password) {
  if (password.starts_with(kVerifierBegin)) return PasswordKind::kScramVerifier;
  return IsMd5Hash(password) ? PasswordKind::kMd5Hash : PasswordKind::kText;
}

absl::StatusOr<Secret> ParseSecret(std::string_view json) {
  nlohmann::json object = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) return absl::InvalidArgumentError("not a JSON text");
  if (!object.is_object()) return absl::InvalidArgumentError("not a JSON object");
  Secret secret;
  for (const absl::Status& status : {Take(object, "username", true, secret.username),
                                     Take(object, "password", true, secret.password),
                                     Take(object, "dbname", false, secret.dbname)}) {
    if (!status.ok()) return status;
  }
  Wipe(*object["password"].get_ptr<std::string*>());
  if (KindOf(secret.password) == PasswordKind::kScramVerifier &&
      !ParseScramVerifier(secret.password)) {
    return absl::InvalidArgumentError(
        "\"password\" begins like a SCRAM verifier and is none: expected "
        "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>");
  }
  return secret;
}

}  // namespace weir::protocol
