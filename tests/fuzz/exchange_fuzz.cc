// Both halves of an exchange with bytes that neither a client nor a server would send: in any
// pieces they give the same bytes to both sides, in whole messages.
//
// Input: limits, how the bytes are cut, then steps: a byte that says what happens, two for a length
// where bytes belong to it, the bytes.
#include <cstdint>
#include <optional>
#include <string>

#include "engine/base/text.h"
#include "protocol/postgres/replies.h"
#include "protocol/postgres/requests.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using protocol::ReplyStatus;
using protocol::Taken;
using protocol::TakeStatus;

enum Step : uint8_t {
  kClient,  // the client's bytes
  kServer,  // the server's bytes
  kJoin,
  kPart,    // as after a transaction
  kYield,   // others begin or end to wait
  kRefuse,  // the request that waits for a backend gets an error
  kLost,    // the server is gone
  kClientGone,
  kOwn,  // a statement of weir's own
  kTrim,
  kAsk,  // what the transaction has made of the settings
  kSteps
};

const std::string& AnError() {
  static const std::string error =
      Encode('E', "SERROR" + std::string(1, '\0') + std::string(1, '\0'));
  return error;
}

// What goes to each side, and whether it is in whole messages. Forwarded ranges lie in the bytes at
// hand, one behind the other.
class Wire final : public protocol::ExchangeSink {
 public:
  void ForwardToServer(uint32_t offset, uint32_t length) override {
    ToServer(Range(offset, length));
  }
  void InsertToServer(engine::Bytes bytes) override { ToServer(engine::AsText(bytes)); }
  void ForwardToClient(uint32_t offset, uint32_t length) override {
    ToClient(Range(offset, length));
  }
  void InsertToClient(engine::Bytes bytes) override { ToClient(engine::AsText(bytes)); }

  void Begin(std::string_view bytes) {
    input_ = bytes;
    end_ = 0;
  }

  std::string server;
  std::string client;
  Framing server_framing;
  Framing client_framing;

 private:
  std::string_view Range(uint32_t offset, uint32_t length) {
    CHECK(length > 0 && offset >= end_ && offset + size_t{length} <= input_.size());
    end_ = offset + length;
    return input_.substr(offset, length);
  }
  void ToServer(std::string_view bytes) {
    server += bytes;
    server_framing.Add(bytes);
  }
  void ToClient(std::string_view bytes) {
    client += bytes;
    client_framing.Add(bytes);
  }

  std::string_view input_;
  size_t end_ = 0;
};

class Exchange {
 public:
  Exchange(uint8_t limits, Pieces* pieces) : pieces_(pieces) {
    context_.options.scan_limit = (limits & 1) != 0 ? 64 : 1 << 20;
    context_.options.prepared_max = (limits & 2) != 0 ? 2 : 500;
    NewClient();
    NewBackend();
  }

  // False: it has come to its end.
  bool Do(Step step, std::string_view bytes) {
    switch (step) {
      case kClient:
        return Client(bytes);
      case kServer:
        return Server(bytes);
      case kJoin:
        if (joined_ || status_ != TakeStatus::kNeedsBackend || !replies_->settled()) return true;
        replies_->Join(*requests_);
        joined_ = true;
        return Pump();
      case kPart:
        if (joined_ && replies_->quiet() && !requests_->mid_message()) Part();
        return true;
      case kYield:
        yield_ = !yield_;
        return true;
      case kRefuse:
        if (joined_ || status_ != TakeStatus::kNeedsBackend) return true;
        requests_->Refuse(engine::AsBytes(AnError()));
        return Pump();
      case kLost:
        return joined_ ? Lost() : true;
      case kClientGone:
        return ClientGone();
      case kOwn:
        if (!joined_ && replies_->quiet()) replies_->OwnStatement("SELECT 1", wire_);
        return true;
      case kTrim:
        requests_->ClearMarks();
        requests_->Trim();
        return true;
      case kAsk:
        Ask();
        return true;
      case kSteps:
        break;
    }
    UNREACHABLE();
  }

