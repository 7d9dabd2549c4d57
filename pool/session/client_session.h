// A client: its connection, from the first byte to the last.
//
//   login -> (moving) -> greeting -> idle <-> waiting -> linked -> idle ... -> closing
//                                              \-> reading -> idle
//
// login     proves who it is; the first packet decides on which shard it lives, and it moves there
// once greeting  the first of its route waits for the first backend, whose report is the greeting;
// the first of its base until a backend has proven that
// idle      logged in, nothing under way; holds no buffer
// waiting   its request waits in the borrow queue; bytes are held
// linked    joined with a backend, for a transaction or, pinned, for longer
// reading   its request is a read that is in flight on a backend, perhaps together with others'
// closing   the stream comes to its end
//
// Bytes that cannot be taken now are held (private copies), and reading stops when enough is held.
// A client that has closed in good order is served to the end of what it asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/held_bytes.h"
#include "engine/stream.h"
#include "engine/timer_wheel.h"
#include "pool/core/borrow_queue.h"
#include "pool/session/refusal.h"
#include "pool/session/services.h"
#include "protocol/dialect.h"

namespace weir::pool {

enum class ClientState : uint8_t {
  kLogin,
  kMoving,
  kGreeting,
  kIdle,
  kWaiting,
  kLinked,
  kReading,
  kClosing
};

// What moves with a client that is placed on another shard: it has named itself, nothing more.
struct PlacedClient final : engine::MessageBody {
  engine::Detached connection;
  std::vector<uint8_t> held;  // what it has sent behind its first packet
  std::unique_ptr<protocol::ClientLogin> login;
  uint32_t endpoint = 0;
  engine::Nanos login_deadline = 0;
  bool local = false;  // from loopback or a unix socket
};

class ClientSession final : public Waiter,
                            public engine::StreamEvents,
                            public protocol::ExchangeSink {
 public:
  ClientSession(SessionServices& services, uint32_t endpoint);
  ~ClientSession() override;

  // `refusal`: not empty if it is one too many; it is told so when it has named itself, as a driver
  // expects.
  void Accept(int fd, bool local, bool on_unix_socket, std::string refusal);
  void Place(PlacedClient& placed);

  ClientState state() const { return state_; }
  bool pinned() const { return pinned_; }
  bool encrypted() const { return stream_.tls() != nullptr; }
  BackendSession* backend() { return backend_; }
  uint32_t endpoint() const { return endpoint_; }
  uint32_t number() const;  // as the log and the cancel key name it

  // From the backend it is linked with.
  void OnReplies(engine::Slice bytes);
  void OnBackendDrained();                            // the backend can take more
  void OnCatalogueKnown();                            // what DDL has made, or time is up
  void OnBackendLost(std::string_view server_error);  // raw message or empty

  // From the backend that its read is in flight on. `refused`: for Requests::OnReadEnded.
  void OnReadDone(bool refused);
  void RepeatRead(Repeat reason, const ClientRead& read);
  // The backend has gone in the middle of its reply. `error`: raw message or empty.
  void OnReadLost(bool at_boundary, std::string_view error);
  engine::Stream& stream() { return stream_; }

  // From the backend that was to prove its base; perhaps it has gone on since.
  void OnBaseProven();
  void OnBaseRefused(std::string_view server_error);  // raw message, empty: the backend is lost

  // From the one who was asked about its token; perhaps it has gone on since. `why`: of a bad one,
  // for the log.
  void OnTokenChecked(bool good, std::string_view why);

  // From other parts of the shard.
  void Cancel(uint32_t secret);
  void CheckUnfinished(engine::Nanos now);  // once a second while linked
  void Drain();                             // shutdown: goes as soon as nothing is under way
  void Kill(const Refusal& refusal);        // a fatal error, then close
  void Describe(std::string& out) const;

  // Waiter
  void OnBorrowed(Backend& backend) override;
  void OnBorrowFailed(BorrowFailure failure, engine::Bytes why) override;

  // engine::StreamEvents
  void OnBytes(engine::Slice bytes) override;
  void OnEnd(engine::StreamEnd end) override;
  void OnDrained() override;
  void OnClosed() override;
  void OnDetached(engine::Detached&& detached) override;

  // protocol::ExchangeSink: offsets are into `input_`
  void ForwardToServer(uint32_t offset, uint32_t length) override;
  void InsertToServer(engine::Bytes bytes) override;
  void ForwardToClient(uint32_t offset, uint32_t length) override;
  void InsertToClient(engine::Bytes bytes) override;

