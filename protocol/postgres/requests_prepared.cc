// Prepared statements in the client's half: names, preparing ahead, the unnamed statement, what is
// undone.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/request_cursor.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {

using protocol::TransactionStatus;

namespace {

void PutLength(std::string& message, size_t extra) {
  const uint32_t length = static_cast<uint32_t>(message.size() - 1 + extra);
  for (int i = 0; i < 4; ++i) message[1 + i] = static_cast<char>(length >> (24 - 8 * i));
}

// A message of one string, such as Query; or of a kind and a name, such as Close.
void BuildMessage(std::string& out, uint8_t type, std::string_view kind, std::string_view name) {
  out.assign(1, static_cast<char>(type));
  out.append(4, '\0');
  out.append(kind).append(name).push_back('\0');
  PutLength(out, 0);
}

}  // namespace

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
  if (statement != nullptr && backend.StatementInFlight(statement->id)) return true;
  if (name.empty() && backend.StatementInFlight(0)) return true;
  for (size_t i = 0; changes_ != nullptr && i < changes_->size(); ++i) {
    if ((*changes_)[i].name == name) return true;
  }
  return false;
}

// A Parse whose statement nobody keeps: only its reply is wanted.
void PostgresRequests::ParsePassing(Cursor& cursor, std::string_view tail, Owed owed) {
  BuildMessage(context_.scratch, frontend::kParse, "", kPassingName);
  context_.scratch.append(tail);
  PutLength(context_.scratch, 0);
  cursor.Insert(context_.scratch);
  cursor.backend->Push(std::move(owed));
}

// The passing name stands for an empty statement from now on. Neither message can fail, in a failed
// transaction neither.
void PostgresRequests::PassEmpty(Cursor& cursor) {
  BuildMessage(context_.scratch, frontend::kClose, "S", kPassingName);
  cursor.Insert(context_.scratch);
  cursor.backend->Push({.kind = OwedKind::kClose, .owner = OwedTo::kWeir});
  ParsePassing(cursor, std::string_view("\0\0\0", 3),
               {.kind = OwedKind::kParse, .owner = OwedTo::kWeir});
}

// DEALLOCATE of a name that the client prepared through the protocol: some drivers do that. The
// statement is shared, so that only the name goes; what the server takes away is an empty one.
bool PostgresRequests::RewriteDeallocate(Cursor& cursor, std::string_view text) {
  const std::string name = DeallocatedName(text, cursor.backend->lex_mode());
  if (names_.Find(name) == nullptr) return false;
  cursor.Skip(cursor.whole);
  PassEmpty(cursor);
  BuildMessage(context_.scratch, frontend::kQuery, "DEALLOCATE ", kPassingName);
  cursor.Insert(context_.scratch);
  cursor.backend->Push(
      {.kind = OwedKind::kQuery, .deallocates = true, .name = std::make_unique<std::string>(name)});
  return true;
}

PostgresRequests::Step PostgresRequests::TakeParse(Cursor& cursor) {
  if (cursor.whole > context_.scan_limit) return TakeLongText(cursor);
  if (!cursor.complete()) return Need(cursor, cursor.whole);
  const std::string_view body = cursor.body();
  const size_t name_end = body.find('\0');
  const size_t text_end =
      name_end == std::string_view::npos ? name_end : body.find('\0', name_end + 1);
  if (text_end == std::string_view::npos) return Malformed(cursor, "invalid Parse message");
  const std::string_view name = body.substr(0, name_end);
  const std::string_view tail = body.substr(name_end + 1);
  if (!name.empty()) return TakeNamedParse(cursor, name, tail);

  const std::string_view text = body.substr(name_end + 1, text_end - name_end - 1);
  const Verdict verdict = Scan(text, cursor.backend->lex_mode());
  if (unnamed_.tag != 0 && cursor.backend->owed() > 0) {
    // The server may skip this Parse; then the older statement stands.
    if (previous_unnamed_ == nullptr) previous_unnamed_ = std::make_unique<Unnamed>();
    std::swap(*previous_unnamed_, unnamed_);
  }
  unnamed_.tag = ++context_.unnamed_tags;
  unnamed_.pin_reason = static_cast<uint8_t>(verdict.pin);
  unnamed_.flags = verdict.flags;
  unnamed_.deallocates.reset();
  unnamed_.parse_tail.assign(tail);
  cursor.backend->set_unnamed_tag(unnamed_.tag);
  cursor.backend->Push({.kind = OwedKind::kParse, .unnamed_parse = true, .tag = unnamed_.tag});
  if ((verdict.flags & Verdict::kDeallocate) != 0) {
    std::string deallocated = DeallocatedName(text, cursor.backend->lex_mode());
    if (names_.Find(deallocated) != nullptr) {
      // As with a Query.
      unnamed_.deallocates = std::make_unique<std::string>(std::move(deallocated));
      unnamed_.parse_tail = engine::Cat("DEALLOCATE ", kPassingName, std::string_view("\0\0\0", 3));
      cursor.Skip(cursor.whole);
      BuildMessage(context_.scratch, frontend::kParse, "", "");
      context_.scratch.append(unnamed_.parse_tail);
      PutLength(context_.scratch, 0);
      cursor.Insert(context_.scratch);
      return Step::kTaken;
    }
    MarkText(cursor, static_cast<uint8_t>(verdict.pin), verdict.flags, text);
  }
  cursor.Extend(cursor.whole);
  return Step::kTaken;
}

