#include "tests/sim/pg_session.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "engine/base/check.h"

namespace weir::sim {
namespace {

uint16_t ReadU16(std::string_view bytes) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[0]) << 8 |
                               static_cast<uint8_t>(bytes[1]));
}

// Takes a zero-ended text from the front.
std::string CString(std::string_view& body) {
  const size_t end = body.find('\0');
  CHECK(end != std::string_view::npos);
  std::string text(body.substr(0, end));
  body.remove_prefix(end + 1);
  return text;
}

// What stands between the first pair of quotes.
std::string Quoted(std::string_view sql) {
  const size_t begin = sql.find('\'');
  if (begin == std::string_view::npos) return {};
  return std::string(sql.substr(begin + 1, sql.find('\'', begin + 1) - begin - 1));
}

int64_t RowsOf(const std::string& sql) {
  const size_t found = sql.find("generate_series(1, ");
  return found == std::string::npos ? 1 : std::atoll(sql.c_str() + found + 19);
}

bool Has(const std::string& sql, std::string_view part) {
  return sql.find(part) != std::string::npos;
}

PgMessage RowDescription() {
  return {'T', std::string("\0\1", 2) + "value" + std::string(1, '\0') + U32(0) +
                   std::string(2, '\0') + U32(25) + std::string("\xff\xff", 2) + U32(0xffffffff) +
                   std::string(2, '\0')};
}

PgMessage DataRowOf(const std::vector<std::optional<std::string>>& values) {
  std::string body;
  body.push_back(static_cast<char>(values.size() >> 8));
  body.push_back(static_cast<char>(values.size()));
  for (const std::optional<std::string>& value : values) {
    body += U32(value.has_value() ? static_cast<uint32_t>(value->size()) : UINT32_MAX);
    body += value.value_or("");
  }
  return {'D', body};
}

PgMessage DataRow(const std::vector<std::string>& values) {
  return DataRowOf(std::vector<std::optional<std::string>>(values.begin(), values.end()));
}

}  // namespace

std::string U32(uint32_t value) {
  std::string out(4, '\0');
  for (int i = 0; i < 4; ++i)
    out[static_cast<size_t>(i)] = static_cast<char>(value >> (24 - 8 * i));
  return out;
}

uint32_t ReadU32(std::string_view bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i)
    value = value << 8 | static_cast<uint8_t>(bytes[static_cast<size_t>(i)]);
  return value;
}

std::string Number(int64_t value) { return std::to_string(value); }

std::string Readable(const PgMessage& message, size_t most) {
  std::string out = std::string(1, message.type) + "(";
  for (const char c : message.body.substr(0, most)) out.push_back(c >= ' ' && c <= '~' ? c : '.');
  return out + ")";
}

std::string Encode(const PgMessage& message) {
  std::string out;
  if (message.type != 0) out.push_back(message.type);
  return out + U32(static_cast<uint32_t>(message.body.size() + 4)) + message.body;
}

bool Decode(std::string& in, PgMessage& message) {
  if (in.size() < 5) return false;
  const uint32_t length = ReadU32(std::string_view(in).substr(1));
  if (in.size() < 1 + length) return false;
  message.type = in[0];
  message.body = in.substr(5, length - 4);
  in.erase(0, 1 + length);
  return true;
}

std::string ErrorFieldOf(const PgMessage& message, char field) {
  std::string_view body = message.body;
  while (!body.empty() && body[0] != '\0') {
    const char name = body[0];
    body.remove_prefix(1);
    const size_t end = body.find('\0');
    if (end == std::string_view::npos) break;
    if (name == field) return std::string(body.substr(0, end));
    body.remove_prefix(end + 1);
  }
  return {};
}

PgMessage ErrorMessage(std::string_view severity, std::string_view code, std::string_view text) {
  std::string body;
  for (const auto& [name, value] :
       {std::pair{'S', severity}, {'V', severity}, {'C', code}, {'M', text}}) {
    body.push_back(name);
    body.append(value).push_back('\0');
  }
  body.push_back('\0');
  return {'E', body};
}

