#include "protocol/auth/iam_policy.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "engine/base/text.h"

namespace weir::protocol {
namespace {

using engine::Cat;
using Json = nlohmann::json;

std::string InLowerCase(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return out;
}

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

// Bytes of the UTF-8 character at the front.
size_t CharacterLength(std::string_view text) {
  size_t length = 1;
  while (length < text.size() && IsContinuation(text[length])) ++length;
  return length;
}

// Reads a text for its form only: where it is wrong, and what a parsed text no longer shows, a key
// that comes twice in an object.
class FormChecker final : public nlohmann::json_sax<Json> {
 public:
  explicit FormChecker(std::string_view text) : text_(text) {}
  const std::string& error() const { return error_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return true;
  }
  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    error_ = Cat("the key \"", engine::Visible(name), "\" comes twice in one object");
    return false;
  }
  bool end_object() override {
    keys_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    const std::string_view before = text_.substr(0, position);
    error_ = Cat("line ", 1 + std::count(before.begin(), before.end(), '\n'), ": not a JSON text");
    return false;
  }

 private:
  const std::string_view text_;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
  std::string error_;
};

}  // namespace

// Takes a document apart. The first error stays.
class PolicyReader {
 public:
  absl::StatusOr<IamPolicy> Read(const Json& document) {
    if (!document.is_object()) return absl::InvalidArgumentError("not a JSON object");
    const Json* statements = nullptr;
    for (const auto& [key, value] : document.items()) {
      if (key == "Statement") {
        statements = &value;
      } else if (key == "Version") {
        const std::string* version = value.get_ptr<const std::string*>();
        if (version == nullptr || (*version != "2012-10-17" && *version != "2008-10-17"))
          Fail("Version: must be \"2012-10-17\"");
      } else if (key != "Id") {
        Fail(Cat("unknown element \"", engine::Visible(key), "\""));
      }
    }
    if (statements == nullptr) Fail("the element \"Statement\" is missing");
    if (error_.empty()) ReadStatements(*statements);
    if (!error_.empty()) return absl::InvalidArgumentError(error_);
    return std::move(policy_);
  }

 private:
  void Fail(std::string_view error) {
    if (error_.empty()) error_ = Cat(place_, error);
  }

  void ReadStatements(const Json& statements) {
    if (statements.is_object()) {
      place_ = "Statement: ";
      ReadStatement(statements);
      return;
    }
    if (!statements.is_array() || statements.empty()) {
      Fail("Statement: must be an object or a list of objects");
      return;
    }
    for (size_t i = 0; i < statements.size(); ++i) {
      place_ = Cat("Statement ", i + 1, ": ");
      ReadStatement(statements[i]);
    }
  }

  void ReadStatement(const Json& from) {
    if (!from.is_object()) {
      Fail("must be an object");
      return;
    }
    IamPolicy::Statement& statement = policy_.statements_.emplace_back();
    bool has_effect = false;
    for (const auto& [key, value] : from.items()) {
      if (key == "Effect") {
        has_effect = value == "Allow" || value == "Deny";
        statement.allows = value == "Allow";
      } else if (key == "Action") {
        ReadPatterns(key, value, statement.actions);
      } else if (key == "Resource") {
        ReadPatterns(key, value, statement.resources);
      } else if (key != "Sid") {
        FailElement(key);
      }
    }
    if (!has_effect) Fail("Effect: must be \"Allow\" or \"Deny\"");
    if (statement.actions.empty()) Fail("Action: is missing");
    if (statement.resources.empty()) Fail("Resource: is missing");
    for (std::string& action : statement.actions) action = InLowerCase(action);
  }

  void FailElement(const std::string& key) {
    static constexpr std::string_view kNotEvaluated[] = {
        "Condition", "NotAction", "NotResource", "Principal", "NotPrincipal",
    };
    const bool known = std::find(std::begin(kNotEvaluated), std::end(kNotEvaluated), key) !=
                       std::end(kNotEvaluated);
    if (known) {
      Fail(Cat(key, ": is not evaluated by weir, and not ignored: write a statement without it"));
    } else {
      Fail(Cat("unknown element \"", engine::Visible(key), "\""));
    }
  }

