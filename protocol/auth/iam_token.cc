#include "protocol/auth/iam_token.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "engine/base/text.h"

namespace weir::protocol {
namespace {

using engine::Cat;

constexpr size_t kSignatureLength = 64;
// What the port of a presigned request is that names none: it is one of https.
constexpr uint16_t kPresignedPort = 443;
constexpr std::string_view kSignatureName = "X-Amz-Signature";

// The parameters of a token; each is there once, the session token at most once.
enum class Parameter : uint8_t {
  kAction,
  kUser,
  kAlgorithm,
  kCredential,
  kDate,
  kExpires,
  kSignedHeaders,
  kSecurityToken,
  kSignature,
};
constexpr std::string_view kNames[] = {
    "Action",       "DBUser",        "X-Amz-Algorithm",     "X-Amz-Credential",
    "X-Amz-Date",   "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Security-Token",
    kSignatureName,
};
constexpr size_t kParameters = std::size(kNames);

struct Values {
  Values() = default;
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;
  ~Values() {
    for (auto& each : all) {
      if (each) Wipe(*each);
    }
  }
  std::optional<std::string> all[kParameters];
  std::string& operator[](Parameter parameter) { return *all[static_cast<size_t>(parameter)]; }
  bool has(Parameter parameter) const { return all[static_cast<size_t>(parameter)].has_value(); }
};

// Of a host's name or address, with or without a port.
bool IsHostCharacter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == ':' || c == '[' || c == ']';
}

IamFault Split(std::string_view query, Values& values) {
  for (;;) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return IamFault::kNotAToken;
    const std::optional<std::string> name = PercentDecode(pair.substr(0, equals));
    std::optional<std::string> value = PercentDecode(pair.substr(equals + 1));
    if (!name || !value) return IamFault::kNotAToken;
    const auto* found = std::find(std::begin(kNames), std::end(kNames), *name);
    if (found == std::end(kNames)) return IamFault::kUnknownParameter;
    std::optional<std::string>& place = values.all[found - std::begin(kNames)];
    if (place) return IamFault::kRepeatedParameter;
    place = std::move(value);
    if (end == std::string_view::npos) return IamFault::kNone;
    query.remove_prefix(end + 1);
  }
}

// AKID/YYYYMMDD/region/service/aws4_request
bool ParseCredential(std::string_view text, IamToken& out) {
  std::string_view parts[5];
  for (size_t i = 0; i < 5; ++i) {
    const size_t slash = text.find('/');
    if ((slash == std::string_view::npos) != (i == 4)) return false;
    parts[i] = text.substr(0, slash);
    if (parts[i].empty()) return false;
    text.remove_prefix(std::min(text.size(), parts[i].size() + 1));
  }
  if (parts[4] != kSigV4Terminator) return false;
  out.access_key_id = std::string(parts[0]);
  out.scope = {std::string(parts[1]), std::string(parts[2]), std::string(parts[3])};
  return true;
}

// 0: none, or no number.
int64_t ParseExpires(std::string_view text) {
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return 0;
    value = std::min<int64_t>(kIamTokenSecondsMax, value * 10 + (c - '0'));
  }
  return value;
}

bool IsSignature(std::string_view text) {
  return text.size() == kSignatureLength &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string CanonicalOf(const Values& values) {
  QueryParameters parameters;
  for (size_t i = 0; i < kParameters; ++i) {
    if (values.all[i] && kNames[i] != kSignatureName)
      parameters.emplace_back(kNames[i], *values.all[i]);
  }
  return CanonicalQuery(parameters);
}

std::string Sign(const AccessKey& key, const SigningScope& scope, std::string_view time,
                 std::string_view query, std::string_view host) {
  Digest256 signing_key = SigningKey(key.secret, scope);
  std::string signature = SignatureOf(signing_key, scope, time, query, host);
  Wipe(signing_key);
  return signature;
}

}  // namespace

AccessKey::~AccessKey() {
  Wipe(secret);
  Wipe(session_token);
}

IamToken::~IamToken() {
  Wipe(session_token);
  Wipe(signature);
  Wipe(canonical_query);
}

std::string_view IamFaultText(IamFault fault) {
  switch (fault) {
    case IamFault::kNone:
      return "it is good";
    case IamFault::kTooLong:
      return "it is longer than 8 KiB";
    case IamFault::kNotAToken:
      return "it is not a token (host:port/?Action=connect&DBUser=...)";
    case IamFault::kUnknownParameter:
      return "it has a parameter that a token does not have";
    case IamFault::kRepeatedParameter:
      return "it has a parameter twice";
    case IamFault::kMissingParameter:
      return "it lacks a parameter";
    case IamFault::kAlgorithm:
      return "X-Amz-Algorithm is not AWS4-HMAC-SHA256";
    case IamFault::kSignedHeaders:
      return "X-Amz-SignedHeaders is not host";
    case IamFault::kCredential:
      return "X-Amz-Credential is not key/date/region/service/aws4_request";
    case IamFault::kDate:
      return "X-Amz-Date is no time";
    case IamFault::kExpires:
      return "X-Amz-Expires is 0 or no number";
    case IamFault::kAction:
      return "its Action is not connect";
    case IamFault::kUser:
      return "its DBUser is another user";
    case IamFault::kHost:
      return "its host and port are none of the endpoint's host_names";
    case IamFault::kScopeDate:
      return "the date of its credential is not that of X-Amz-Date";
    case IamFault::kRegion:
      return "it is for another region";
    case IamFault::kService:
      return "it is for another service than rds-db";
    case IamFault::kAhead:
      return "it was made more than 300 s in the future: compare the clocks";
    case IamFault::kExpired:
      return "it has expired";
    case IamFault::kUnknownKey:
      return "its access key is none of an [[iam.principal]]";
    case IamFault::kSessionToken:
      return "its session token is not that of the access key";
    case IamFault::kSignature:
      return "its signature is wrong: another secret key, or it was changed";
    case IamFault::kPolicy:
      return "no policy of its identity allows rds-db:connect as this user, or one denies it";
    case IamFault::kVerifier:
      return "its temporary key could not be verified";
  }
  return "";
}

