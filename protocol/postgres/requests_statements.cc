// Prepared statements under the client's own names on the server: those that its SQL has made, and
// those of the protocol that its SQL names.
//
// A client keeps its names, and its texts go to the server as they are. So ahead of a text that
// names statements weir sees to it that the server has exactly the client's under these names:
// another client's are closed, its own are made as it made them. A text that may reach any
// statement (pg_prepared_statements, code that nobody sees) needs that of all of them. What goes
// ahead stands in one batch with the text: if the server refuses it, it skips the text, too, and
// the client has the error as its answer.
//
// What a lone PREPARE or DEALLOCATE does is known by its answer. Of several in one text, and of
// code that nobody sees, the server is asked when the transaction is over. What cannot be made
// again elsewhere keeps the backend.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/request_cursor.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {

using protocol::TransactionStatus;

namespace {

// A client that makes more by SQL keeps its backend.
constexpr size_t kFromSqlMax = 64;
constexpr size_t kFromSqlBytesMax = size_t{64} * 1024;
// Names on a backend; beyond that those of others go.
constexpr size_t kNamedMax = 256;

constexpr std::string_view kNoTypes("\0\0\0", 3);

// Code that may reach any statement, whatever the text names.
constexpr PinSet kBlind = Only(PinReason::kFunction) | Only(PinReason::kOpaque) |
                          Only(PinReason::kUnreadable) | Only(PinReason::kUnknownStatement);

// What a statement does when it is executed, of what its PREPARE tells.
constexpr uint16_t kDoneLater = Verdict::kReadsSequence | Verdict::kWritesSequence |
                                Verdict::kReadsStatements | Verdict::kOpaque | Verdict::kDdl;

// Those that the server reads when it parses, and that last: schemas and roles are looked at again.
Settings ShapesOf(const Settings& settings) {
  Settings shapes;
  for (const Setting& each : settings) {
    if (ShapesLiterals(each.name) || ShapesLexing(each.name)) shapes.push_back(each);
  }
  return shapes;
}

std::string KeyOf(const Settings& shapes) {
  std::string key(Statement::kFromSql);
  for (const Setting& each : shapes) engine::Append(key, each.name, '=', each.value, '\0');
  return key;
}

// The settings in a key.
Settings MadeUnder(const Statement& statement) {
  Settings shapes;
  std::string_view key = statement.parse_key().substr(Statement::kFromSql.size());
  while (!key.empty()) {
    const std::string_view each = key.substr(0, key.find('\0'));
    const size_t end = each.find('=');
    shapes.push_back({std::string(each.substr(0, end)), std::string(each.substr(end + 1))});
    key.remove_prefix(each.size() + 1);
  }
  return shapes;
}

// Are they there, and which? For each name: 'n' for the new one, 'o' for the old one, 'x' for
// another. Then how many there are under other names, and how many of weir's.
std::string StatementsQuestion(size_t names) {
  constexpr std::string_view kView = "pg_catalog.pg_prepared_statements WHERE ";
  std::string sql = "SELECT ";
  std::string others;
  for (size_t i = 1; i <= 3 * names; i += 3) {
    engine::Append(sql, "(SELECT CASE WHEN statement = $", i + 1, " THEN 'n' WHEN statement = $",
                   i + 2, " THEN 'o' ELSE 'x' END FROM ", kView, "name = $", i, "),");
    engine::Append(others, " AND name <> $", i);
  }
  engine::Append(sql, "(SELECT pg_catalog.count(*) FROM ", kView,
                 "pg_catalog.left(name, 7) <> '__weir_'", others,
                 "),(SELECT pg_catalog.count(*) FROM ", kView,
                 "pg_catalog.left(name, 8) = '__weir_s')");
  return sql;
}

}  // namespace

bool PostgresRequests::IsTouched(std::string_view name) const {
  return named_touched_ != nullptr &&
         std::any_of(
             named_touched_->names.begin(), named_touched_->names.end(),
             [&](const NamedTouched::Name& each) { return each.name == name && !each.skipped; });
}

// What becomes of the name is known only when the server has been asked: until then the server's
// word holds, not what the client's half knows, unless the text is skipped. `made`: if it is made,
// it may be this one.
void PostgresRequests::Touch(std::string_view name, const Statement* made) {
  if (named_touched_ == nullptr) named_touched_ = std::make_unique<NamedTouched>();
  for (NamedTouched::Name& each : named_touched_->names) {
    if (each.name != name) continue;
    each.made = made;
    each.answered = each.skipped = false;
    return;
  }
  named_touched_->names.push_back({.name = std::string(name), .made = made});
}

