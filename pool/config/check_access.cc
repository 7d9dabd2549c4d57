#include "pool/config/check_access.h"

#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "pool/config/pg_hba.h"

namespace weir::pool {
namespace {

using engine::Cat;

void ReadFile(Config& config, const ReportProblem& report) {
  const std::string& path = config.proxy.access_file;
  if (!config.access.empty()) {
    report("proxy.access_file", 0, "access_file: is in place of [[access]]: remove one of them");
    return;
  }
  const absl::StatusOr<std::string> text = ReadSmallFile(path);
  if (!text.ok()) {
    report("proxy.access_file", 0,
           Cat("access_file: ", std::string_view(std::string(text.status().message()))));
    return;
  }
  PgHba file = ParsePgHba(*text, path.substr(path.rfind('/') + 1));
  for (const std::string& error : file.errors)
    report("proxy.access_file", 0, Cat("access_file: ", path, ": ", error));
  config.access_rules = AccessRules(std::move(file.rules));
}

// True: it is one of those that stand for names of another kind.
bool IsKeyword(std::string_view name, bool database, AccessNames& out) {
  if (name == "all") return out.all = true;
  if (!database) return false;
  if (name == "sameuser") return out.same_user = true;
  if (name == "replication") return out.replication = true;
  return false;
}

class TableReader {
 public:
  TableReader(const ReportProblem& report, size_t index) : report_(report), index_(index) {}

  AccessRule Read(const AccessOptions& from) {
    AccessRule rule;
    rule.place = Cat("[[access]] ", index_ + 1);
    if (absl::StatusOr<AccessAddress> address = AccessAddress::Parse(from.address); address.ok()) {
      rule.address = *address;
    } else {
      report_("access.address", index_,
              Cat("address: ", std::string_view(std::string(address.status().message()))));
    }
    rule.users = Names("user", from.user);
    rule.databases = Names("database", from.database);
    if (from.tls == "required") {
      rule.tls = AccessTls::kRequired;
    } else if (from.tls != "any") {
      report_("access.tls", index_, "tls: must be required or any");
    }
    rule.method = Method(from.method);
    return rule;
  }

 private:
  AccessNames Names(std::string_view option, const std::vector<std::string>& from) {
    AccessNames names;
    const auto wrong = [&](std::string_view name, std::string_view why) {
      report_(Cat("access.", option), index_,
              Cat(option, ": \"", engine::Visible(name), "\": ", why));
    };
    if (from.empty()) report_(Cat("access.", option), index_, Cat(option, ": no name"));
    for (const std::string& name : from) {
      if (IsKeyword(name, option == "database", names)) continue;
      // As they mean something in a pg_hba.conf, somebody may mean it here.
      if (name.empty()) {
        wrong(name, "no name");
      } else if (name[0] == '+' || name[0] == '@' || name[0] == '/') {
        wrong(name, "groups, files of names and regular expressions are not available");
      } else {
        names.names.push_back(name);
      }
    }
    return names;
  }

  AccessMethod Method(std::string_view text) {
    static constexpr AccessMethod kMethods[] = {AccessMethod::kIam, AccessMethod::kPassword,
                                                AccessMethod::kCertificate, AccessMethod::kTrust,
                                                AccessMethod::kReject};
    for (const AccessMethod each : kMethods) {
      if (text == AccessMethodText(each)) return each;
    }
    report_("access.method", index_, "method: must be iam, password, certificate, trust or reject");
    return AccessMethod::kReject;
  }

  const ReportProblem& report_;
  const size_t index_;
};

}  // namespace

void CheckAccess(Config& config, const ReportProblem& report) {
  if (!config.proxy.access_file.empty()) {
    ReadFile(config, report);
    return;
  }
  if (config.access.empty()) return;
  std::vector<AccessRule> rules;
  for (size_t i = 0; i < config.access.size(); ++i)
    rules.push_back(TableReader(report, i).Read(config.access[i]));
  config.access_rules = AccessRules(std::move(rules));
}

}  // namespace weir::pool
