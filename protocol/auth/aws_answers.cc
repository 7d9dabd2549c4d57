#include "protocol/auth/aws_answers.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "engine/base/text.h"
#include "protocol/auth/crypto.h"

namespace weir::protocol {
namespace {

using engine::Cat;
using Json = nlohmann::json;

constexpr size_t kMessageShown = 300;
constexpr size_t kVersionMax = 64;
constexpr size_t kPoliciesMax = 100;

absl::Status Wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

// A parsed object whose texts are wiped when it dies.
class Object {
 public:
  explicit Object(std::string_view text)
      : json_(Json::parse(text, nullptr, /*allow_exceptions=*/false)) {}
  ~Object() {
    if (!is_object()) return;
    for (auto& each : json_) {
      if (auto* text = each.get_ptr<std::string*>(); text != nullptr) Wipe(*text);
    }
  }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  bool is_object() const { return json_.is_object(); }
  const Json* Find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }
  // nullptr: it is missing, or no text.
  const std::string* Text(const char* key) const {
    const Json* found = Find(key);
    return found == nullptr ? nullptr : found->get_ptr<const std::string*>();
  }
  // Errors name the key.
  absl::Status Take(const char* key, std::string& out) const {
    const std::string* text = Text(key);
    if (text == nullptr || text->empty())
      return Wrong(Cat("\"", key, "\" is missing, or not a text"));
    if (text->find_first_of(std::string_view("\0\r\n", 3)) != std::string::npos)
      return Wrong(Cat("\"", key, "\" holds a character that it cannot have"));
    out = *text;
    return absl::OkStatus();
  }
  absl::Status TakeTime(const char* key, int64_t& out) const {
    const std::string* text = Text(key);
    const std::optional<int64_t> time = text == nullptr ? std::nullopt : ParseIsoTime(*text);
    if (!time) return Wrong(Cat("\"", key, "\" is no time such as 2026-01-01T06:00:00Z"));
    out = *time;
    return absl::OkStatus();
  }

 private:
  Json json_;
};

std::optional<Digest256> FromHex(std::string_view text) {
  Digest256 digest;
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < digest.size(); ++i) {
    int value = 0;
    for (const char c : text.substr(2 * i, 2)) {
      const bool letter = c >= 'a' && c <= 'f';
      if (!letter && (c < '0' || c > '9')) return std::nullopt;
      value = value * 16 + (letter ? c - 'a' + 10 : c - '0');
    }
    digest[i] = static_cast<uint8_t>(value);
  }
  return digest;
}

}  // namespace

SecretValue::~SecretValue() { Wipe(text); }

VerifiedKey::~VerifiedKey() { Wipe(signing_key); }

absl::StatusOr<TemporaryKey> ParseMetadataKey(std::string_view json) {
  const Object object(json);
  if (!object.is_object()) return Wrong("not a JSON object");
  const std::string* code = object.Text("Code");
  if (code != nullptr && *code != "Success")
    return Wrong(Cat("the service has no key: Code is \"",
                     engine::Visible(std::string_view(*code).substr(0, kMessageShown)), "\""));
  TemporaryKey out;
  for (const absl::Status& status :
       {object.Take("AccessKeyId", out.key.id), object.Take("SecretAccessKey", out.key.secret),
        object.Take("Token", out.key.session_token),
        object.TakeTime("Expiration", out.expires_at)}) {
    if (!status.ok()) return status;
  }
  return out;
}

absl::StatusOr<SecretValue> ParseSecretValue(std::string_view json) {
  const Object object(json);
  if (!object.is_object()) return Wrong("the answer is not a JSON object");
  SecretValue out;
  if (const std::string* text = object.Text("SecretString"); text != nullptr) {
    out.text = *text;
  } else if (const std::string* binary = object.Text("SecretBinary"); binary != nullptr) {
    std::optional<std::string> bytes = FromBase64(*binary);
    if (!bytes) return Wrong("\"SecretBinary\" of the answer is not base64");
    out.text = *std::move(bytes);
  } else {
    return Wrong("the answer has neither \"SecretString\" nor \"SecretBinary\"");
  }
  if (absl::Status status = object.Take("VersionId", out.version); !status.ok()) return status;
  if (out.version.size() > kVersionMax) return Wrong("\"VersionId\" is longer than 64 characters");
  return out;
}

AwsError ParseAwsError(std::string_view json) {
  AwsError error;
  const Object object(json);
  if (!object.is_object()) return error;
  if (const std::string* type = object.Text("__type"); type != nullptr)
    error.code = type->substr(type->rfind('#') + 1, kMessageShown);
  for (const char* key : {"Message", "message"}) {
    if (const std::string* text = object.Text(key); text != nullptr)
      error.message = text->substr(0, kMessageShown);
  }
  return error;
}

absl::StatusOr<VerifiedKey> ParseVerifiedKey(std::string_view json) {
  const Object object(json);
  if (!object.is_object()) return Wrong("the answer is not a JSON object");
  VerifiedKey out;
  const std::string* hex = object.Text("signing_key");
  std::optional<Digest256> key = hex == nullptr ? std::nullopt : FromHex(*hex);
  if (!key) return Wrong("\"signing_key\" is not 64 digits 0-9a-f");
  out.signing_key = *key;
  Wipe(*key);
  if (absl::Status status = object.TakeTime("expires_at", out.expires_at); !status.ok())
    return status;
  const Json* policies = object.Find("policies");
  if (policies == nullptr || !policies->is_array() || policies->size() > kPoliciesMax)
    return Wrong("\"policies\" is not a list of at most 100 texts, each a policy");
  for (const Json& each : *policies) {
    const auto* text = each.get_ptr<const std::string*>();
    if (text == nullptr) return Wrong("\"policies\" holds something that is not a text");
    absl::StatusOr<IamPolicy> policy = IamPolicy::Parse(*text);
    if (!policy.ok())
      return Wrong(Cat("a policy: ", std::string_view(std::string(policy.status().message()))));
    out.policies.push_back(*std::move(policy));
  }
  return out;
}

std::string VerifierQuestion(std::string_view access_key_id, std::string_view session_token,
                             std::string_view date, std::string_view region) {
  const Json question = {{"access_key_id", access_key_id},
                         {"session_token", session_token},
                         {"date", date},
                         {"region", region},
                         {"service", kIamService}};
  // Whatever a client has sent: what is not UTF-8 becomes a character that no key has.
  return question.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string SecretQuestion(std::string_view arn, std::string_view stage) {
  const Json question = {{"SecretId", arn}, {"VersionStage", stage}};
  return question.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace weir::protocol
