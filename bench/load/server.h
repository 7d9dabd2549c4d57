// A PostgreSQL server that needs no time: it lets everybody in and answers each question with one
// canned row that carries the question's key.
//
// It knows as much of the protocol as poolers use: the login (trust), the simple protocol, named
// and unnamed statements. A name that was not prepared on this connection is an error, as with the
// real one. With a distance, what it says arrives that much later. Some answers may take long: that
// session then says nothing else, like one that waits for a disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "bench/load/messages.h"
#include "bench/load/socket.h"
#include "engine/base/clock.h"

namespace weir::load {

class ServerSession;

// Which answers take how long: those to one question of so many.
struct LateAnswers {
  uint32_t every = 0;  // 0: none
  engine::Nanos time = 0;
};

class Server {
 public:
  // Listens on 127.0.0.1.
  Server(Poller& poller, uint16_t port, engine::Nanos distance, LateAnswers late);
  ~Server();

  // Says what has come due. Returns when the next is: kForever if nothing waits.
  engine::Nanos Tick(engine::Nanos now);

 private:
  friend class ServerSession;
  class Listener;
  void Accept();
  void Say(uint32_t session, std::string_view bytes, engine::Nanos free_at);

  struct Late {
    uint32_t session;
    std::string bytes;
  };

  Poller& poller_;
  const engine::Nanos distance_;
  const LateAnswers late_answers_;
  std::unique_ptr<Listener> listener_;
  std::unordered_map<uint32_t, ServerSession*> sessions_;
  uint32_t next_session_ = 0;
  std::multimap<engine::Nanos, Late> late_;  // by when they are due
};

}  // namespace weir::load
