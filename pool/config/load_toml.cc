#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
// Some of the library's assertions fail on malformed text, and then it has an error for it.
#define TOML_ASSERT(expression) static_cast<void>(0)
#include "pool/config/load_toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "engine/base/text.h"
#include "pool/config/check_config.h"
#include "pool/config/option_table.h"

namespace weir::pool {
namespace {

using engine::Cat;

constexpr size_t kErrorsMax = 20;

size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t old = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = old;
    }
  }
  return row[b.size()];
}

std::string Suggestion(std::string_view key, const std::vector<std::string_view>& known) {
  std::string_view best;
  size_t least = 4;
  for (const std::string_view each : known) {
    if (const size_t distance = Distance(key, each); distance < least) {
      least = distance;
      best = each;
    }
  }
  return best.empty() ? std::string() : Cat(" (did you mean \"", best, "\"?)");
}

std::string Number(double value) {
  std::ostringstream out;
  out.precision(15);
  out << value;
  return out.str();
}

// A byte beyond ASCII that stands neither in a string nor in a comment, where none may stand; npos:
// there is none. toml++ 3.3 is not defined on such letters.
size_t StrayLetter(std::string_view text) {
  std::string_view end;  // of the string or comment at hand
  char last = '\n';      // outside of those, spaces aside: where a string may begin
  for (size_t i = text.starts_with("\xef\xbb\xbf") ? 3 : 0; i < text.size(); ++i) {
    const char c = text[i];
    if (end.empty()) {
      if (static_cast<uint8_t>(c) >= 0x80) return i;
      if (c == '#') end = "\n";
      const bool begins = (c == '"' || c == '\'') &&
                          std::string_view("\n=,.[{").find(last) != std::string_view::npos;
      if (c != ' ' && c != '\t' && c != '\r') last = c;
      if (!begins) continue;
      const std::string_view three = c == '"' ? R"(""")" : "'''";
      end = text.substr(i).starts_with(three) ? three : three.substr(0, 1);
      i += end.size() - 1;
    } else if (c == '\\' && end[0] == '"') {
      ++i;
    } else if (text.substr(i).starts_with(end)) {
      i += end.size() - 1;
      // A string of several lines may end in quotes of its own.
      if (end.size() == 3) i = std::min(text.find_first_not_of(c, i), text.size()) - 1;
      if (c == '\n') last = c;
      end = {};
    } else if (c == '\n' && end.size() == 1) {
      return std::string_view::npos;  // the parser will complain of the string
    }
  }
  return std::string_view::npos;
}

// With a sign that may stand nowhere but in a string or comment for each byte beyond ASCII.
std::string WithoutLetters(std::string_view text) {
  std::string out(text);
  for (size_t i = text.starts_with("\xef\xbb\xbf") ? 3 : 0; i < out.size(); ++i) {
    if (static_cast<uint8_t>(out[i]) >= 0x80) out[i] = '?';
  }
  return out;
}

class Loader {
 public:
  explicit Loader(std::string path) : path_(std::move(path)) {}

  absl::StatusOr<Config> Load() {
    std::ifstream file(path_, std::ios::binary);
    if (!file)
      return absl::NotFoundError(
          Cat(path_, ": cannot be read: ", std::string_view(std::strerror(errno))));
    std::ostringstream text;
    text << file.rdbuf();
    const std::string bytes = text.str();
    if (const size_t stray = StrayLetter(bytes); stray != std::string::npos) {
      const std::string_view before = std::string_view(bytes).substr(0, stray);
      return absl::InvalidArgumentError(
          Cat(path_, ":", std::count(before.begin(), before.end(), '\n') + 1, ":",
              stray - (before.rfind('\n') + 1) + 1,
              ": only strings and comments may hold characters beyond ASCII"));
    }
    // What the parser takes without those characters has them where they may be.
    toml::parse_result parsed = toml::parse(WithoutLetters(bytes), path_);
    if (parsed) parsed = toml::parse(bytes, path_);
    if (!parsed) {
      const toml::source_region& where = parsed.error().source();
      return absl::InvalidArgumentError(Cat(path_, ":", where.begin.line, ":", where.begin.column,
                                            ": ", std::string_view(parsed.error().description())));
    }
    const toml::table& root = parsed.table();
    config_.file = std::filesystem::absolute(path_).string();
    CheckSections(root);
    LoadTable(root, "proxy", config_.proxy);
    LoadTable(root, "connection_pool", config_.connection_pool);
    LoadTable(root, "engine", config_.engine);
    LoadArray(root, "endpoint", config_.endpoints);
    LoadArray(root, "target", config_.targets);
    if (root.contains("certificate")) LoadArray(root, "certificate", config_.certificates);
    LoadTable(root, "client_tls", config_.client_tls);
    LoadArray(root, "auth", config_.auths);
    LoadArray(root, "access", config_.access, /*may_be_none=*/true);
    LoadIam(root);
    LoadTable(root, "aws", config_.aws);
    ResolvePaths();
    if (errors_.empty())
      CheckConfig(config_, [this](std::string_view key, size_t index, const std::string& message) {
        AddAt(Find(key, index), message);
      });
    if (errors_.empty()) return std::move(config_);
    std::string all;
    for (size_t i = 0; i < errors_.size() && i < kErrorsMax; ++i)
      engine::Append(all, i == 0 ? "" : "\n", errors_[i]);
    if (errors_.size() > kErrorsMax)
      engine::Append(all, "\nand ", errors_.size() - kErrorsMax, " more");
    return absl::InvalidArgumentError(all);
  }

 private:
  using Position = toml::source_position;

  void AddAt(const Position& where, const std::string& message) {
    if (where.line == 0) {
      errors_.push_back(Cat(path_, ": ", message));
    } else {
      errors_.push_back(Cat(path_, ":", where.line, ":", where.column, ": ", message));
    }
  }
  // Where an option of the n-th table of its section stands; where its section does, if it is left
  // to its default.
  Position Find(std::string_view key, size_t index) const {
    const auto found = positions_.find(Cat(key, "#", index));
    return found == positions_.end() ? Position{} : found->second;
  }

  void CheckSections(const toml::table& root) {
    const std::vector<std::string_view> known = {
        "proxy", "connection_pool", "engine", "endpoint", "target", "certificate", "client_tls",
        "auth",  "access",          "iam",    "aws"};
    for (const auto& [key, node] : root) {
      const std::string_view name = key.str();
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      AddAt(node.source().begin, Cat("unknown section \"", name, "\"", Suggestion(name, known)));
    }
  }

  // [iam] holds an array of tables, [[iam.principal]].
  void LoadIam(const toml::table& root) {
    LoadTable(root, "iam", config_.iam, "principal");
    const toml::table* table = root["iam"].as_table();
    const toml::node* node = table == nullptr ? nullptr : table->get("principal");
    if (node != nullptr) LoadTables(*node, "iam.principal", config_.iam_principals);
  }

  template <class Options>
  void LoadTable(const toml::table& root, std::string_view section, Options& options,
                 std::string_view nested = {}) {
    const toml::node* node = root.get(section);
    if (node != nullptr && !node->is_table()) {
      AddAt(node->source().begin, Cat("\"", section, "\" must be a table: [", section, "]"));
      node = nullptr;
    }
    static const toml::table kNothing;
    // By reference: a copied table has forgotten where it stood.
    const toml::table& table = node == nullptr ? kNothing : *node->as_table();
    Fill(table, section, 0, options, nested);
  }

  template <class Options>
  void LoadArray(const toml::table& root, std::string_view section, std::vector<Options>& all,
                 bool may_be_none = false) {
    const toml::node* node = root.get(section);
    if (node == nullptr) {
      if (may_be_none) return;
      AddAt({}, Cat("at least one [[", section, "]] is needed"));
      return;
    }
    LoadTables(*node, section, all);
  }

  template <class Options>
  void LoadTables(const toml::node& node, std::string_view section, std::vector<Options>& all) {
    if (!node.is_array_of_tables()) {
      AddAt(node.source().begin,
            Cat("\"", section, "\" must be an array of tables: [[", section, "]]"));
      return;
    }
    for (const toml::node& each : *node.as_array()) {
      const size_t index = all.size();
      Fill(*each.as_table(), section, index, all.emplace_back());
    }
  }

  // `nested`: the name of tables in it that somebody else reads.
  template <class Options>
  void Fill(const toml::table& table, std::string_view section, size_t index, Options& options,
            std::string_view nested = {}) {
    std::vector<std::string_view> known;
    VisitOptions(options, [&](const OptionInfo& info, auto& member) {
      known.push_back(info.name);
      const toml::node* node = table.get(info.name);
      positions_[Cat(section, ".", info.name, "#", index)] =
          node == nullptr ? table.source().begin : node->source().begin;
      if (node != nullptr) {
        Set(info, *node, member);
        return;
      }
      const toml::parse_result fallback = toml::parse(Cat("x = ", info.default_toml));
      Set(info, *fallback.table().get("x"), member, /*is_default=*/true);
    });
    for (const auto& [key, node] : table) {
      const std::string_view name = key.str();
      if (name == nested || std::find(known.begin(), known.end(), name) != known.end()) continue;
      AddAt(key.source().begin,
            Cat("unknown key \"", name, "\" in [", section, "]", Suggestion(name, known)));
    }
  }

  void Wrong(const OptionInfo& info, const toml::node& node, std::string_view expected) {
    AddAt(node.source().begin, Cat(info.name, ": expected ", expected));
  }
  bool InRange(const OptionInfo& info, const toml::node& node, double value, bool is_default,
               std::string_view unit) {
    if (is_default || (value >= info.least && value <= info.greatest)) return true;
    const std::string_view off = info.type == OptionType::kBytesOrOff ? "\"off\" or " : "";
    AddAt(node.source().begin, Cat(info.name, ": must be ", off, Number(info.least), " to ",
                                   Number(info.greatest), unit));
    return false;
  }

  void Set(const OptionInfo& info, const toml::node& node, bool& member, bool = false) {
    if (const auto value = node.value_exact<bool>()) {
      member = *value;
    } else {
      Wrong(info, node, "true or false");
    }
  }
  void Set(const OptionInfo& info, const toml::node& node, std::string& member, bool = false) {
    if (const auto value = node.value_exact<std::string>()) {
      member = *value;
    } else if (info.name == "pin_threads" && node.is_boolean()) {
      member = *node.value<bool>() ? "true" : "false";
    } else {
      Wrong(info, node, "a string");
    }
  }
  void Set(const OptionInfo& info, const toml::node& node, std::vector<std::string>& member,
           bool = false) {
    const toml::array* array = node.as_array();
    if (const auto value = node.value_exact<std::string>();
        value && info.type == OptionType::kNames) {
      member.push_back(*value);
      return;
    }
    if (array == nullptr) {
      Wrong(info, node,
            info.type == OptionType::kNames ? "a string or an array of strings"
                                            : "an array of strings");
      return;
    }
    for (const toml::node& each : *array) {
      if (const auto value = each.value_exact<std::string>()) {
        member.push_back(*value);
      } else {
        Wrong(info, each, "a string");
      }
    }
  }
  // Seconds and counts are both int64_t: the type of the row tells them apart.
  void Set(const OptionInfo& info, const toml::node& node, int64_t& member,
           bool is_default = false) {
    if (info.type == OptionType::kSeconds) {
      if (!node.is_number()) {
        Wrong(info, node, "a number of seconds");
        return;
      }
      const double value = *node.value<double>();
      if (!std::isfinite(value) || !InRange(info, node, value, is_default, " seconds")) return;
      member = static_cast<int64_t>(std::llround(value * static_cast<double>(engine::kSecond)));
      return;
    }
    const auto value = node.value_exact<int64_t>();
    if (!value) {
      Wrong(info, node, "an integer");
    } else if (InRange(info, node, static_cast<double>(*value), is_default, "")) {
      member = *value;
    }
  }
  void Set(const OptionInfo& info, const toml::node& node, uint64_t& member,
           bool is_default = false) {
    const bool may_be_off = info.type == OptionType::kBytesOrOff;
    const std::string_view expected =
        may_be_off ? "\"off\" or a size: a number of bytes, or text such as \"16KiB\""
                   : "a size: a number of bytes, or text such as \"64KiB\" or \"16MiB\"";
    uint64_t value = 0;
    uint64_t unit = 1;
    if (may_be_off && node.value_exact<std::string>() == "off") {
      member = 0;
      return;
    }
    if (const auto number = node.value_exact<int64_t>(); number && *number >= 0) {
      value = static_cast<uint64_t>(*number);
    } else if (const auto text = node.value_exact<std::string>()) {
      const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
      const std::string_view suffix(end, static_cast<size_t>(text->data() + text->size() - end));
      unit = suffix == "KiB"                   ? 1 << 10
             : suffix == "MiB"                 ? 1 << 20
             : suffix == "GiB"                 ? 1 << 30
             : suffix.empty() || suffix == "B" ? 1
                                               : 0;
      if (error != std::errc() || unit == 0) {
        Wrong(info, node, expected);
        return;
      }
    } else {
      Wrong(info, node, expected);
      return;
    }
    if (InRange(info, node, static_cast<double>(value) * static_cast<double>(unit), is_default,
                " bytes"))
      member = value * unit;
  }

  void ResolvePaths() {
    const std::filesystem::path folder = std::filesystem::path(config_.file).parent_path();
    const auto resolve = [&folder](std::string& path) {
      if (!path.empty() && path[0] != '/') path = (folder / path).lexically_normal().string();
    };
    resolve(config_.proxy.salt_key_file);
    resolve(config_.proxy.access_file);
    for (AuthOptions& auth : config_.auths) resolve(auth.secret_file);
    resolve(config_.iam.credentials_file);
    for (IamPrincipalOptions& principal : config_.iam_principals) {
      for (std::string& file : principal.policy_files) resolve(file);
    }
    for (std::string& source : config_.aws.credentials) {
      if (source != "environment" && source != "metadata") resolve(source);
    }
    if (config_.aws.ca_file != "system") resolve(config_.aws.ca_file);
    for (CertificateOptions& certificate : config_.certificates) {
      resolve(certificate.certificate_file);
      resolve(certificate.key_file);
    }
    resolve(config_.client_tls.client_ca_file);
    for (TargetOptions& target : config_.targets) {
      if (target.tls_ca_file != "system") resolve(target.tls_ca_file);
      resolve(target.tls_certificate_file);
      resolve(target.tls_key_file);
    }
  }

  const std::string path_;
  Config config_;
  std::map<std::string, Position> positions_;
  std::vector<std::string> errors_;
};

}  // namespace

absl::StatusOr<Config> LoadConfig(const std::string& path) { return Loader(path).Load(); }

}  // namespace weir::pool