IamFault ParseIamToken(std::string_view text, IamToken& out) {
  if (text.size() > kIamTokenBytesMax) return IamFault::kTooLong;
  const size_t question = text.find('?');
  if (question == std::string_view::npos) return IamFault::kNotAToken;
  std::string_view host = text.substr(0, question);
  if (host.ends_with('/')) host.remove_suffix(1);
  if (host.empty() || !std::all_of(host.begin(), host.end(), IsHostCharacter))
    return IamFault::kNotAToken;
  Values values;
  if (const IamFault fault = Split(text.substr(question + 1), values); fault != IamFault::kNone)
    return fault;
  for (size_t i = 0; i < kParameters; ++i) {
    if (!values.all[i] && static_cast<Parameter>(i) != Parameter::kSecurityToken)
      return IamFault::kMissingParameter;
  }
  if (values[Parameter::kAlgorithm] != kSigV4Algorithm) return IamFault::kAlgorithm;
  if (values[Parameter::kSignedHeaders] != "host") return IamFault::kSignedHeaders;
  if (!ParseCredential(values[Parameter::kCredential], out)) return IamFault::kCredential;
  const std::optional<int64_t> signed_at = ParseBasicTime(values[Parameter::kDate]);
  if (!signed_at) return IamFault::kDate;
  out.signed_at = *signed_at;
  out.expires = ParseExpires(values[Parameter::kExpires]);
  if (out.expires == 0) return IamFault::kExpires;
  if (!IsSignature(values[Parameter::kSignature])) return IamFault::kSignature;
  // Before the values are moved away.
  out.canonical_query = CanonicalOf(values);
  out.host = std::string(host);
  out.action = std::move(values[Parameter::kAction]);
  out.user = std::move(values[Parameter::kUser]);
  out.time = std::move(values[Parameter::kDate]);
  out.signature = std::move(values[Parameter::kSignature]);
  if (values.has(Parameter::kSecurityToken)) {
    if (values[Parameter::kSecurityToken].empty()) return IamFault::kSessionToken;
    out.session_token = std::move(values[Parameter::kSecurityToken]);
  }
  return IamFault::kNone;
}

IamFault CheckIamToken(const IamToken& token, const IamTerms& terms) {
  if (token.action != "connect") return IamFault::kAction;
  if (token.user != terms.user) return IamFault::kUser;
  const std::string host = IamHostName(token.host, kPresignedPort);
  if (std::find(terms.host_names.begin(), terms.host_names.end(), host) == terms.host_names.end())
    return IamFault::kHost;
  if (token.scope.date != std::string_view(token.time).substr(0, 8)) return IamFault::kScopeDate;
  if (token.scope.region != terms.region) return IamFault::kRegion;
  if (token.scope.service != kIamService) return IamFault::kService;
  const int64_t age = terms.now / engine::kSecond - token.signed_at;
  if (age < -kIamTokenSecondsAhead) return IamFault::kAhead;
  return age > token.expires ? IamFault::kExpired : IamFault::kNone;
}

IamFault IsSignedBy(const IamToken& token, const AccessKey& key) {
  std::string signature = Sign(key, token.scope, token.time, token.canonical_query, token.host);
  const bool same_session = EqualInConstantTime(token.session_token, key.session_token);
  const bool same_signature = EqualInConstantTime(token.signature, signature);
  Wipe(signature);
  if (!same_signature) return IamFault::kSignature;
  return same_session ? IamFault::kNone : IamFault::kSessionToken;
}

bool IsSignedWith(const IamToken& token, const Digest256& signing_key) {
  std::string signature =
      SignatureOf(signing_key, token.scope, token.time, token.canonical_query, token.host);
  const bool same = EqualInConstantTime(token.signature, signature);
  Wipe(signature);
  return same;
}

std::string IamHostName(std::string_view host, uint16_t default_port) {
  std::string name(host);
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  // A colon within brackets belongs to an IPv6 address.
  const size_t colon = name.rfind(':');
  const size_t bracket = name.rfind(']');
  const bool has_port =
      colon != std::string::npos && (bracket == std::string::npos || bracket < colon);
  return has_port ? name : Cat(name, ':', default_port);
}

std::string MakeIamToken(const AccessKey& key, std::string_view host, std::string_view user,
                         std::string_view region, engine::Nanos now) {
  const std::string time = FormatBasicTime(now / engine::kSecond);
  const SigningScope scope{time.substr(0, 8), std::string(region), std::string(kIamService)};
  QueryParameters parameters = {
      {"Action", "connect"},
      {"DBUser", std::string(user)},
      {"X-Amz-Algorithm", std::string(kSigV4Algorithm)},
      {"X-Amz-Credential", Cat(key.id, '/', scope.Text())},
      {"X-Amz-Date", time},
      {"X-Amz-Expires", Cat(kIamTokenSecondsMax)},
      {"X-Amz-SignedHeaders", "host"},
  };
  if (!key.session_token.empty())
    parameters.emplace_back("X-Amz-Security-Token", key.session_token);
  const std::string query = CanonicalQuery(parameters);
  const std::string signature = Sign(key, scope, time, query, host);
  return Cat(host, "/?", query, '&', kSignatureName, '=', signature);
}

}  // namespace weir::protocol
