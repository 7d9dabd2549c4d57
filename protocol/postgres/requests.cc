#include "protocol/postgres/requests.h"

#include <algorithm>

#include "engine/base/check.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/own_messages.h"

namespace weir::postgres {
namespace {

using protocol::ExchangeSink;
using protocol::Taken;
using protocol::TakeStatus;
using protocol::TransactionStatus;

constexpr uint32_t kHeader = 5;
constexpr uint32_t kStatementLogged = 4096;

uint32_t ReadLength(const uint8_t* header) {
  return uint32_t{header[1]} << 24 | uint32_t{header[2]} << 16 | uint32_t{header[3]} << 8 |
         header[4];
}

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

bool KnownType(uint8_t type) {
  switch (type) {
    case frontend::kQuery:
    case frontend::kParse:
    case frontend::kBind:
    case frontend::kDescribe:
    case frontend::kExecute:
    case frontend::kClose:
    case frontend::kFlush:
    case frontend::kSync:
    case frontend::kFunctionCall:
    case frontend::kCopyData:
    case frontend::kCopyDone:
    case frontend::kCopyFail:
    case frontend::kTerminate:
      return true;
    default:
      return false;
  }
}

bool IsCopy(uint8_t type) {
  return type == frontend::kCopyData || type == frontend::kCopyDone || type == frontend::kCopyFail;
}

}  // namespace

// Where Take stands in its bytes, the message there, and the run to forward that ends there.
struct PostgresRequests::Cursor {
  Bytes in;
  PostgresReplies* backend;
  bool yield;
  ExchangeSink& sink;
  Taken result;
  uint32_t position = 0;
  uint32_t begin = 0;
  uint8_t type = 0;
  uint32_t whole = 0;  // bytes of the message, header included

