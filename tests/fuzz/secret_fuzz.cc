// Secrets in JSON. An error never shows what is in the text.
//
// Input: the text.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "protocol/auth/secret.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

void CheckSecret(const protocol::Secret& secret) {
  CHECK(!secret.username.empty() && !secret.password.empty());
  for (const std::string* text : {&secret.username, &secret.password, &secret.dbname}) {
    CHECK(text->find('\0') == std::string::npos);
  }
  nlohmann::json object;
  object["username"] = secret.username;
  object["password"] = secret.password;
  object["dbname"] = secret.dbname;
  const absl::StatusOr<protocol::Secret> again = protocol::ParseSecret(object.dump());
  CHECK(again.ok());
  CHECK(again->username == secret.username && again->password == secret.password &&
        again->dbname == secret.dbname);
}

FUZZ_TARGET(secret) {
  const std::string_view text = engine::AsText(input);
  const absl::StatusOr<protocol::Secret> secret = protocol::ParseSecret(text);
  if (secret.ok()) {
    CheckSecret(*secret);
    return;
  }
  // All that an error can say is in weir's own words.
  const std::string message(secret.status().message());
  bool known = message == "not a JSON text" || message == "not a JSON object" ||
               message.starts_with("\"password\" begins like a SCRAM verifier and is none");
  for (const char* key : {"\"username\"", "\"password\"", "\"dbname\""}) {
    known = known || message == std::string("the key ") + key + " is missing" ||
            message == std::string("the value of ") + key + " is not a string" ||
            message == std::string(key) + " is empty" ||
            message == std::string(key) + " holds a NUL character";
  }
  CHECK(known);
}

}  // namespace
}  // namespace weir::fuzz
