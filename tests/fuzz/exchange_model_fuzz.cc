// Two clients and two servers that keep to the protocol, with the exchange between them: every
// answer is the one to its question, in any interleaving, and nothing waits for ever.
//
// Input: limits, how bytes are cut, then choices: who moves, and what the models do.
#include <cstdint>
#include <memory>
#include <string>

#include "protocol/postgres/replies.h"
#include "protocol/postgres/requests.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/model.h"

namespace weir::fuzz {
namespace {

using protocol::ReplyStatus;
using protocol::Taken;
using protocol::TakeStatus;
using protocol::TransactionStatus;

struct Backend {
  explicit Backend(Choices& choices) : server(choices) {}
  ModelServer server;
  postgres::PostgresReplies replies;
  std::string to_server;
  std::string from_server;
  bool joined = false;
};

// A client, its half of the exchange, and what the session does with both.
class Session final : public protocol::ExchangeSink {
 public:
  Session(postgres::RequestsContext& context, Choices& choices, char tag)
      : client(choices, tag), requests_(context) {}

  void ForwardToServer(uint32_t offset, uint32_t length) override {
    backend_->to_server += input_.substr(offset, length);
  }
  void InsertToServer(engine::Bytes bytes) override {
    backend_->to_server += engine::AsText(bytes);
  }
  void ForwardToClient(uint32_t offset, uint32_t length) override {
    to_client_ += input_.substr(offset, length);
  }
  void InsertToClient(engine::Bytes bytes) override { to_client_ += engine::AsText(bytes); }

  // Moves up to `length` bytes of what the client has sent. False: there was nothing to do.
  bool PumpClient(size_t length) {
    const size_t part = std::min(length, from_client.size());
    held_ += from_client.substr(0, part);
    from_client.erase(0, part);
    const size_t held = held_.size();
    Pump();
    return part > 0 || held_.size() != held;
  }

  void Join(Backend& backend) {
    backend_ = &backend;
    backend.joined = true;
    backend.replies.Join(requests_);
    status_ = TakeStatus::kMore;
    Pump();
  }

  bool PumpServer(std::string_view bytes) {
    input_ = bytes;
    const ReplyStatus status = backend_->replies.Take(engine::AsBytes(bytes), *this);
    input_ = {};
    CHECK(status != ReplyStatus::kMalformed);  // the server keeps to the protocol
    CHECK((status == ReplyStatus::kFatal) <= backend_->server.fatal());
    Deliver();
    if (status == ReplyStatus::kFatal) return false;
    if (status_ == TakeStatus::kAwaitReady) Pump();
    MayPart();
    return true;
  }

  void MayPart() {
    // Its first message is still to come.
    if (requests_.entering()) return;
    if (backend_ == nullptr || pinned_ || !backend_->replies.quiet() ||
        backend_->replies.transaction_status() != TransactionStatus::kIdle ||
        requests_.mid_message()) {
      return;
    }
    CHECK(backend_->replies.at_boundary());
    backend_->replies.Part();
    backend_->joined = false;
    backend_ = nullptr;
    requests_.ClearMarks();
    status_ = TakeStatus::kMore;
    need_ = 1;
    Pump();
  }

  bool wants_backend() const { return backend_ == nullptr && status_ == TakeStatus::kNeedsBackend; }
  Backend* backend() { return backend_; }
  void set_yield(bool yield) { yield_ = yield; }
  bool idle() const { return from_client.empty() && held_.empty() && client.satisfied(); }

  ModelClient client;
  std::string from_client;

 private:
  void Pump() {
    if (status_ == TakeStatus::kAwaitReady) {
      const bool answered = backend_ == nullptr || backend_->replies.requests_owed() == 0 ||
                            backend_->replies.copy_in();
      if (!answered) return;
      status_ = TakeStatus::kMore;
    }
    while (!held_.empty() && held_.size() >= need_) {
      const std::string held = held_;
      input_ = held;
      const Taken taken = requests_.Take(
          engine::AsBytes(held), backend_ == nullptr ? nullptr : &backend_->replies, yield_, *this);
      input_ = {};
      held_.erase(0, taken.consumed);
      if (backend_ != nullptr) backend_->replies.Flush(*this);
      Deliver();
      need_ = 1;
      status_ = taken.status;
      CHECK(taken.status != TakeStatus::kMalformed && taken.status != TakeStatus::kTerminate);
      CHECK(taken.status != TakeStatus::kMore || taken.consumed > 0 || taken.need > held.size());
      if (requests_.marks().pin_reason != 0) pinned_ = true;
      if (taken.status == TakeStatus::kMore) {
        need_ = taken.need;
      } else {
        break;
      }
    }
    if (status_ == TakeStatus::kMore) MayPart();
  }
  void Deliver() { client.Take(std::exchange(to_client_, {})); }

