// A backend: weir's connection to a database server, as the pool lends it.
//
//   connecting -> logging in -> ready (idle or joined with a client) -> terminating
//                                 |-> asking      the server's limits, every minute
//                                 |-> proving     the base of a client that waits for its greeting
//                                 |-> abandoned   its client has gone: requests run out or are
//                                 cancelled
//                                 |-> cleaning    ROLLBACK of what a client left open
//                                 |-> cancelling  clean, but a cancel sent to it is not yet
//                                 answered by a close
//                                 |-> detaching   to another shard, with all that is known of its
//                                 session
//
//   asking    it answers a question of weir's: the server's limits, or its database's catalogue;
//   for
//             the pool it is then opening, linked, or asking
//
// Ready, it is idle, joined with a client, or carries reads: those of several clients are in flight
// on it, each of whom gets his reply in turn (backend_reads.cc).
//
// Whoever ends it, the pool hears once: returned, lost, detached or closed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/ring_queue.h"
#include "engine/connector.h"
#include "engine/stream.h"
#include "engine/timer_wheel.h"
#include "pool/core/backend.h"
#include "pool/session/services.h"
#include "protocol/dialect.h"

namespace weir::pool {

class CancelRepeat;

enum class BackendPhase : uint8_t {
  kConnecting,
  kLoggingIn,
  kReady,
  kAsking,
  kProving,
  kAbandoned,
  kCleaning,
  kCancelling,
  kDetaching,
  kTerminating,
};

// A read in flight.
struct CarriedRead {
  ClientSession* client = nullptr;  // nullptr: nobody waits for its reply
  std::unique_ptr<ClientRead> read;
  ReadTicket ticket;
  engine::Nanos sent_at = 0;
  uint64_t bytes = 0;  // of its reply, so far
  bool alone = false;  // nothing was in flight when it was sent
  bool refused = false;
};

// What a client that has gone leaves in the session, and no other client may find.
enum class Leftover : uint8_t {
  kNothing,
  kDiscardable,  // Dialect::DiscardStatement takes it away
  kForGood,      // the backend is closed
};

// A backend on its way to another shard.
struct MovingBackend final : engine::MessageBody {
  engine::Detached connection;
  std::unique_ptr<protocol::Replies> replies;
  std::unique_ptr<protocol::ServerLogin> login;
  engine::Nanos opened_at = 0;
  engine::Nanos expires_at = 0;
  uint64_t generation = 0;
};

class BackendSession final : public Backend,
                             public engine::StreamEvents,
                             public engine::Connector::Events,
                             public protocol::ExchangeSink {
 public:
  BackendSession(SessionServices& services, RouteId route, TargetId target);
  ~BackendSession() override;

  // From the pool, through its driver.
  void Open();
  void Attach(MovingBackend& moving);
  void Terminate();
  void DetachStream();
  bool AskFacts();       // false: not now
  bool ReadCatalogue();  // false: it is not to be read now

  // From the client it is joined with.
  void Join(ClientSession& client, protocol::Requests& requests);
  void Part(bool discard);  // clean: back to the pool, or closed
  void PartLost();          // the connection is gone or will be
  // `reset`: its connection broke.
  void Abandon(bool mid_message, Leftover left, bool reset);
  void Fail(std::string_view reason);  // after PartLost: cannot be used any more
  void SendCancel();
  void CancelRequest();            // the client's, which is at the head
  void Send(engine::Slice bytes);  // of a request of the client's
  // From clients whose reads it carries. StartRead: false: not here, not now.
  bool StartRead(ClientSession& client, protocol::Requests& requests, engine::Bytes request,
                 const ReadTicket& ticket);
  void DisownRead(ClientSession& client);  // its reply is swallowed
  bool IsAtHead(const ClientSession& client) const;
  bool AtBoundaryOf(const ClientSession& client) const;  // it has seen whole messages only
  void CancelRead();                                     // the one at the head
  // Has the one at the head kept others waiting for too long?
  void CheckReads(engine::Nanos now);
  bool carries() const { return carries_; }
  // `base_key`: the base as one text.
  void Prove(ClientSession& client, const protocol::Parameters& base, std::string base_key);
  // The reading of the catalogue by which the client's texts are judged.
  uint64_t judged_by() const { return judged_by_; }
  void set_judged_by(uint64_t reading) { judged_by_ = reading; }
  // What it still runs for a client that has gone may change the database.
  void NoteDdl() { ddl_ = true; }

  // From a cancel that has been answered by a close.
  void OnCancelAnswered();
  // From the catalogue that it has read.
  void OnCatalogueKnown();
  // From the derivation of keys for its login.
  void OnServerKeys(const protocol::ScramKeys& keys);
  void OnNoServerKeys(std::string_view why);

