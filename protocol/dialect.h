// What a database protocol is to pool/: two login flows and the two halves of an exchange, all
// sans-IO.
//
// The exchange joins a client and a backend:
//
//   client bytes -> Requests.Take  -> forward / insert to the server; pushes what is owed to
//   Replies server bytes -> Replies.Take   -> forward / insert to the client; pops what is owed
//
// Requests lives with the client, link or not; Replies lives with the backend and knows, in order,
// every reply that the server still owes and to whom. pool/ sees runs of bytes, never messages.
// Forwarded runs are slices of the bytes handed in: nothing is copied here.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/bytes.h"
#include "protocol/logins.h"

namespace weir::protocol {

// Where the bytes of an exchange go. `offset` and `length` name a part of the bytes being taken;
// inserted bytes are copied by the sink before it returns.
class ExchangeSink {
 public:
  virtual ~ExchangeSink() = default;
  virtual void ForwardToServer(uint32_t offset, uint32_t length) = 0;
  virtual void InsertToServer(Bytes bytes) = 0;
  virtual void ForwardToClient(uint32_t offset, uint32_t length) = 0;
  virtual void InsertToClient(Bytes bytes) = 0;
  // The read at the head (Requests::StartRead) has got all of its reply; what follows is the next
  // one's. `refused`: for Requests::OnReadEnded.
  virtual void OnReadEnded(bool /*refused*/) {}
};

// A request that may be in flight on a backend together with those of other clients: one statement
// that only reads and leaves nothing behind, in a transaction of its own, so that it may also be
// sent again.
struct Read {
  static constexpr uint32_t kBytesMax = 4096;
  uint32_t length = 0;  // 0: it is none
  uint64_t kind = 0;    // the same for texts that differ in literals only
};

enum class TakeStatus : uint8_t {
  kMore,  // everything that can be taken is; come back with at least `need` bytes in one piece
  kNeedsBackend,  // the next message needs a link (only without one)
  kAwaitReady,    // nothing more until the backend has answered: others wait for it, or too many
                  // replies are owed
  kRefused,       // the backend cannot serve it: it refuses the client's settings, with own_error()
  kNeedsAnother,  // it needs a backend of a route of its own, with the client's base: MoveBase
  kTerminate,     // the client said goodbye
  kMalformed,     // `error` says why; the session ends with a protocol error
};

struct Taken {
  TakeStatus status = TakeStatus::kMore;
  uint32_t consumed = 0;
  uint32_t need = 1;            // contiguous bytes wanted from the first one not consumed
  const char* error = nullptr;  // static text
};

// What weir knows of a database: functions, triggers, views. Immutable but for its number, which is
// given when it becomes known to the shards; only its dialect reads it.
class Catalogue {
 public:
  virtual ~Catalogue() = default;
  uint64_t number = 0;  // of all that the process has had
};

// The catalogue of a database as one shard knows it now; lives as long as the shard.
struct CatalogueView {
  const Catalogue* now = nullptr;  // nullptr: none
};

// What the text of a client's requests means for the session, gathered since it was last asked.
struct SessionMarks {
  // Of the dialect's reasons, the one for which the backend has to be kept, or, before AskSession
  // is done, may have to be. 0: none.
  uint8_t pin_reason = 0;
  bool writes_sequence = false;  // may have made a sequence value readable in the session
  bool reads_sequence = false;
  bool resets = false;  // settings went back to what the server starts with
  bool ddl = false;     // the database's catalogue may be another one
  // The statement that pins, if one does.
  struct Statement {
    std::string digest;  // literals replaced
    std::string text;    // bounded
  };
  std::unique_ptr<Statement> statement;
};

// Settings that are nobody's: the next client has them reset.
inline constexpr uint64_t kUnknownProfile = UINT64_MAX;

class Replies;

class Requests {
 public:
  virtual ~Requests() = default;

  // Takes whole messages from the front of `in` as far as it can. Without a backend (nullptr) it
  // only finds out whether the next message needs one; messages that never need one are dealt with.
  // `yield`: somebody waits for a backend, so that nothing behind the end of a request is forwarded
  // until its reply has come.
  [[nodiscard]] virtual Taken Take(Bytes in, Replies* backend, bool yield, ExchangeSink& sink) = 0;

