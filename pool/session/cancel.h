// Cancel requests: from a client's second connection to the client it means, from there to the
// server.
//
// The process id that a client was given names its shard and seat, the secret is random. A request
// for another shard goes there by mailbox. On the server's side each cancel is a connection of its
// own; the backend is not lent on before the server has closed it. One that the server does not
// close in time may still act: its backend is never lent again. One that comes before the server
// has begun with the request that it means is without effect: it is sent again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/connector.h"
#include "engine/stream.h"
#include "engine/timer_wheel.h"
#include "pool/session/services.h"
#include "protocol/dialect.h"

namespace weir::pool {

// The number of a client: positive, 31 bits. Shards below 64, seats below 2^20 (the upper 5 bits:
// the instance, 0).
uint32_t ClientNumber(uint32_t shard, uint32_t seat);

// From the connection that asked.
void RouteCancel(SessionServices& services, protocol::CancelKey key);
// On the client's own shard.
void CancelClient(SessionServices& services, uint32_t seat, uint32_t secret);

// To the server that runs this backend's request.
void StartCancel(SessionServices& services, BackendSession& backend);

// One connection that carries one CancelRequest.
class CancelSender final : public engine::StreamEvents, public engine::Connector::Events {
 public:
  CancelSender(SessionServices& services, engine::Handle<BackendSession> backend,
               std::unique_ptr<protocol::ServerCancel> request);
  ~CancelSender() override;
  void Start(TargetId target);

  void OnBytes(engine::Slice bytes) override;
  void OnEnd(engine::StreamEnd end) override;
  void OnEncrypted() override;
  void OnDrained() override {}
  void OnClosed() override;
  void OnDetached(engine::Detached&&) override {}
  void OnConnected(int fd) override;
  void OnConnectFailed(int error, std::string_view text) override;
  void OnCancelled() override;

 private:
  void Continue(protocol::ServerCancel::Next next, const std::string& out);
  void OnTimer();
  void Finish();

  SessionServices& services_;
  engine::Handle<BackendSession> backend_;
  std::unique_ptr<protocol::ServerCancel> request_;
  TargetId target_ = 0;
  engine::Connector connector_;
  engine::Stream stream_;
  engine::Timer timer_;
  bool unanswered_ = false;  // the server may still act on it
};

// Sends a cancel again as long as the backend is at the same request: some times, ever more slowly.
// Lives with the backend while it is joined with the client.
class CancelRepeat {
 public:
  // The first has just been sent.
  CancelRepeat(SessionServices& services, BackendSession& backend);
  ~CancelRepeat();

 private:
  void OnTimer();
  void Arm();

  SessionServices& services_;
  BackendSession& backend_;
  const uint64_t request_;
  engine::Nanos pause_;
  engine::Timer timer_;
};

}  // namespace weir::pool
