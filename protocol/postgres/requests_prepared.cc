// Prepared statements in the client's half: their messages, and what goes ahead of them.
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

// A Parse whose statement nobody keeps: only its reply is wanted.
void PostgresRequests::ParsePassing(Cursor& cursor, std::string_view tail, Owed owed) {
  BuildMessage(context_.scratch, frontend::kParse, "", kPassingName);
  context_.scratch.append(tail);
  PutLength(context_.scratch, 0);
  cursor.Insert(context_.scratch);
  cursor.backend->Push(std::move(owed));
}

// The passing name stands for nothing from now on, or for an empty statement. None of these
// messages can fail, in a failed transaction neither.
void PostgresRequests::ClosePassing(Cursor& cursor) {
  BuildMessage(context_.scratch, frontend::kClose, "S", kPassingName);
  cursor.Insert(context_.scratch);
  cursor.backend->Push({.kind = OwedKind::kClose, .owner = OwedTo::kWeir});
}

void PostgresRequests::PassEmpty(Cursor& cursor) {
  ClosePassing(cursor);
  ParsePassing(cursor, std::string_view("\0\0\0", 3),
               {.kind = OwedKind::kParse, .owner = OwedTo::kWeir});
}

// DEALLOCATE of a name that the client prepared through the protocol: some drivers do that. The
// statement is shared, so that only the name goes; what the server takes away is an empty one.
bool PostgresRequests::RewriteDeallocate(Cursor& cursor, const std::string& name,
                                         bool unnamed_change) {
  const Statement* statement = names_.Find(name);
  if (statement == nullptr || IsTouched(name)) return false;
  if (statement == &kNotShared) {
    cursor.Extend(cursor.whole);
  } else {
    cursor.Skip(cursor.whole);
    PassEmpty(cursor);
    BuildMessage(context_.scratch, frontend::kQuery, "DEALLOCATE ", kPassingName);
    cursor.Insert(context_.scratch);
  }
  ChangeName(*cursor.backend, name, nullptr);
  cursor.backend->Push({.kind = OwedKind::kQuery,
                        .name_change = true,
                        .unnamed_change = unnamed_change,
                        .name = std::make_unique<std::string>(name)});
  return true;
}

PostgresRequests::Step PostgresRequests::TakeParse(Cursor& cursor) {
  if (cursor.whole > context_.options.scan_limit) return TakeLongText(cursor);
  if (!cursor.complete()) return Need(cursor, cursor.whole);
  if (LexingUncertain(cursor)) return Await(cursor);
  CountText();
  const std::string_view body = cursor.body();
  const size_t name_end = body.find('\0');
  const size_t text_end =
      name_end == std::string_view::npos ? name_end : body.find('\0', name_end + 1);
  if (text_end == std::string_view::npos) return Malformed(cursor, "invalid Parse message");
  const std::string_view name = body.substr(0, name_end);
  const std::string_view tail = body.substr(name_end + 1);
  if (!name.empty()) return TakeNamedParse(cursor, name, tail);

  const std::string_view text = body.substr(name_end + 1, text_end - name_end - 1);
  Verdict verdict = cursor.Judge(text);
  std::string deallocated;
  if ((verdict.flags & Verdict::kDeallocate) != 0) {
    deallocated = DeallocatedName(text, cursor.backend->lex_mode());
    if (Uncertain(cursor, deallocated, nullptr)) return Await(cursor);
  }
  if (!PlaceForParse(cursor, verdict, text)) return Await(cursor);
  const bool change = LeaveUnnamed(cursor);
  unnamed_.tag = ++context_.unnamed_tags;
  unnamed_.verdict = verdict;
  unnamed_.lex_mode = cursor.backend->lex_mode();
  unnamed_.catalogue = cursor.catalogue_number();
  unnamed_.deallocates.reset();
  unnamed_.parse_tail.assign(tail);
  cursor.backend->set_unnamed_tag(unnamed_.tag);
  cursor.backend->Push({.kind = OwedKind::kParse, .unnamed_change = change, .unnamed_parse = true});
  if ((verdict.flags & Verdict::kDeallocate) != 0) {
    if (const Statement* named = names_.Find(deallocated);
        named != nullptr && !IsTouched(deallocated)) {
      // As with a Query.
      unnamed_.deallocates = std::make_unique<std::string>(std::move(deallocated));
      if (named == &kNotShared) {
        cursor.Extend(cursor.whole);
        return Step::kTaken;
      }
      unnamed_.parse_tail = engine::Cat("DEALLOCATE ", kPassingName, std::string_view("\0\0\0", 3));
      cursor.Skip(cursor.whole);
      BuildMessage(context_.scratch, frontend::kParse, "", "");
      context_.scratch.append(unnamed_.parse_tail);
      PutLength(context_.scratch, 0);
      cursor.Insert(context_.scratch);
      return Step::kTaken;
    }
    MarkText(cursor, verdict, text);
  }
  cursor.Extend(cursor.whole);
  return Step::kTaken;
}

