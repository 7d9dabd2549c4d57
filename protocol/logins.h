// The two login flows of a protocol, and a cancel's: from a connection's first byte to the proof of
// who is there. A part of dialect.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/bytes.h"

namespace weir::protocol {

using engine::Bytes;
using Parameters = std::vector<std::pair<std::string, std::string>>;

// Takes the rows that answer a question.
class RowSink {
 public:
  virtual void OnRow(std::string_view row) = 0;

 protected:
  ~RowSink() = default;
};

// Who a client says it is, from its first message.
struct ClientIdentity {
  std::string user;
  std::string database;
  Parameters parameters;  // all others that shape its session, in order
  bool replication = false;
};

// What the connection is on which a login goes on, from where the login stands. Empty as long as
// nothing is encrypted.
struct TransportFacts {
  bool encrypted = false;
  // tls-server-end-point (RFC 5929): the hash of the certificate that the server's side has shown
  // on this connection; empty: none.
  std::string endpoint_binding;
  // Who the peer's certificate, which has been verified, says that it is: its common name, then its
  // alternative names; empty: it has shown none.
  std::vector<std::string> peer_names;
};

// How a client proves who it is: kTrust not at all, kIam by a token that the owner checks.
enum class ClientMethod : uint8_t { kTrust, kScram, kMd5, kCertificate, kIam };

// What weir knows of a user when a client logs in; needed during ClientLogin::Resume only.
struct ScramVerifier;
struct ClientUser {
  ClientMethod method = ClientMethod::kScram;
  bool known = false;                            // unknown: kScram with a mock verifier
  bool reveal = false;                           // tells an unknown one so, in the end
  const ScramVerifier* verifier = nullptr;       // kScram
  std::span<const std::string> md5_hashes = {};  // kMd5: of the passwords that are good
  // kCertificate: whose may log in; empty: the user's own name.
  std::span<const std::string> certificate_names = {};
};

// The key by which a client asks to cancel: what weir gave it at login.
struct CancelKey {
  uint32_t process_id = 0;
  uint32_t secret = 0;
};

// One client from its first byte to the proof of who it is.
class ClientLogin {
 public:
  enum class Next : uint8_t {
    kReceive,  // more bytes
    // When `out` has left, the connection is encrypted, and OnBytes goes on with what comes in it.
    // Bytes that are left are the client's: it has begun without asking (direct TLS).
    kStartTls,
    kNeedUser,    // identity() is known: call Resume
    kCheckToken,  // token() is known: call OnTokenChecked
    kDone,        // logged in; the greeting is the owner's to send
    kFailed,      // the error is in `out`; close when it is sent
    kCancel,      // not a login: cancel_key() says what to cancel
  };
  virtual ~ClientLogin() = default;
  // Takes bytes from the front of `in`; what it leaves belongs to what follows the login.
  [[nodiscard]] virtual Next OnBytes(Bytes in, size_t& consumed, std::string& out) = 0;
  [[nodiscard]] virtual Next Resume(const ClientUser& user, const TransportFacts& transport,
                                    std::string& out) = 0;
  // What the client has sent as its token; wiped by OnTokenChecked.
  virtual std::string_view token() const = 0;
  // `why`: of a bad one, for the log.
  [[nodiscard]] virtual Next OnTokenChecked(bool good, std::string_view why, std::string& out) = 0;
  // After a good SCRAM proof: the key that it showed, as good as the password; empty: none. Until
  // the login dies, which wipes it.
  virtual std::string_view client_key() const = 0;
  virtual const ClientIdentity& identity() const = 0;
  virtual CancelKey cancel_key() const = 0;
  // It failed because the proof was wrong (or the user does not exist): somebody may be guessing.
  virtual bool wrong_proof() const = 0;
  // Why it failed, for the log; empty if the peer's bytes made no sense.
  virtual std::string_view failure() const = 0;
};

// Keys of SCRAM are derived off the shard: a ServerLogin asks for them.
struct ScramKeyRequest {
  std::string salt;
  uint32_t iterations = 0;
  bool operator==(const ScramKeyRequest&) const = default;
};
struct ScramKeys;

enum class LoginFailure : uint8_t {
  kNone,
  kPassword,  // it is wrong
  kAuthentication,
  kDatabase,
  kTooMany,
  kRouteFull,  // this user or this database has as many connections as it may
  kStarting,
  kMethod,
  kProtocol,
  kInitQuery,
  kOther
};

// Whether a connection to a server is encrypted.
enum class TlsUse : uint8_t {
  kNever,
  kIfOffered,  // in the clear with a server that has none
  kAlways,
};

// A backend from its first byte to ready: login, the server's limits, init_query.
class ServerLogin {
 public:
  enum class Next : uint8_t {
    kReceive,
    kStartTls,  // the server is ready for TLS: OnEncrypted when the connection is encrypted
    kNeedKeys,
    kDone,
    kFailed
  };
  struct Options {
    TlsUse tls = TlsUse::kNever;
    std::string user;
    std::string database;
    Parameters parameters;
    // Or its md5 hash. Empty: only what OnKeys gives proves anything.
    std::string password;
    bool allow_scram = true;
    bool allow_scram_plus = true;
    bool allow_md5 = false;
    bool allow_trust = false;
    bool allow_password = false;     // in clear text
    bool allow_token = false;        // ... where it is encrypted only
    bool allow_certificate = false;  // ours is enough, and the server's has been verified
    TransportFacts transport = {};   // from the first byte on
    std::string init_query;
  };
  struct Facts {
    uint32_t max_connections = 0;
    uint32_t superuser_reserved_connections = 0;
    uint32_t reserved_connections = 0;
    // A hash of the settings that the database and the role give to new sessions now; 0: not told.
    uint64_t generation = 0;
  };
  virtual ~ServerLogin() = default;
  virtual void Start(std::string& out) = 0;
  [[nodiscard]] virtual Next OnBytes(Bytes in, std::string& out) = 0;
  virtual void OnEncrypted(const TransportFacts& transport, std::string& out) = 0;
  virtual const ScramKeyRequest& key_request() const = 0;
  [[nodiscard]] virtual Next OnKeys(const ScramKeys& keys, std::string& out) = 0;
  // Asks for the facts again, on a backend that is ready and idle.
  virtual void AskFacts(std::string& out) = 0;
  // Asks something else there; the answer's rows go to `sink`. An error is no failed login.
  virtual void AskRows(std::string_view sql, RowSink& sink, std::string& out) = 0;
  virtual bool rows_failed() const = 0;

  virtual const Parameters& parameters() const = 0;  // the server's report: the greeting
  virtual const Parameters& initial() const = 0;     // settings that init_query has made
  virtual uint32_t process_id() const = 0;
  virtual Bytes secret() const = 0;
  virtual const Facts& facts() const = 0;
  virtual LoginFailure failure() const = 0;
  virtual std::string_view failure_text() const = 0;
  virtual std::string_view server_error()
      const = 0;  // whole message; empty if the failure is not the server's
};

// A request to cancel, on a connection of its own. The server answers it by closing.
class ServerCancel {
 public:
  enum class Next : uint8_t {
    kReceive,
    kStartTls,  // the server is ready for TLS: OnEncrypted when the connection is encrypted
    kSent,      // the request is in `out`
    kFailed,    // the server will not have it
  };
  virtual ~ServerCancel() = default;
  [[nodiscard]] virtual Next Start(std::string& out) = 0;
  [[nodiscard]] virtual Next OnBytes(Bytes in, std::string& out) = 0;
  [[nodiscard]] virtual Next OnEncrypted(std::string& out) = 0;
};

}  // namespace weir::protocol