void PgSession::Take(const PgMessage& message, bool cancelled, std::vector<PgMessage>& out) {
  std::string_view body = message.body;
  if (copying_) {
    Copy(message, out);
    return;
  }
  if (skipping_ && message.type != 'S') return;
  switch (message.type) {
    case 'Q':
      unnamed_.reset();
      Query(CString(body), cancelled, out);
      return;
    case 'P':
      Parse(body, out);
      return;
    case 'B':
      Bind(body, out);
      return;
    case 'D':
      Describe(body, out);
      return;
    case 'E':
      Execute(body, cancelled, out);
      return;
    case 'C':
      Close(body, out);
      return;
    case 'S':
      skipping_ = false;
      if (status_ == 'I') EndTransaction(true);
      Ready(out);
      return;
    case 'F':
      if (status_ == 'E') {
        Fail("25P02", "current transaction is aborted", out);
        skipping_ = false;
      } else {
        out.push_back({'V', U32(3) + "fun"});
      }
      Ready(out);
      return;
    case 'H':
    case 'd':
    case 'c':
    case 'f':
      return;
    default:
      CHECK(!"a message that the script does not send");
  }
}

double PgSession::SleepOf(const PgMessage& message) const {
  if (copying_ || skipping_ || status_ == 'E') return 0;
  std::string sql;
  std::string_view body = message.body;
  if (message.type == 'Q') {
    sql = CString(body);
  } else if (message.type == 'E') {
    const auto found = portals_.find(CString(body));
    if (found != portals_.end()) sql = found->second.sql;
  }
  // In a call or, for what is a plain read, in a comment.
  const size_t at = sql.find("sleep(");
  return at == std::string::npos ? 0 : std::atof(sql.c_str() + at + 6);
}

void PgSession::Abort() {
  EndTransaction(false);
  lasting_.End();
  status_ = 'I';
  skipping_ = copying_ = false;
}

void PgSession::BeginImplicit() {
  if (status_ != 'I' || implicit_) return;
  implicit_ = true;
  saved_settings_ = settings_;
  saved_made_ = made_;
  lasting_.Begin();
}

void PgSession::EndTransaction(bool commit) {
  if ((status_ != 'I' || implicit_) && !commit) {
    settings_ = saved_settings_;
    made_ = saved_made_;
    lasting_.Rollback();
  }
  implicit_ = false;
  local_.clear();
  made_local_.clear();
  if (commit && database_ != nullptr) {
    for (const std::string& tag : inserted_) ++database_->rows[tag];
  }
  inserted_.clear();
  portals_.clear();
}

void PgSession::Ready(std::vector<PgMessage>& out) {
  out.push_back({'Z', std::string(1, status_)});
}

void PgSession::Fail(std::string_view code, std::string_view text, std::vector<PgMessage>& out) {
  out.push_back(ErrorMessage("ERROR", code, text));
  skipping_ = true;
  if (status_ == 'T') status_ = 'E';
  if (status_ == 'I') EndTransaction(false);
}

void PgSession::Query(const std::string& text, bool cancelled, std::vector<PgMessage>& out) {
  if (text.empty()) {
    out.push_back({'I', {}});
    Ready(out);
    return;
  }
  if (text.starts_with("SET LOCAL search_path TO pg_catalog") && database_ != nullptr &&
      database_->tells_catalogue) {
    TellCatalogue(text, out);
    return;
  }
  BeginImplicit();
  source_ = text;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find("; ", begin), text.size());
    int64_t rows_done = 0;
    const Outcome outcome =
        Run(text.substr(begin, end - begin), {}, true, 0, &rows_done, cancelled, out);
    skipping_ = false;
    if (outcome.failed) break;
    if (copying_) return;
    begin = end + 2;
  }
  if (status_ == 'I') EndTransaction(true);
  Ready(out);
}

// Nothing of the users' own is in it.
void PgSession::TellCatalogue(const std::string& text, std::vector<PgMessage>& out) {
  for (int i = 0; i < 3; ++i) out.push_back({'C', std::string("SET\0", 4)});
  out.push_back(RowDescription());
  if (Has(text, "hashtext")) out.push_back(DataRow({"0/0"}));
  if (Has(text, "SELECT DISTINCT proname")) out.push_back(DataRow({"generate_series"}));
  if (Has(text, "WITH page")) out.push_back(DataRowOf({"0", std::nullopt}));
  out.push_back({'C', std::string("SELECT\0", 7)});
  Ready(out);
}

