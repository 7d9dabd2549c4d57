// A client's way in: SSLRequest and its like, the startup message, the proof of who it is.
//
//   first packet -> (SSLRequest: 'S' and TLS, or 'N'; GSSENCRequest: 'N'; again) -> need user ->
//   [proof] -> done
//                -> cancel
//
//   proof: SCRAM first -> SCRAM final | md5 answer | certificate (at once) | token -> its check
//
// Where TLS is offered a client may also begin with it, without asking.
//
// Anything else at any point is a FATAL protocol error: a second StartupMessage, a password message
// too early or too many, messages beyond their limits. (PostgreSQL protocol 3.0, "Start-up", "SASL
// Authentication".)
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/prng.h"
#include "protocol/auth/scram.h"
#include "protocol/dialect.h"

namespace weir::postgres {

class PostgresClientLogin final : public protocol::ClientLogin {
 public:
  explicit PostgresClientLogin(engine::Entropy& entropy, bool offers_tls = false)
      : entropy_(entropy), offers_tls_(offers_tls) {}
  ~PostgresClientLogin() override;

  [[nodiscard]] Next OnBytes(engine::Bytes in, size_t& consumed, std::string& out) override;
  [[nodiscard]] Next Resume(const protocol::ClientUser& user,
                            const protocol::TransportFacts& transport, std::string& out) override;
  std::string_view token() const override { return token_; }
  [[nodiscard]] Next OnTokenChecked(bool good, std::string_view why, std::string& out) override;
  std::string_view client_key() const override;
  const protocol::ClientIdentity& identity() const override { return identity_; }
  protocol::CancelKey cancel_key() const override { return cancel_key_; }
  bool wrong_proof() const override { return wrong_proof_; }
  std::string_view failure() const override { return failure_; }

 private:
  enum class State : uint8_t {
    kFirstPacket,
    kNeedUser,
    kSaslFirst,
    kSaslFinal,
    kMd5,
    kToken,
    kTokenCheck,
    kEnded
  };

  Next OnFirstPacket(std::string_view packet, std::string& out);
  Next OnStartup(uint32_t version, std::string_view body, std::string& out);
  Next AskScram(const protocol::ScramVerifier& verifier, const protocol::TransportFacts& transport,
                std::string& out);
  Next AskMd5(std::span<const std::string> hashes, std::string& out);
  Next CheckCertificate(const protocol::ClientUser& user, const protocol::TransportFacts& transport,
                        std::string& out);
  Next OnPassword(std::string_view body, std::string& out);
  Next OnSaslFirst(std::string_view body, std::string& out);
  Next OnSaslFinal(std::string_view body, std::string& out);
  Next OnMd5(std::string_view password, std::string& out);
  Next OnToken(std::string_view password, std::string& out);
  Next LetIn(std::string& out);
  Next Fail(std::string_view sqlstate, std::string_view text, std::string& out);
  Next FailProof(std::string& out);
  Next FailToken(std::string_view why, std::string& out);

  engine::Entropy& entropy_;
  const bool offers_tls_;
  State state_ = State::kFirstPacket;
  bool asked_ssl_ = false;  // or has TLS: it may not ask again
  bool asked_gss_ = false;
  bool known_user_ = false;
  bool reveal_ = false;  // ClientUser::reveal
  bool wrong_proof_ = false;
  std::string partial_;  // of a packet that is not whole
  std::optional<protocol::ScramServer> scram_;
  bool scram_proven_ = false;             // its client key is known
  std::vector<std::string> md5_answers_;  // those that are right
  std::string token_;
  protocol::ClientIdentity identity_;
  protocol::CancelKey cancel_key_;
  std::string failure_;
};

}  // namespace weir::postgres
