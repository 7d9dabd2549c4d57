// Tokens. What is read says all that was sent: it verifies if it is put together anew, and with any
// change it does not.
//
// Input: the token. A byte 1 stands for the signature of what was signed, as the key's owner makes
// it, so that tokens behind the signature are reached.
#include <cstdint>
#include <string>

#include "engine/base/text.h"
#include "protocol/auth/iam_token.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using protocol::IamFault;
using protocol::IamToken;

protocol::AccessKey KeyOf(const IamToken& token) {
  protocol::AccessKey key;
  key.id = token.access_key_id;
  key.secret = "secret";
  key.session_token = token.session_token;
  return key;
}

std::string SignatureFor(const IamToken& token) {
  return protocol::SignatureOf(protocol::SigningKey("secret", token.scope), token.scope, token.time,
                               token.canonical_query, token.host);
}

void CheckParsed(const IamToken& token, std::string_view text) {
  CHECK(text.size() <= protocol::kIamTokenBytesMax);
  CHECK(token.expires > 0 && token.expires <= protocol::kIamTokenSecondsMax);
  CHECK(protocol::FormatBasicTime(token.signed_at) == token.time);
  CHECK(!token.access_key_id.empty() && !token.host.empty());
  CHECK(token.signature.size() == 64);
  // All of it once more, in canonical form.
  IamToken again;
  const std::string canonical =
      engine::Cat(token.host, "/?", token.canonical_query, "&X-Amz-Signature=", token.signature);
  const IamFault fault = protocol::ParseIamToken(canonical, again);
  CHECK(fault == IamFault::kNone || canonical.size() > protocol::kIamTokenBytesMax);
  if (fault == IamFault::kNone) {
    CHECK(again.canonical_query == token.canonical_query && again.user == token.user &&
          again.session_token == token.session_token && again.expires == token.expires);
  }
  // Exactly the owner's signature is good.
  const bool good = token.signature == SignatureFor(token);
  CHECK((protocol::IsSignedBy(token, KeyOf(token)) == IamFault::kNone) == good);
  protocol::AccessKey other = KeyOf(token);
  other.session_token += "x";
  CHECK(protocol::IsSignedBy(token, other) != IamFault::kNone);
}

void CheckTerms(const IamToken& token) {
  // Nanoseconds end in the year 2262.
  if (token.signed_at < 0 || token.signed_at > engine::kForever / engine::kSecond - 2000) return;
  const std::string hosts[] = {protocol::IamHostName(token.host, 443)};
  protocol::IamTerms terms{token.user, token.scope.region, hosts,
                           token.signed_at * engine::kSecond};
  const bool fit = token.action == "connect" && token.scope.service == protocol::kIamService &&
                   token.scope.date == token.time.substr(0, 8);
  CHECK((protocol::CheckIamToken(token, terms) == IamFault::kNone) == fit);
  terms.now += (token.expires + 1) * engine::kSecond;
  CHECK(protocol::CheckIamToken(token, terms) != IamFault::kNone);
  terms.now -= (token.expires + 302) * engine::kSecond;
  CHECK(protocol::CheckIamToken(token, terms) != IamFault::kNone);
}

FUZZ_TARGET(iam_token) {
  std::string text(engine::AsText(input));
  IamToken token;
  if (const size_t place = text.find('\1'); place != std::string::npos) {
    text.replace(place, 1, std::string(64, '0'));
    IamToken unsigned_one;
    if (protocol::ParseIamToken(text, unsigned_one) == IamFault::kNone)
      text.replace(place, 64, SignatureFor(unsigned_one));
  }
  if (protocol::ParseIamToken(text, token) != IamFault::kNone) return;
  CheckParsed(token, text);
  CheckTerms(token);
}

}  // namespace
}  // namespace weir::fuzz