void PgSession::Parse(std::string_view body, std::vector<PgMessage>& out) {
  const std::string name = CString(body);
  const std::string sql = CString(body);
  if (name.empty()) unnamed_.reset();
  if (status_ == 'E' && !sql.empty() && sql != "rollback" && sql != "ROLLBACK" && sql != "commit") {
    Fail("25P02", "current transaction is aborted", out);
  } else if (Has(sql, "syntax")) {
    Fail("42601", "syntax error", out);
  } else if (!name.empty() && statements_.count(name) > 0) {
    Fail("42P05", "prepared statement \"" + name + "\" already exists", out);
  } else {
    if (name.empty()) {
      unnamed_ = sql;
    } else {
      statements_[name] = {sql, sql};
    }
    out.push_back({'1', {}});
  }
}

void PgSession::Bind(std::string_view body, std::vector<PgMessage>& out) {
  Portal portal;
  const std::string name = CString(body);
  const std::string statement = CString(body);
  const auto found = statements_.find(statement);
  if (statement.empty() ? !unnamed_.has_value() : found == statements_.end()) {
    Fail("26000",
         statement.empty() ? "unnamed prepared statement does not exist"
                           : "prepared statement \"" + statement + "\" does not exist",
         out);
    return;
  }
  portal.sql = statement.empty() ? *unnamed_ : found->second.sql;
  if (status_ == 'E' && portal.sql != "rollback" && portal.sql != "ROLLBACK" &&
      portal.sql != "commit") {
    Fail("25P02", "current transaction is aborted", out);
    return;
  }
  body.remove_prefix(2 + 2 * size_t{ReadU16(body)});
  uint16_t count = ReadU16(body);
  body.remove_prefix(2);
  for (; count > 0; --count) {
    const uint32_t length = ReadU32(body);
    body.remove_prefix(4);
    portal.parameters.emplace_back();
    if (length == UINT32_MAX) continue;
    portal.parameters.back() = std::string(body.substr(0, length));
    body.remove_prefix(length);
  }
  if (!portal.parameters.empty()) portal.parameter = portal.parameters[0].value_or("");
  portals_[name] = std::move(portal);
  out.push_back({'2', {}});
}

void PgSession::Describe(std::string_view body, std::vector<PgMessage>& out) {
  const char kind = body[0];
  body.remove_prefix(1);
  const std::string name = CString(body);
  std::string sql;
  if (kind == 'S') {
    const auto found = statements_.find(name);
    if (name.empty() ? !unnamed_.has_value() : found == statements_.end()) {
      Fail("26000",
           name.empty() ? "unnamed prepared statement does not exist"
                        : "prepared statement \"" + name + "\" does not exist",
           out);
      return;
    }
    sql = name.empty() ? *unnamed_ : found->second.sql;
  } else {
    const auto found = portals_.find(name);
    if (found == portals_.end()) {
      Fail("34000", "portal \"" + name + "\" does not exist", out);
      return;
    }
    sql = found->second.sql;
  }
  if (status_ == 'E') {
    Fail("25P02", "current transaction is aborted", out);
    return;
  }
  if (kind == 'S') {
    const bool takes = Has(sql, "$1");
    out.push_back({'t', takes ? std::string("\0\1", 2) + U32(25) : std::string(2, '\0')});
  }
  if (sql.starts_with("select") || sql.starts_with("show")) {
    out.push_back(RowDescription());
  } else {
    out.push_back({'n', {}});
  }
}

void PgSession::Execute(std::string_view body, bool cancelled, std::vector<PgMessage>& out) {
  const std::string name = CString(body);
  const int64_t limit = ReadU32(body);
  const auto found = portals_.find(name);
  if (found == portals_.end()) {
    Fail("34000", "portal \"" + name + "\" does not exist", out);
    return;
  }
  BeginImplicit();
  Portal portal = found->second;
  source_ = portal.sql;
  if (portal.sql.starts_with("SELECT (SELECT CASE WHEN statement = ")) {
    RunStatementsQuestion(portal, out);
    return;
  }
  if (portal.sql.starts_with("SELECT pg_catalog.") || portal.sql.starts_with("SELECT (SELECT") ||
      portal.sql.starts_with("WITH s AS MATERIALIZED")) {
    RunSettings(portal, out);
    return;
  }
  const Outcome outcome =
      Run(portal.sql, portal.parameter, false, limit, &portal.rows_done, cancelled, out);
  if (copying_) copy_extended_ = true;
  if (outcome.suspended) out.push_back({'s', {}});
  // A COMMIT or ROLLBACK has taken it away.
  if (portals_.count(name) > 0) portals_[name] = portal;
}