// By a text. Where the client's own could not be made before it, it does nothing to the name.
void PostgresRequests::TouchOwn(PostgresReplies& backend, std::string_view name,
                                const Statement* made) {
  const bool same = IsTouched(name) || IsOwnThere(backend, name);
  Touch(name, made);
  if (same) return;
  for (NamedTouched::Name& each : named_touched_->names)
    each.skipped = each.skipped || each.name == name;
}

void PostgresRequests::OnPlacesSkipped() {
  places_skipped_ = true;
  if (named_touched_ == nullptr) return;
  for (NamedTouched::Name& each : named_touched_->names)
    each.skipped = each.skipped || !each.answered;
}

// Which statements a text names or may reach, and what those that it executes do. False: that is
// not known before an earlier request has been answered.
bool PostgresRequests::FindNames(Cursor& cursor, Verdict& verdict, std::string_view text,
                                 Named& named) {
  PostgresReplies& backend = *cursor.backend;
  if (named_touched_ != nullptr && backend.owed() == 0) {
    for (NamedTouched::Name& each : named_touched_->names) each.answered = true;
  }
  if ((verdict.flags & Verdict::kNamesStatements) != 0) {
    named.names = NamesIn(text, backend.lex_mode());
    for (const std::string& name : named.names.runs) {
      if (Uncertain(cursor, name, nullptr)) return false;
      const Statement* statement = names_.Find(name);
      if (statement == nullptr || statement == &kNotShared) continue;
      const Verdict& later =
          statement->from_sql() ? statement->verdict : VerdictOn(cursor, *statement);
      verdict.flags |= later.flags & kDoneLater;
    }
    for (const std::string& name : named.names.changes) {
      if (Uncertain(cursor, name, nullptr)) return false;
    }
  }
  named.shown = (verdict.flags & Verdict::kReadsStatements) != 0;
  named.all = named.shown || named.names.unknown || (verdict.flags & Verdict::kOpaque) != 0 ||
              (verdict.pins & kBlind) != 0 ||
              (from_sql_ && MustBeMadeBefore(cursor, verdict, text));
  return !named.all || backend.requests_owed() == 0 || backend.copy_in() ||
         ((changes_ == nullptr || changes_->empty()) && !Lacks(backend) &&
          !backend.places_in_flight());
}

// What is made behind this text would be another statement than what is made now.
bool PostgresRequests::MustBeMadeBefore(Cursor& cursor, const Verdict& verdict,
                                        std::string_view text) const {
  if (Has(verdict.pins, PinReason::kTemporaryObject)) return true;
  if ((verdict.flags & Verdict::kSets) == 0 || (verdict.flags & Verdict::kDropsStatements) != 0)
    return false;
  const SettingNames found = SettingsOf(text, cursor.backend->lex_mode());
  return found.shapes_lexing || found.shapes_literals || found.unknown;
}

// Some of the client's own have still to be made here.
bool PostgresRequests::Lacks(PostgresReplies& backend) const {
  if (!from_sql_) return false;
  for (const std::string& name : names_.All()) {
    const Statement* own = names_.Find(name);
    const Statement* there = backend.named().Find(name);
    if (own->from_sql() && there != own && there != &kOwnChange) return true;
  }
  return false;
}

// Sees to it that the server has the client's statement of this name, or none. True: it may refuse.
// `also_failed`: in a transaction that has failed, too, where that is an error as what follows is.
bool PostgresRequests::Place(Cursor& cursor, const std::string& name, bool also_failed) {
  PostgresReplies& backend = *cursor.backend;
  StatementNames& named = backend.named();
  const Statement* there = named.Find(name);
  const Statement* own = FindNamed(cursor, name);
  if (there == own || there == &kOwnChange || own == &kNotShared || IsTouched(name)) return false;
  if (there != nullptr && there != &kClosedName) {
    if (own == nullptr && WEIR_FAULT("statement_of_another")) return false;
    CloseName(cursor, name);
    named.Set(name, &kClosedName);
  }
  // There nothing can be made; unless what is under way ends it.
  const bool failed = !also_failed && backend.transaction_status() == TransactionStatus::kFailed &&
                      (backend.requests_owed() == 0 || backend.copy_in());
  if (own == nullptr || failed) return false;
  if (named.size() >= kNamedMax) CloseForeign(cursor);
  named.Set(name, own);
  if (own->from_sql()) {
    PlaceFromSql(cursor, *own);
    return true;
  }
  std::string& message = context_.scratch;
  AppendMessage(message = {}, frontend::kParse,
                {name, std::string_view("\0", 1), own->parse_tail()});
  cursor.Insert(message);
  backend.Push({.kind = OwedKind::kParse, .owner = OwedTo::kWeir, .purpose = OwnPurpose::kPlace});
  return true;
}

