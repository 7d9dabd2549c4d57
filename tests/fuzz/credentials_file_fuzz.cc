// The AWS tools' credentials file. An error names a line and shows no value; what is read is whole.
//
// Input: the file's text.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>
#include <string>

#include "engine/base/text.h"
#include "protocol/auth/credentials_file.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

void CheckError(std::string_view message, std::string_view text) {
  constexpr std::string_view kLine = "line ";
  CHECK(message.starts_with(kLine));
  size_t line = 0;
  const auto [end, error] =
      std::from_chars(message.data() + kLine.size(), message.data() + message.size(), line);
  CHECK(error == std::errc() && *end == ':');
  CHECK(line >= 1 && line <= 1 + static_cast<size_t>(std::count(text.begin(), text.end(), '\n')));
}

FUZZ_TARGET(credentials_file) {
  const std::string_view text = engine::AsText(input);
  const absl::StatusOr<std::vector<protocol::CredentialsEntry>> entries =
      protocol::ParseCredentialsFile(text);
  if (!entries.ok()) {
    CheckError(std::string(entries.status().message()), text);
    return;
  }
  std::set<std::string> names;
  std::set<std::string> ids;
  std::string again;
  for (const protocol::CredentialsEntry& each : *entries) {
    CHECK(!each.name.empty() && names.insert(each.name).second);
    CHECK(!each.key.id.empty() && ids.insert(each.key.id).second);
    CHECK(!each.key.secret.empty());
    CHECK(each.key.id.find('/') == std::string::npos);
    engine::Append(again, "[", each.name, "]\naws_access_key_id=", each.key.id,
                   "\naws_secret_access_key=", each.key.secret, "\n");
    if (!each.key.session_token.empty())
      engine::Append(again, "aws_session_token=", each.key.session_token, "\n");
  }
  const absl::StatusOr<std::vector<protocol::CredentialsEntry>> twice =
      protocol::ParseCredentialsFile(again);
  CHECK(twice.ok() && twice->size() == entries->size());
  for (size_t i = 0; i < entries->size(); ++i) {
    CHECK((*twice)[i].name == (*entries)[i].name);
    CHECK((*twice)[i].key.secret == (*entries)[i].key.secret);
    CHECK((*twice)[i].key.session_token == (*entries)[i].key.session_token);
  }
}

}  // namespace
}  // namespace weir::fuzz
