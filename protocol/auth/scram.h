// SCRAM-SHA-256 (RFC 5802, RFC 7677), both sides, as PostgreSQL speaks it. No channel binding yet.
//
// The exchanges never derive keys: that is slow by design (PBKDF2) and happens elsewhere, by
// DeriveScramKeys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/prng.h"
#include "protocol/auth/crypto.h"

namespace weir::protocol {

inline constexpr std::string_view kScramSha256 = "SCRAM-SHA-256";
inline constexpr uint32_t kScramIterations = 4096;
// A server that asks for more would only keep us busy.
inline constexpr uint32_t kScramIterationsMax = 1'000'000;

struct ScramKeys {
  Digest256 client_key{};
  Digest256 stored_key{};
  Digest256 server_key{};
};

// What is kept to verify a user's proofs.
struct ScramVerifier {
  std::string salt;
  uint32_t iterations = kScramIterations;
  Digest256 stored_key{};
  Digest256 server_key{};
};

// PBKDF2: milliseconds. Never on a shard. The password is prepared by SASLprep, or taken as it is
// if that cannot be.
ScramKeys DeriveScramKeys(std::string_view password, std::string_view salt, uint32_t iterations);

// For a user that does not exist: a salt that is always the same for the name, keys that nobody
// has.
ScramVerifier MockVerifier(std::string_view user, std::string_view salt_key);

// SASLprep (RFC 4013); nullopt if the text has no such form.
std::optional<std::string> SaslPrep(std::string_view text);

// The server's side: a client proves that it knows the password.
class ScramServer {
 public:
  ScramServer(const ScramVerifier& verifier, engine::Entropy& entropy);

  enum class Result : uint8_t { kOk, kWrong, kMalformed };
  // client-first-message -> server-first-message
  Result OnFirst(std::string_view message, std::string& reply);
  // client-final-message -> server-final-message
  Result OnFinal(std::string_view message, std::string& reply);

 private:
  const ScramVerifier verifier_;
  std::string nonce_;
  std::string gs2_header_;
  std::string first_bare_;
  std::string server_first_;
};

// The client's side: weir proves it to a server, and checks that the server knows it too.
class ScramClient {
 public:
  explicit ScramClient(engine::Entropy& entropy);

  std::string First() const;
  // server-first-message: salt() and iterations() are then known.
  bool OnServerFirst(std::string_view message);
  const std::string& salt() const { return salt_; }
  uint32_t iterations() const { return iterations_; }
  // With the keys of that salt: client-final-message.
  std::string Final(const ScramKeys& keys);
  // server-final-message; false if its signature is not right.
  bool OnServerFinal(std::string_view message) const;

 private:
  std::string nonce_;
  std::string combined_nonce_;
  std::string server_first_;
  std::string salt_;
  uint32_t iterations_ = 0;
  Digest256 server_signature_{};
};

}  // namespace weir::protocol