void PgSession::Close(std::string_view body, std::vector<PgMessage>& out) {
  const char kind = body[0];
  body.remove_prefix(1);
  const std::string name = CString(body);
  if (kind == 'P') {
    portals_.erase(name);
  } else if (name.empty()) {
    unnamed_.reset();
  } else {
    statements_.erase(name);
  }
  out.push_back({'3', {}});
}

void PgSession::Copy(const PgMessage& message, std::vector<PgMessage>& out) {
  switch (message.type) {
    case 'd':
      if (!message.body.starts_with("broken")) {
        ++copy_rows_;
        return;
      }
      copying_ = false;
      Fail("22P02", "invalid row: " + copy_tag_, out);
      break;
    case 'c':
      copying_ = false;
      out.push_back({'C', "COPY " + Number(copy_rows_) + std::string(1, '\0')});
      for (int64_t i = 0; i < copy_rows_; ++i) inserted_.push_back(copy_tag_);
      break;
    case 'f':
      copying_ = false;
      Fail("57014", "COPY from stdin failed: " + copy_tag_, out);
      break;
    default:
      return;  // Flush and Sync mean nothing here
  }
  if (copy_extended_) return;
  skipping_ = false;
  if (status_ == 'I') EndTransaction(true);
  Ready(out);
}

PgSession::Outcome PgSession::Complete(const std::string& tag, std::vector<PgMessage>& out) {
  out.push_back({'C', tag + std::string(1, '\0')});
  return Outcome{tag, false, false};
}

PgSession::Outcome PgSession::One(const std::string& value, bool described,
                                  std::vector<PgMessage>& out) {
  if (described) out.push_back(RowDescription());
  out.push_back(DataRow({value}));
  return Complete("SELECT 1", out);
}

PgSession::Outcome PgSession::RunTransaction(const std::string& sql, std::vector<PgMessage>& out) {
  if (sql == "begin") {
    BeginImplicit();
    status_ = 'T';
    return Complete("BEGIN", out);
  }
  const bool commit = sql == "commit" && status_ != 'E';
  EndTransaction(commit);
  status_ = 'I';
  return Complete(commit ? "COMMIT" : "ROLLBACK", out);
}

PgSession::Outcome PgSession::RunRows(const std::string& tag, int64_t count, bool described,
                                      int64_t limit, int64_t* rows_done,
                                      std::vector<PgMessage>& out) {
  if (described) out.push_back(RowDescription());
  int64_t sent = 0;
  for (; *rows_done < count && (limit == 0 || sent < limit); ++*rows_done, ++sent) {
    out.push_back(DataRow({tag}));
  }
  if (limit > 0 && sent == limit) return Suspended();
  return Complete("SELECT " + Number(sent), out);
}

const std::string& PgSession::Shown(const std::string& name) const {
  const auto local = local_.find(name);
  return local == local_.end() ? settings_.at(name) : local->second;
}

// No value: what the session began with.
void PgSession::Set(const std::string& name, const std::optional<std::string>& value, bool local) {
  (local ? local_ : settings_)[name] = value.has_value() ? *value : startup_[name];
  std::set<std::string>& made = local ? made_local_ : made_;
  if (value.has_value()) {
    made.insert(name);
  } else {
    made.erase(name);
  }
  if (local) return;
  local_.erase(name);
  made_local_.erase(name);
}

void PgSession::ResetAll() {
  settings_ = startup_;
  made_.clear();
  local_.clear();
  made_local_.clear();
}

// All that the session has set, and what else is named; nobody has another role.
PgSession::Outcome PgSession::TellSession(const Portal& portal, std::vector<PgMessage>& out) {
  using Row = std::vector<std::optional<std::string>>;
  for (const std::string& name : made_) out.push_back(DataRowOf(Row{name, Shown(name), "user"}));
  for (const std::optional<std::string>& name : portal.parameters) {
    const bool known = settings_.count(*name) > 0;
    out.push_back(DataRowOf(Row{name, known ? std::optional(Shown(*name)) : std::nullopt, {}}));
  }
  for (const char* role : {"role", "session_authorization"})
    out.push_back(DataRowOf(Row{role, "app", {}}));
  return Complete("SELECT 1", out);
}