PostgresRequests::Step PostgresRequests::TakeNamedParse(Cursor& cursor, std::string_view name,
                                                        std::string_view tail) {
  PostgresReplies& backend = *cursor.backend;
  if (name.starts_with(kReservedPrefix))
    return Malformed(cursor, "statement names starting with __weir_ are reserved");
  const std::string_view text = tail.substr(0, tail.find('\0'));
  const Statement* statement =
      ParsingUncertain() || IsTouched(name) ? &kNotShared : FindStatement(cursor, tail);
  if (statement == nullptr) return Malformed(cursor, "too many different prepared statements");
  if (Uncertain(cursor, name, statement)) return Await(cursor);
  const bool taken = names_.Find(name) != nullptr && !IsTouched(name);
  const bool known = backend.prepared().Contains(statement->id);
  if ((taken || known) && backend.requests_owed() > 0 && !backend.copy_in()) return Await(cursor);
  if (taken) {
    cursor.Skip(cursor.whole);
    // The server's own error, 42P05 if nothing else is wrong.
    PassEmpty(cursor);
    ParsePassing(cursor, tail,
                 {.kind = OwedKind::kParse, .name = std::make_unique<std::string>(name)});
    return Step::kTaken;
  }
  Verdict verdict = statement->verdict;
  if (statement == &kNotShared) verdict = cursor.Judge(text);
  if (!PlaceForParse(cursor, verdict, text)) return Await(cursor);
  if (statement == &kNotShared) return TakePrivateParse(cursor, name, text);
  cursor.Skip(cursor.whole);
  if (known && backend.transaction_status() != TransactionStatus::kFailed) {
    backend.prepared().Touch(statement->id);
    backend.Push({.kind = OwedKind::kFakeParse, .name_change = true});
  } else if (known) {
    // In a transaction that has failed only the server knows the answer.
    ClosePassing(cursor);
    ParsePassing(cursor, tail, {.kind = OwedKind::kParse, .name_change = true});
  } else {
    Prepare(cursor, *statement, OwedTo::kClient, true);
  }
  ChangeName(backend, name, statement);
  return Step::kTaken;
}

// One that is parsed under settings of this transaction is nobody else's: it keeps its own name, on
// this backend.
PostgresRequests::Step PostgresRequests::TakePrivateParse(Cursor& cursor, std::string_view name,
                                                          std::string_view text) {
  // As with one that is too long: what it will do when it is executed, it counts as doing now.
  const Verdict verdict = cursor.Judge(text);
  Suspect(cursor, PinReason::kPreparedStatement, text);
  MarkText(cursor, verdict, text);
  if ((verdict.flags & Verdict::kDropsStatements) != 0) {
    cursor.backend->ForgetPrepared();
    cursor.backend->ForgetNamed();
  }
  PrivateName(cursor, name);
  cursor.backend->Push({.kind = OwedKind::kParse, .name_change = true});
  cursor.Extend(cursor.whole);
  return Step::kTaken;
}

