// What stands between the models: a backend with its half of the exchange, and a session that joins
// a client to one as the pool's sessions do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/postgres/replies.h"
#include "protocol/postgres/requests.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/model.h"

namespace weir::fuzz {

class Backend final : public protocol::ExchangeSink {
 public:
  Backend(Choices& choices, ModelOptions options);

  // Bytes from the server that no client is to see. False: the session is lost.
  [[nodiscard]] bool TakeOwn(std::string_view bytes);
  void Abandon(bool mid_message);  // its client is gone in the middle
  bool free() const { return !joined && !abandoned_ && !spoilt; }

  ModelServer server;
  postgres::PostgresReplies replies;
  std::string to_server;
  std::string from_server;
  bool joined = false;
  bool spoilt = false;  // a client has left it in a state that no other may find

 private:
  // Of those only the one for the server is used: nobody is joined.
  void ForwardToServer(uint32_t, uint32_t) override { CHECK(false); }
  void InsertToServer(engine::Bytes bytes) override { to_server += engine::AsText(bytes); }
  void ForwardToClient(uint32_t, uint32_t) override { CHECK(false); }
  void InsertToClient(engine::Bytes) override { CHECK(false); }
  bool Clean();

  bool abandoned_ = false;
  bool cleaning_ = false;
};

// A client, its half of the exchange, and what the session does with both.
class Session final : public protocol::ExchangeSink {
 public:
  Session(postgres::RequestsContext& context, Choices& choices, ModelOptions options, char tag)
      : client(choices, options, tag), options_(options), requests_(context) {}

  // Moves up to `length` bytes of what the client has sent. False: there was nothing to do.
  bool PumpClient(size_t length);
  void Join(Backend& backend);
  enum class Outcome : uint8_t {
    kGoesOn,
    kBackendLost,  // the client goes on
    kBothLost,
  };
  // What the server has sent; it may be all that comes.
  [[nodiscard]] Outcome PumpServer(std::string_view bytes);
  [[nodiscard]] Outcome LoseBackend();
  void Leave();  // the client has gone

  bool wants_backend() const { return backend_ == nullptr && wants_backend_; }
  Backend* backend() { return backend_; }
  void set_yield(bool yield) { yield_ = yield; }
  bool idle() const { return from_client.empty() && held_.empty() && client.satisfied(); }

  ModelClient client;
  std::string from_client;

 private:
  void ForwardToServer(uint32_t offset, uint32_t length) override;
  void InsertToServer(engine::Bytes bytes) override;
  void ForwardToClient(uint32_t offset, uint32_t length) override;
  void InsertToClient(engine::Bytes bytes) override;

  void Pump();
  bool AfterTake(const protocol::Taken& taken);
  void OnRequestDone();
  void EndTransaction();
  bool AtEnd() const;
  void Unlink();
  void Deliver();

  const ModelOptions options_;
  postgres::PostgresRequests requests_;
  Backend* backend_ = nullptr;
  std::string_view input_;
  std::string held_;
  std::string to_client_;
  uint32_t need_ = 1;
  bool wants_backend_ = false;
  bool awaiting_ = false;  // the server's answer
  bool pinned_ = false;
  bool resets_ = false;  // what init_query has set may be gone
  bool yield_ = false;
};

}  // namespace weir::fuzz
