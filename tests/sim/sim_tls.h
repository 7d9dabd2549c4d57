// TLS as a pure transform, without randomness: records of the real one's kinds, bytes that are not
// what they were, a handshake that goes to and fro, keys that are changed now and then. Both of
// weir's sides speak it, and the simulated clients and servers.
//
//   client: hello ------------> server
//                 <----------- hello
//           finished ---------> data may come in the same piece
//
// A record: kind, two bytes of length, that many bytes of body, a sum of all of them and its
// number.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/tls.h"

namespace weir::sim {

class SimTls final : public engine::Tls {
 public:
  enum class Side : uint8_t { kServer, kClient };
  explicit SimTls(Side side) : side_(side) {}

  [[nodiscard]] Status Read(engine::Bytes& in, engine::MutableBytes into, size_t& length,
                            engine::TlsOutput& out) override;
  void Write(engine::Bytes plaintext, engine::TlsOutput& out) override;
  void Close(engine::TlsOutput& out) override;
  bool ready() const override { return state_ == State::kReady; }
  engine::TlsFacts Facts() const override { return {}; }
  std::string_view error() const override { return error_; }

 private:
  enum class State : uint8_t { kBeginning, kHello, kReady, kFailed };
  enum Kind : uint8_t { kAlert = 21, kHandshake = 22, kData = 23 };

  void Send(Kind kind, std::string_view body, engine::TlsOutput& out);
  bool TakeRecord(engine::Bytes& in);
  Status OnHandshake(engine::TlsOutput& out);
  Status Fail(std::string_view error);

  const Side side_;
  State state_ = State::kBeginning;
  std::string partial_;  // of a record
  Kind kind_ = kData;    // of the record in hand
  std::string body_;     // ... what is left of it
  bool peer_closed_ = false;
  uint32_t sent_ = 0;  // records
  uint32_t taken_ = 0;
  std::string error_;
};

// What weir is given.
struct SimTlsServer final : engine::TlsServer {
  std::unique_ptr<engine::Tls> NewConnection(bool /*direct*/,
                                             engine::Nanos /*now*/) const override {
    return std::make_unique<SimTls>(SimTls::Side::kServer);
  }
};
struct SimTlsClient final : engine::TlsClient {
  std::unique_ptr<engine::Tls> NewConnection() const override {
    return std::make_unique<SimTls>(SimTls::Side::kClient);
  }
};

// A simulated party's end of an encrypted connection: strings in, strings out.
class SimTlsPipe final : engine::TlsOutput {
 public:
  explicit SimTlsPipe(SimTls::Side side) : tls_(side) {}

  bool ready() const { return tls_.ready(); }
  // Its own first words; a server has none.
  void Begin(std::string& wire) { Open({}, wire); }
  // What comes from the wire, and what it means; answers go to `wire`.
  std::string Open(std::string_view received, std::string& wire);
  // Only when ready.
  void Seal(std::string_view plaintext, std::string& wire);
  void Close(std::string& wire);
  // The far side has said that it sends no more.
  bool closed() const { return closed_; }
  std::string_view error() const { return tls_.error(); }

 private:
  void OnCiphertext(engine::Bytes bytes) override;

  SimTls tls_;
  std::string* wire_ = nullptr;
  bool closed_ = false;
};

}  // namespace weir::sim