// The name is about to stand for a statement on this backend only.
void PostgresRequests::PrivateName(Cursor& cursor, std::string_view name) {
  Place(cursor, std::string(name));
  ChangeOwnName(*cursor.backend, name, &kNotShared);
}

// One that is too long to be looked at whole is this client's alone, under its own name, on this
// backend.
PostgresRequests::Step PostgresRequests::TakeLongParse(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  // The same part of it, however much of it is there.
  const std::string_view body = cursor.body().substr(0, context_.options.scan_limit - kHeader);
  const size_t name_end = body.find('\0');
  if (name_end == std::string_view::npos) return Malformed(cursor, "invalid Parse message");
  const std::string_view name = body.substr(0, name_end);
  if (name.starts_with(kReservedPrefix))
    return Malformed(cursor, "statement names starting with __weir_ are reserved");
  const Statement* statement = names_.Find(name);
  if (!name.empty()) {
    if (Uncertain(cursor, name, statement)) return Await(cursor);
    if (statement != nullptr && backend.requests_owed() > 0 && !backend.copy_in())
      return Await(cursor);
  }
  BeginLongScan(cursor);
  Suspect(cursor, PinReason::kStatementTooLong, "(a statement longer than the scan limit)");
  const uint32_t front = kHeader + static_cast<uint32_t>(name_end) + 1;
  body_left_ = cursor.whole - front;
  if (statement != nullptr) {
    // As with a short one: the server's own error.
    auto told = std::make_unique<std::string>(name);
    cursor.Skip(front);
    PassEmpty(cursor);
    BuildMessage(context_.scratch, frontend::kParse, "", kPassingName);
    PutLength(context_.scratch, body_left_);
    cursor.Insert(context_.scratch);
    backend.Push({.kind = OwedKind::kParse, .name = std::move(told)});
    return Step::kTaken;
  }
  if (name.empty()) {
    const bool change = LeaveUnnamed(cursor);
    unnamed_ = {};
    unnamed_.tag = ++context_.unnamed_tags;
    backend.set_unnamed_tag(unnamed_.tag);
    backend.Push({.kind = OwedKind::kParse, .unnamed_change = change, .unnamed_parse = true});
  } else {
    PrivateName(cursor, name);
    backend.Push({.kind = OwedKind::kParse, .name_change = true});
  }
  cursor.Extend(front);
  return Step::kTaken;
}

void PostgresRequests::CloseOnServer(Cursor& cursor, StatementId id) {
  BuildMessage(context_.scratch, frontend::kClose, "S", ServerName(id));
  cursor.Insert(context_.scratch);
  cursor.backend->Push({.kind = OwedKind::kClose, .owner = OwedTo::kWeir, .statement = id});
}

// Parses a statement on a backend that lacks it, at the cursor.
void PostgresRequests::Prepare(Cursor& cursor, const Statement& statement, OwedTo owner,
                               bool name_change, OwnPurpose purpose) {
  PostgresReplies& backend = *cursor.backend;
  PreparedSet& prepared = backend.prepared();
  CHECK(!prepared.Contains(statement.id));
  if (prepared.size() >= context_.options.prepared_max) {
    if (const StatementId victim = prepared.Victim(statement.id); victim != 0) {
      CloseOnServer(cursor, victim);
      prepared.Remove(victim);
    }
  }
  // Under settings of this transaction it becomes another one, which nobody else may have: so it
  // does not count as prepared, and the next Parse of it closes it first.
  const bool passing = ParsingUncertain() && purpose == OwnPurpose::kNone;
  if (passing) backend.Forget(statement.id);
  if (backend.close_first()) CloseOnServer(cursor, statement.id);
  BuildMessage(context_.scratch, frontend::kParse, "", ServerName(statement.id));
  context_.scratch.append(statement.parse_tail());
  PutLength(context_.scratch, 0);
  cursor.Insert(context_.scratch);
  if (!passing) prepared.Add(statement.id);
  backend.Push({.kind = OwedKind::kParse,
                .owner = owner,
                .name_change = name_change,
                .purpose = purpose,
                .statement = statement.id});
}

