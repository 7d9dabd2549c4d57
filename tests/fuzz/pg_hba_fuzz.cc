// A pg_hba.conf: every line with something in it is a rule or an error.
//
// Input: the file's text.
#include <algorithm>
#include <cstdint>
#include <string>

#include "pool/config/pg_hba.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

// Lines, joined where they are continued, with anything but blanks, commas and a comment in them.
size_t LinesWithSomething(std::string_view text) {
  size_t count = 0;
  bool continued = false;
  bool something = false;
  bool comment = false;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end == std::string_view::npos ? end : end + 1));
    while (line.ends_with('\r')) line.remove_suffix(1);
    if (!continued) something = comment = false;
    continued = line.ends_with('\\');
    if (continued) line.remove_suffix(1);
    for (const char c : line) {
      comment = comment || (c == '#' && !something);
      const bool blank = c == ' ' || c == '\t' || c == '\r' || c == ',';
      something = something || c == '\0' || (!comment && !blank);
    }
    if ((!continued || text.empty()) && something) ++count;
  }
  return count;
}

FUZZ_TARGET(pg_hba) {
  const std::string_view text = engine::AsText(input);
  const pool::PgHba file = pool::ParsePgHba(text, "hba");
  CHECK(file.rules.size() + file.errors.size() == LinesWithSomething(text));
  for (const std::string& error : file.errors) CHECK(error.starts_with("line "));
  for (const pool::AccessRule& rule : file.rules) {
    CHECK(rule.place.starts_with("hba line "));
    CHECK(rule.address.kind != pool::AccessAddress::Kind::kEverywhere);
    CHECK(rule.users.all || !rule.users.names.empty());
    CHECK(rule.databases.all || rule.databases.same_user || rule.databases.replication ||
          !rule.databases.names.empty());
    CHECK(rule.method != pool::AccessMethod::kCertificate ||
          rule.tls == pool::AccessTls::kRequired);
  }
  const pool::AccessRules rules(file.rules);
  for (const char* host : {"unix", "10.0.0.1", "[fd00::1]", ""}) {
    const pool::AccessRule* rule =
        rules.Decide({.host = host, .user = "app", .database = "orders", .encrypted = true});
    if (rule == nullptr) continue;
    CHECK(rule->tls != pool::AccessTls::kNone);
    CHECK((rule->address.kind == pool::AccessAddress::Kind::kUnix) ==
          (std::string_view(host) == "unix"));
    CHECK(*host != '\0');
  }
}

}  // namespace
}  // namespace weir::fuzz