// What others have left.
void PostgresRequests::CloseForeign(Cursor& cursor) {
  for (const std::string& name : cursor.backend->named().All()) {
    const Statement* there = cursor.backend->named().Find(name);
    if (there != names_.Find(name) && there != &kOwnChange) Place(cursor, name);
  }
}

// A Close never fails.
void PostgresRequests::CloseName(Cursor& cursor, std::string_view name) {
  std::string& message = context_.scratch;
  AppendMessage(message = {}, frontend::kClose, {"S", name, std::string_view("\0", 1)});
  cursor.Insert(message);
  cursor.backend->Push(
      {.kind = OwedKind::kClose, .owner = OwedTo::kWeir, .purpose = OwnPurpose::kPlace});
}

// As the client has made it: under the settings that it had then, which decide how literals are
// read. Within the batch, and for its transaction only.
void PostgresRequests::PlaceFromSql(Cursor& cursor, const Statement& statement) {
  PostgresReplies& backend = *cursor.backend;
  const auto run = [&](std::string_view sql, OwnParameters parameters) {
    const bool close_first = backend.PushOwnStatement(/*sync=*/false, OwnPurpose::kPlace);
    cursor.Insert(OwnStatementMessages(
        sql, {.sync = false, .close_first = close_first, .close_portal = true}, parameters));
  };
  const auto set = [&](const Settings& from, const Settings& to) {
    Calls calls;
    for (const SettingChange& each : Difference(from, to)) {
      calls.emplace_back(each.name);
      calls.push_back(each.value == nullptr ? std::optional<std::string_view>() : *each.value);
    }
    if (!calls.empty() && !WEIR_FAULT("statement_under_other_settings"))
      run(SetConfigs(calls, /*local=*/true), calls);
  };
  const Settings initial = ShapesOf(backend.initial());
  const Settings now = Over(initial, ShapesOf(profile_.settings()));
  const Settings then = Over(initial, MadeUnder(statement));
  set(now, then);
  run(statement.text(), {});
  set(then, now);
}

// All of the client's, and nobody else's: those that SQL has made, or, where they are `shown`,
// those of the protocol, too, and none of weir's.
bool PostgresRequests::PlaceAll(Cursor& cursor, bool shown) {
  PostgresReplies& backend = *cursor.backend;
  CloseForeign(cursor);
  bool may_fail = false;
  if (from_sql_ || shown) {
    for (const std::string& name : names_.All()) {
      const Statement* own = names_.Find(name);
      if (shown || own->from_sql()) may_fail = Place(cursor, name) || may_fail;
    }
  }
  if (!shown) return may_fail;
  for (const StatementId id : backend.prepared().all()) CloseOnServer(cursor, id);
  backend.prepared().Clear();
  for (const StatementId id : backend.TakeForgotten()) CloseOnServer(cursor, id);
  CloseName(cursor, kPassingName);
  CloseName(cursor, kOwnName);
  return may_fail;
}

// Ahead of a text, in one batch with it if that can be.
void PostgresRequests::PlaceNames(Cursor& cursor, const Named& named, bool may_fence) {
  PostgresReplies& backend = *cursor.backend;
  const bool batch = backend.open_batch();
  bool names_may_fail = false;
  for (const std::vector<std::string>* names : {&named.names.runs, &named.names.changes}) {
    for (const std::string& each : *names)
      names_may_fail = Place(cursor, each, named.bound) || names_may_fail;
  }
  const bool all_may_fail = named.all && PlaceAll(cursor, named.shown);
  if (batch || !(names_may_fail || all_may_fail)) return;
  // What the text does not name may be missing. Not in a transaction block, which would fail with
  // it.
  const bool needed = names_may_fail || backend.transaction_status() != TransactionStatus::kIdle;
  if (needed && may_fence) return;
  std::string& message = context_.scratch;
  AppendMessage(message = {}, frontend::kSync, {});
  cursor.Insert(message);
  backend.ForgetAnswers();
  backend.Push({.kind = OwedKind::kSync, .owner = OwedTo::kWeir});
}