bool PostgresRequests::UnnamedIsThere(const Cursor& cursor) const {
  return unnamed_.tag != 0 && cursor.backend->unnamed_tag() == unnamed_.tag;
}

// Before a Bind or Describe of the unnamed statement: the server must have this client's, or none.
void PostgresRequests::EnsureUnnamed(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  if (UnnamedIsThere(cursor)) return;
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
  backend.Push({.kind = OwedKind::kParse, .owner = OwedTo::kWeir, .unnamed_parse = true});
}

// The statement has to be parsed here before it is used, and its text must be known to be read as
// the server will read it. True: that is known only when the server has answered.
bool PostgresRequests::ParsesUncertainly(Cursor& cursor, std::string_view name,
                                         const Statement* statement) {
  if (name.empty()) {
    if (unnamed_.tag == 0 || unnamed_.parse_tail.empty() || UnnamedIsThere(cursor)) return false;
    if (LexingUncertain(cursor)) return true;
    if (unnamed_.lex_mode != cursor.backend->lex_mode()) JudgeUnnamed(cursor);
    return false;
  }
  return IsShared(statement) && !cursor.backend->prepared().Contains(statement->id) &&
         LexingUncertain(cursor);
}

// What a Bind of the statement is about to run. False: that is not known before an earlier request
// has been answered.
bool PostgresRequests::FindBound(Cursor& cursor, std::string_view name, const Statement* statement,
                                 Bound& bound) {
  if (IsShared(statement)) {
    bound.verdict = VerdictOn(cursor, *statement);
    bound.text = statement->text();
    return FindNames(cursor, bound.verdict, bound.text, bound.named);
  }
  if (name.empty()) {
    bound.verdict = unnamed_.verdict;
    bound.text = unnamed_.parse_tail.c_str();
    return unnamed_.deallocates != nullptr ||
           FindNames(cursor, bound.verdict, bound.text, bound.named);
  }
  // As an EXECUTE of its name; the server says whether it is there.
  bound.named.names.runs.emplace_back(name);
  bound.named.bound = true;
  if (statement == nullptr) return true;
  const uint16_t flags = statement->verdict.flags;
  bound.named.shown = bound.named.all = (flags & Verdict::kReadsStatements) != 0;
  bound.verdict.flags = static_cast<uint16_t>(
      Verdict::kWritesSequence | (flags & static_cast<uint16_t>(Verdict::kReadsSequence)));
  return true;
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
  const Statement* statement = name.empty() || IsTouched(name) ? nullptr : FindNamed(cursor, name);
  if (ParsesUncertainly(cursor, name, statement) || Uncertain(cursor, name, statement))
    return Await(cursor);
  const std::string* deallocates =
      name.empty() && unnamed_.tag != 0 ? unnamed_.deallocates.get() : nullptr;
  if (deallocates != nullptr && Uncertain(cursor, *deallocates, nullptr)) return Await(cursor);
  if (name.empty() && unnamed_.catalogue != cursor.catalogue_number() &&
      !unnamed_.parse_tail.empty())
    JudgeUnnamed(cursor);
  Bound bound;
  if (!FindBound(cursor, name, statement, bound) || MustWaitForDiscard(cursor, bound.verdict.flags))
    return Await(cursor);
  const Verdict& verdict = bound.verdict;
  if (texts_ == 0) CountText();
  bound_deallocate_.reset();
  const bool fresh =
      cursor.backend->settled() && cursor.backend->transaction_status() == TransactionStatus::kIdle;
  earlier_drops_ = !fresh && (earlier_drops_ || bound_drops_);
  bound_drops_ = false;
  PlaceNames(cursor, bound.named);
  MarkRuns(cursor, bound.named);
  MarkNames(cursor, verdict, bound.named, bound.text, /*query=*/false);
  if (name.empty()) {
    MarkText(cursor, verdict, bound.text);
    EnsureUnnamed(cursor);
    bound_drops_ = (unnamed_.verdict.flags & Verdict::kDropsStatements) != 0;
    if (deallocates != nullptr) {
      bound_deallocate_ = std::make_unique<std::string>(*deallocates);
      const Statement* gone = names_.Find(*deallocates);
      if (gone == nullptr) ClosePassing(cursor);
      if (gone != nullptr && gone != &kNotShared) PassEmpty(cursor);
    }
  }
  // An unknown name goes to the server as it is: the error is the server's own.
  if (!IsShared(statement)) {
    if (statement != nullptr && statement->from_sql()) MarkText(cursor, verdict, bound.text);
    return Forward(cursor, {.kind = OwedKind::kBind});
  }
  MarkText(cursor, verdict, statement->text());
  // Showing all of them, it shows itself, too.
  if (bound.named.shown && cursor.backend->named().Find(name) == statement)
    return Forward(cursor, {.kind = OwedKind::kBind});
  if (cursor.backend->prepared().Contains(statement->id)) {
    cursor.backend->prepared().Touch(statement->id);
  } else {
    Prepare(cursor, *statement, OwedTo::kWeir, false);
  }
  bound_drops_ = (verdict.flags & Verdict::kDropsStatements) != 0;
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
  // What is bound is not known before an earlier request has been answered.
  if ((bound_drops_ || bound_deallocate_ != nullptr) && backend.requests_owed() > 0 &&
      !backend.copy_in())
    return Await(cursor);
  const bool drops = std::exchange(bound_drops_, false);
  const bool deallocates =
      bound_deallocate_ != nullptr && names_.Find(*bound_deallocate_) != nullptr;
  if (drops || earlier_drops_) backend.ForgetPrepared();
  if (drops) {
    DropNames(backend);
  } else if (deallocates) {
    ChangeName(backend, *bound_deallocate_, nullptr);
  }
  if (earlier_drops_) backend.ForgetNamed();
  backend.Push({.kind = OwedKind::kExecute,
                .name_change = drops || deallocates,
                .name = std::move(bound_deallocate_)});
  RebaseExecuted();
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
  if (body[0] != 'S') return Forward(cursor, {.kind = kind});
  if (name.starts_with(kReservedPrefix))
    return Malformed(cursor, "statement names starting with __weir_ are reserved");
  if (name.empty()) {
    if (close) {
      const bool change = LeaveUnnamed(cursor);
      cursor.backend->set_unnamed_tag(0);
      return Forward(cursor, {.kind = kind, .unnamed_change = change});
    }
    if (Uncertain(cursor, name, nullptr) || ParsesUncertainly(cursor, name, nullptr))
      return Await(cursor);
    EnsureUnnamed(cursor);
    return Forward(cursor, {.kind = kind});
  }
  const Statement* statement = IsTouched(name) ? nullptr : FindNamed(cursor, name);
  if ((!close && ParsesUncertainly(cursor, name, statement)) || Uncertain(cursor, name, statement))
    return Await(cursor);
  if (!close && !IsShared(statement)) {
    // Under its own name; another client's is not there.
    Place(cursor, std::string(name), /*also_failed=*/true);
    return Forward(cursor, {.kind = kind});
  }
  if (statement == nullptr) {
    if (cursor.backend->named().Find(name) != nullptr)
      cursor.backend->named().Set(name, &kUnknownName);
    return Forward(cursor, {.kind = kind});
  }
  if (statement == &kNotShared) {
    ChangeName(*cursor.backend, name, nullptr);
    return Forward(cursor, {.kind = kind, .name_change = true});
  }
  if (close) {
    // The server's statement is shared: only the name goes. A Close never fails.
    ChangeName(*cursor.backend, name, nullptr);
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

}  // namespace weir::postgres