  // What shall be equal, however the bytes came.
  std::string Describe() const {
    const protocol::SessionMarks& marks = requests_->marks();
    const std::string told = marks.statement == nullptr
                                 ? std::string()
                                 : engine::Cat(marks.statement->digest, " ", marks.statement->text);
    return engine::Cat(wire_.server, "|", wire_.client, "|", held_.size(), " ", need_, " ",
                       static_cast<int>(status_), " ", joined_ ? 1 : 0, " ", replies_->owed(), " ",
                       replies_->requests_owed(), " ", replies_->quiet() ? 1 : 0, " ",
                       static_cast<int>(replies_->transaction_status()), " ",
                       replies_->copy_in() ? 1 : 0, " ", replies_->open_batch() ? 1 : 0, " ",
                       replies_->sequence_owner(), " ", int{marks.pin_reason}, " ", told, " ",
                       replies_->fatal_error(), " ", replies_->fatal_sqlstate(), " ",
                       replies_->own_error(), " ", requests_->profile(), " ", replies_->profile(),
                       " ", requests_->entering() ? 1 : 0, " ",
                       requests_->session_at_risk() ? 1 : 0, " ", requests_->mid_message() ? 1 : 0);
  }

 private:
  void NewClient() {
    requests_.emplace(context_);
    asking_ = false;
    held_.clear();
    need_ = 1;
    status_ = TakeStatus::kMore;
    wire_.client_framing = {};
  }
  void NewBackend() {
    replies_.emplace();
    wire_.server_framing = {};
  }
  void Part() {
    replies_->Part();
    joined_ = false;
    status_ = TakeStatus::kMore;
  }
  std::string_view Cut(std::string_view& bytes) {
    const std::string_view part =
        bytes.substr(0, pieces_ == nullptr ? bytes.size() : pieces_->Next(bytes.size()));
    bytes.remove_prefix(part.size());
    return part;
  }

  bool Client(std::string_view bytes) {
    while (!bytes.empty()) {
      held_ += Cut(bytes);
      if (Pump()) continue;
      held_ += bytes;
      return false;
    }
    return true;
  }

  // As the session does: what cannot be taken is held until enough of it is there.
  bool Pump() {
    if (status_ == TakeStatus::kAwaitReady) {
      if (asking_) return true;
      if (replies_->requests_owed() > 0 && !replies_->copy_in()) return true;
      status_ = TakeStatus::kMore;
    }
    while (!held_.empty() && held_.size() >= need_) {
      wire_.Begin(held_);
      const Taken taken =
          requests_->Take(engine::AsBytes(held_), joined_ ? &*replies_ : nullptr, yield_, wire_);
      wire_.Begin({});
      status_ = taken.status;
      CHECK(taken.consumed <= held_.size());
      CHECK(taken.status != TakeStatus::kMore || taken.consumed > 0 || taken.need > held_.size());
      held_.erase(0, taken.consumed);
      need_ = 1;
      if (joined_) replies_->Flush(wire_);
      CheckInvariants();
      switch (taken.status) {
        case TakeStatus::kMore:
          need_ = taken.need;
          break;
        case TakeStatus::kNeedsBackend:
          CHECK(!joined_);
          return true;
        case TakeStatus::kAwaitReady:
          // ... for something that comes: an answer, or the rest of a message nobody asked for.
          CHECK(joined_ && (replies_->owed() > 0 || (replies_->settled() && !replies_->quiet())));
          return true;
        case TakeStatus::kRefused: {
          const std::string error(replies_->own_error());
          CHECK(joined_ && replies_->quiet() && !error.empty());
          Part();
          requests_->Refuse(engine::AsBytes(error));
          break;
        }
        case TakeStatus::kNeedsAnother:
          CHECK(joined_ && replies_->settled());
          Part();
          CHECK(!requests_->MoveBase().empty());
          break;
        case TakeStatus::kTerminate:
          return false;
        case TakeStatus::kMalformed:
          CHECK(taken.error != nullptr);
          return false;
      }
    }
    return true;
  }