  uint32_t left() const { return static_cast<uint32_t>(in.size()) - position; }
  const uint8_t* data() const { return in.data() + position; }
  bool complete() const { return left() >= whole; }
  std::string_view body() const {
    return engine::AsText(Bytes(data() + kHeader, std::min(whole, left()) - kHeader));
  }
  void Extend(uint32_t n) { position += n; }
  void FlushRun() {
    if (position > begin) sink.ForwardToServer(begin, position - begin);
    begin = position;
  }
  void Skip(uint32_t n) {
    FlushRun();
    position += n;
    begin = position;
  }
  void Insert(std::string_view bytes) {
    FlushRun();
    sink.InsertToServer(engine::AsBytes(bytes));
  }
};

Taken PostgresRequests::Take(Bytes in, protocol::Replies* backend, bool yield, ExchangeSink& sink) {
  Cursor cursor{in, static_cast<PostgresReplies*>(backend), yield, sink, {}};
  for (Step step = Step::kTaken; step == Step::kTaken;) {
    if (body_left_ > 0) {
      TakeBody(cursor);
      if (cursor.left() == 0) break;
    }
    if (cursor.left() < kHeader) {
      cursor.result.need = kHeader;
      break;
    }
    cursor.type = cursor.data()[0];
    const uint32_t length = ReadLength(cursor.data());
    if (!KnownType(cursor.type)) {
      step = Malformed(cursor, "invalid frontend message type");
    } else if (length < 4 || length > kMessageLengthMax) {
      step = Malformed(cursor, "invalid message length");
    } else {
      cursor.whole = length + 1;
      step = backend == nullptr ? TakeUnlinked(cursor) : TakeLinked(cursor);
    }
  }
  cursor.FlushRun();
  cursor.result.consumed = cursor.position;
  return cursor.result;
}

void PostgresRequests::TakeBody(Cursor& cursor) {
  CHECK(dropping_ || cursor.backend != nullptr);
  const uint32_t part = std::min(body_left_, cursor.left());
  if (long_scan_ != nullptr) long_scan_->Feed(Bytes(cursor.data(), part));
  body_left_ -= part;
  if (dropping_) {
    cursor.Skip(part);
  } else {
    cursor.Extend(part);
  }
  if (body_left_ > 0) return;
  dropping_ = false;
  if (long_scan_ == nullptr) return;
  const Verdict verdict = long_scan_->Finish();
  long_scan_.reset();
  MarkText(cursor, static_cast<uint8_t>(verdict.pin), verdict.flags,
           "(a statement longer than the scan limit)");
}

PostgresRequests::Step PostgresRequests::Need(Cursor& cursor, uint32_t bytes) {
  cursor.result.status = TakeStatus::kMore;
  cursor.result.need = bytes;
  return Step::kStop;
}

PostgresRequests::Step PostgresRequests::Malformed(Cursor& cursor, const char* error) {
  cursor.result.status = TakeStatus::kMalformed;
  cursor.result.error = error;
  return Step::kStop;
}

PostgresRequests::Step PostgresRequests::Drop(Cursor& cursor) {
  cursor.Skip(kHeader);
  body_left_ = cursor.whole - kHeader;
  dropping_ = body_left_ > 0;
  return Step::kTaken;
}

PostgresRequests::Step PostgresRequests::Forward(Cursor& cursor, OwedKind kind) {
  cursor.backend->Push({.kind = kind});
  cursor.Extend(kHeader);
  body_left_ = cursor.whole - kHeader;
  return Step::kTaken;
}

void PostgresRequests::Refuse(Bytes error) {
  CHECK(!skip_to_sync_);
  refusal_ = std::make_unique<std::string>(engine::AsText(error));
}

void PostgresRequests::OnBackendLost(bool open_batch) {
  if (body_left_ > 0) dropping_ = true;
  long_scan_.reset();
  skip_to_sync_ = open_batch;
}

// A request that is answered with an error of weir's: a Query at once, the extended protocol up to
// its Sync.
PostgresRequests::Step PostgresRequests::TakeRefused(Cursor& cursor) {
  static constexpr uint8_t kReady[] = {backend::kReadyForQuery, 0, 0, 0, 5, 'I'};
  if (refusal_ != nullptr) {
    if (IsCopy(cursor.type)) return Drop(cursor);
    if (cursor.type != frontend::kSync) {
      cursor.sink.InsertToClient(engine::AsBytes(*refusal_));
      skip_to_sync_ = cursor.type != frontend::kQuery && cursor.type != frontend::kFunctionCall;
      if (!skip_to_sync_) cursor.sink.InsertToClient(kReady);
      refusal_.reset();
      return Drop(cursor);
    }
    cursor.sink.InsertToClient(engine::AsBytes(*refusal_));
    refusal_.reset();
  }
  if (cursor.type == frontend::kSync) {
    skip_to_sync_ = false;
    cursor.sink.InsertToClient(kReady);
  }
  return Drop(cursor);
}

// Without a link: does the next message need one?
PostgresRequests::Step PostgresRequests::TakeUnlinked(Cursor& cursor) {
  if (cursor.type != frontend::kTerminate && (refusal_ != nullptr || skip_to_sync_)) {
    return TakeRefused(cursor);
  }
  switch (cursor.type) {
    case frontend::kTerminate:
      cursor.result.status = TakeStatus::kTerminate;
      return Step::kStop;
    case frontend::kCopyData:
    case frontend::kCopyDone:
    case frontend::kCopyFail:
    case frontend::kFlush:
      // A client may still be sending when its COPY has failed; nothing is there to be flushed.
      return Drop(cursor);
    case frontend::kSync: {
      static constexpr uint8_t kReady[] = {backend::kReadyForQuery, 0, 0, 0, 5, 'I'};
      cursor.sink.InsertToClient(kReady);
      return Drop(cursor);
    }
    default:
      break;
  }
  const bool text = cursor.type == frontend::kQuery || cursor.type == frontend::kParse;
  const uint32_t enough = std::min(cursor.whole, text ? context_.scan_limit : kBorrowBytes);
  if (cursor.left() < enough) return Need(cursor, enough);
  cursor.result.status = TakeStatus::kNeedsBackend;
  return Step::kStop;
}

PostgresRequests::Step PostgresRequests::TakeLinked(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  if (cursor.type == frontend::kTerminate) {
    cursor.result.status = TakeStatus::kTerminate;
    return Step::kStop;
  }
  if (IsCopy(cursor.type)) return TakeCopy(cursor);
  if (backend.skipping() && cursor.type != frontend::kSync) return Drop(cursor);
  if (backend.full() || (cursor.yield && backend.requests_owed() > 0 && !backend.copy_in())) {
    cursor.result.status = TakeStatus::kAwaitReady;
    return Step::kStop;
  }
  switch (cursor.type) {
    case frontend::kQuery:
      return TakeQuery(cursor);
    case frontend::kParse:
      return TakeParse(cursor);
    case frontend::kBind:
      return TakeBind(cursor);
    case frontend::kDescribe:
    case frontend::kClose:
      return TakeDescribeOrClose(cursor);
    case frontend::kExecute:
      return Forward(cursor, OwedKind::kExecute);
    case frontend::kFunctionCall:
      MarkText(cursor, static_cast<uint8_t>(PinReason::kFunctionCall), 0, "FunctionCall");
      return Forward(cursor, OwedKind::kFunctionCall);
    case frontend::kSync:
      if (backend.copy_in()) return Drop(cursor);
      return Forward(cursor, OwedKind::kSync);
    case frontend::kFlush:
      if (backend.copy_in()) return Drop(cursor);
      cursor.Extend(kHeader);
      body_left_ = cursor.whole - kHeader;
      return Step::kTaken;
    default:
      UNREACHABLE();
  }
}

PostgresRequests::Step PostgresRequests::TakeCopy(Cursor& cursor) {
  if (!cursor.backend->copy_in() && cursor.backend->owed() == 0) return Drop(cursor);
  if (cursor.type != frontend::kCopyData) cursor.backend->EndCopyIn();
  cursor.Extend(kHeader);
  body_left_ = cursor.whole - kHeader;
  return Step::kTaken;
}

// A Query or Parse beyond the scan limit is scanned while it streams; what it turns out to do pins.
PostgresRequests::Step PostgresRequests::TakeLongText(Cursor& cursor) {
  if (cursor.left() < std::min(cursor.whole, context_.scan_limit)) {
    return Need(cursor, std::min(cursor.whole, context_.scan_limit));
  }
  long_scan_ = std::make_unique<SqlScanner>();
  long_scan_->Begin(cursor.backend->lex_mode());
  if (cursor.type == frontend::kQuery) {
    cursor.backend->set_unnamed_tag(0);
    unnamed_ = {};
    return Forward(cursor, OwedKind::kQuery);
  }
  // The statement is this client's alone, under its own name, on this backend.
  MarkText(cursor, static_cast<uint8_t>(PinReason::kStatementTooLong), 0,
           "(a statement longer than the scan limit)");
  if (cursor.body().starts_with('\0')) {
    cursor.backend->set_unnamed_tag(0);
    unnamed_ = {};
    unnamed_.tag = ++context_.unnamed_tags;
    cursor.backend->set_unnamed_tag(unnamed_.tag);
  }
  return Forward(cursor, OwedKind::kParse);
}

PostgresRequests::Step PostgresRequests::TakeQuery(Cursor& cursor) {
  if (cursor.whole > context_.scan_limit) return TakeLongText(cursor);
  if (!cursor.complete()) return Need(cursor, cursor.whole);
  const std::string_view body = cursor.body();
  const std::string_view text = body.substr(0, body.find('\0'));
  const Verdict verdict = Scan(text, cursor.backend->lex_mode());
  // A Query destroys the session's unnamed statement.
  unnamed_.tag = 0;
  cursor.backend->set_unnamed_tag(0);
  if ((verdict.flags & Verdict::kDeallocate) != 0 && RewriteDeallocate(cursor, text)) {
    return Step::kTaken;
  }
  // A DEALLOCATE of a name that is not the protocol's is of one that SQL prepared, or an error.
  MarkText(cursor, static_cast<uint8_t>(verdict.pin), verdict.flags, text);
  const bool drops = (verdict.flags & Verdict::kDropsStatements) != 0;
  if (drops) cursor.backend->ForgetPrepared();
  cursor.backend->Push({.kind = OwedKind::kQuery, .drops_statements = drops});
  cursor.Extend(cursor.whole);
  return Step::kTaken;
}

// DEALLOCATE of a name that the client prepared through the protocol: some drivers do that.
bool PostgresRequests::RewriteDeallocate(Cursor& cursor, std::string_view text) {
  const Statement* statement = names_.Find(DeallocatedName(text, cursor.backend->lex_mode()));
  if (statement == nullptr) return false;
  if (!cursor.backend->prepared().Contains(statement->id)) {
    Prepare(cursor, *statement, OwedTo::kWeir, false);
  }
  cursor.Skip(cursor.whole);
  BuildMessage(context_.scratch, frontend::kQuery, "DEALLOCATE ", ServerName(statement->id));
  cursor.Insert(context_.scratch);
  cursor.backend->prepared().Remove(statement->id);
  cursor.backend->set_close_first();
  cursor.backend->Push({.kind = OwedKind::kQuery, .deallocates = statement->id});
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
  unnamed_.parse_tail.assign(tail);
  cursor.backend->set_unnamed_tag(unnamed_.tag);
  cursor.backend->Push({.kind = OwedKind::kParse, .unnamed_parse = true, .tag = unnamed_.tag});
  cursor.Extend(cursor.whole);
  return Step::kTaken;
}

PostgresRequests::Step PostgresRequests::TakeNamedParse(Cursor& cursor, std::string_view name,
                                                        std::string_view tail) {
  PostgresReplies& backend = *cursor.backend;
  if (name.starts_with(kServerNamePrefix))
    return Malformed(cursor, "statement names starting with __weir_s are reserved");
  const Statement* statement = context_.statements.Find(tail);
  if (statement == nullptr) {
    const Verdict verdict = Scan(tail.substr(0, tail.find('\0')), backend.lex_mode());
    statement = context_.statements.Intern(tail, static_cast<uint8_t>(verdict.pin), verdict.flags);
    if (statement == nullptr) return Malformed(cursor, "too many different prepared statements");
  }
  if (const Statement* old = names_.Find(name); old != nullptr) {
    // The server's own error, 42P05, under the name that it knows.
    if (!backend.prepared().Contains(old->id)) Prepare(cursor, *old, OwedTo::kWeir, false);
    cursor.Skip(cursor.whole);
    BuildMessage(context_.scratch, frontend::kParse, "", ServerName(old->id));
    context_.scratch.append(tail);
    PutLength(context_.scratch, 0);
    cursor.Insert(context_.scratch);
    backend.Push({.kind = OwedKind::kParse});
    return Step::kTaken;
  }
  cursor.Skip(cursor.whole);
  const bool known = backend.prepared().Contains(statement->id);
  if (known && backend.requests_owed() == 0 &&
      backend.transaction_status() != TransactionStatus::kFailed) {
    backend.prepared().Touch(statement->id);
    backend.Push({.kind = OwedKind::kFakeParse, .name_change = true});
  } else {
    // In a transaction that has failed, or may have, only the server knows the answer.
    if (known) {
      CloseOnServer(cursor, statement->id);
      backend.prepared().Remove(statement->id);
    }
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
  const std::string_view body = cursor.body();
  const size_t portal_end = body.find('\0');
  const size_t name_end =
      portal_end == std::string_view::npos ? portal_end : body.find('\0', portal_end + 1);
  if (name_end == std::string_view::npos) return Malformed(cursor, "invalid Bind message");
  const std::string_view portal = body.substr(0, portal_end);
  const std::string_view name = body.substr(portal_end + 1, name_end - portal_end - 1);
  if (name.starts_with(kServerNamePrefix))
    return Malformed(cursor, "statement names starting with __weir_s are reserved");
  const Statement* statement = name.empty() ? nullptr : names_.Find(name);
  if (name.empty()) {
    MarkText(cursor, unnamed_.pin_reason, unnamed_.flags, unnamed_.parse_tail.c_str());
    EnsureUnnamed(cursor);
    if ((unnamed_.flags & Verdict::kDropsStatements) != 0) cursor.backend->ForgetPrepared();
  }
  // An unknown name goes to the server as it is: the error is the server's own.
  if (statement == nullptr) return Forward(cursor, OwedKind::kBind);

  MarkText(cursor, statement->pin_reason, statement->flags, statement->text());
  if (cursor.backend->prepared().Contains(statement->id)) {
    cursor.backend->prepared().Touch(statement->id);
  } else {
    Prepare(cursor, *statement, OwedTo::kWeir, false);
  }
  if ((statement->flags & Verdict::kDropsStatements) != 0) cursor.backend->ForgetPrepared();
  const uint32_t replaced = kHeader + static_cast<uint32_t>(name_end) + 1;
  BuildMessage(context_.scratch, frontend::kBind, portal, "");
  context_.scratch.append(ServerName(statement->id)).push_back('\0');
  PutLength(context_.scratch, cursor.whole - replaced);
  cursor.Skip(replaced);
  cursor.Insert(context_.scratch);
  cursor.backend->Push({.kind = OwedKind::kBind});
  body_left_ = cursor.whole - replaced;
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
  if (name.starts_with(kServerNamePrefix))
    return Malformed(cursor, "statement names starting with __weir_s are reserved");
  if (name.empty()) {
    if (close) {
      unnamed_.tag = 0;
      cursor.backend->set_unnamed_tag(0);
    } else {
      EnsureUnnamed(cursor);
    }
    return Forward(cursor, kind);
  }
  const Statement* statement = names_.Find(name);
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
  cursor.backend->Push({.kind = OwedKind::kDescribe});
  return Step::kTaken;
}

// What a text that is about to run does to the session.
void PostgresRequests::MarkText(Cursor& cursor, uint8_t pin_reason, uint16_t flags,
                                std::string_view text) {
  if (pin_reason != 0 && marks_.pin_reason == 0) {
    marks_.pin_reason = pin_reason;
    marks_.digest = Digest(text, cursor.backend->lex_mode());
    marks_.statement = std::string(text.substr(0, kStatementLogged));
  }
  if ((flags & (Verdict::kReadsSequence | Verdict::kWritesSequence)) == 0) return;
  if ((flags & Verdict::kReadsSequence) != 0) {
    marks_.reads_sequence = true;
    const uint64_t owner = cursor.backend->sequence_owner();
    if (owner != 0 && owner != serial_) DiscardSequences(cursor);
  }
  if ((flags & Verdict::kWritesSequence) != 0) {
    marks_.writes_sequence = true;
    cursor.backend->set_sequence_owner(serial_);
  }
}

// Another client's currval must not be read here: the answer is then the server's honest 55000.
void PostgresRequests::DiscardSequences(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  const bool sync = !backend.open_batch();
  cursor.Insert(OwnStatementMessages("DISCARD SEQUENCES", sync));
  backend.PushOwnStatement(sync);
  backend.set_sequence_owner(0);
}

void PostgresRequests::ChangeName(std::string_view name, const Statement* statement) {
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
    // A later change of the same name, behind the Sync, stands; it goes back to what this one
    // found.
    NameChange* later = nullptr;
    for (size_t j = changes_->size(); j > i; --j) {
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

void PostgresRequests::OnStatementsDropped() { names_.Clear(); }

void PostgresRequests::OnDeallocated(StatementId statement) {
  while (true) {
    const std::string name(names_.NameOf(statement));
    if (name.empty()) return;
    names_.Set(name, nullptr);
  }
}

std::string_view PostgresRequests::NameOf(StatementId statement) const {
  return names_.NameOf(statement);
}

void PostgresRequests::ClearMarks() {
  if (marks_.pin_reason != 0) marks_ = {};
  marks_.reads_sequence = marks_.writes_sequence = false;
}

void PostgresRequests::Trim() {
  if (unnamed_.tag == 0) unnamed_.parse_tail = {};
  if (changes_ != nullptr && changes_->empty()) changes_.reset();
}

}  // namespace weir::postgres