  // The next request is answered with `error` (a whole error message) instead of being served; the
  // connection stays. If it is one of several messages, all of it is. Takes effect with the next
  // Take without a backend.
  virtual void Refuse(Bytes error) = 0;
  // The backend has gone while a request was under way that has got its error: what is left of it
  // is dropped, its end is answered. `open_batch` as Replies told.
  virtual void OnBackendLost(bool open_batch) = 0;

  // A message has been forwarded in part.
  virtual bool mid_message() const = 0;
  // The end of a message is still to come, forwarded or dropped.
  virtual bool unfinished_message() const = 0;
  virtual const SessionMarks& marks() const = 0;
  virtual void ClearMarks() = 0;
  // Which settings the client has made; equal numbers on a shard are equal settings, 0: none.
  virtual uint64_t profile() const = 0;
  // Its first message waits until the backend has taken the client's settings (kAwaitReady).
  virtual bool entering() const = 0;
  // The code that its texts have run may be other code than that by which they were judged: the
  // session is to be asked. Before AskSession; while a question is under way it changes nothing.
  // `must_ask`: even where code that is not seen pins: they have changed it themselves, or what the
  // database has is not known. True if there is more to be asked than before.
  virtual bool DoubtCode(bool must_ask) = 0;
  // Between transactions: asks the server what they have made of the session, if need be. True if a
  // question has been sent: to be called again when it has been answered.
  [[nodiscard]] virtual bool AskSession(Replies& backend, ExchangeSink& sink) = 0;
  // The backend is kept for this reason as long as the client lives.
  virtual void Pin(uint8_t reason) = 0;
  // Something may be in the session that no other client may find.
  virtual bool leaves_state() const = 0;
  // All that keeps the backend is gone after Dialect::DiscardStatement.
  virtual bool discardable() const = 0;
  // Changes of its session that the client knows to be made are lost with the backend: they are not
  // yet known here, or will pin it.
  virtual bool session_at_risk() const = 0;
  // What names the client's last sequence values (Replies::sequence_owner); 0: it has made none.
  virtual uint64_t sequence_mark() const = 0;
  // Sequence values of the session are read on this route: those of others go before the client
  // makes its own.
  virtual void KeepSequencesApart() = 0;
  // The settings that its session begins with and that its resets go back to, as the server tells
  // their values (BaseProof::values). Before its first message.
  virtual void BeginWith(const Parameters& base) = 0;
  // Its base belongs to its route from now on: the backends that it gets begin with it. Between
  // transactions, without a link.
  [[nodiscard]] virtual Parameters MoveBase() = 0;
  // How long the client may be idle outside of a transaction, by its own settings; 0: for ever.
  virtual uint64_t idle_timeout_ms() const = 0;
  // Gives back memory that an idle client does not need.
  virtual void Trim() = 0;

  // Without a link: whether `in` is one read, whole and nothing else, by what is known of the
  // database now.
  virtual Read FindRead(Bytes in, const CatalogueView& catalogue) = 0;
  // Sends the read that FindRead has just found in the same bytes. False: this backend cannot take
  // it now. Until it has ended or is disowned, nothing else is asked of this object.
  [[nodiscard]] virtual bool StartRead(Bytes request, Replies& backend, ExchangeSink& sink) = 0;
  // Its reply is complete. `refused`: a statement that it prepares was.
  virtual void OnReadEnded(bool refused) = 0;
  // Answers a read that has been found with `error` (a whole message) instead.
  virtual void RefuseRead(Bytes error, ExchangeSink& sink) = 0;
};

// What Replies::Take found. kFatal: the server has said that it will close; fatal_error() has its
// message.
enum class ReplyStatus : uint8_t { kOk, kMalformed, kFatal };

// The server's transaction status.
enum class TransactionStatus : uint8_t { kIdle, kInTransaction, kFailed };

class Replies {
 public:
  virtual ~Replies() = default;

  virtual void Join(Requests& requests) = 0;  // the owner of what is owed from now on
  virtual void Part() = 0;                    // what is still owed goes to nobody and is swallowed

