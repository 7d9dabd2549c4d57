// A client's way in: SSLRequest and its like, the startup message, SCRAM.
//
//   first packet -> (SSLRequest: 'S' and TLS, or 'N'; GSSENCRequest: 'N'; again) -> need user ->
//   [SCRAM first -> SCRAM final] -> done
//                -> cancel
//
// Where TLS is offered a client may also begin with it, without asking.
//
// Anything else at any point is a FATAL protocol error: a second StartupMessage, a password message
// too early or too many, messages beyond their limits. (PostgreSQL protocol 3.0, "Start-up", "SASL
// Authentication".)
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/base/prng.h"
#include "protocol/auth/scram.h"
#include "protocol/dialect.h"

namespace weir::postgres {

class PostgresClientLogin final : public protocol::ClientLogin {
 public:
  explicit PostgresClientLogin(engine::Entropy& entropy, bool offers_tls = false)
      : entropy_(entropy), offers_tls_(offers_tls) {}

  [[nodiscard]] Next OnBytes(engine::Bytes in, size_t& consumed, std::string& out) override;
  [[nodiscard]] Next Resume(const protocol::ClientUser& user,
                            const protocol::TransportFacts& transport, std::string& out) override;
  const protocol::ClientIdentity& identity() const override { return identity_; }
  protocol::CancelKey cancel_key() const override { return cancel_key_; }
  bool wrong_proof() const override { return wrong_proof_; }
  std::string_view failure() const override { return failure_; }

 private:
  enum class State : uint8_t { kFirstPacket, kNeedUser, kSaslFirst, kSaslFinal, kEnded };

  Next OnFirstPacket(std::string_view packet, std::string& out);
  Next OnStartup(uint32_t version, std::string_view body, std::string& out);
  Next OnPassword(std::string_view body, std::string& out);
  Next OnSaslFirst(std::string_view body, std::string& out);
  Next OnSaslFinal(std::string_view body, std::string& out);
  Next Fail(std::string_view sqlstate, std::string_view text, std::string& out);
  Next FailProof(std::string& out);

  engine::Entropy& entropy_;
  const bool offers_tls_;
  State state_ = State::kFirstPacket;
  bool asked_ssl_ = false;  // or has TLS: it may not ask again
  bool asked_gss_ = false;
  bool known_user_ = false;
  bool wrong_proof_ = false;
  std::string partial_;  // of a packet that is not whole
  std::optional<protocol::ScramServer> scram_;
  protocol::ClientIdentity identity_;
  protocol::CancelKey cancel_key_;
  std::string failure_;
};

}  // namespace weir::postgres