// A text that is parsed tells what its EXECUTE gives: that must be there. False: which that is, is
// not known before an earlier request has been answered.
bool PostgresRequests::PlaceForParse(Cursor& cursor, Verdict verdict, std::string_view text) {
  // All others as soon as they are bound.
  if ((verdict.flags & Verdict::kRunsStatement) == 0) return true;
  Named named;
  if (!FindNames(cursor, verdict, text, named)) return false;
  PlaceNames(cursor, named);
  return true;
}

// Behind a Query that is fenced nothing is sent before it is answered.
bool PostgresRequests::Fence(bool fenced) {
  fenced_ = fenced_ || fenced;
  return fenced;
}

// What those of the protocol do that SQL executes.
void PostgresRequests::MarkRuns(Cursor& cursor, const Named& named) {
  for (const std::string& name : named.names.runs) {
    const Statement* statement = names_.Find(name);
    if (statement == nullptr || statement == &kNotShared || statement->from_sql()) continue;
    const Verdict& verdict = VerdictOn(cursor, *statement);
    MarkText(cursor, verdict, statement->text());
    constexpr uint16_t kNames = Verdict::kDropsStatements | Verdict::kNamesStatements;
    if ((verdict.flags & kNames) == 0) continue;
    // Names within names.
    cursor.backend->ForgetPrepared();
    cursor.backend->ForgetNamed();
    Suspect(cursor, PinReason::kFunction, statement->text());
  }
}

// What a text that is about to run makes of names. `query`: it is all of a Query, whose answer
// tells. True: that is a change of a name.
bool PostgresRequests::MarkNames(Cursor& cursor, const Verdict& verdict, const Named& named,
                                 std::string_view text, bool query) {
  using OpaqueCalls = protocol::ExchangeOptions::OpaqueCalls;
  PostgresReplies& backend = *cursor.backend;
  const bool asked = (verdict.flags & Verdict::kOpaque) != 0 &&
                     context_.options.opaque_calls == OpaqueCalls::kProbe;
  const bool drops = verdict.statements > 1 && (verdict.flags & Verdict::kDropsStatements) != 0;
  if (asked || named.names.unknown || drops) {
    if (named_touched_ == nullptr) named_touched_ = std::make_unique<NamedTouched>();
    named_touched_->all = true;
    suspects_ |= Only(PinReason::kPreparedStatement);
  }
  const std::string& prepares = named.names.prepares;
  if (!prepares.empty()) {
    const Statement* made = Made(cursor, prepares, verdict, text);
    if (query && !IsTouched(prepares)) {
      ChangeOwnName(backend, prepares, made);
      return true;
    }
    TouchOwn(backend, prepares, made);
  } else if ((verdict.flags & Verdict::kDeallocate) != 0) {
    // One that the client does not have, or of which the server will be asked.
    return false;
  }
  for (const std::string& name : named.names.changes) {
    if (name != prepares) TouchOwn(backend, name, nullptr);
    backend.named().Set(name, &kUnknownName);
  }
  if (!named.names.changes.empty() || named.names.unknown)
    Suspect(cursor, PinReason::kPreparedStatement, text);
  return false;
}

// What a PREPARE makes. One that cannot be made again is on this backend only.
const Statement* PostgresRequests::Made(Cursor& cursor, std::string_view name,
                                        const Verdict& verdict, std::string_view text) {
  const Statement* statement = nullptr;
  if (!ParsingUncertain() && !Has(suspects_ | stands_, PinReason::kTemporaryObject) &&
      !name.starts_with(kReservedPrefix) && !TooMany(text)) {
    const std::string tail = engine::Cat(text, kNoTypes);
    const std::string key = KeyOf(ShapesOf(profile_.settings()));
    statement = context_.statements.Find(tail, key);
    if (statement == nullptr) statement = context_.statements.Intern(tail, key, verdict);
  }
  if (statement != nullptr) return statement;
  Suspect(cursor, PinReason::kPreparedStatement, text);
  return &kNotShared;
}