  bool Server(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::string_view part = Cut(bytes);
      wire_.Begin(part);
      const size_t seen = wire_.client.size();
      const ReplyStatus status = replies_->Take(engine::AsBytes(part), wire_);
      if (!joined_) CHECK(wire_.client.size() == seen);  // nobody is there to get it
      if (status == ReplyStatus::kMalformed) return false;
      if (status == ReplyStatus::kFatal) {
        CHECK(!replies_->fatal_error().empty());
        return false;
      }
      CheckInvariants();
    }
    wire_.Begin({});
    if (asking_) Ask();
    return Pump();
  }

  void Ask() {
    const bool idle = joined_ && replies_->quiet() && !requests_->mid_message() &&
                      !requests_->entering() &&
                      replies_->transaction_status() == protocol::TransactionStatus::kIdle;
    if (!idle) return;
    asking_ = requests_->AskSession(*replies_, wire_);
    CHECK(asking_ == !replies_->quiet());
    // The client waits for the answers.
    if (asking_) status_ = TakeStatus::kAwaitReady;
  }

  bool Lost() {
    if (!replies_->at_boundary()) {
      NewClient();  // it has seen a part of a reply
      joined_ = false;
      NewBackend();
      return true;
    }
    const bool open = replies_->FailOwed(engine::AsBytes(AnError()), wire_);
    CHECK(replies_->owed() == 0 && replies_->requests_owed() == 0);
    requests_->OnBackendLost(open);
    asking_ = false;
    replies_->Part();
    joined_ = false;
    status_ = TakeStatus::kMore;
    NewBackend();
    return Pump();
  }

  bool ClientGone() {
    const bool whole = !requests_->mid_message();
    CHECK(!joined_ || whole == wire_.server_framing.at_boundary());
    if (joined_) {
      replies_->Part();
      joined_ = false;
      if (!replies_->FinishAbandoned(!whole, wire_)) NewBackend();
    }
    NewClient();
    return true;
  }

  void CheckInvariants() {
    CHECK(replies_->owed() <= postgres::PostgresReplies::kOwedMax + 16);
    CHECK(replies_->requests_owed() <= replies_->owed());
    if (replies_->quiet()) CHECK(replies_->owed() == 0 && !replies_->open_batch());
    if (!joined_) return;
    CHECK(requests_->mid_message() == !wire_.server_framing.at_boundary());
    CHECK(replies_->at_boundary() == wire_.client_framing.at_boundary());
    CHECK(!requests_->mid_message() || requests_->unfinished_message());
  }

  Pieces* const pieces_;
  postgres::StatementTable table_;
  postgres::RequestsContext context_{table_};
  std::optional<postgres::PostgresRequests> requests_;
  std::optional<postgres::PostgresReplies> replies_;
  Wire wire_;
  std::string held_;
  uint32_t need_ = 1;
  TakeStatus status_ = TakeStatus::kMore;
  bool joined_ = false;
  bool yield_ = false;
  bool asking_ = false;  // what the transaction has made of the settings
};

FUZZ_TARGET(exchange) {
  Choices choices(input);
  const uint8_t limits = choices.Byte();
  Pieces pieces(choices.Byte());
  Exchange whole(limits, nullptr);
  Exchange split(limits, &pieces);
  while (!choices.empty()) {
    const Step step = static_cast<Step>(choices.Below(kSteps));
    std::string_view bytes;
    if (step == kClient || step == kServer) {
      const size_t high = choices.Byte();
      bytes = choices.Text(high << 8 | choices.Byte());
    }
    const bool goes_on = whole.Do(step, bytes);
    CHECK(split.Do(step, bytes) == goes_on);
    CHECK(split.Describe() == whole.Describe());
    if (!goes_on) return;
  }
}

}  // namespace
}  // namespace weir::fuzz