 private:
  void Move(ClientState to);
  void ContinueLogin(engine::Slice bytes);
  void StartTls(const engine::Slice& received);
  void OnIdentity();
  void ResumeLogin();
  void OnLoggedIn();
  void BeginSession();
  void ChooseRoute();
  void ProveOn(BackendSession& backend);
  bool SendGreeting();
  void Greet(const protocol::Parameters& greeting);
  void BecomeReady();
  void FinishLogin(protocol::ClientLogin::Next next);
  void CheckToken();
  bool DelayFailure(const std::string& answer);
  const AccessRule* AdmittingRule();
  bool WantsAnotherMethod(const AccessRule& rule, const protocol::ClientUser& user);
  bool CountIn();

  void Pump(engine::Slice bytes);
  void PumpHeld();
  // What to do after a Take; true: take again.
  bool AfterTake(const protocol::Taken& taken);
  void Hold(const engine::Slice& bytes);
  void Borrow(engine::Nanos asked);  // when: its deadline counts from then
  void OnSettingsRefused();
  bool TakeOwnRoute();
  // client_reads.cc
  enum class Reading : uint8_t { kNo, kWaits, kStarted, kLinked };
  Reading BorrowToRead(engine::Bytes request);
  bool FindRead(engine::Bytes request, ReadTicket& ticket);
  bool StartRead(BackendSession& backend, engine::Bytes request, const ReadTicket& ticket);
  bool StartHeldRead(BackendSession& backend);
  void LeaveRead();
  void EndRead();
  void CancelRead();
  void Link(BackendSession& backend);
  void OnRequestDone();  // replies have come; perhaps the transaction has ended
  void EndTransaction();
  void JudgeByNow();
  bool DoubtCode();
  void Unlink();
  void AbandonBackend(bool reset);
  void CheckPin();
  void CancelIfDue();
  void LogUnpinned();
  void RefuseRequest(std::string_view sqlstate, std::string_view text);
  void Goodbye();  // nothing more will be asked
  void Close();
  void OnTimer();
  engine::Nanos IdleLimit() const;
  void ArmTimer();
  void Backpressure();

  // What every message touches.
  SessionServices& services_;
  engine::Slice input_;
  BackendSession* backend_ = nullptr;
  std::unique_ptr<protocol::Requests> requests_;
  std::unique_ptr<DdlUnderWay> ddl_;  // nullptr: its transaction changes nothing in the database
  uint32_t need_ = 1;
  ClientState state_ = ClientState::kLogin;
  bool pinned_ = false;
  bool end_of_stream_ = false;    // it has closed its sending side, or said Terminate
  bool awaiting_ready_ = false;   // held bytes go on when the backend has answered
  bool cancel_due_ = false;       // of the request that the server has not come to yet
  bool reset_backend_ = false;    // the transaction has undone init_query
  bool catalogue_known_ = false;  // as far as it has waited for it
  bool keeps_link_ = false;       // a sequence value stays readable until its next transaction
  uint8_t repeats_ = 0;           // of its read
  uint8_t pin_reason_ = 0;        // why it is pinned
  uint32_t taken_bytes_ = 0;      // wraps: only differences count
  engine::Stream stream_;
  engine::HeldBytes held_;

  engine::Nanos last_active_ = 0;
  engine::Nanos transaction_began_ = 0;
  engine::Nanos unfinished_since_ = 0;  // its message has made too little progress since; 0: none
  engine::Nanos pinned_at_ = 0;

  // Of its login only.
  struct Arrival {
    std::unique_ptr<protocol::ClientLogin> login;
    std::string refusal;         // not empty: it is one too many
    std::string delayed_answer;  // to a wrong password, when it is time
    std::string why_unknown;     // not empty: its user is none, for a reason that the log tells
    bool local = false;          // from loopback or a unix socket
    bool on_unix_socket = false;
    bool token_asked = false;  // of the checker, who has not answered yet
    uint32_t home = 0;         // while moving: to that shard
    protocol::StartupSettings startup;
    std::string base_key;      // the base as one text
    uint32_t proofs_lost = 0;  // with the backend
  };
  std::unique_ptr<Arrival> arrival_ = std::make_unique<Arrival>();  // nullptr: greeted
  uint32_t unfinished_bytes_ = 0;   // taken and held at unfinished_since_
  ClientCount* counted_ = nullptr;  // among those of its user
  uint32_t cancel_secret_ = 0;
  uint32_t endpoint_;
  engine::Nanos accepted_at_ = 0;
  engine::Timer timer_;  // login deadline, then idle and lifetime
};

}  // namespace weir::pool