PostgresRequests::Step PostgresRequests::TakeNamedParse(Cursor& cursor, std::string_view name,
                                                        std::string_view tail) {
  PostgresReplies& backend = *cursor.backend;
  if (name.starts_with(kReservedPrefix))
    return Malformed(cursor, "statement names starting with __weir_ are reserved");
  const Statement* statement = context_.statements.Find(tail);
  if (statement == nullptr) {
    const Verdict verdict = Scan(tail.substr(0, tail.find('\0')), backend.lex_mode());
    statement = context_.statements.Intern(tail, static_cast<uint8_t>(verdict.pin), verdict.flags);
    if (statement == nullptr) return Malformed(cursor, "too many different prepared statements");
  }
  if (Uncertain(cursor, name, statement)) return Await(cursor);
  const bool taken = names_.Find(name) != nullptr;
  const bool known = backend.prepared().Contains(statement->id);
  if ((taken || known) && backend.requests_owed() > 0 && !backend.copy_in()) return Await(cursor);
  cursor.Skip(cursor.whole);
  if (taken) {
    // The server's own error, 42P05 if nothing else is wrong.
    PassEmpty(cursor);
    ParsePassing(cursor, tail,
                 {.kind = OwedKind::kParse, .name = std::make_unique<std::string>(name)});
    return Step::kTaken;
  }
  if (known && backend.transaction_status() != TransactionStatus::kFailed) {
    backend.prepared().Touch(statement->id);
    backend.Push({.kind = OwedKind::kFakeParse, .name_change = true});
  } else if (known) {
    // In a transaction that has failed only the server knows the answer.
    BuildMessage(context_.scratch, frontend::kClose, "S", kPassingName);
    cursor.Insert(context_.scratch);
    backend.Push({.kind = OwedKind::kClose, .owner = OwedTo::kWeir});
    ParsePassing(cursor, tail, {.kind = OwedKind::kParse, .name_change = true});
  } else {
    Prepare(cursor, *statement, OwedTo::kClient, true);
  }
  ChangeName(name, statement);
  return Step::kTaken;
}

void PostgresRequests::CloseOnServer(Cursor& cursor, StatementId id) {
  BuildMessage(context_.scratch, frontend::kClose, "S", ServerName(id));
  cursor.Insert(context_.scratch);
  cursor.backend->Push({.kind = OwedKind::kClose, .owner = OwedTo::kWeir, .statement = id});
}

// Parses a statement on a backend that lacks it, at the cursor.
void PostgresRequests::Prepare(Cursor& cursor, const Statement& statement, OwedTo owner,
                               bool name_change) {
  PostgresReplies& backend = *cursor.backend;
  PreparedSet& prepared = backend.prepared();
  CHECK(!prepared.Contains(statement.id));
  if (prepared.size() >= context_.prepared_max) {
    if (const StatementId victim = prepared.Victim(statement.id); victim != 0) {
      CloseOnServer(cursor, victim);
      prepared.Remove(victim);
    }
  }
  if (backend.close_first()) CloseOnServer(cursor, statement.id);
  BuildMessage(context_.scratch, frontend::kParse, "", ServerName(statement.id));
  context_.scratch.append(statement.parse_tail);
  PutLength(context_.scratch, 0);
  cursor.Insert(context_.scratch);
  prepared.Add(statement.id);
  backend.Push({.kind = OwedKind::kParse,
                .owner = owner,
                .name_change = name_change,
                .statement = statement.id});
}

