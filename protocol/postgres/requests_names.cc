// What the client's statements are called: changes are made when they are sent, then confirmed, or
// undone when the server skips them.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"
#include "protocol/postgres/request_cursor.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {

// The client's name of a statement, if an error text may have to tell it: its id says no name for
// certain while changes of names are under way, or after two names were one statement.
std::unique_ptr<std::string> PostgresRequests::NameToTell(std::string_view name) const {
  if (!aliases_ && (changes_ == nullptr || changes_->empty())) return nullptr;
  return std::make_unique<std::string>(name);
}

// What the name stands for is not known before an earlier request has been answered.
bool PostgresRequests::Uncertain(Cursor& cursor, std::string_view name,
                                 const Statement* statement) const {
  PostgresReplies& backend = *cursor.backend;
  if (backend.requests_owed() == 0 || backend.copy_in()) return false;
  if (name.empty()) return backend.UnnamedInFlight();
  if (statement != nullptr && backend.StatementInFlight(statement->id)) return true;
  return backend.places_in_flight() || IsPending(name);
}

// The unnamed statement is about to become another one, or none. True if the server may skip that:
// then what it has been is kept.
bool PostgresRequests::LeaveUnnamed(Cursor& cursor) {
  const bool change = cursor.backend->owed() > 0;
  if (change) {
    if (unnamed_changes_ == nullptr)
      unnamed_changes_ = std::make_unique<engine::RingQueue<Unnamed>>();
    unnamed_changes_->PushBack(std::exchange(unnamed_, {}));
  }
  unnamed_.tag = 0;
  return change;
}

bool PostgresRequests::IsPending(std::string_view name) const {
  for (size_t i = 0; changes_ != nullptr && i < changes_->size(); ++i) {
    if ((*changes_)[i].name.empty() || (*changes_)[i].name == name) return true;
  }
  return false;
}

void PostgresRequests::ChangeName(PostgresReplies& backend, std::string_view name,
                                  const Statement* statement) {
  // What its last change has made of the name on the server.
  if (backend.named().Find(name) == &kOwnChange)
    backend.named().Set(name, IsPending(name) ? &kUnknownName : names_.Find(name));
  from_sql_ = from_sql_ || (statement != nullptr && statement->from_sql());
  if (statement == nullptr && names_.Find(name) == &kNotShared)
    suspects_ |= stands_ & Only(PinReason::kPreparedStatement);
  if (statement != nullptr && statement != &kNotShared && names_.FindId(statement->id) != nullptr)
    aliases_ = true;
  if (changes_ == nullptr) changes_ = std::make_unique<engine::RingQueue<NameChange>>();
  changes_->PushBack({.name = std::string(name), .statement = statement});
  Apply(changes_->Back());
}

// What the backend has under the name is the client's, or none if that has none.
bool PostgresRequests::IsOwnThere(PostgresReplies& backend, std::string_view name) const {
  const Statement* there = backend.named().Find(name);
  const Statement* own = names_.Find(name);
  return there == own || there == &kOwnChange || (own == nullptr && there == &kClosedName);
}

// The change is made on the server, too, under the same name. What is there then, is what the
// client knows of the name; if it has been so before.
void PostgresRequests::ChangeOwnName(PostgresReplies& backend, std::string_view name,
                                     const Statement* statement) {
  const bool same = IsOwnThere(backend, name);
  ChangeName(backend, name, statement);
  backend.named().Set(name, same ? &kOwnChange : &kUnknownName);
}

void PostgresRequests::DropNames(PostgresReplies& backend) {
  // If it fails, they are still there.
  backend.ForgetNamed();
  if (changes_ == nullptr) changes_ = std::make_unique<engine::RingQueue<NameChange>>();
  changes_->PushBack({});
  Apply(changes_->Back());
}

void PostgresRequests::Apply(NameChange& change) {
  if (change.name.empty()) {
    change.all = std::exchange(names_, {});
  } else {
    change.previous = names_.Find(change.name);
    names_.Set(change.name, change.statement);
  }
}

void PostgresRequests::OnNameConfirmed() {
  CHECK(changes_ != nullptr);
  changes_->PopFront();
  if (names_.size() == 0) from_sql_ = false;
}

// To what the names were before all changes that are not confirmed; and on again.
void PostgresRequests::TakeBackChanges() {
  for (size_t i = changes_ == nullptr ? 0 : changes_->size(); i > 0; --i) {
    NameChange& change = (*changes_)[i - 1];
    if (change.name.empty()) {
      names_ = std::move(change.all);
    } else {
      names_.Set(change.name, change.previous);
    }
  }
}

void PostgresRequests::ApplyChanges() {
  for (size_t i = 0; changes_ != nullptr && i < changes_->size(); ++i) Apply((*changes_)[i]);
}

