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

void ModelServer::Error(std::string_view sqlstate, std::string_view text) {
  if (status_ == 'T') status_ = 'E';
  Say('E',
      "SERROR" + std::string(1, '\0') + "VERROR" + '\0' + "C" + Z(sqlstate) + "M" + Z(text) + '\0');
}

void ModelServer::Fail(std::string_view sqlstate, std::string_view text) {
  Error(sqlstate, text);
  skipping_ = true;
}

void ModelServer::Ready() {
  if (status_ == 'I') has_portal_ = false;
  Say('Z', std::string(1, status_));
}

void ModelServer::OnMessage(const Message& message) {
  if (Chosen(32)) Say('N', "SNOTICE" + std::string(1, '\0') + '\0');
  if (Chosen(64)) Say('S', Z("client_encoding") + Z("UTF8"));
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
  if (status_ == 'E' && !text.empty() && !EndsTransaction(text))
    return Fail("25P02", "current transaction is aborted");
  if (!name.empty() && statements_.contains(name))
    return Fail("42P05", "prepared statement \"" + name + "\" already exists");
  if (!name.starts_with("__weir_own") && !text.empty() && Chosen(8))
    return Fail("42601", "syntax error");
  statements_[name] = text;
  Say('1', "");
}

void ModelServer::OnBind(std::string_view body) {
  const std::string portal(UntilNul(body));
  const std::string name(UntilNul(body));
  const auto found = statements_.find(name);
  if (found == statements_.end())
    return Fail("26000", "prepared statement \"" + name + "\" does not exist");
  const std::string& text = found->second;
  if (status_ == 'E' && !EndsTransaction(text))
    return Fail("25P02", "current transaction is aborted");
  if (!name.starts_with("__weir_own") && Chosen(8)) return Fail("22P02", "invalid input syntax");
  if (portal.empty()) {
    portal_ = text;
    has_portal_ = true;
    portal_has_run_ = false;
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
    Say('T', found->second);
    return;
  }
  if (!has_portal_) return Fail("34000", "portal does not exist");
  Say('n', "");
}

void ModelServer::OnClose(std::string_view body) {
  const char kind = body[0];
  body.remove_prefix(1);
  const std::string name(UntilNul(body));
  if (kind == 'S') {
    statements_.erase(name);
  } else {
    has_portal_ = false;
  }
  Say('3', "");
}

void ModelServer::OnExecute(std::string_view body) {
  if (const std::string_view name = UntilNul(body); name.starts_with("__weir_own")) {
    if (status_ == 'E') return Fail("25P02", "current transaction is aborted");
    if (!RunText(statements_[std::string(name)], Copy::kExtended)) skipping_ = true;
    return;
  }
  if (!has_portal_) return Fail("34000", "portal \"\" does not exist");
  const std::string text = portal_;
  if (status_ == 'E' && !EndsTransaction(text))
    return Fail("25P02", "current transaction is aborted");
  // What is no query runs once.
  const bool again = portal_has_run_ && !text.starts_with("SELECT");
  if (again) return Fail("55000", "portal \"\" cannot be run");
  portal_has_run_ = true;
  if (!RunText(text, Copy::kExtended)) skipping_ = true;
}

void ModelServer::OnQuery(std::string_view text) {
  statements_.erase("");
  has_portal_ = false;
  if (status_ == 'E' && !EndsTransaction(text)) {
    Error("25P02", "current transaction is aborted");
    Ready();
    return;
  }
  RunText(text, Copy::kSimple);
  if (copy_ == Copy::kNone) Ready();
}

bool ModelServer::RunText(std::string_view text, Copy copy) {
  // What weir runs for itself succeeds: a session that cannot be reset is another test.
  const bool own = text == "DISCARD SEQUENCES" || text.starts_with("RESET ");
  if (Chosen(8) && !own) {
    Error("22012", "division by zero");
    return false;
  }
  if (text.starts_with("COPY")) {
    copy_ = copy;
    copy_text_ = std::string(text);
    Say('G', std::string(3, '\0'));
    return true;
  }
  if (!DoText(text)) return false;
  if (copy == Copy::kSimple && Chosen(4)) Say('T', "columns");
  for (size_t rows = choices_.Below(3); rows > 0; --rows) Say('D', text);
  // The client sees what has run also when there are no rows.
  Say('C', Z(text));
  return true;
}

// What a text does to the session.
bool ModelServer::DoText(std::string_view text) {
  if (text == "BEGIN" && status_ == 'I') status_ = 'T';
  if (text == "COMMIT" || text == "ROLLBACK") status_ = 'I';
  if (text == "DISCARD ALL" && status_ == 'T') {
    Error("25001", "DISCARD ALL cannot run inside a transaction block");
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
      Say('C', Z(copy_text_));
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
    Ready();
  } else {
    skipping_ = true;
  }
}

}  // namespace weir::fuzz