  engine::Stream& stream() { return stream_; }
  protocol::Replies& replies() { return *replies_; }
  ClientSession* client() { return client_; }
  engine::Handle<BackendSession> self() const;
  std::unique_ptr<protocol::ServerCancel> NewCancel() const;  // of what it runs
  void set_pinned(bool value) { pinned = value; }
  bool encrypted() const { return stream_.tls() != nullptr; }
  uint32_t process_id() const { return login_ == nullptr ? 0 : login_->process_id(); }
  engine::Nanos last_reply() const { return last_reply_; }
  // currval or lastval was seen on this route: writes keep their link to be readable.
  void NoteSequenceRead();
  bool SequencesAreRead() const;
  void Describe(std::string& out) const;

  // engine::StreamEvents
  void OnBytes(engine::Slice bytes) override;
  void OnEnd(engine::StreamEnd end) override;
  void OnEncrypted() override;
  void OnDrained() override;
  void OnClosed() override;
  void OnDetached(engine::Detached&& detached) override;

  // engine::Connector::Events
  void OnConnected(int fd) override;
  void OnConnectFailed(int error, std::string_view text) override;
  void OnCancelled() override;

  // protocol::ExchangeSink, while it has no client: to whom the read at the head belongs. Offsets
  // are into `input_`.
  void ForwardToServer(uint32_t, uint32_t) override {}
  void InsertToServer(engine::Bytes bytes) override;
  void ForwardToClient(uint32_t offset, uint32_t length) override;
  void InsertToClient(engine::Bytes bytes) override;
  void OnReadEnded(bool refused) override;

 private:
  // What a client left behind is run out, cancelled and rolled back within this time, or the
  // backend is closed.
  static constexpr engine::Nanos kCleanTimeout = 10 * engine::kSecond;

  void Move(BackendPhase to);
  std::unique_ptr<LoginSecret> ChooseSecret();
  void ContinueLogin(protocol::ServerLogin::Next next);
  void StartTls();
  void OnLoggedIn();
  void KnowCatalogue();
  void BeReady();
  void FailOpen(const LaunchFailure& failure);
  void OnRefused();
  void AskOn();
  void OnRows();
  void EndReading();
  void StopReading();
  void TakeOwn(const engine::Slice& bytes);
  void TakeReads(engine::Slice bytes);
  void TellEnded();
  void Observe(uint32_t count);
  bool HeadIsTaken();
  void MoveReads(Repeat reason);
  // Takes a read from its client: nobody waits for its reply here any more.
  std::pair<ClientSession*, std::unique_ptr<ClientRead>> TakeAway(size_t place);
  void StopCarrying();
  void EndCarrying();
  void LoseReads(std::string_view why, std::string_view server_error);
  engine::Nanos HeadSince() const;
  engine::Nanos LongHead() const;
  void ContinueProof();
  void FailProof();
  void Clean();  // after an abandoned client: what is left to do before it is shared again
  void GiveBack();
  void Lost();
  void OnTimer();
  LaunchFailure FailureOfLogin() const;
  LaunchFailure FailureOfTls() const;
  std::vector<uint8_t> OwnError(std::string_view why) const;
  uint64_t Generation() const;

  // What every message touches.
  SessionServices& services_;
  ClientSession* client_ = nullptr;
  std::unique_ptr<protocol::Replies> replies_;
  BackendPhase phase_ = BackendPhase::kConnecting;
  bool told_pool_ = false;    // it is closing and the pool knows
  bool discard_due_ = false;  // of what a client has left
  bool discarding_ = false;   // ... under way
  bool facts_due_ = false;    // the pool waits for the answer to AskFacts
  bool ddl_ = false;          // NoteDdl
  uint64_t judged_by_ = 0;
  uint16_t cancels_ = 0;  // sent and not yet answered
  engine::Nanos last_reply_ = 0;
  engine::Nanos last_request_ = 0;
  engine::Stream stream_;
  bool carries_ = false;
  bool read_doubted_ = false;  // one has perhaps run code that was not seen
  uint32_t reads_ended_ = 0;   // of carried_, in this Take
  engine::Nanos last_ended_ = 0;
  engine::RingQueue<CarriedRead> carried_;  // in the order in which they are answered
  engine::Slice input_;                     // what Take is at, while it carries reads

  struct Proving {
    engine::Handle<ClientSession> client;
    std::unique_ptr<protocol::BaseProof> proof;
    std::string base_key;
  };
  std::unique_ptr<Proving> proving_;
  std::unique_ptr<CancelRepeat> repeat_;
  std::unique_ptr<LoginSecret> secret_;           // while it logs in
  std::string no_secret_;                         // why it has none to log in with
  std::unique_ptr<protocol::ServerLogin> login_;  // keeps the server's report and the cancel key
  ShardCatalogues::View* catalogue_ = nullptr;    // of its database; nullptr: it takes no questions
  std::unique_ptr<protocol::CatalogueReader> reader_;  // it asks for that
  engine::Nanos reads_until_ = 0;                      // it asks on without a pause
  bool awaits_catalogue_ = false;                      // what it has read is made off the shard
  engine::Connector connector_;
  engine::Timer timer_;  // of the login, of cleaning, of terminating
};

}  // namespace weir::pool
