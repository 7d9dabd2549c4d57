// The TLS of one connection, as a stream sees it: a transform between what is received and sent and
// what is meant. It knows no socket and never waits.
//
//   handshaking -> ready -> closed (the peer has said that it sends no more)
//   either      -> failed (what is to be told to the peer has gone to the output)
//
// It moves with its connection from shard to shard. Real ones are made by tls_context.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

namespace weir::engine {

// Takes what is to be sent, in order.
class TlsOutput {
 public:
  virtual void OnCiphertext(Bytes bytes) = 0;

 protected:
  ~TlsOutput() = default;
};

// What is known of a connection that is ready.
struct TlsFacts {
  std::string version;      // "TLSv1.3"
  std::string cipher;       // by its standard name
  std::string protocol;     // that both sides have agreed on (ALPN); empty: none
  std::string server_name;  // that the client has asked for (SNI); empty: none
  bool resumed = false;
  // tls-server-end-point (RFC 5929), of the certificate that the server's side has shown; empty:
  // none, or it is not defined for its signature.
  std::string endpoint_binding;
  // Of the peer's certificate, if it has been verified: its common name, then its alternative names
  // (DNS, e-mail). A name with a zero byte in it is none.
  std::vector<std::string> peer_names;
};

class Tls {
 public:
  enum class Status : uint8_t {
    kMore,    // all of `in` is taken, and nothing more is to be had from it
    kReady,   // the handshake is over; there may be more
    kData,    // bytes are in `into`; there may be more
    kClosed,  // the peer sends no more
    kFailed,  // for good; see error()
  };
  virtual ~Tls() = default;

  // Goes on with what was received, taken from the front of `in`: one step of the handshake, or
  // as many bytes as `into` has room for. Called again until it says kMore. With nothing received
  // a client's side begins.
  [[nodiscard]] virtual Status Read(Bytes& in, MutableBytes into, size_t& length,
                                    TlsOutput& out) = 0;
  // One record for each 16 KiB. Only when ready.
  virtual void Write(Bytes plaintext, TlsOutput& out) = 0;
  // Says that we send no more (close_notify). Only when ready.
  virtual void Close(TlsOutput& out) = 0;

  // The handshake is over, and nothing has failed; also when the peer sends no more.
  virtual bool ready() const = 0;
  virtual TlsFacts Facts() const = 0;
  // Why it failed, in a sentence for the log.
  virtual std::string_view error() const = 0;
};

// Makes the server's side of connections.
class TlsServer {
 public:
  virtual ~TlsServer() = default;
  // `direct`: the client has begun with TLS, without asking: it must name the protocol. `now`: of
  // the keys for its ticket.
  virtual std::unique_ptr<Tls> NewConnection(bool direct, Nanos now) const = 0;
};

// ... and the client's.
class TlsClient {
 public:
  virtual ~TlsClient() = default;
  virtual std::unique_ptr<Tls> NewConnection() const = 0;
};

}  // namespace weir::engine
