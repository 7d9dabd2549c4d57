// Two clients and two servers that keep to the protocol, with the exchange between them: every
// answer is the one to its question, from a session in the client's own settings, in any
// interleaving, and nothing waits for ever.
//
// Input: options, how bytes are cut, then choices: who moves, and what the models do.
#include <cstdint>
#include <memory>
#include <string>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/model.h"
#include "tests/fuzz/model_session.h"

namespace weir::fuzz {
namespace {

enum Option : uint8_t {
  kShortScans = 1 << 0,
  kFewPrepared = 1 << 1,
  kSettings = 1 << 2,
  kReportsAtOnce = 1 << 3,
  kInitial = 1 << 4,
};

ModelOptions OptionsOf(uint8_t options) {
  const bool settings = (options & kSettings) != 0;
  return {.settings = settings,
          .initial = settings && (options & kInitial) != 0,
          .reports_at_once = (options & kReportsAtOnce) != 0};
}

class World {
 public:
  World(uint8_t options, Pieces& pieces, Choices& choices)
      : pieces_(pieces), choices_(choices), options_(OptionsOf(options)) {
    context_.options.scan_limit = (options & kShortScans) != 0 ? 64 : 1 << 20;
    context_.options.prepared_max = (options & kFewPrepared) != 0 ? 2 : 500;
    for (size_t i = 0; i < 2; ++i) {
      NewBackend(i);
      NewSession(i);
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
          MoveServer(what / 8 % 2);
          break;
        case 3:
          if (options_.settings) {
            Happen(what);
          } else {
            session.set_yield((what & 8) != 0);
          }
          break;
      }
    }
    Settle();
  }

 private:
  void NewBackend(size_t i) { backends_[i] = std::make_unique<Backend>(choices_, options_); }
  void NewSession(size_t i) {
    sessions_[i] =
        std::make_unique<Session>(context_, choices_, options_, static_cast<char>('x' + i));
  }

  // Events that are less frequent than a message, and some that let much happen at once.
  void Happen(uint8_t what) {
    Session& session = *sessions_[what & 1];
    switch (what >> 4) {
      case 15:
        session.Leave();
        NewSession(what & 1);
        return;
      case 14:
        Lose(what / 8 % 2);
        return;
      case 0:
      case 1:
        session.set_yield((what & 8) != 0);
        return;
      default:
        while (MoveAll()) {
        }
        return;
    }
  }

  bool MoveClient(Session& session) {
    const bool moved = session.PumpClient(pieces_.Next(session.from_client.size()));
    if (!session.wants_backend()) return moved;
    const size_t first = choices_.Below(2);
    for (size_t i = 0; i < 2; ++i) {
      const size_t at = (first + i) % 2;
      if (backends_[at]->spoilt) NewBackend(at);
      if (!backends_[at]->free()) continue;
      session.Join(*backends_[at]);
      return true;
    }
    return moved;
  }

  // Bytes to the server, bytes from it. False: there were none.
  bool MoveServer(size_t i) {
    Backend& backend = *backends_[i];
    if (backend.spoilt) {
      NewBackend(i);
      return true;
    }
    bool moved = false;
    if (!backend.to_server.empty()) {
      moved = true;
      const size_t part = pieces_.Next(backend.to_server.size());
      backend.server.Take(backend.to_server.substr(0, part), backend.from_server);
      backend.to_server.erase(0, part);
    }
    if (backend.from_server.empty()) return moved;
    const size_t part = pieces_.Next(backend.from_server.size());
    const std::string bytes = backend.from_server.substr(0, part);
    backend.from_server.erase(0, part);
    for (size_t each = 0; each < 2; ++each) {
      if (sessions_[each]->backend() != &backend) continue;
      End(i, each, sessions_[each]->PumpServer(bytes));
      return true;
    }
    if (!backend.TakeOwn(bytes)) NewBackend(i);
    return true;
  }

  void Lose(size_t i) {
    for (size_t each = 0; each < 2; ++each) {
      if (sessions_[each]->backend() == backends_[i].get())
        return End(i, each, sessions_[each]->LoseBackend());
    }
    NewBackend(i);
  }

  void End(size_t backend, size_t session, Session::Outcome outcome) {
    if (outcome == Session::Outcome::kGoesOn) return;
    NewBackend(backend);
    if (outcome == Session::Outcome::kBothLost) NewSession(session);
  }

  // False: nothing is under way.
  bool MoveAll() {
    bool moved = false;
    for (auto& session : sessions_) {
      session->set_yield(false);
      while (MoveClient(*session)) moved = true;
    }
    for (size_t i = 0; i < 2; ++i) moved = MoveServer(i) || moved;
    return moved;
  }

  // Everything that was asked for gets its answer.
  void Settle() {
    // Each turn ends something: a COPY, a batch. A pinned client keeps its backend, a client in a
    // transaction too; there are as many backends as clients.
    for (int turn = 0; turn < 100; ++turn) {
      for (auto& session : sessions_) session->client.Finish(session->from_client);
      while (MoveAll()) {
      }
      if (sessions_[0]->idle() && sessions_[1]->idle()) return;
    }
    CHECK(false);  // somebody waits for ever
  }

  Pieces& pieces_;
  Choices& choices_;
  const ModelOptions options_;
  postgres::StatementTable table_;
  postgres::RequestsContext context_{table_};
  std::unique_ptr<Backend> backends_[2];
  std::unique_ptr<Session> sessions_[2];
};

FUZZ_TARGET(exchange_model) {
  Choices choices(input);
  const uint8_t options = choices.Byte();
  Pieces pieces(choices.Byte());
  World(options, pieces, choices).Run();
}

}  // namespace
}  // namespace weir::fuzz
