#include <algorithm>

#include "tests/fuzz/model.h"

namespace weir::fuzz {

const std::vector<std::string_view> kTexts = {
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "DEALLOCATE ALL",
    "DEALLOCATE PREPARE ALL",
    "DISCARD ALL",
    "DEALLOCATE a",
    "DEALLOCATE PREPARE \"b\"",
    "PREPARE a AS SELECT 'a'",
    "PREPARE c AS SELECT 'c'",
    "EXECUTE a",
    "EXECUTE c",
    "SELECT nextval('s')",
    "SELECT currval('s')",
    "COPY t FROM STDIN",
    "SELECT 1",
    "SELECT $1",
    "SELECT 'a longer text, longer than a small limit for the scanning of statements'",
};

namespace {

std::string_view UntilNul(std::string_view& body) {
  const size_t end = body.find('\0');
  CHECK(end != std::string_view::npos);  // weir sends only what a server can read
  const std::string_view text = body.substr(0, end);
  body.remove_prefix(end + 1);
  return text;
}

constexpr std::string_view kOwnName = "__weir_own";

// A statement that weir runs for itself, under a name of its own or a shared one.
bool IsOwn(std::string_view name, std::string_view text) {
  return name == kOwnName || text.starts_with("SELECT pg_catalog.set_config($");
}

uint32_t Number(std::string_view& body, size_t bytes) {
  CHECK(body.size() >= bytes);
  uint32_t number = 0;
  for (size_t i = 0; i < bytes; ++i) number = number << 8 | static_cast<uint8_t>(body[i]);
  body.remove_prefix(bytes);
  return number;
}

// The values in a Bind, behind its names; all formats are text.
std::vector<std::optional<std::string>> ParametersOf(std::string_view body) {
  std::vector<std::optional<std::string>> values;
  CHECK(Number(body, 2) == 0);
  for (uint32_t left = Number(body, 2); left > 0; --left) {
    const uint32_t length = Number(body, 4);
    if (length == UINT32_MAX) {
      values.emplace_back();
      continue;
    }
    CHECK(length <= body.size());
    values.emplace_back(body.substr(0, length));
    body.remove_prefix(length);
  }
  CHECK(body == std::string_view("\0\0", 2));
  return values;
}

std::string Row(const std::vector<std::optional<std::string>>& values) {
  std::string row = Put32(static_cast<uint32_t>(values.size())).substr(2);
  for (const std::optional<std::string>& each : values) {
    row += Put32(each.has_value() ? static_cast<uint32_t>(each->size()) : UINT32_MAX);
    if (each.has_value()) row += *each;
  }
  return row;
}

// The name behind a word.
std::string_view NameBehind(std::string_view front, std::string_view text) {
  if (!text.starts_with(front)) return {};
  text.remove_prefix(front.size());
  return text.substr(0, text.find(' '));
}

// The statement in a DEALLOCATE; as a server reads it, of the texts above and weir's own.
std::string_view Deallocated(std::string_view text) {
  for (const std::string_view front : {"DEALLOCATE PREPARE ", "DEALLOCATE "}) {
    if (!text.starts_with(front)) continue;
    text.remove_prefix(front.size());
    if (text.starts_with('"')) text = text.substr(1, text.size() - 2);
    return text;
  }
  return {};
}

}  // namespace

bool ModelServer::Chosen(size_t one_in) { return choices_.Below(one_in) == one_in - 1; }

void ModelServer::Take(std::string_view bytes, std::string& out) {
  out_ = &out;
  reader_.Add(bytes);
  for (Message each; !fatal_ && reader_.Next(each);) OnMessage(each);
}

void ModelServer::Tell(char type, const Statement& statement, const std::string& all) {
  const std::string told = Encoded({statement.text, statement.lexed, all});
  Say(type, type == 'C' ? Z(told) : told);
}

// Changes of what is reported.
void ModelServer::Report() {
  for (const std::string& name : ModelSettings::Reported()) {
    const std::string value = *settings_.Get(name);
    const auto told = reported_.find(name);
    if (value == (told == reported_.end() ? ModelSettings::Default(name) : told->second)) continue;
    reported_[name] = value;
    Say('S', Z(name) + Z(value));
  }
}

void ModelServer::Error(std::string_view sqlstate, std::string_view text) {
  const bool ends = settings_.Get("exit_on_error") == "on";
  const std::string severity = ends ? "FATAL" : "ERROR";
  fatal_ = fatal_ || ends;
  if (status_ == 'T') settings_.Abort();
  if (status_ == 'I') settings_.End(false);
  if (status_ == 'T') status_ = 'E';
  Say('E', "S" + Z(severity) + "V" + Z(severity) + "C" + Z(sqlstate) + "M" + Z(text) + '\0');
}

void ModelServer::Fail(std::string_view sqlstate, std::string_view text) {
  Error(sqlstate, text);
  skipping_ = true;
}

void ModelServer::Ready() {
  if (status_ == 'I') {
    portal_.reset();
    settings_.End(true);
  }
  Report();
  Say('Z', std::string(1, status_));
}

void ModelServer::OnMessage(const Message& message) {
  if (Chosen(32)) Say('N', "SNOTICE" + std::string(1, '\0') + '\0');
  if (Chosen(64)) Say('S', Z("client_encoding") + Z(*settings_.Get("client_encoding")));
  if (copy_ != Copy::kNone) {
    OnCopy(message);
    return;
  }
  switch (message.type) {
    case 'Q': {
      if (skipping_) return;
      std::string_view body = message.body;
      const std::string text(UntilNul(body));
      CHECK(body.empty());
      OnQuery(text);
      return;
    }
    case 'S':
      skipping_ = false;
      Ready();
      return;
    case 'H':
    case 'd':
    case 'c':
    case 'f':
      return;
    default:
      if (!skipping_) OnExtended(message);
      return;
  }
}

void ModelServer::OnExtended(const Message& message) {
  switch (message.type) {
    case 'P':
      return OnParse(message.body);
    case 'B':
      return OnBind(message.body);
    case 'D':
      return OnDescribe(message.body);
    case 'C':
      return OnClose(message.body);
    case 'E':
      return OnExecute(message.body);
    default:
      CHECK(false);  // weir sends nothing else
  }
}

void ModelServer::OnParse(std::string_view body) {
  const std::string name(UntilNul(body));
  const std::string text(UntilNul(body));
  CHECK(body.size() == 2);  // no types
  if (name.empty()) statements_.erase(name);
  if (status_ == 'E' && !text.empty() && !RunsInFailed(text))
    return Fail("25P02", "current transaction is aborted");
  if (!name.empty() && statements_.contains(name))
    return Fail("42P05", "prepared statement \"" + name + "\" already exists");
  if (IsOwn(name, text)) {
    if (OwnFails(text)) return Fail(kOwnFails, "out of memory");
  } else if (!text.empty() && Chosen(8)) {
    return Fail("42601", "syntax error");
  }
  statements_[name] = {text, settings_.Lexed()};
  Say('1', "");
}

void ModelServer::OnBind(std::string_view body) {
  const std::string portal(UntilNul(body));
  const std::string name(UntilNul(body));
  const auto found = statements_.find(name);
  if (found == statements_.end())
    return Fail("26000", "prepared statement \"" + name + "\" does not exist");
  const Statement& statement = found->second;
  if (status_ == 'E' && !RunsInFailed(statement.text))
    return Fail("25P02", "current transaction is aborted");
  if (IsOwn(name, statement.text)) {
    if (OwnFails(statement.text)) return Fail(kOwnFails, "out of memory");
  } else if (Chosen(8)) {
    return Fail("22P02", "invalid input syntax");
  }
  CHECK(portal.empty() || portal == kOwnName);
  const Portal bound{statement, ParametersOf(body), false};
  if (portal.empty()) {
    portal_ = bound;
  } else {
    own_portal_ = bound;
  }
  Say('2', "");
}

void ModelServer::OnDescribe(std::string_view body) {
  const char kind = body[0];
  body.remove_prefix(1);
  const std::string name(UntilNul(body));
  if (status_ == 'E') return Fail("25P02", "current transaction is aborted");
  if (kind == 'S') {
    const auto found = statements_.find(name);
    if (found == statements_.end())
      return Fail("26000", "prepared statement \"" + name + "\" does not exist");
    Say('t', std::string(2, '\0'));
    Tell('T', found->second, settings_.All());
    return;
  }
  if (!portal_.has_value()) return Fail("34000", "portal does not exist");
  Say('n', "");
}

void ModelServer::OnClose(std::string_view body) {
  const char kind = body[0];
  body.remove_prefix(1);
  const std::string name(UntilNul(body));
  if (kind == 'S') {
    statements_.erase(name);
  } else {
    portal_.reset();
  }
  Say('3', "");
}

void ModelServer::OnExecute(std::string_view body) {
  const std::string_view name = UntilNul(body);
  if (name.empty() && !portal_.has_value()) return Fail("34000", "portal \"\" does not exist");
  Portal& portal = name.empty() ? *portal_ : own_portal_;
  const std::string& text = portal.statement.text;
  if (status_ == 'E' && !RunsInFailed(text)) return Fail("25P02", "current transaction is aborted");
  if (IsOwn(name, text)) {
    if (!RunOwn(portal)) skipping_ = true;
    return;
  }
  // What is no query runs once.
  const bool again = portal.has_run && !text.starts_with("SELECT");
  if (again) return Fail("55000", "portal \"\" cannot be run");
  portal.has_run = true;
  if (!RunText(Statement(portal.statement), Copy::kExtended)) skipping_ = true;
}

void ModelServer::OnQuery(std::string_view text) {
  statements_.erase("");
  portal_.reset();
  // All of it is lexed before the first of it runs.
  const std::string lexed = settings_.Lexed();
  for (const std::string& part : PartsOf(text)) {
    if (status_ == 'E' && !RunsInFailed(part)) {
      Error("25P02", "current transaction is aborted");
      break;
    }
    if (!RunText({part, lexed}, Copy::kSimple)) break;
  }
  if (copy_ == Copy::kNone && !fatal_) Ready();
}

bool ModelServer::RunText(const Statement& statement, Copy copy) {
  if (Chosen(8)) {
    Error("22012", "division by zero");
    return false;
  }
  if (statement.text.starts_with("COPY")) {
    copy_ = copy;
    copy_statement_ = statement;
    Say('G', std::string(3, '\0'));
    return true;
  }
  if (const std::string_view runs = NameBehind("EXECUTE ", statement.text); !runs.empty())
    return RunNamed(runs, copy);
  const std::string before = settings_.All();
  if (!DoText(statement)) return false;
  if (options_.reports_at_once) Report();
  if (copy == Copy::kSimple && Chosen(4)) Say('T', "columns");
  for (size_t rows = choices_.Below(3); rows > 0; --rows) Tell('D', statement, before);
  // The client sees what has run also when there are no rows.
  Tell('C', statement, settings_.All());
  return true;
}

// What EXECUTE runs.
bool ModelServer::RunNamed(std::string_view name, Copy copy) {
  const auto found = statements_.find(name);
  if (found == statements_.end()) {
    Error("26000", "prepared statement \"" + std::string(name) + "\" does not exist");
    return false;
  }
  if (!found->second.text.starts_with("SELECT '") && !found->second.text.starts_with("SELECT 1")) {
    Error("0A000", "EXECUTE does not support this");
    return false;
  }
  return RunText(Statement(found->second), copy);
}

// What a text does to the session.
bool ModelServer::DoText(const Statement& statement) {
  const std::string_view text = statement.text;
  if (const std::string_view made = NameBehind("PREPARE ", text); !made.empty()) {
    if (statements_.contains(made)) {
      Error("42P05", "prepared statement \"" + std::string(made) + "\" already exists");
      return false;
    }
    statements_[std::string(made)] = {std::string(text.substr(text.find(" AS ") + 4)),
                                      settings_.Lexed()};
    return true;
  }
  if (!DoTransaction(text)) return false;
  if (!settings_.Run(text, ModelSettings::Escapes(statement.lexed))) {
    Error("42501", "permission denied to set parameter");
    return false;
  }
  const std::string_view name = Deallocated(text);
  if (text == "DISCARD ALL" || name == "ALL") {
    std::erase_if(statements_, [](const auto& each) { return !each.first.empty(); });
    return true;
  }
  if (name.empty()) return true;
  const auto found = statements_.find(name);
  if (found == statements_.end()) {
    Error("26000", "prepared statement \"" + std::string(name) + "\" does not exist");
    return false;
  }
  statements_.erase(found);
  return true;
}

bool ModelServer::DoTransaction(std::string_view text) {
  if (text == "DISCARD ALL" && status_ == 'T') {
    Error("25001", "DISCARD ALL cannot run inside a transaction block");
    return false;
  }
  if (text == "SAVEPOINT s") {
    if (status_ != 'T') {
      Error("25P01", "SAVEPOINT can only be used in transaction blocks");
      return false;
    }
    settings_.Savepoint();
  }
  if (text == "ROLLBACK TO s") {
    if (status_ == 'I' || !settings_.RollbackTo()) {
      Error("3B001", "savepoint \"s\" does not exist");
      return false;
    }
    status_ = 'T';
  }
  if (EndsTransaction(text)) {
    settings_.End(text == "COMMIT" && status_ != 'E');
    status_ = 'I';
  }
  if (text == "BEGIN" && status_ == 'I') status_ = 'T';
  return true;
}

// A statement of weir's own fails for reasons of the server's. Without settings it does not: a
// session that cannot be reset is another test.
bool ModelServer::OwnFails(std::string_view text) {
  if (!options_.settings || text.empty() || text == "DISCARD SEQUENCES" || !Chosen(16))
    return false;
  own_failed_ = true;
  return true;
}

// What weir runs for itself: questions of settings, changes of them, resets.
bool ModelServer::RunOwn(const Portal& portal) {
  const std::string& text = portal.statement.text;
  if (OwnFails(text)) {
    Error(kOwnFails, "out of memory");
    return false;
  }
  if (text == "RESET ALL") settings_.ResetAll();
  if (text == "RESET SESSION AUTHORIZATION") settings_.ResetAuthorization();
  if (text == "ROLLBACK" && !DoTransaction(text)) return false;
  if (text.starts_with("PREPARE ") && !DoText(portal.statement)) return false;
  if (text.starts_with("SELECT pg_catalog.set_config(")) {
    if (!RunSetConfigs(portal)) return false;
  } else if (text.starts_with("SELECT")) {
    const bool values = text.starts_with("SELECT pg_catalog.current_setting(");
    CHECK(values || text.starts_with("SELECT (SELECT setting IS NOT DISTINCT FROM reset_val "));
    std::vector<std::optional<std::string>> answers;
    for (const std::optional<std::string>& name : portal.parameters) {
      const std::optional<std::string> value = settings_.Get(*name);
      answers.push_back(values ? value : ModelSettings::Default(*name) == *value ? "t" : "f");
    }
    Say('D', Row(answers));
  }
  if (options_.reports_at_once) Report();
  Say('C', Z("SELECT 1"));
  return true;
}

// set_config(name, value, false) of each pair; or set_config(name, NULL, true).
bool ModelServer::RunSetConfigs(const Portal& portal) {
  const bool defaults = portal.statement.text.find("$1,NULL,true") != std::string::npos;
  const bool local = portal.statement.text.find("$1,$2,true") != std::string::npos;
  CHECK(defaults || local || portal.statement.text.find("$1,$2,false") != std::string::npos);
  std::vector<std::optional<std::string>> answers;
  for (size_t i = 0; i < portal.parameters.size(); ++i) {
    const std::string name = *portal.parameters[i];
    std::optional<std::string> value;
    if (!defaults) value = portal.parameters[++i];
    if (!settings_.Set(name, value, defaults || local)) {
      own_failed_ = true;
      Error("42501", "permission denied to set parameter");
      return false;
    }
    if (!defaults && OwnFails(portal.statement.text)) {
      Error(kOwnFails, "invalid value for parameter");
      return false;
    }
    answers.push_back(settings_.Get(name));
  }
  Say('D', Row(answers));
  return true;
}

void ModelServer::OnCopy(const Message& message) {
  const bool simple = copy_ == Copy::kSimple;
  switch (message.type) {
    case 'd':
      if (!Chosen(8)) return;
      break;
    case 'S':
    case 'H':
      return;  // "ignored for the convenience of client libraries"
    case 'c':
      if (Chosen(8)) break;
      copy_ = Copy::kNone;
      Tell('C', copy_statement_, settings_.All());
      if (simple) Ready();
      return;
    case 'f':
      break;
    default:
      // Its body was never read: the session is lost.
      fatal_ = true;
      Say('E', "SFATAL" + std::string(1, '\0') + "C08P01" + '\0' + '\0');
      return;
  }
  copy_ = Copy::kNone;
  Error("22P04", "bad copy data");
  if (simple) {
    if (!fatal_) Ready();
  } else {
    skipping_ = true;
  }
}

}  // namespace weir::fuzz
