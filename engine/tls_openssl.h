// The TLS of one connection by OpenSSL, which reads what the stream has received where it lies and
// gives what it sends straight to the stream's queue.
//
// An idle connection holds no buffers. A server's ticket goes with its first data: so nothing is on
// its way while the connection moves to another shard.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <string>

#include "engine/base/clock.h"
#include "engine/tls.h"
#include "engine/tls_tickets.h"

namespace weir::engine {

class TlsOpenssl final : public Tls {
 public:
  // What a server's side needs in the callbacks of its handshake.
  struct Server {
    const TlsTicketKeys* tickets = nullptr;  // nullptr: none are given
    bool direct = false;                     // the client must name its protocol
    Nanos now = 0;
  };

  // Takes `ssl`, which has its side and its rules.
  TlsOpenssl(SSL* ssl, const Server& server);
  ~TlsOpenssl() override;
  TlsOpenssl(const TlsOpenssl&) = delete;
  TlsOpenssl& operator=(const TlsOpenssl&) = delete;

  [[nodiscard]] Status Read(Bytes& in, MutableBytes into, size_t& length, TlsOutput& out) override;
  void Write(Bytes plaintext, TlsOutput& out) override;
  void Close(TlsOutput& out) override;
  bool ready() const override { return state_ == State::kReady; }
  TlsFacts Facts() const override;
  std::string_view error() const override { return error_; }

  const Server& server() const { return server_; }
  static TlsOpenssl& Of(SSL* ssl) { return *static_cast<TlsOpenssl*>(SSL_get_app_data(ssl)); }

 private:
  enum class State : uint8_t { kHandshaking, kReady, kFailed };
  class Call;

  static const BIO_METHOD* Method();
  static int OnBioRead(BIO* bio, char* data, size_t size, size_t* done);
  static int OnBioWrite(BIO* bio, const char* data, size_t size, size_t* done);
  static long OnBioControl(BIO* bio, int command, long number, void* pointer);

  Status After(int result);
  std::string Reason() const;

  SSL* const ssl_;
  const Server server_;
  State state_ = State::kHandshaking;
  bool ticket_due_ = false;
  // Of the call that is being made.
  Bytes* in_ = nullptr;
  TlsOutput* out_ = nullptr;
  std::string error_;
};

}  // namespace weir::engine
