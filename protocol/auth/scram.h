// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), both sides, as PostgreSQL speaks them.
// The one channel binding is tls-server-end-point (RFC 5929).
//
// The exchanges never derive keys: that is slow by design (PBKDF2) and happens elsewhere, by
// DeriveScramKeys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/prng.h"
#include "protocol/auth/crypto.h"

namespace weir::protocol {

inline constexpr std::string_view kScramSha256 = "SCRAM-SHA-256";
inline constexpr std::string_view kScramSha256Plus = "SCRAM-SHA-256-PLUS";
inline constexpr std::string_view kTlsServerEndPoint = "tls-server-end-point";
inline constexpr uint32_t kScramIterations = 4096;
// A server that asks for more would only keep us busy.
inline constexpr uint32_t kScramIterationsMax = 1'000'000;

struct ScramKeys {
  Digest256 client_key{};
  Digest256 stored_key{};
  Digest256 server_key{};
};

void Wipe(ScramKeys& keys);

// What is kept to verify a user's proofs.
struct ScramVerifier {
  // Of one password.
  struct Keys {
    Digest256 stored_key{};
    Digest256 server_key{};
  };

  std::string salt;
  uint32_t iterations = kScramIterations;
  Digest256 stored_key{};
  Digest256 server_key{};
  std::optional<Keys> previous;  // of the password before, as long as it is good too
};

// "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>", as PostgreSQL keeps it
// (pg_authid.rolpassword). nullopt: it is none, or asks for too many iterations.
std::optional<ScramVerifier> ParseScramVerifier(std::string_view text);

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
  // `binding`: tls-server-end-point of the connection; empty: none, and PLUS is not offered.
  ScramServer(const ScramVerifier& verifier, engine::Entropy& entropy,
              std::string_view binding = {});
  ~ScramServer();

  enum class Result : uint8_t { kOk, kWrong, kRefused };
  // Why it was refused, in PostgreSQL's words.
  struct Refusal {
    std::string_view sqlstate;
    std::string text;
  };

  // The names that are offered, the best one first.
  std::vector<std::string_view> Mechanisms() const;
  // Which of them the client has chosen; false: none. Without it, SCRAM-SHA-256.
  bool Choose(std::string_view mechanism);
  // client-first-message -> server-first-message
  Result OnFirst(std::string_view message, std::string& reply);
  // client-final-message -> server-final-message
  Result OnFinal(std::string_view message, std::string& reply);
  const Refusal& refusal() const { return refusal_; }
  // After a good proof: what the client has shown to know, as good as its password.
  const Digest256& client_key() const { return client_key_; }

 private:
  Result Refuse(std::string_view sqlstate, std::string text);
  Result Malformed(std::string_view detail);
  Result TakeFlag(std::string_view flag);
  // The signature of the server, if the proof is by these keys.
  bool Proves(const ScramVerifier::Keys& keys, std::string_view auth_message,
              std::string_view proof, std::string& reply);

  const ScramVerifier verifier_;
  const std::string binding_;
  bool plus_ = false;  // the client has chosen it
  std::string nonce_;
  std::string gs2_header_;
  std::string first_bare_;
  std::string server_first_;
  Digest256 client_key_{};
  Refusal refusal_;
};

// What a client says of channel binding in its first message (gs2-cbind-flag).
enum class ScramBinding : uint8_t {
  kNone,        // 'n': it cannot, or does not want to
  kNotOffered,  // 'y': it could, but the server has not offered it
  kEndPoint,    // 'p': tls-server-end-point
};

// The client's side: weir proves it to a server, and checks that the server knows it too.
class ScramClient {
 public:
  // `end_point`: the binding's data, with kEndPoint.
  explicit ScramClient(engine::Entropy& entropy, ScramBinding binding = ScramBinding::kNone,
                       std::string_view end_point = {});

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
  const std::string gs2_header_;
  const std::string end_point_;  // the data of the binding, or nothing
  std::string nonce_;
  std::string combined_nonce_;
  std::string server_first_;
  std::string salt_;
  uint32_t iterations_ = 0;
  Digest256 server_signature_{};
};

}  // namespace weir::protocol
