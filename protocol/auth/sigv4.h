// AWS Signature Version 4, as far as a presigned request needs it ("Signature Version 4 for API
// requests" and "Authenticating requests: query parameters" of AWS's documentation).
//
//   signing key = HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")
//   signature   = hex(HMAC(signing key, string to sign))
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/auth/crypto.h"

namespace weir::protocol {

inline constexpr std::string_view kSigV4Algorithm = "AWS4-HMAC-SHA256";
inline constexpr std::string_view kSigV4Terminator = "aws4_request";

// What a signing key is good for.
struct SigningScope {
  std::string date;  // YYYYMMDD
  std::string region;
  std::string service;
  // date/region/service/aws4_request
  std::string Text() const;
};

Digest256 SigningKey(std::string_view secret, const SigningScope& scope);
// Of a GET of "/" without a body whose only signed header is the host. `time`: YYYYMMDDTHHMMSSZ.
std::string SignatureOf(const Digest256& signing_key, const SigningScope& scope,
                        std::string_view time, std::string_view canonical_query,
                        std::string_view host);

// Of a POST of "/" with a body (the JSON protocols of AWS): the value of its Authorization header.
// `headers`: those that are signed, their names in lower case and in order.
using SignedHeaders = std::vector<std::pair<std::string_view, std::string_view>>;
std::string AuthorizationOf(const Digest256& signing_key, std::string_view key_id,
                            const SigningScope& scope, std::string_view time,
                            const SignedHeaders& headers, std::string_view body);

// Names and values, decoded; a name may come twice.
using QueryParameters = std::vector<std::pair<std::string, std::string>>;
// Encoded anew, sorted by name and value, joined by '&'.
std::string CanonicalQuery(const QueryParameters& parameters);

// RFC 3986: unreserved characters as they are, others as %XX with upper-case digits.
std::string PercentEncode(std::string_view text);
// nullopt: a '%' without two digits. A '+' is a plus.
std::optional<std::string> PercentDecode(std::string_view text);
std::string LowerHex(std::string_view bytes);

// YYYYMMDDTHHMMSSZ as seconds since 1970; nullopt: no such time.
std::optional<int64_t> ParseBasicTime(std::string_view text);
std::string FormatBasicTime(int64_t seconds);
// YYYY-MM-DDTHH:MM:SSZ, likewise.
std::optional<int64_t> ParseIsoTime(std::string_view text);

}  // namespace weir::protocol