  // Takes everything. Incomplete headers and messages that must be read whole are kept inside.
  [[nodiscard]] virtual ReplyStatus Take(Bytes in, ExchangeSink& sink) = 0;
  // Inserts replies that weir gives itself as far as they are due. After Requests::Take.
  virtual void Flush(ExchangeSink& sink) = 0;

  virtual TransactionStatus transaction_status() const = 0;
  // Nothing is owed. A message that nobody asked for may be on its way, in part here.
  virtual bool settled() const = 0;
  virtual bool quiet() const = 0;        // settled, and at a message boundary
  virtual bool at_boundary() const = 0;  // the client has seen whole messages only
  virtual size_t owed() const = 0;
  // What the server is at, is the client's own: a cancel hits nothing else.
  virtual bool client_at_head() const = 0;
  // How many requests have come to their end: names the one that the server is at.
  virtual uint64_t requests_ended() const = 0;
  virtual size_t requests_owed()
      const = 0;                     // replies to a Query, Sync or FunctionCall still to come
  virtual bool copy_in() const = 0;  // the server waits for the client's data
  virtual bool open_batch()
      const = 0;  // messages were sent that the server ends only when told (Sync)
  virtual std::string_view fatal_error() const = 0;  // raw message, empty if none
  virtual std::string_view fatal_sqlstate() const = 0;

  // The server is gone. Gives the joined client `error` (a whole error message, not fatal) and the
  // end of each request owed. Returns whether a request is open that the client has still to end
  // (for Requests::OnBackendLost).
  virtual bool FailOwed(Bytes error, ExchangeSink& sink) = 0;

  // Ends requests that their client has left: a message for the server such that it comes to an end
  // by itself (CopyFail, Sync). Returns false if that cannot be (a message is cut in the middle).
  virtual bool FinishAbandoned(bool mid_message, ExchangeSink& sink) = 0;
  // A login that asked again for facts has used the connection: the unnamed statement is gone.
  virtual void ForgetUnnamed() = 0;
  // Dialect::DiscardStatement has been run.
  virtual void OnDiscarded() = 0;
  // A statement of weir's own, its replies swallowed. Only when settled.
  virtual void OwnStatement(std::string_view sql, ExchangeSink& sink) = 0;
  virtual bool own_statement_failed() const = 0;
  virtual std::string_view own_error() const = 0;  // ... with this message
  // Which settings the session is in: as Requests::profile, or kUnknownProfile.
  virtual uint64_t profile() const = 0;
  // What the server has reported of it, the last value of each name: a greeting.
  virtual const Parameters& reported() const = 0;
  // It moves to another shard: what belongs to this one is let go. Dialect::Adopt is the inverse.
  virtual void Leave() = 0;