bool PostgresRequests::TooMany(std::string_view text) const {
  size_t count = 1;
  size_t bytes = text.size();
  for (const std::string& name : names_.All()) {
    const Statement* statement = names_.Find(name);
    if (!statement->from_sql()) continue;
    ++count;
    bytes += statement->text().size();
  }
  return count > kFromSqlMax || bytes > kFromSqlBytesMax;
}

bool PostgresRequests::HasPrivate() const {
  const std::vector<std::string> all = names_.All();
  return std::any_of(all.begin(), all.end(),
                     [this](const std::string& name) { return names_.Find(name) == &kNotShared; });
}

// If it may be any: those that are known. Returns whether it may.
bool PostgresRequests::TouchAllNames(PostgresReplies& backend) {
  if (!unknown_names_ && (named_touched_ == nullptr || !named_touched_->all)) return false;
  if (!Has(suspects_, PinReason::kPreparedStatement)) return true;
  for (const std::string& name : backend.named().All()) {
    if (IsTouched(name)) continue;
    Touch(name, nullptr);
    named_touched_->names.back().named = false;
  }
  return true;
}

// Between transactions: which of the client's statements are there? True if that has been asked.
bool PostgresRequests::AskStatements(Cursor& cursor) {
  constexpr PinSet kStatements = Only(PinReason::kPreparedStatement);
  if ((suspects_ & kStatements) == 0) return false;
  if (named_touched_ != nullptr && named_touched_->asking) {
    unknown_names_ = KeepStatements(*cursor.backend);
  } else {
    const bool all = TouchAllNames(*cursor.backend);
    if (named_touched_ != nullptr && !named_touched_->names.empty()) {
      SendStatementsQuestion(cursor);
      return true;
    }
    named_touched_.reset();
    // The simple question is enough.
    if (all) return false;
  }
  named_touched_.reset();
  suspects_ &= ~kStatements;
  stands_ = unknown_names_ || HasPrivate() ? stands_ | kStatements : stands_ & ~kStatements;
  return false;
}

void PostgresRequests::SendStatementsQuestion(Cursor& cursor) {
  named_touched_->asking = true;
  Calls parameters;
  const auto text = [](const Statement* statement) {
    return statement == nullptr || statement->id == 0
               ? std::optional<std::string_view>()
               : std::optional<std::string_view>(statement->text());
  };
  for (const NamedTouched::Name& each : named_touched_->names) {
    parameters.emplace_back(each.name);
    parameters.push_back(text(each.made));
    parameters.push_back(text(names_.Find(each.name)));
  }
  SendOwn(cursor, StatementsQuestion(named_touched_->names.size()), OwnPurpose::kQuestion,
          parameters);
}

// Whether there are others, under names that are not known.
bool PostgresRequests::KeepStatements(PostgresReplies& backend) {
  const auto& [answer, failed] = backend.last_answer();
  const std::vector<NamedTouched::Name>& names = named_touched_->names;
  const bool known = !failed && answer.size() == names.size() + 2;
  for (size_t i = 0; i < names.size(); ++i) {
    const NamedTouched::Name& each = names[i];
    const Statement* old = names_.Find(each.name);
    const Statement* now = &kNotShared;
    // Of what has been skipped nothing is known: it may be missing here, or be another client's.
    const bool skipped = each.skipped || (!each.named && places_skipped_);
    const bool absent = known && !answer[i].has_value();
    if (absent) now = nullptr;
    if (skipped) now = old;
    if (known && answer[i] == "o") now = old;
    // The same text twice: the second one has failed.
    if (known && answer[i] == "n")
      now = old != nullptr && old->id != 0 && old->text() == each.made->text() ? old : each.made;
    if (now != old) names_.Set(each.name, now);
    const bool sure = known && (answer[i] == "o" || (answer[i] == "n" && !skipped));
    backend.named().Set(each.name, absent ? nullptr : sure ? now : &kUnknownName);
    from_sql_ = from_sql_ || (now != nullptr && now->from_sql());
  }
  if (!known) return true;
  // Code that nobody sees has taken weir's away.
  if (named_touched_->all && std::atoll(answer.back().value_or("").c_str()) <
                                 static_cast<int64_t>(backend.prepared().size()))
    backend.ForgetPrepared();
  return named_touched_->all && answer[names.size()] != "0";
}

}  // namespace weir::postgres