  postgres::PostgresRequests requests_;
  Backend* backend_ = nullptr;
  std::string_view input_;
  std::string held_;
  std::string to_client_;
  uint32_t need_ = 1;
  TakeStatus status_ = TakeStatus::kMore;
  bool pinned_ = false;
  bool yield_ = false;
};

// Stands where no client is joined.
class Nobody final : public protocol::ExchangeSink {
 public:
  void ForwardToServer(uint32_t, uint32_t) override { CHECK(false); }
  void InsertToServer(engine::Bytes) override { CHECK(false); }
  void ForwardToClient(uint32_t, uint32_t) override { CHECK(false); }
  void InsertToClient(engine::Bytes) override { CHECK(false); }
};

class World {
 public:
  World(uint8_t limits, Pieces& pieces, Choices& choices) : pieces_(pieces), choices_(choices) {
    context_.options.scan_limit = (limits & 1) != 0 ? 64 : 1 << 20;
    context_.options.prepared_max = (limits & 2) != 0 ? 2 : 500;
    for (auto& backend : backends_) backend = std::make_unique<Backend>(choices);
    for (size_t i = 0; i < 2; ++i) {
      sessions_[i] = std::make_unique<Session>(context_, choices, static_cast<char>('x' + i));
    }
  }

  void Run() {
    while (!choices_.empty()) {
      const uint8_t what = choices_.Byte();
      Session& session = *sessions_[what & 1];
      switch (what / 2 % 4) {
        case 0:
          session.client.Send(session.from_client);
          break;
        case 1:
          MoveClient(session);
          break;
        case 2:
          if (!MoveServer(*backends_[what / 8 % 2])) return;
          break;
        case 3:
          session.set_yield((what & 8) != 0);
          break;
      }
    }
    Settle();
  }

 private:
  bool MoveClient(Session& session) {
    bool moved = session.PumpClient(pieces_.Next(session.from_client.size()));
    if (session.wants_backend()) {
      const size_t first = choices_.Below(2);
      for (size_t i = 0; i < 2; ++i) {
        Backend& backend = *backends_[(first + i) % 2];
        if (backend.joined) continue;
        CHECK(backend.replies.owed() == 0 && !backend.replies.open_batch());
        session.Join(backend);
        return true;
      }
    }
    return moved;
  }

  // False: a session has ended.
  bool MoveServer(Backend& backend) {
    if (!backend.to_server.empty()) {
      const size_t part = pieces_.Next(backend.to_server.size());
      backend.server.Take(backend.to_server.substr(0, part), backend.from_server);
      backend.to_server.erase(0, part);
    }
    if (backend.from_server.empty()) return true;
    const size_t part = pieces_.Next(backend.from_server.size());
    const std::string bytes = backend.from_server.substr(0, part);
    backend.from_server.erase(0, part);
    for (auto& session : sessions_) {
      if (session->backend() == &backend) return session->PumpServer(bytes);
    }
    // Nobody gets what nobody has asked for: a notice.
    CHECK(backend.replies.Take(engine::AsBytes(bytes), nobody_) == ReplyStatus::kOk);
    return true;
  }

  // Everything that was asked for gets its answer.
  void Settle() {
    // Each turn ends something: a COPY, a batch. A pinned client keeps its backend, a client in a
    // transaction too; there are as many backends as clients.
    for (int turn = 0; turn < 100; ++turn) {
      for (auto& session : sessions_) session->client.Finish(session->from_client);
      for (bool moved = true; moved;) {
        moved = false;
        for (auto& session : sessions_) {
          session->set_yield(false);
          while (MoveClient(*session)) moved = true;
        }
        for (auto& backend : backends_) {
          if (backend->to_server.empty() && backend->from_server.empty()) continue;
          if (!MoveServer(*backend)) return;
          moved = true;
        }
      }
      if (sessions_[0]->idle() && sessions_[1]->idle()) return;
    }
    CHECK(false);  // somebody waits for ever
  }

  Pieces& pieces_;
  Choices& choices_;
  postgres::StatementTable table_;
  postgres::RequestsContext context_{table_};
  std::unique_ptr<Backend> backends_[2];
  std::unique_ptr<Session> sessions_[2];
  Nobody nobody_;
};

FUZZ_TARGET(exchange_model) {
  Choices choices(input);
  const uint8_t limits = choices.Byte();
  Pieces pieces(choices.Byte());
  World(limits, pieces, choices).Run();
}

}  // namespace
}  // namespace weir::fuzz