  // The session's encoding is one in which a character may end with an ASCII byte.
  virtual bool ascii_trailing_bytes() const = 0;
  // In flight on it, disowned ones included. While there are any, nobody joins.
  virtual size_t reads() const = 0;
  // Nobody wants the reply of that read any more: counted from the head, 0.
  virtual void DisownRead(size_t place) = 0;
  // What is known of its database; nullptr: nothing. Until it moves to another shard.
  virtual void UseCatalogue(const CatalogueView* view) = 0;
  // Which sequence values are readable here, by their mark; 0: none.
  virtual uint64_t sequence_owner() const = 0;
};

// Reads a catalogue, by questions that are asked one after the other, each on whatever backend of
// the database is free. Lives on one shard at a time.
class CatalogueReader : public RowSink {
 public:
  enum class Next : uint8_t {
    kAsk,      // there is another question
    kSame,     // nothing has changed
    kRead,     // all rows are here: call Make
    kRefused,  // the login may not ask, or the server knows no such question
    kTooMuch,  // beyond the limits
  };
  virtual ~CatalogueReader() = default;
  // To be asked now. `ascii_trailing_bytes`: in an encoding in which a character may end with an
  // ASCII byte.
  virtual std::string_view Question(bool ascii_trailing_bytes) = 0;
  // The answer to the question is over. `failed`: with an error.
  [[nodiscard]] virtual Next OnAnswered(bool failed) = 0;
  // Once, after kRead. May take long; on any thread.
  virtual std::unique_ptr<Catalogue> Make() = 0;
};

// What of a client's parameters is set on the backend that it runs on, and what the backend must
// have begun with.
struct StartupSettings {
  Parameters route;
  Parameters base;  // each name once, in lower case
};

// Whether a server takes the base of a client: asked of a backend that has no client meanwhile.
class BaseProof {
 public:
  enum class Next : uint8_t {
    kReceive,  // it has asked: call Continue again when the backend is quiet
    kProven,   // values() and the backend's report are the client's, or see only_at_start()
    kRefused,  // error() is the server's
  };
  virtual ~BaseProof() = default;
  // `backend` is quiet. It is in the base, or as it was, when this is over.
  [[nodiscard]] virtual Next Continue(Replies& backend, ExchangeSink& sink) = 0;
  virtual const Parameters& values() const = 0;
  // Of the base, what only the beginning of a session can set: it belongs to the route. Not empty:
  // nothing else is proven.
  virtual const Parameters& only_at_start() const = 0;
  virtual std::string_view error() const = 0;  // a whole message
};

struct PinWords {
  std::string_view name;    // short, for counters
  std::string_view reason;  // the sentence of the log line
  std::string_view ends_by;
};

// Options of the exchange.
struct ExchangeOptions {
  uint32_t scan_limit = 1 << 20;  // bytes; a longer text is scanned as it streams
  uint32_t prepared_max = 500;    // statements on one backend
  // Settings that cannot be tracked do not keep the backend: they are lost with the transaction.
  bool exclude_variable_sets = false;
  // Behind code that may have changed what a session can be asked about: it is asked, it is
  // believed to have changed nothing, or it keeps the backend.
  enum class OpaqueCalls : uint8_t { kProbe, kTrust, kPin };
  OpaqueCalls opaque_calls = OpaqueCalls::kProbe;
  std::vector<std::string> custom_settings;  // names that such code may set, in lower case
};

// One protocol, for one shard.
class Dialect {
 public:
  virtual ~Dialect() = default;
  // `offers_tls`: the client may ask for an encrypted connection.
  virtual std::unique_ptr<ClientLogin> NewClientLogin(bool offers_tls) = 0;
  virtual std::unique_ptr<ServerLogin> NewServerLogin(ServerLogin::Options options) = 0;
  virtual std::unique_ptr<Requests> NewRequests() = 0;
  // `initial`: settings that init_query has made.
  virtual std::unique_ptr<Replies> NewReplies(const Parameters& greeting,
                                              const Parameters& initial) = 0;
  virtual StartupSettings SplitStartup(const ClientIdentity& identity) = 0;
  virtual std::unique_ptr<BaseProof> NewBaseProof(Parameters base) = 0;
  // `known`: what is known so far; nullptr: nothing.
  virtual std::unique_ptr<CatalogueReader> NewCatalogueReader(const Catalogue* known) = 0;
  virtual void Adopt(Replies& replies) = 0;  // it has come from another shard
  virtual void Configure(const ExchangeOptions& options) = 0;

  virtual void EncodeGreeting(const Parameters& greeting, CancelKey key, std::string& out) = 0;
  // For the client, at any moment between messages.
  virtual std::string EncodeNotice(std::string_view message) = 0;
  virtual std::string EncodeError(bool fatal, std::string_view sqlstate,
                                  std::string_view message) = 0;
  // A server's fatal message as one that leaves the connection usable, or as it is.
  virtual std::string ReencodeError(std::string_view message, bool fatal) = 0;
  virtual std::string_view ErrorText(std::string_view message) = 0;
  virtual std::unique_ptr<ServerCancel> NewServerCancel(uint32_t process_id, Bytes secret,
                                                        TlsUse tls) = 0;
  virtual std::string_view Terminate() = 0;
  virtual std::string_view RollbackStatement() = 0;
  virtual std::string_view
  DiscardStatement() = 0;  // takes back what a client has left in a session
  virtual PinWords Pin(uint8_t reason) = 0;
  virtual std::span<const std::string_view> PinNames() = 0;  // by their numbers, 0 is none
  virtual uint8_t ReplicationPin() = 0;
  virtual uint8_t SequencePin() = 0;
};

}  // namespace weir::protocol