// What weir asks of a session's settings, and how it changes them.
PgSession::Outcome PgSession::RunSettings(const Portal& portal, std::vector<PgMessage>& out) {
  if (Has(portal.sql, "WHERE source = 'session'")) return TellSession(portal, out);
  const bool reads = portal.sql.starts_with("SELECT pg_catalog.current_setting(");
  const bool contexts = portal.sql.starts_with("SELECT (SELECT context");
  const bool defaults = portal.sql.starts_with("SELECT pg_catalog.set_config($1,NULL,true)");
  const bool if_reset = portal.sql.starts_with("WITH s AS MATERIALIZED");
  const bool local = Has(portal.sql, ",true)") && (!if_reset || Has(portal.sql, "$2,true)"));
  std::vector<std::string> values;
  for (size_t i = 0; i < portal.parameters.size(); ++i) {
    const std::string name = *portal.parameters[i];
    const bool known = settings_.count(name) > 0 || name.find('.') != std::string::npos;
    // A name that does not exist would need a NULL here: the scripts set none.
    CHECK(known || !reads);
    if (reads) {
      values.push_back(Shown(name));
    } else if (contexts) {
      values.push_back(name == "start" ? "t" : "f");
    } else if (defaults) {
      values.push_back(startup_[name]);
    } else {
      const std::optional<std::string>& value = portal.parameters[++i];
      if (!known || name == "start") {
        Fail(known ? "55P02" : "42704", "parameter \"" + name + "\" cannot be set", out);
        return Failed();
      }
      const bool made =
          local_.count(name) > 0 ? made_local_.count(name) > 0 : made_.count(name) > 0;
      if (!if_reset || !made) Set(name, value, local);
      values.push_back(Shown(name));
    }
  }
  out.push_back(DataRow(values));
  return Complete("SELECT 1", out);
}

// Settings, temporary tables, statements.
PgSession::Outcome PgSession::RunState(const std::string& sql, bool described,
                                       std::vector<PgMessage>& out) {
  // What weir asks behind init_query.
  if (sql.starts_with("SELECT pg_catalog.current_setting(E'")) {
    if (described) out.push_back(RowDescription());
    out.push_back(DataRow({settings_[Quoted(sql)]}));
    return Complete("SELECT 1", out);
  }
  // What weir asks of the database: that nothing is in it.
  if (sql.starts_with("SET LOCAL ")) return Complete("SET", out);
  if (sql.starts_with("SELECT pg_catalog.concat_ws(")) return One("0", described, out);
  if (Has(sql, "pg_catalog.pg_")) return Complete("SELECT 0", out);
  if (sql == "reset all" || sql == "RESET ALL") {
    ResetAll();
    return Complete("RESET", out);
  }
  if (sql.starts_with("reset ") || sql == "RESET SESSION AUTHORIZATION") {
    if (sql[0] == 'r') Set(sql.substr(6), std::nullopt, false);
    return Complete("RESET", out);
  }
  if (sql.starts_with("set ")) {
    const bool local = sql.starts_with("set local ");
    const size_t begin = local ? 10 : 4;
    const std::optional<std::string> value =
        sql.ends_with(" to default") ? std::nullopt : std::optional<std::string>(Quoted(sql));
    if (!local || status_ != 'I')
      Set(sql.substr(begin, sql.find(' ', begin) - begin), value, local);
    return Complete("SET", out);
  }
  if (sql.starts_with("show ")) {
    if (described) out.push_back(RowDescription());
    out.push_back(DataRow({Shown(sql.substr(5))}));
    return Complete("SHOW", out);
  }
  if (sql == "DISCARD ALL" || sql == "discard all") {
    if (status_ != 'I') {
      Fail("25001", "DISCARD ALL cannot run inside a transaction block", out);
      return Failed();
    }
    ResetAll();
    statements_.clear();
    last_number_.reset();
    lasting_.DiscardAll();
    return Complete("DISCARD ALL", out);
  }
  CHECK(sql == "DISCARD SEQUENCES");
  last_number_.reset();
  return Complete("DISCARD SEQUENCES", out);
}