// Before a Bind or Describe of the unnamed statement: the server must have this client's, or none.
void PostgresRequests::EnsureUnnamed(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  if (unnamed_.tag != 0 && backend.unnamed_tag() == unnamed_.tag) return;
  if (WEIR_FAULT("unnamed_not_parsed_again")) return;
  // One too long to be kept has pinned the client: if it is anywhere, it is here.
  if (unnamed_.tag != 0 && unnamed_.parse_tail.empty()) return;
  if (unnamed_.tag == 0) {
    BuildMessage(context_.scratch, frontend::kClose, "S", "");
    cursor.Insert(context_.scratch);
    backend.Push({.kind = OwedKind::kClose, .owner = OwedTo::kWeir});
    backend.set_unnamed_tag(0);
    return;
  }
  BuildMessage(context_.scratch, frontend::kParse, "", "");
  context_.scratch.append(unnamed_.parse_tail);
  PutLength(context_.scratch, 0);
  cursor.Insert(context_.scratch);
  backend.set_unnamed_tag(unnamed_.tag);
  backend.Push({.kind = OwedKind::kParse,
                .owner = OwedTo::kWeir,
                .unnamed_parse = true,
                .tag = unnamed_.tag});
}

PostgresRequests::Step PostgresRequests::TakeBind(Cursor& cursor) {
  if (!cursor.complete() && cursor.left() < kBorrowBytes)
    return Need(cursor, std::min(cursor.whole, kBorrowBytes));
  // The same part of it, however much of it is there.
  const std::string_view body = cursor.body().substr(0, kBorrowBytes - kHeader);
  const size_t portal_end = body.find('\0');
  const size_t name_end =
      portal_end == std::string_view::npos ? portal_end : body.find('\0', portal_end + 1);
  if (name_end == std::string_view::npos) return Malformed(cursor, "invalid Bind message");
  const std::string_view portal = body.substr(0, portal_end);
  const std::string_view name = body.substr(portal_end + 1, name_end - portal_end - 1);
  if (name.starts_with(kReservedPrefix))
    return Malformed(cursor, "statement names starting with __weir_ are reserved");
  const Statement* statement = name.empty() ? nullptr : names_.Find(name);
  if (Uncertain(cursor, name, statement) ||
      MustWaitForDiscard(cursor, statement == nullptr ? unnamed_.flags : statement->flags))
    return Await(cursor);
  bound_deallocate_.reset();
  if (name.empty()) {
    MarkText(cursor, unnamed_.pin_reason, unnamed_.flags, unnamed_.parse_tail.c_str());
    EnsureUnnamed(cursor);
    bound_drops_ = (unnamed_.flags & Verdict::kDropsStatements) != 0;
    if (unnamed_.tag != 0 && unnamed_.deallocates != nullptr &&
        names_.Find(*unnamed_.deallocates) != nullptr) {
      bound_deallocate_ = std::make_unique<std::string>(*unnamed_.deallocates);
      PassEmpty(cursor);
    }
  }
  // An unknown name goes to the server as it is: the error is the server's own.
  if (statement == nullptr) return Forward(cursor, OwedKind::kBind);

  MarkText(cursor, statement->pin_reason, statement->flags, statement->text());
  if (cursor.backend->prepared().Contains(statement->id)) {
    cursor.backend->prepared().Touch(statement->id);
  } else {
    Prepare(cursor, *statement, OwedTo::kWeir, false);
  }
  bound_drops_ = (statement->flags & Verdict::kDropsStatements) != 0;
  const uint32_t replaced = kHeader + static_cast<uint32_t>(name_end) + 1;
  BuildMessage(context_.scratch, frontend::kBind, portal, "");
  context_.scratch.append(ServerName(statement->id)).push_back('\0');
  PutLength(context_.scratch, cursor.whole - replaced);
  cursor.Skip(replaced);
  cursor.Insert(context_.scratch);
  cursor.backend->Push({.kind = OwedKind::kBind, .name = NameToTell(name)});
  body_left_ = cursor.whole - replaced;
  return Step::kTaken;
}

PostgresRequests::Step PostgresRequests::TakeExecute(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  if (bound_drops_) backend.ForgetPrepared();
  const bool deallocates = bound_deallocate_ != nullptr;
  backend.Push({.kind = OwedKind::kExecute,
                .drops_statements = std::exchange(bound_drops_, false),
                .deallocates = deallocates,
                .name = std::move(bound_deallocate_)});
  cursor.Extend(kHeader);
  body_left_ = cursor.whole - kHeader;
  return Step::kTaken;
}

