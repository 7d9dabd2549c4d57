// What a verifier is asked, and which answers are none.
#include "pool/aws/http_verifier.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/pool/aws/fake_http.h"

namespace weir::pool {
namespace {

std::string Good() {
  return R"({"signing_key":")" + std::string(64, '7') +
         R"(","policies":[],"expires_at":"2027-01-15T08:00:00Z"})";
}

class HttpVerifierTest : public testing::Test {
 protected:
  absl::StatusOr<protocol::VerifiedKey> Ask(const std::string& address) {
    IamQuestion question;
    question.access_key_id = "ASIA1";
    question.session_token = "t\"1";
    question.date = "20270115";
    question.region = "us-east-1";
    return verifier_.Ask({address, "ca.crt"}, question);
  }
  std::string ErrorOf(int status, const std::string& body) {
    http_.Will(status, body);
    const absl::StatusOr<protocol::VerifiedKey> key = Ask("unix:/x");
    return key.ok() ? "" : std::string(key.status().message());
  }

  FakeHttp http_;
  HttpVerifier verifier_{http_};
};

TEST_F(HttpVerifierTest, TheQuestion) {
  http_.Will(200, Good());
  const absl::StatusOr<protocol::VerifiedKey> key = Ask("unix:/run/verifier");
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->signing_key[0], 0x77);
  http_.Will(200, Good());
  EXPECT_TRUE(Ask("https://verifier.example/a").ok());
  ASSERT_EQ(http_.asked.size(), 2u);
  EXPECT_EQ(http_.asked[0].unix_socket, "/run/verifier");
  EXPECT_EQ(http_.asked[0].url, "http://localhost/");
  EXPECT_EQ(http_.asked[1].unix_socket, "");
  EXPECT_EQ(http_.asked[1].url, "https://verifier.example/a");
  for (const FakeHttp::Asked& each : http_.asked) {
    EXPECT_EQ(each.method, "POST");
    EXPECT_EQ(each.Header("content-type"), "application/json");
    EXPECT_EQ(each.body, R"({"access_key_id":"ASIA1","date":"20270115","region":"us-east-1",)"
                         R"("service":"rds-db","session_token":"t\"1"})");
  }
}

TEST_F(HttpVerifierTest, NoAnswer) {
  EXPECT_EQ(ErrorOf(0, "refused"), "the verifier: refused");
  EXPECT_EQ(ErrorOf(403, Good()), "the verifier: it knows no such key");
  EXPECT_EQ(ErrorOf(404, ""), "the verifier: it knows no such key");
  EXPECT_EQ(ErrorOf(500, Good()), "the verifier: status 500");
  EXPECT_EQ(ErrorOf(204, Good()), "the verifier: status 204");
  EXPECT_EQ(ErrorOf(200, "hidden"), "the verifier: the answer is not a JSON object");
  EXPECT_EQ(ErrorOf(200, Good()), "");
}

}  // namespace
}  // namespace weir::pool
