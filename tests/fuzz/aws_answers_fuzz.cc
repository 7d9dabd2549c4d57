// What the metadata service, Secrets Manager and a verifier answer. What is read is whole and can
// stand in a header or a log; an error is in weir's own words.
//
// Input: one byte, which of the answers; the text.
#include <cstdint>
#include <string>

#include "engine/base/text.h"
#include "protocol/auth/aws_answers.h"
#include "protocol/auth/secret.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

bool IsWord(std::string_view text) {
  return !text.empty() &&
         text.find_first_of(std::string_view("\0\r\n", 3)) == std::string_view::npos;
}

// Names of keys, and nothing of their values; but for a policy's error and the service's own code.
void CheckError(const absl::Status& status) {
  const std::string message(status.message());
  CHECK(!message.empty() && message.find('\0') == std::string::npos);
  bool known =
      message.starts_with("the service has no key: Code is ") || message.starts_with("a policy: ");
  for (const char* begin :
       {"not a JSON object", "the answer ", "\"AccessKeyId\" ", "\"SecretAccessKey\" ",
        "\"Token\" ", "\"Expiration\" is no time", "\"SecretBinary\" of the answer",
        "\"VersionId\" ", "\"signing_key\" is", "\"expires_at\" is no time", "\"policies\" "})
    known = known || message.starts_with(begin);
  CHECK(known);
}

void CheckMetadata(std::string_view text) {
  const absl::StatusOr<protocol::TemporaryKey> key = protocol::ParseMetadataKey(text);
  if (!key.ok()) {
    CheckError(key.status());
    return;
  }
  CHECK(IsWord(key->key.id) && IsWord(key->key.secret) && IsWord(key->key.session_token));
  CHECK(protocol::ParseBasicTime(protocol::FormatBasicTime(key->expires_at)) == key->expires_at);
}

void CheckSecret(std::string_view text) {
  const protocol::AwsError error = protocol::ParseAwsError(text);
  CHECK(error.code.size() <= 300 && error.message.size() <= 300);
  CHECK(error.code.find('#') == std::string::npos);
  const absl::StatusOr<protocol::SecretValue> value = protocol::ParseSecretValue(text);
  if (!value.ok()) {
    CheckError(value.status());
    return;
  }
  CHECK(IsWord(value->version) && value->version.size() <= 64);
  // It is read on.
  static_cast<void>(protocol::ParseSecret(value->text));
}

void CheckVerified(std::string_view text) {
  const absl::StatusOr<protocol::VerifiedKey> key = protocol::ParseVerifiedKey(text);
  if (!key.ok()) {
    CheckError(key.status());
    return;
  }
  CHECK(key->policies.size() <= 100);
  const std::string hex = protocol::LowerHex(protocol::AsText(key->signing_key));
  const std::string again = engine::Cat(
      "{\"signing_key\":\"", hex, "\",\"policies\":[],\"expires_at\":\"2026-01-01T00:00:00Z\"}");
  const absl::StatusOr<protocol::VerifiedKey> twice = protocol::ParseVerifiedKey(again);
  CHECK(twice.ok() && twice->signing_key == key->signing_key);
}

// A question is one JSON text whatever stands in it, and says what was asked.
void CheckQuestions(std::string_view text) {
  for (const std::string& question :
       {protocol::VerifierQuestion(text, text, text, text), protocol::SecretQuestion(text, text)}) {
    CHECK(question.starts_with("{") && question.ends_with("\"}"));
    CHECK(question.find('\n') == std::string::npos && question.find('\0') == std::string::npos);
  }
}

FUZZ_TARGET(aws_answers) {
  if (input.empty()) return;
  const std::string_view text = engine::AsText(input.subspan(1));
  switch (input[0] & 3) {
    case 0:
      CheckMetadata(text);
      return;
    case 1:
      CheckSecret(text);
      return;
    case 2:
      CheckVerified(text);
      return;
    default:
      CheckQuestions(text);
  }
}

}  // namespace
}  // namespace weir::fuzz
