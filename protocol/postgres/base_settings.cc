#include "protocol/postgres/base_settings.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace weir::postgres {

using protocol::Parameters;

namespace {

bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\v' || c == '\f' || c == '\r';
}

// At white space; a backslash takes the next character as it is.
std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  for (size_t i = 0; i < text.size();) {
    if (IsSpace(text[i])) {
      ++i;
      continue;
    }
    std::string& word = words.emplace_back();
    for (; i < text.size() && !IsSpace(text[i]); ++i) {
      if (text[i] == '\\' && ++i == text.size()) break;
      word.push_back(text[i]);
    }
  }
  return words;
}

std::string Folded(std::string_view name, bool dashes) {
  std::string folded(name);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    if (dashes && c == '-') c = '_';
  }
  return folded;
}

// Only the beginning of a session reads them, though they can be set later without effect; or what
// they were at the beginning cannot be given back to a session that has been used.
bool StaysWithBackend(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "local_preload_libraries",   "role",        "seed", "session_authorization",
      "session_preload_libraries", "temp_buffers"};
  static_assert(std::is_sorted(std::begin(kNames), std::end(kNames)));
  return std::binary_search(std::begin(kNames), std::end(kNames), name) ||
         name.starts_with("transaction_");
}

// Of two values for one name the later counts.
void Add(Parameters& to, std::string name, std::string value) {
  std::erase_if(to, [&](const auto& each) { return each.first == name; });
  to.emplace_back(std::move(name), std::move(value));
}

}  // namespace

std::optional<Parameters> SettingsOfOptions(std::string_view options) {
  Parameters settings;
  std::vector<std::string> words = Words(options);
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (!word.starts_with("-c") && !word.starts_with("--")) return std::nullopt;
    word.remove_prefix(2);
    // "-c name=value" may be one word or two.
    if (word.empty() && words[i][1] == 'c' && i + 1 < words.size()) word = words[++i];
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos || equals == 0) return std::nullopt;
    settings.emplace_back(Folded(word.substr(0, equals), /*dashes=*/true), word.substr(equals + 1));
  }
  return settings;
}

protocol::StartupSettings SplitStartup(const protocol::ClientIdentity& identity) {
  if (identity.replication) return {.route = identity.parameters, .base = {}};
  protocol::StartupSettings split;
  std::string_view options;
  for (const auto& [name, value] : identity.parameters) {
    if (name == "options") options = value;
  }
  if (std::optional<Parameters> settings = SettingsOfOptions(options); settings.has_value()) {
    for (auto& [name, value] : *settings) Add(split.base, std::move(name), std::move(value));
  } else {
    split.route.emplace_back("options", options);
  }
  for (const auto& [name, value] : identity.parameters) {
    // A `replication` that is here says no.
    if (name != "options" && name != "replication")
      Add(split.base, Folded(name, /*dashes=*/false), value);
  }
  if (split.base.size() > kBaseSettingsMax) return {.route = identity.parameters, .base = {}};
  const auto stays =
      std::stable_partition(split.base.begin(), split.base.end(),
                            [](const auto& each) { return !StaysWithBackend(each.first); });
  split.route.insert(split.route.end(), stays, split.base.end());
  split.base.erase(stays, split.base.end());
  return split;
}

}  // namespace weir::postgres
