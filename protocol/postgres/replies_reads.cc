// Reads of several clients in flight on one backend: the server's half.
//
// Each gets what comes up to its one ReadyForQuery; then what comes is the next one's. An error
// ends at its own Sync and touches nobody else. Every reply is checked against what its read may
// get: a server that answers anything else is not believed any more.
#include <cstdint>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/replies.h"
#include "protocol/postgres/reply_cursor.h"

namespace weir::postgres {

bool PostgresReplies::TakesReads() const {
  return listener_ == nullptr && owed_.empty() && !open_batch_ && !malformed_ &&
         fatal_error_.empty() && status_ == protocol::TransactionStatus::kIdle && profile_known_ &&
         lex_mode_ == LexMode();
}

bool PostgresReplies::ReadParses(StatementId statement) const {
  for (size_t i = 0; i < reads_.size(); ++i) {
    if (reads_[i].parses == statement) return true;
  }
  return false;
}

bool PostgresReplies::AnyReadParses() const {
  for (size_t i = 0; i < reads_.size(); ++i) {
    if (reads_[i].parses != 0) return true;
  }
  return false;
}

void PostgresReplies::DisownRead(size_t place) {
  CHECK(reads_[place].reader != nullptr);
  reads_[place].reader = nullptr;
  if (place == 0 && disposal_ == Disposal::kForward) disposal_ = Disposal::kSwallow;
}

bool PostgresReplies::BeginReadMessage(uint8_t type, uint32_t body) {
  type_ = type;
  body_left_ = body;
  if (ReadWhole(type)) {
    if (body == 0 || (body > kHeldMax && type != backend::kErrorResponse)) return false;
    disposal_ = Disposal::kHold;
    return true;
  }
  // Nobody who listens is among them.
  const bool forward = reader_answered() && type != backend::kNotificationResponse;
  reads_.Front().begins = reads_.Front().begins || forward;
  disposal_ = forward ? Disposal::kForward : Disposal::kSwallow;
  return true;
}

bool PostgresReplies::CompleteRead() {
  OwedRead& read = reads_.Front();
  switch (type_) {
    case backend::kNoticeResponse:
    case backend::kNotificationResponse:
    case backend::kParameterStatus:
      return true;
    case backend::kErrorResponse:
      return OnReadError(read);
    case backend::kReadyForQuery:
      // It reads in a transaction of its own, which is over.
      if (ready_status_ != 'I' || (!read.failed && (read.own_left > 0 || read.parse_left)))
        return false;
      read_over_ = true;
      return true;
    default:
      return !read.failed && CompletePartOfRead(read);
  }
}

bool PostgresReplies::CompletePartOfRead(OwedRead& read) {
  switch (type_) {
    case backend::kParseComplete:
      if (read.own_left > 0) {
        if (--read.own_left == 0) read.parses = 0;
        return true;
      }
      return std::exchange(read.parse_left, false);
    case backend::kCloseComplete:
      if (read.own_left > 0) --read.own_left;
      return true;
    case backend::kBindComplete:
    case backend::kParameterDescription:
    case backend::kRowDescription:
    case backend::kNoData:
    case backend::kDataRow:
    case backend::kCommandComplete:
    case backend::kEmptyQueryResponse:
      return read.own_left == 0 && !read.parse_left;
    default:
      return false;
  }
}

// The server skips the rest of it.
bool PostgresReplies::OnReadError(OwedRead& read) {
  if (!fatal_error_.empty()) return true;
  if (read.failed) return false;
  read.failed = true;
  if (read.parses != 0) {
    prepared_.Remove(read.parses);
    read.parses = 0;
  }
  read.refused = read.parse_left;
  if (read.parses_unnamed) unnamed_tag_ = 0;
  return true;
}

void PostgresReplies::EndRead(Cursor& cursor) {
  read_over_ = false;
  cursor.FlushRun();
  const OwedRead read = reads_.PopFront();
  if (WEIR_FAULT("swallowed_reply_counted_twice") && read.reader == nullptr && !reads_.empty())
    reads_.PopFront();
  ++requests_ended_;
  cursor.sink.OnReadEnded(read.refused);
}

}  // namespace weir::postgres
