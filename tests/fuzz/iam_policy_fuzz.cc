// Policies. One that is taken holds nothing but what is evaluated; matching ends in little time,
// and agrees with a matcher that is as simple as can be.
//
// Input: the text of the policy; or, behind a byte 1, a pattern, a byte 1, and what it is to match.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "protocol/auth/iam_policy.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

// By trying everything. Only for short texts of ASCII.
bool Matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    for (size_t taken = 0; taken <= text.size(); ++taken) {
      if (Matches(pattern.substr(1), text.substr(taken))) return true;
    }
    return false;
  }
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         Matches(pattern.substr(1), text.substr(1));
}

bool IsAscii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<uint8_t>(c) >= 0x80) return false;
  }
  return true;
}

void CheckMatching(std::string_view pattern, std::string_view text) {
  const bool matches = protocol::MatchesWildcards(pattern, text);
  if (pattern.size() <= 10 && text.size() <= 12 && IsAscii(pattern) && IsAscii(text))
    CHECK(matches == Matches(pattern, text));
  CHECK(protocol::MatchesWildcards("*", text));
  if (pattern.find_first_of("*?") == std::string_view::npos) CHECK(matches == (pattern == text));
}

void CheckTaken(const protocol::IamPolicy& policy, const nlohmann::json& document) {
  const nlohmann::json& statements = document["Statement"];
  bool allows = false;
  const auto look = [&allows](const nlohmann::json& statement) {
    for (const auto& [key, value] : statement.items())
      CHECK(key == "Sid" || key == "Effect" || key == "Action" || key == "Resource");
    // Policy variables.
    for (const char* key : {"Action", "Resource"})
      CHECK(statement[key].dump().find("${") == std::string::npos);
    allows = allows || statement["Effect"] == "Allow";
  };
  if (statements.is_object()) {
    look(statements);
  } else {
    for (const nlohmann::json& each : statements) look(each);
  }
  for (const char* user : {"app", "", "a/b"}) {
    const std::string arn = protocol::DatabaseUserArn("r", "1", "p", user);
    const protocol::IamPolicy::Verdict verdict = policy.Judge(protocol::kIamConnectAction, arn);
    CHECK(verdict != protocol::IamPolicy::Verdict::kAllows || allows);
    const protocol::IamPolicy both[] = {policy, policy};
    CHECK(protocol::AllowedBy(both, protocol::kIamConnectAction, arn) ==
          (verdict == protocol::IamPolicy::Verdict::kAllows));
  }
}

FUZZ_TARGET(iam_policy) {
  std::string_view text = engine::AsText(input);
  if (text.starts_with('\1')) {
    text.remove_prefix(1);
    const size_t end = text.find('\1');
    if (end != std::string_view::npos) CheckMatching(text.substr(0, end), text.substr(end + 1));
    return;
  }
  const absl::StatusOr<protocol::IamPolicy> policy = protocol::IamPolicy::Parse(text);
  if (!policy.ok()) {
    CHECK(!policy.status().message().empty());
    return;
  }
  CheckTaken(*policy, nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false));
}

}  // namespace
}  // namespace weir::fuzz
