#include "pool/aws/http_verifier.h"

#include <string>
#include <string_view>

#include "engine/base/text.h"

namespace weir::pool {
namespace {

using engine::Cat;

constexpr engine::Nanos kTimeout = 3 * engine::kSecond;
constexpr std::string_view kUnix = "unix:";

absl::Status NoAnswer(const std::string& why) {
  return absl::UnavailableError(Cat("the verifier: ", why));
}

}  // namespace

absl::StatusOr<protocol::VerifiedKey> HttpVerifier::Ask(const IamVerifierPlace& place,
                                                        const IamQuestion& question) {
  HttpRequest request;
  request.method = "POST";
  request.url = place.address;
  request.ca_file = place.ca_file;
  if (place.address.starts_with(kUnix)) {
    request.unix_socket = place.address.substr(kUnix.size());
    request.url = "http://localhost/";
  }
  request.headers.emplace_back("content-type: application/json");
  request.body = protocol::VerifierQuestion(question.access_key_id, question.session_token,
                                            question.date, question.region);
  request.timeout = kTimeout;
  const HttpAnswer answer = http_.Send(request);
  if (answer.status == 0) return NoAnswer(answer.error);
  if (answer.status == 403 || answer.status == 404) return NoAnswer("it knows no such key");
  if (answer.status != 200) return NoAnswer(Cat("status ", answer.status));
  absl::StatusOr<protocol::VerifiedKey> key = protocol::ParseVerifiedKey(answer.body);
  return key.ok() ? key : NoAnswer(std::string(key.status().message()));
}

}  // namespace weir::pool
