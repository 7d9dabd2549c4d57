#include "protocol/postgres/requests.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "protocol/postgres/catalogue.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/request_cursor.h"

namespace weir::postgres {
namespace {

using protocol::ExchangeSink;
using protocol::Taken;
using protocol::TakeStatus;

uint32_t ReadLength(const uint8_t* header) {
  return uint32_t{header[1]} << 24 | uint32_t{header[2]} << 16 | uint32_t{header[3]} << 8 |
         header[4];
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
  if (long_scan_ != nullptr) {
    long_scan_->UseCatalogue(cursor.backend->catalogue());
    long_scan_->Feed(Bytes(cursor.data(), part));
  }
  body_left_ -= part;
  if (dropping_) {
    cursor.Skip(part);
  } else {
    cursor.Extend(part);
  }
  if (body_left_ > 0) return;
  dropping_ = false;
  if (long_scan_ == nullptr) return;
  Verdict verdict = long_scan_->Finish();
  long_scan_.reset();
  if ((verdict.flags & Verdict::kDropsStatements) != 0) cursor.backend->ForgetPrepared();
  if ((verdict.flags & (Verdict::kDropsStatements | Verdict::kNamesStatements)) != 0)
    cursor.backend->ForgetNamed();
  constexpr std::string_view kText = "(a statement longer than the scan limit)";
  // Which statements it has made is not known either.
  if ((verdict.flags & Verdict::kNamesStatements) != 0)
    Suspect(cursor, PinReason::kStatementTooLong, kText);
  // Which settings it has made is not known.
  if ((verdict.flags & Verdict::kSets) != 0) Suspect(cursor, PinReason::kStatementTooLong, kText);
  verdict.flags &= static_cast<uint16_t>(~Verdict::kSets);
  MarkText(cursor, verdict, kText);
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

// Until what is under way has been answered.
PostgresRequests::Step PostgresRequests::Await(Cursor& cursor) {
  cursor.result.status = TakeStatus::kAwaitReady;
  return Step::kStop;
}

PostgresRequests::Step PostgresRequests::Drop(Cursor& cursor) {
  cursor.Skip(kHeader);
  body_left_ = cursor.whole - kHeader;
  dropping_ = body_left_ > 0;
  return Step::kTaken;
}

PostgresRequests::Step PostgresRequests::Forward(Cursor& cursor, Owed owed) {
  cursor.backend->Push(std::move(owed));
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
  touched_.reset();
  named_touched_.reset();
  asks_pins_ = doubted_ = stops_timeout_ = fenced_ = unknown_names_ = false;
  suspects_ = stands_ = 0;
  marks_.pin_reason = 0;
  rebase_.reset();
  entry_ = Entry::kDone;
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
  const uint32_t enough = std::min(cursor.whole, text ? context_.options.scan_limit : kBorrowBytes);
  if (cursor.left() < enough) return Need(cursor, enough);
  cursor.result.status = TakeStatus::kNeedsBackend;
  return Step::kStop;
}

PostgresRequests::Step PostgresRequests::TakeLinked(Cursor& cursor) {
  if (cursor.type == frontend::kTerminate) {
    cursor.result.status = TakeStatus::kTerminate;
    return Step::kStop;
  }
  if ((entry_ == Entry::kDue || entry_ == Entry::kWaiting) && Enter(cursor) == Step::kStop)
    return Step::kStop;
  const Step step = TakeEntered(cursor);
  if (step == Step::kTaken) entry_ = Entry::kDone;
  return step;
}

PostgresRequests::Step PostgresRequests::TakeEntered(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  if (IsCopy(cursor.type)) return TakeCopy(cursor);
  if (backend.skipping() && cursor.type != frontend::kSync) return Drop(cursor);
  if (fenced_ && backend.client_requests_owed() == 0) fenced_ = false;
  // Nothing else runs without settings that the first request was let through without.
  const bool waits = cursor.yield || fenced_ || (exempt_ && entry_ == Entry::kDone);
  if (backend.full() || (waits && backend.client_requests_owed() > 0 && !backend.copy_in()))
    return Await(cursor);
  if (rebase_ != nullptr && !RestoreBase(cursor)) return Await(cursor);
  if (moves_base_ && entry_ == Entry::kEntered && backend.owed() > 0) return Await(cursor);
  if (moves_base_ && MayMove(backend)) return NeedAnother(cursor);
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
      return TakeExecute(cursor);
    case frontend::kFunctionCall:
      return TakeFunctionCall(cursor);
    case frontend::kSync:
      if (backend.copy_in()) return Drop(cursor);
      return Forward(cursor, {.kind = OwedKind::kSync});
    case frontend::kFlush:
      if (backend.copy_in()) return Drop(cursor);
      cursor.Extend(kHeader);
      body_left_ = cursor.whole - kHeader;
      return Step::kTaken;
    default:
      UNREACHABLE();
  }
}

// Which function, is its oid ("FunctionCall"). Descriptors of large objects end with their
// transaction: that is what libraries call in this way. Any other counts as its call in a text.
PostgresRequests::Step PostgresRequests::TakeFunctionCall(Cursor& cursor) {
  constexpr uint32_t kOidEnd = kHeader + 4;
  if (cursor.whole >= kOidEnd && cursor.left() < kOidEnd) return Need(cursor, kOidEnd);
  static constexpr uint32_t kLargeObjects[] = {715, 764, 767, 952,  953,  954,  955, 956,
                                               957, 958, 964, 1004, 3170, 3171, 3172};
  const uint8_t* oid = cursor.data() + kHeader;
  const uint32_t function =
      cursor.whole < kOidEnd
          ? 0
          : uint32_t{oid[0]} << 24 | uint32_t{oid[1]} << 16 | uint32_t{oid[2]} << 8 | oid[3];
  const bool harmless = std::find(std::begin(kLargeObjects), std::end(kLargeObjects), function) !=
                        std::end(kLargeObjects);
  const Catalogue* catalogue = cursor.backend->catalogue();
  const std::string call =
      harmless || catalogue == nullptr ? std::string() : catalogue->CallOf(function);
  Named named;
  Verdict verdict;
  if (!call.empty()) {
    verdict = Scan(call, LexMode(), catalogue);
    if (!FindNames(cursor, verdict, call, named) || MustWaitForDiscard(cursor, verdict.flags))
      return Await(cursor);
  } else if (!harmless) {
    named.all = true;
  }
  CountText();
  PlaceNames(cursor, named, /*may_fence=*/false);
  if (!call.empty()) {
    MarkText(cursor, verdict, call);
    MarkNames(cursor, verdict, named, call, /*query=*/false);
  } else if (!harmless) {
    Suspect(cursor, PinReason::kFunctionCall, "FunctionCall");
  }
  return Forward(cursor, {.kind = OwedKind::kFunctionCall});
}

PostgresRequests::Step PostgresRequests::TakeCopy(Cursor& cursor) {
  if (!cursor.backend->copy_in() && !cursor.backend->awaits_server()) return Drop(cursor);
  if (cursor.type != frontend::kCopyData) cursor.backend->EndCopyIn();
  cursor.Extend(kHeader);
  body_left_ = cursor.whole - kHeader;
  return Step::kTaken;
}

// A Query or Parse beyond the scan limit is scanned while it streams; what it turns out to do pins.
PostgresRequests::Step PostgresRequests::TakeLongText(Cursor& cursor) {
  if (cursor.left() < context_.options.scan_limit) return Need(cursor, context_.options.scan_limit);
  if (cursor.type == frontend::kParse) return TakeLongParse(cursor);
  BeginLongScan(cursor);
  PlaceNames(cursor, {.names = {}, .all = true}, /*may_fence=*/false);
  const bool change = LeaveUnnamed(cursor);
  cursor.backend->set_unnamed_tag(0);
  return Forward(cursor, {.kind = OwedKind::kQuery, .unnamed_change = change});
}

void PostgresRequests::BeginLongScan(Cursor& cursor) {
  long_scan_ = std::make_unique<SqlScanner>();
  long_scan_->Begin(cursor.backend->lex_mode(), cursor.backend->catalogue());
}

PostgresRequests::Step PostgresRequests::TakeQuery(Cursor& cursor) {
  if (cursor.whole > context_.options.scan_limit) return TakeLongText(cursor);
  if (!cursor.complete()) return Need(cursor, cursor.whole);
  if (LexingUncertain(cursor)) return Await(cursor);
  const std::string_view body = cursor.body();
  const std::string_view text = body.substr(0, body.find('\0'));
  Verdict verdict = cursor.Judge(text);
  Named named;
  if (!FindNames(cursor, verdict, text, named) || MustWaitForDiscard(cursor, verdict.flags))
    return Await(cursor);
  std::string deallocated;
  if ((verdict.flags & Verdict::kDeallocate) != 0) {
    deallocated = DeallocatedName(text, cursor.backend->lex_mode());
    if (Uncertain(cursor, deallocated, nullptr)) return Await(cursor);
  }
  const Setting* early = ResetEarly(cursor, verdict, text);
  if (early != nullptr && MustWaitToMove(*cursor.backend)) return Await(cursor);
  if (early != nullptr && MayMove(*cursor.backend)) return NeedAnother(cursor);
  CountText();
  // A Query destroys the session's unnamed statement.
  const bool change = LeaveUnnamed(cursor);
  cursor.backend->set_unnamed_tag(0);
  if (early != nullptr) {
    RefuseEarlyReset(cursor, *early, change);
    return Step::kTaken;
  }
  if (!deallocated.empty() && RewriteDeallocate(cursor, deallocated, change)) return Step::kTaken;
  const bool batch = cursor.backend->open_batch();
  PlaceNames(cursor, named);
  MarkText(cursor, verdict, text);
  MarkRuns(cursor, named);
  const bool makes = MarkNames(cursor, verdict, named, text, /*query=*/true);
  const bool drops = (verdict.flags & Verdict::kDropsStatements) != 0;
  if (drops) {
    cursor.backend->ForgetPrepared();
    DropNames(*cursor.backend);
  }
  cursor.backend->Push({.kind = OwedKind::kQuery,
                        .name_change = drops || makes,
                        .unnamed_change = change,
                        .resets = RebaseQuery(),
                        .fenced = Fence(!batch && cursor.backend->open_batch())});
  cursor.Extend(cursor.whole);
  return Step::kTaken;
}

// A text that reads sequence values waits until it is known whether those of others are gone.
bool PostgresRequests::MustWaitForDiscard(Cursor& cursor, uint16_t flags) const {
  const PostgresReplies& backend = *cursor.backend;
  return (flags & Verdict::kReadsSequence) != 0 && backend.discard_in_flight() &&
         backend.requests_owed() > 0 && !backend.copy_in();
}

// What a text that is about to run does to the session.
void PostgresRequests::MarkText(Cursor& cursor, const Verdict& verdict, std::string_view text) {
  const uint16_t flags = verdict.flags;
  MarkPins(cursor, verdict, text);
  if ((flags & Verdict::kResets) != 0) marks_.resets = true;
  if ((flags & Verdict::kDdl) != 0) marks_.ddl = true;
  if ((flags & (Verdict::kReadsSequence | Verdict::kWritesSequence)) == 0) return;
  // What is readable here may be another client's, or an older value of this one.
  PostgresReplies& backend = *cursor.backend;
  const auto foreign = [&] {
    return backend.sequence_owner() != 0 && backend.sequence_owner() != sequence_mark_;
  };
  if ((flags & Verdict::kReadsSequence) != 0) {
    marks_.reads_sequence = true;
    if (foreign()) DiscardSequences(cursor);
  }
  if ((flags & Verdict::kWritesSequence) != 0) {
    marks_.writes_sequence = true;
    const bool mixed = foreign() && !keep_sequences_apart_;
    if (foreign() && keep_sequences_apart_) DiscardSequences(cursor);
    if (backend.sequence_owner() == 0 || mixed) sequence_mark_ = ++context_.sequence_marks;
    backend.set_sequence_owner(mixed ? kSeveralOwners : sequence_mark_);
  }
}

// Another client's currval must not be read here: the answer is then the server's honest 55000.
void PostgresRequests::DiscardSequences(Cursor& cursor) {
  if (WEIR_FAULT("sequence_of_another")) return;
  PostgresReplies& backend = *cursor.backend;
  const bool sync = !backend.open_batch();
  const bool close_first =
      backend.PushOwnStatement(sync, OwnPurpose::kNone, /*discards_sequences=*/true);
  cursor.Insert(OwnStatementMessages(
      "DISCARD SEQUENCES", {.sync = sync, .close_first = close_first, .close_portal = true}));
  backend.set_sequence_owner(0);
}

void PostgresRequests::ClearMarks() {
  if (marks_.pin_reason == 0) marks_.statement.reset();
  pin_committed_ = exempt_ = doubted_ = places_skipped_ = false;
  texts_ = 0;
  marks_.reads_sequence = marks_.writes_sequence = marks_.resets = marks_.ddl = false;
}

void PostgresRequests::Trim() {
  if (unnamed_.tag == 0) unnamed_.parse_tail = {};
  if (changes_ != nullptr && changes_->empty()) changes_.reset();
  if (unnamed_changes_ != nullptr && unnamed_changes_->empty()) unnamed_changes_.reset();
}

}  // namespace weir::postgres
