// Statements that SQL prepares, runs by name and takes away; and what weir asks of them.
#include <set>
#include <string>

#include "tests/sim/pg_session.h"

namespace weir::sim {

// nullopt: a text about something else. What it executes is there, or this is not called.
std::optional<PgSession::Outcome> PgSession::RunNamed(const std::string& sql, bool described,
                                                      std::vector<PgMessage>& out) {
  const auto fails = [&](const std::string& name) {
    Fail("26000", "prepared statement \"" + name + "\" does not exist", out);
    return Failed();
  };
  if (sql.starts_with("prepare ")) return RunPrepare(sql, out);
  if (sql == "select count(*) from pg_prepared_statements")
    return One(Number(static_cast<int64_t>(statements_.size())), described, out);
  if (sql.starts_with("execute ")) return fails(sql.substr(8));
  if (sql == "deallocate all") {
    statements_.clear();
    return Complete("DEALLOCATE ALL", out);
  }
  if (sql.starts_with("deallocate ") || sql.starts_with("DEALLOCATE ")) {
    const std::string name = sql.substr(11);
    if (statements_.erase(name) == 0) return fails(name);
    return Complete("DEALLOCATE", out);
  }
  return std::nullopt;
}

// Its statement tells what it was read under: prepare name as select 'tag'.
PgSession::Outcome PgSession::RunPrepare(const std::string& sql, std::vector<PgMessage>& out) {
  const std::string name = sql.substr(8, sql.find(' ', 8) - 8);
  if (statements_.count(name) > 0) {
    Fail("42P05", "prepared statement \"" + name + "\" already exists", out);
    return Failed();
  }
  std::string text = sql.substr(sql.find(" as ") + 4);
  text.insert(text.rfind('\''), "@" + Shown("timezone"));
  statements_[name] = {text, source_};
  return Complete("PREPARE", out);
}

// Three parameters for each name: itself, and two texts that may have made it.
PgSession::Outcome PgSession::RunStatementsQuestion(const Portal& portal,
                                                    std::vector<PgMessage>& out) {
  const size_t names = portal.parameters.size() / 3;
  std::string row;
  row.push_back(static_cast<char>((names + 2) >> 8));
  row.push_back(static_cast<char>(names + 2));
  const auto put = [&row](const std::string& value) {
    row += U32(static_cast<uint32_t>(value.size())) + value;
  };
  std::set<std::string> asked;
  for (size_t i = 0; i < 3 * names; i += 3) {
    asked.insert(*portal.parameters[i]);
    const auto found = statements_.find(*portal.parameters[i]);
    if (found == statements_.end()) {
      row += U32(UINT32_MAX);
    } else {
      put(found->second.source == portal.parameters[i + 1]   ? "n"
          : found->second.source == portal.parameters[i + 2] ? "o"
                                                             : "x");
    }
  }
  int64_t others = 0;
  int64_t weirs = 0;
  for (const auto& [name, statement] : statements_) {
    if (name.starts_with("__weir_s")) ++weirs;
    if (!name.starts_with("__weir_") && asked.count(name) == 0) ++others;
  }
  put(Number(others));
  put(Number(weirs));
  out.push_back({'D', row});
  return Complete("SELECT 1", out);
}

}  // namespace weir::sim