  void ReadPatterns(const std::string& key, const Json& value, std::vector<std::string>& out) {
    if (const std::string* one = value.get_ptr<const std::string*>(); one != nullptr) {
      AddPattern(key, *one, out);
      return;
    }
    if (!value.is_array() || value.empty()) {
      Fail(Cat(key, ": must be a string or a list of strings"));
      return;
    }
    for (const Json& each : value) {
      if (const std::string* text = each.get_ptr<const std::string*>(); text != nullptr) {
        AddPattern(key, *text, out);
      } else {
        Fail(Cat(key, ": must be a string or a list of strings"));
      }
    }
  }

  void AddPattern(const std::string& key, const std::string& pattern,
                  std::vector<std::string>& out) {
    if (pattern.empty()) Fail(Cat(key, ": is empty"));
    if (pattern.find("${") != std::string::npos) {
      Fail(Cat(key, ": policy variables (", engine::Visible(pattern.substr(pattern.find("${"), 40)),
               ") are not evaluated by weir"));
    }
    out.push_back(pattern);
  }

  std::string place_;
  std::string error_;
  IamPolicy policy_;
};

absl::StatusOr<IamPolicy> IamPolicy::Parse(std::string_view json) {
  FormChecker form(json);
  if (!Json::sax_parse(json, &form)) return absl::InvalidArgumentError(form.error());
  const Json document = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return absl::InvalidArgumentError("not a JSON text");
  return PolicyReader().Read(document);
}

IamPolicy::Verdict IamPolicy::Judge(std::string_view action, std::string_view resource) const {
  const std::string lower = InLowerCase(action);
  const auto any = [](const std::vector<std::string>& patterns, std::string_view text) {
    return std::any_of(patterns.begin(), patterns.end(), [text](const std::string& pattern) {
      return MatchesWildcards(pattern, text);
    });
  };
  Verdict verdict = Verdict::kSilent;
  for (const Statement& statement : statements_) {
    if (!any(statement.actions, lower) || !any(statement.resources, resource)) continue;
    if (!statement.allows) return Verdict::kDenies;
    verdict = Verdict::kAllows;
  }
  return verdict;
}

bool AllowedBy(std::span<const IamPolicy> policies, std::string_view action,
               std::string_view resource) {
  bool allowed = false;
  for (const IamPolicy& policy : policies) {
    switch (policy.Judge(action, resource)) {
      case IamPolicy::Verdict::kDenies:
        return false;
      case IamPolicy::Verdict::kAllows:
        allowed = true;
        break;
      case IamPolicy::Verdict::kSilent:
        break;
    }
  }
  return allowed;
}

// A '*' first takes nothing, and one character more each time that the rest does not fit: only the
// last '*' has to be tried again.
bool MatchesWildcards(std::string_view pattern, std::string_view text) {
  size_t in_pattern = 0;
  size_t in_text = 0;
  size_t star = std::string_view::npos;
  size_t star_text = 0;
  while (in_text < text.size()) {
    const char wanted = in_pattern < pattern.size() ? pattern[in_pattern] : '\0';
    if (in_pattern < pattern.size() && wanted == '*') {
      star = in_pattern++;
      star_text = in_text;
    } else if (in_pattern < pattern.size() && wanted == '?') {
      ++in_pattern;
      in_text += CharacterLength(text.substr(in_text));
    } else if (in_pattern < pattern.size() && wanted == text[in_text]) {
      ++in_pattern;
      ++in_text;
    } else if (star != std::string_view::npos) {
      in_pattern = star + 1;
      in_text = star_text += CharacterLength(text.substr(star_text));
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', in_pattern) == std::string_view::npos;
}

std::string DatabaseUserArn(std::string_view region, std::string_view account,
                            std::string_view resource_id, std::string_view user) {
  return Cat("arn:aws:rds-db:", region, ':', account, ":dbuser:", resource_id, '/', user);
}

}  // namespace weir::protocol
