// Asks an operator's verifier by HTTP, over a unix socket or https.
//
//   POST {"access_key_id": ..., "session_token": ..., "date": "20260101", "region": "us-east-1",
//         "service": "rds-db"}
//   200  {"signing_key": "<64 hex>", "policies": ["<a policy>", ...], "expires_at": "2026-...Z"}
//   403, 404   it knows no such key
#pragma once

#include "pool/aws/http.h"
#include "pool/session/iam_verifier.h"

namespace weir::pool {

class HttpVerifier final : public IamVerifier {
 public:
  explicit HttpVerifier(Http& http) : http_(http) {}
  absl::StatusOr<protocol::VerifiedKey> Ask(const IamVerifierPlace& place,
                                            const IamQuestion& question) override;

 private:
  Http& http_;
};

}  // namespace weir::pool
