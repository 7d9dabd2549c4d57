// A token by which an AWS identity logs in as a database user instead of a password: a presigned
// GET whose scheme was cut off.
//
//   host:port/?Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=
//   AKID%2F20260101%2Fus-east-1%2Frds-db%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=
//   900&X-Amz-SignedHeaders=host[&X-Amz-Security-Token=...]&X-Amz-Signature=<64 hex>
//
// Verifying is three questions: what the text says (ParseIamToken), whether that is what this login
// needs (CheckIamToken), whether the owner of the key has said it (IsSignedBy). All are pure; the
// time is given. A token is as good as a password for its 15 minutes: it is wiped when it dies.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/clock.h"
#include "protocol/auth/sigv4.h"

namespace weir::protocol {

inline constexpr size_t kIamTokenBytesMax = 8192;
inline constexpr int64_t kIamTokenSecondsMax = 900;
inline constexpr int64_t kIamTokenSecondsAhead = 300;  // clocks differ
inline constexpr std::string_view kIamService = "rds-db";

// Why a token does not let its bearer in. Only the log tells.
enum class IamFault : uint8_t {
  kNone,
  kTooLong,
  kNotAToken,
  kUnknownParameter,
  kRepeatedParameter,
  kMissingParameter,
  kAlgorithm,
  kSignedHeaders,
  kCredential,
  kDate,
  kExpires,
  kAction,
  kUser,
  kHost,
  kScopeDate,
  kRegion,
  kService,
  kAhead,
  kExpired,
  kUnknownKey,
  kSessionToken,
  kSignature,
  kPolicy,
  kVerifier,
};
std::string_view IamFaultText(IamFault fault);

// A key of an identity. Wiped when it dies.
struct AccessKey {
  AccessKey() = default;
  AccessKey(const AccessKey&) = default;
  AccessKey(AccessKey&&) = default;
  AccessKey& operator=(const AccessKey&) = default;
  AccessKey& operator=(AccessKey&&) = default;
  ~AccessKey();

  std::string id;
  std::string secret;
  std::string session_token;  // of temporary credentials; empty: they are long-lived
};

struct IamToken {
  IamToken() = default;
  IamToken(const IamToken&) = delete;
  IamToken& operator=(const IamToken&) = delete;
  ~IamToken();

  std::string host;  // host[:port], as it was signed
  std::string action;
  std::string user;
  std::string access_key_id;
  SigningScope scope;
  std::string time;       // YYYYMMDDTHHMMSSZ
  int64_t signed_at = 0;  // the same, in seconds since 1970
  int64_t expires = 0;    // seconds, at most kIamTokenSecondsMax
  std::string session_token;
  std::string signature;
  std::string canonical_query;  // all that was signed, but the host
};

// kNone: `out` is filled. The parameters may come in any order, the '/' may be missing.
[[nodiscard]] IamFault ParseIamToken(std::string_view text, IamToken& out);

// What a token must be for.
struct IamTerms {
  std::string_view user;
  std::string_view region;
  // What tokens may call the endpoint: host:port, in lower case (see IamHostName).
  std::span<const std::string> host_names;
  engine::Nanos now = 0;  // wall time
};
// All but who has signed it.
[[nodiscard]] IamFault CheckIamToken(const IamToken& token, const IamTerms& terms);

// kNone, kSessionToken or kSignature. The time it takes does not depend on where they differ.
[[nodiscard]] IamFault IsSignedBy(const IamToken& token, const AccessKey& key);
// The same with the key of the token's scope itself; whose session token it is, is known.
[[nodiscard]] bool IsSignedWith(const IamToken& token, const Digest256& signing_key);

// A host's name as terms have it: lower case, with a port.
std::string IamHostName(std::string_view host, uint16_t default_port);

// The inverse: a token of `key` for `user` at `host` (host:port).
std::string MakeIamToken(const AccessKey& key, std::string_view host, std::string_view user,
                         std::string_view region, engine::Nanos now);

}  // namespace weir::protocol