// Those behind the Sync stand.
void PostgresRequests::OnNamesUndone(size_t count) {
  CHECK(changes_ != nullptr && changes_->size() >= count);
  const bool undo = !WEIR_FAULT("name_not_undone");
  if (undo) TakeBackChanges();
  for (; count > 0; --count) changes_->PopFront();
  if (undo) ApplyChanges();
}

void PostgresRequests::OnUnnamedConfirmed() {
  CHECK(unnamed_changes_ != nullptr);
  unnamed_changes_->PopFront();
}

// What it was before the oldest of them is what it is now, or was before the next change.
void PostgresRequests::OnUnnamedUndone(size_t count) {
  CHECK(unnamed_changes_ != nullptr && count > 0);
  Unnamed standing = unnamed_changes_->PopFront();
  for (; count > 1; --count) unnamed_changes_->PopFront();
  (unnamed_changes_->empty() ? unnamed_ : unnamed_changes_->Front()) = std::move(standing);
}

void PostgresRequests::OnUnnamedRefused() {
  const bool changed = unnamed_changes_ != nullptr && !unnamed_changes_->empty();
  (changed ? unnamed_changes_->Front() : unnamed_).tag = 0;
}

void PostgresRequests::OnBindsUndone() {
  earlier_drops_ = earlier_drops_ || bound_drops_;
  bound_drops_ = false;
  bound_deallocate_.reset();
}

// What the server complains of was sent before the changes that are not confirmed.
std::string PostgresRequests::NameOf(StatementId statement) {
  if (statement == 0) return {};
  TakeBackChanges();
  std::string name(names_.NameOf(statement));
  ApplyChanges();
  return name;
}

// What a statement is parsed under: the client's settings, and how its route's sessions lex.
std::string_view PostgresRequests::ParseKey(const Cursor& cursor) {
  const LexMode mode = cursor.backend->lex_mode();
  if (mode == LexMode()) return profile_.parse_key();
  context_.key_scratch.assign(profile_.parse_key());
  context_.key_scratch += mode.standard_conforming_strings ? "" : "escapes";
  context_.key_scratch += mode.ascii_trailing_bytes ? "trails" : "";
  return context_.key_scratch;
}

// The statement of a text under the client's settings. nullptr: there are too many.
const Statement* PostgresRequests::FindStatement(Cursor& cursor, std::string_view tail) {
  std::string_view key = ParseKey(cursor);
  const Statement* statement = context_.statements.Find(tail, key);
  if (statement != nullptr) return statement;
  const std::string_view text = tail.substr(0, tail.find('\0'));
  const Verdict verdict = Scan(text, cursor.backend->lex_mode());
  std::string longer;
  if ((verdict.flags & Verdict::kRunsStatement) != 0) {
    // What an EXECUTE gives depends on what it executes.
    longer = key;
    for (const std::string& name : NamesIn(text, cursor.backend->lex_mode()).runs) {
      const Statement* runs = names_.Find(name);
      engine::Append(longer, name, '\0', runs == nullptr ? std::string_view() : runs->key);
    }
    key = longer;
    statement = context_.statements.Find(tail, key);
    if (statement != nullptr) return statement;
  }
  return context_.statements.Intern(tail, key, verdict);
}

// The statement behind a name of the client's. If its settings have changed since, it is parsed
// anew under those that it has now.
const Statement* PostgresRequests::FindNamed(Cursor& cursor, std::string_view name) {
  const Statement* statement = names_.Find(name);
  if (statement == nullptr || statement == &kNotShared || statement->from_sql() ||
      statement->parse_key() == ParseKey(cursor))
    return statement;
  // If there are too many, it is gone.
  statement = FindStatement(cursor, statement->parse_tail());
  names_.Set(name, statement);
  return statement;
}

// What a statement means for the session, by the catalogue of now.
const Verdict& PostgresRequests::VerdictOn(Cursor& cursor, const Statement& statement) {
  return VerdictOn(cursor.backend->catalogue(), cursor.backend->lex_mode(), statement);
}

const Verdict& PostgresRequests::VerdictOn(const Catalogue* catalogue, LexMode mode,
                                           const Statement& statement) {
  if (catalogue == nullptr) return statement.verdict;
  std::vector<RequestsContext::KnownVerdict>& all = context_.verdicts;
  if (all.size() <= statement.id) all.resize(statement.id + 1);
  RequestsContext::KnownVerdict& known = all[statement.id];
  if (known.catalogue != catalogue->number)
    known = {catalogue->number, Scan(statement.text(), mode, catalogue)};
  return known.verdict;
}

void PostgresRequests::JudgeUnnamed(Cursor& cursor) {
  unnamed_.lex_mode = cursor.backend->lex_mode();
  unnamed_.catalogue = cursor.catalogue_number();
  unnamed_.verdict = cursor.Judge(unnamed_.parse_tail.c_str());
}

}  // namespace weir::postgres
