// Whoever knows temporary keys that no file has: an operator's service, asked by a worker (a seam).
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "protocol/auth/aws_answers.h"

namespace weir::pool {

// What is to be known: the signing key of this date and region. Wiped when it dies.
struct IamQuestion {
  IamQuestion() = default;
  IamQuestion(const IamQuestion&) = default;
  IamQuestion& operator=(const IamQuestion&) = default;
  ~IamQuestion() { protocol::Wipe(session_token); }
  std::string access_key_id;
  std::string session_token;
  std::string date;  // YYYYMMDD
  std::string region;
};

// Where it is asked.
struct IamVerifierPlace {
  std::string address;  // unix:/path or https://...; empty: there is none
  std::string ca_file;  // "system", or who may certify it
};

class IamVerifier {
 public:
  virtual ~IamVerifier() = default;
  // Blocks, at most some seconds. Errors say why there is no answer, without anything secret.
  virtual absl::StatusOr<protocol::VerifiedKey> Ask(const IamVerifierPlace& place,
                                                    const IamQuestion& question) = 0;
};

}  // namespace weir::pool
