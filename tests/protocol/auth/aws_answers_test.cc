// Answers of services: what is taken, what is refused, and that errors hide what is secret.
#include "protocol/auth/aws_answers.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::protocol {
namespace {

template <class Value>
std::string ErrorOf(const absl::StatusOr<Value>& value) {
  return value.ok() ? "" : std::string(value.status().message());
}

TEST(AwsAnswersTest, KeysOfTheMetadataService) {
  const auto key = ParseMetadataKey(
      R"({"Code":"Success","LastUpdated":"2026-01-01T00:00:00Z","Type":"AWS-HMAC",
          "AccessKeyId":"ASIA1","SecretAccessKey":"s/+=","Token":"t==",
          "Expiration":"2026-01-01T06:00:00Z"})");
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->key.id, "ASIA1");
  EXPECT_EQ(key->key.secret, "s/+=");
  EXPECT_EQ(key->key.session_token, "t==");
  EXPECT_EQ(key->expires_at, *ParseBasicTime("20260101T060000Z"));
  for (const auto& [text, error] : {
           std::pair{"", "not a JSON object"},
           {"[]", "not a JSON object"},
           {R"({"Code":"AssumeRoleUnauthorizedAccess\n"})",
            "the service has no key: Code is \"AssumeRoleUnauthorizedAccess\\n\""},
           {R"({"AccessKeyId":""})", "\"AccessKeyId\" is missing, or not a text"},
           {R"({"AccessKeyId":"a\nb"})", "\"AccessKeyId\" holds a character that it cannot have"},
           {R"({"AccessKeyId":"a","SecretAccessKey":1})",
            "\"SecretAccessKey\" is missing, or not a text"},
           {R"({"AccessKeyId":"a","SecretAccessKey":"hidden","Token":"t","Expiration":"soon"})",
            "\"Expiration\" is no time such as 2026-01-01T06:00:00Z"},
       })
    EXPECT_EQ(ErrorOf(ParseMetadataKey(text)), error);
}

TEST(AwsAnswersTest, Secrets) {
  const auto text = ParseSecretValue(R"({"ARN":"a","SecretString":"{\"x\":1}","VersionId":"v1"})");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->text, "{\"x\":1}");
  EXPECT_EQ(text->version, "v1");
  const auto binary = ParseSecretValue(R"({"SecretBinary":"eyJ4IjoxfQ==","VersionId":"v2"})");
  ASSERT_TRUE(binary.ok());
  EXPECT_EQ(binary->text, "{\"x\":1}");
  EXPECT_EQ(ErrorOf(ParseSecretValue("<html>")), "the answer is not a JSON object");
  EXPECT_EQ(ErrorOf(ParseSecretValue(R"({"VersionId":"v"})")),
            "the answer has neither \"SecretString\" nor \"SecretBinary\"");
  EXPECT_EQ(ErrorOf(ParseSecretValue(R"({"SecretBinary":"hidden!","VersionId":"v"})")),
            "\"SecretBinary\" of the answer is not base64");
  EXPECT_EQ(ErrorOf(ParseSecretValue(R"({"SecretString":"hidden"})")),
            "\"VersionId\" is missing, or not a text");
}

TEST(AwsAnswersTest, Errors) {
  AwsError error = ParseAwsError(R"({"__type":"com.amazonaws#ThrottlingException","message":"m"})");
  EXPECT_EQ(error.code, "ThrottlingException");
  EXPECT_EQ(error.message, "m");
  error = ParseAwsError(R"({"__type":"AccessDeniedException","Message":"User is not authorized"})");
  EXPECT_EQ(error.code, "AccessDeniedException");
  EXPECT_EQ(error.message, "User is not authorized");
  for (const char* none : {"", "x", "[]", "{}", R"({"__type":1,"message":[]})"}) {
    EXPECT_EQ(ParseAwsError(none).code, "") << none;
    EXPECT_EQ(ParseAwsError(none).message, "") << none;
  }
}

TEST(AwsAnswersTest, AnswersOfAVerifier) {
  const std::string hex(64, 'a');
  const std::string expires = R"(,"expires_at":"2026-01-01T06:00:00Z")";
  const auto key = ParseVerifiedKey(
      R"({"signing_key":")" + hex + "\"" + expires +
      R"(,"policies":["{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}"]})");
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->signing_key[31], 0xaa);
  EXPECT_EQ(key->policies.size(), 1u);
  EXPECT_EQ(key->expires_at, *ParseBasicTime("20260101T060000Z"));
  EXPECT_EQ(ErrorOf(ParseVerifiedKey(R"({"signing_key":"hidden"})")),
            "\"signing_key\" is not 64 digits 0-9a-f");
  EXPECT_EQ(ErrorOf(ParseVerifiedKey(R"({"signing_key":")" + hex + "\"}")),
            "\"expires_at\" is no time such as 2026-01-01T06:00:00Z");
  const auto with = [&](const std::string& policies) {
    return ErrorOf(ParseVerifiedKey(R"({"signing_key":")" + hex + "\"" + expires + policies + "}"));
  };
  EXPECT_EQ(with(""), "\"policies\" is not a list of at most 100 texts, each a policy");
  EXPECT_EQ(with(R"(,"policies":[{}])"), "\"policies\" holds something that is not a text");
  EXPECT_EQ(with(R"(,"policies":["{}"])"), "a policy: the element \"Statement\" is missing");
}

TEST(AwsAnswersTest, Questions) {
  EXPECT_EQ(SecretQuestion("arn:a\"b", "AWSCURRENT"),
            R"({"SecretId":"arn:a\"b","VersionStage":"AWSCURRENT"})");
  EXPECT_EQ(
      VerifierQuestion("A", "t\xff", "20260101", "r"),
      "{\"access_key_id\":\"A\",\"date\":\"20260101\",\"region\":\"r\",\"service\":\"rds-db\","
      "\"session_token\":\"t\xef\xbf\xbd\"}");
}

}  // namespace
}  // namespace weir::protocol