PostgresRequests::Step PostgresRequests::TakeDescribeOrClose(Cursor& cursor) {
  if (cursor.whole > kBorrowBytes) return Malformed(cursor, "invalid Describe or Close message");
  if (!cursor.complete()) return Need(cursor, cursor.whole);
  const std::string_view body = cursor.body();
  if (body.size() < 2 || body.find('\0', 1) == std::string_view::npos) {
    return Malformed(cursor, "invalid Describe or Close message");
  }
  const bool close = cursor.type == frontend::kClose;
  const OwedKind kind = close ? OwedKind::kClose : OwedKind::kDescribe;
  const std::string_view name = body.substr(1, body.find('\0', 1) - 1);
  if (body[0] != 'S') return Forward(cursor, kind);
  if (name.starts_with(kReservedPrefix))
    return Malformed(cursor, "statement names starting with __weir_ are reserved");
  if (name.empty()) {
    if (close) {
      unnamed_.tag = 0;
      cursor.backend->set_unnamed_tag(0);
    } else {
      if (Uncertain(cursor, name, nullptr)) return Await(cursor);
      EnsureUnnamed(cursor);
    }
    return Forward(cursor, kind);
  }
  const Statement* statement = names_.Find(name);
  if (Uncertain(cursor, name, statement)) return Await(cursor);
  if (statement == nullptr) return Forward(cursor, kind);
  if (close) {
    // The server's statement is shared: only the name goes. A Close never fails.
    ChangeName(name, nullptr);
    cursor.backend->Push({.kind = OwedKind::kFakeClose, .name_change = true});
    cursor.Skip(cursor.whole);
    return Step::kTaken;
  }
  if (!cursor.backend->prepared().Contains(statement->id))
    Prepare(cursor, *statement, OwedTo::kWeir, false);
  cursor.Skip(cursor.whole);
  BuildMessage(context_.scratch, frontend::kDescribe, "S", ServerName(statement->id));
  cursor.Insert(context_.scratch);
  cursor.backend->Push({.kind = OwedKind::kDescribe, .name = NameToTell(name)});
  return Step::kTaken;
}

void PostgresRequests::ChangeName(std::string_view name, const Statement* statement) {
  if (statement != nullptr && names_.FindId(statement->id) != nullptr) aliases_ = true;
  if (changes_ == nullptr) changes_ = std::make_unique<engine::RingQueue<NameChange>>();
  changes_->PushBack({std::string(name), names_.Find(name)});
  names_.Set(name, statement);
}

void PostgresRequests::OnNameConfirmed() {
  CHECK(changes_ != nullptr);
  changes_->PopFront();
}

void PostgresRequests::OnNamesUndone(size_t count) {
  CHECK(changes_ != nullptr && changes_->size() >= count);
  for (size_t i = count; i > 0; --i) {
    const NameChange& undone = (*changes_)[i - 1];
    if (WEIR_FAULT("name_not_undone")) break;
    // A later change of the same name, behind the Sync, stands; it goes back to what this one
    // found.
    NameChange* later = nullptr;
    for (size_t j = changes_->size(); j > count; --j) {
      if ((*changes_)[j - 1].name == undone.name) later = &(*changes_)[j - 1];
    }
    if (later == nullptr) {
      names_.Set(undone.name, undone.previous);
    } else {
      later->previous = undone.previous;
    }
  }
  for (; count > 0; --count) changes_->PopFront();
}

void PostgresRequests::OnUnnamedParsed(uint64_t tag) {
  if (tag == unnamed_.tag) previous_unnamed_.reset();
}

void PostgresRequests::OnUnnamedFailed(uint64_t tag, bool skipped) {
  if (tag != unnamed_.tag) return;
  unnamed_.tag = 0;
  if (skipped && previous_unnamed_ != nullptr) unnamed_ = std::move(*previous_unnamed_);
  previous_unnamed_.reset();
}

// What the client has named since it sent that stays: changes that are not confirmed yet.
void PostgresRequests::OnStatementsDropped() {
  StatementNames kept;
  for (size_t i = 0; changes_ != nullptr && i < changes_->size(); ++i) {
    NameChange& change = (*changes_)[i];
    if (kept.Find(change.name) == nullptr) change.previous = nullptr;
    kept.Set(change.name, names_.Find(change.name));
  }
  names_ = std::move(kept);
}

void PostgresRequests::OnDeallocated(std::string_view name) { names_.Set(name, nullptr); }

std::string_view PostgresRequests::NameOf(StatementId statement) const {
  return names_.NameOf(statement);
}

}  // namespace weir::postgres