PgSession::Outcome PgSession::RunLasting(const PgLasting::Reply& reply, bool described,
                                         std::vector<PgMessage>& out) {
  if (!reply.code.empty()) {
    Fail(reply.code, reply.text, out);
    return Failed();
  }
  if (reply.row) {
    if (described) out.push_back(RowDescription());
    out.push_back(DataRow({reply.value}));
  }
  return Complete(reply.tag, out);
}

PgSession::Outcome PgSession::RunSequence(const std::string& sql, bool described,
                                          std::vector<PgMessage>& out) {
  if (Has(sql, "nextval(")) {
    last_number_ = database_ == nullptr ? 0 : ++database_->sequence;
    return One(database_ == nullptr ? std::string(kAnyNumber) : Number(*last_number_), described,
               out);
  }
  if (!last_number_.has_value()) {
    Fail("55000", "currval of sequence \"numbers\" is not yet defined in this session", out);
    return Failed();
  }
  return One(database_ == nullptr ? std::string(kOwnNumber) : Number(*last_number_), described,
             out);
}

PgSession::Outcome PgSession::Run(const std::string& sql, const std::string& parameter,
                                  bool described, int64_t limit, int64_t* rows_done, bool cancelled,
                                  std::vector<PgMessage>& out) {
  const bool ends = sql == "commit" || sql == "rollback" || sql == "ROLLBACK";
  if (status_ == 'E' && !ends) {
    Fail("25P02", "current transaction is aborted", out);
    return Failed();
  }
  if (sql == "begin" || ends) return RunTransaction(sql, out);
  if (cancelled) {
    Fail("57014", "canceling statement: " + Quoted(sql), out);
    return Failed();
  }
  if (Has(sql, "max_connections")) {
    if (described) out.push_back(RowDescription());
    out.push_back(DataRow(
        {Number(database_->max_connections), "0", "0", Number(database_->generation), "10"}));
    return Complete("SELECT 1", out);
  }
  if (Has(sql, "syntax")) {
    Fail("42601", "syntax error", out);
    return Failed();
  }
  if (Has(sql, "1 / 0")) {
    Fail("22012", "division by zero: " + Quoted(sql), out);
    return Failed();
  }
  if (sql.starts_with("SELECT EXISTS(")) {
    bool own_names = false;
    for (const auto& [name, text] : statements_) own_names |= !name.starts_with("__weir_");
    out.push_back(DataRow(lasting_.Answer(sql, own_names)));
    return Complete("SELECT 1", out);
  }
  // An error that weir asks for.
  if (sql.starts_with("DO $weir$")) {
    Fail("0A000", "refused", out);
    return Failed();
  }
  if (const auto reply = lasting_.Run(sql)) return RunLasting(*reply, described, out);
  if (sql.starts_with("execute ") && HasStatement(sql.substr(8))) {
    const std::string text = statements_.at(sql.substr(8)).sql;
    return Run(text, parameter, described, limit, rows_done, cancelled, out);
  }
  if (const auto done = RunNamed(sql, described, out)) return *done;
  if (Has(sql, "numbers")) return RunSequence(sql, described, out);
  if (sql.starts_with("insert ")) {
    inserted_.push_back(Quoted(sql));
    return Complete("INSERT 0 1", out);
  }
  if (sql.starts_with("copy t from")) {
    copying_ = true;
    copy_extended_ = false;
    copy_rows_ = 0;
    copy_tag_ = Quoted(sql);
    out.push_back({'G', std::string("\0\0\1\0\0", 5)});
    return {};
  }
  if (sql.starts_with("copy (")) {
    out.push_back({'H', std::string("\0\0\1\0\0", 5)});
    const int64_t count = RowsOf(sql);
    for (int64_t i = 0; i < count; ++i) out.push_back({'d', Quoted(sql) + "\n"});
    out.push_back({'c', {}});
    return Complete("COPY " + Number(count), out);
  }
  if (sql.starts_with("select current_setting('")) return One(Shown(Quoted(sql)), described, out);
  if (sql.starts_with("select ")) {
    return RunRows(Quoted(sql) + parameter, RowsOf(sql), described, limit, rows_done, out);
  }
  return RunState(sql, described, out);
}

}  // namespace weir::sim
