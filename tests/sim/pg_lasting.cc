#include "tests/sim/pg_lasting.h"

#include <map>
#include <utility>
#include <vector>

namespace weir::sim {
namespace {

// The word at `at`, up to a blank or a parenthesis.
std::string WordAt(const std::string& sql, size_t at) {
  return sql.substr(at, sql.find_first_of(" ()", at) - at);
}

PgLasting::Reply Failed(std::string code, std::string text) {
  PgLasting::Reply reply;
  reply.code = std::move(code);
  reply.text = std::move(text);
  return reply;
}

}  // namespace

std::optional<PgLasting::Reply> PgLasting::Run(const std::string& sql) {
  static const std::string kCreate = "create temp table ";
  static const std::string kDrop = "drop table ";
  static const std::string kLock = "select pg_advisory_lock(";
  static const std::string kUnlock = "select pg_advisory_unlock(";
  if (sql.starts_with(kCreate)) {
    const std::string name = WordAt(sql, kCreate.size());
    if (tables_and_channels_.insert("table " + name).second) return Reply{.tag = "CREATE TABLE"};
    return Failed("42P07", "relation \"" + name + "\" already exists");
  }
  if (sql.starts_with(kDrop)) {
    const std::string name = WordAt(sql, kDrop.size());
    if (tables_and_channels_.erase("table " + name) > 0) return Reply{.tag = "DROP TABLE"};
    return Failed("42P01", "table \"" + name + "\" does not exist");
  }
  if (sql.starts_with("listen ")) {
    tables_and_channels_.insert("channel " + sql.substr(7));
    return Reply{.tag = "LISTEN"};
  }
  if (sql.starts_with("unlisten ")) {
    tables_and_channels_.erase("channel " + sql.substr(9));
    return Reply{.tag = "UNLISTEN"};
  }
  if (sql == "select count(*) from pg_listening_channels()") {
    size_t count = 0;
    for (const std::string& each : tables_and_channels_) count += each.starts_with("channel");
    return Reply{.tag = "SELECT 1", .value = std::to_string(count), .row = true};
  }
  if (sql.starts_with(kLock)) {
    locks_.insert(WordAt(sql, kLock.size()));
    return Reply{.tag = "SELECT 1", .value = "", .row = true};
  }
  if (sql.starts_with(kUnlock)) {
    const auto found = locks_.find(WordAt(sql, kUnlock.size()));
    const bool held = found != locks_.end();
    if (held) locks_.erase(found);
    return Reply{.tag = "SELECT 1", .value = held ? "t" : "f", .row = true};
  }
  if (sql.starts_with("load ")) {
    loaded_ = true;
    return Reply{.tag = "LOAD"};
  }
  return std::nullopt;
}

bool PgLasting::HasKind(const std::string& kind) const {
  for (const std::string& each : tables_and_channels_) {
    if (each.starts_with(kind)) return true;
  }
  return false;
}

std::vector<std::string> PgLasting::Answer(const std::string& question, bool own_names) const {
  std::map<size_t, bool> columns;
  const auto put = [&](const char* catalogue, bool value) {
    const size_t at = question.find(catalogue);
    if (at != std::string::npos) columns[at] = value;
  };
  put("pg_depend", HasKind("table"));
  put("pg_prepared_statements", own_names);
  put("pg_cursors", false);
  put("pg_locks", !locks_.empty());
  put("pg_listening_channels", HasKind("channel"));
  std::vector<std::string> row;
  for (const auto& [at, value] : columns) row.push_back(value ? "t" : "f");
  return row;
}

void PgLasting::DiscardAll() {
  const bool loaded = loaded_;
  *this = {};
  loaded_ = loaded;
}

}  // namespace weir::sim
