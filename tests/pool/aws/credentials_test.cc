// Where weir's own key comes from: the environment, a file, the metadata service, in order.
#include "pool/aws/credentials.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/pool/aws/fake_http.h"

namespace weir::pool {
namespace {

constexpr const char* kKey =
    R"({"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"s","Token":"t",
        "Expiration":"2027-01-15T10:00:00Z"})";

class CredentialsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weir-aws-XXXXXX";
    folder_ = mkdtemp(name);
    for (const char* each : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})
      unsetenv(each);
  }
  void TearDown() override {
    SetUpEnvironment(nullptr, nullptr, nullptr);
    std::filesystem::remove_all(folder_);
  }
  static void SetUpEnvironment(const char* id, const char* secret, const char* token) {
    for (const auto& [name, value] : {std::pair{"AWS_ACCESS_KEY_ID", id},
                                      {"AWS_SECRET_ACCESS_KEY", secret},
                                      {"AWS_SESSION_TOKEN", token}}) {
      if (value == nullptr) {
        unsetenv(name);
      } else {
        setenv(name, value, 1);
      }
    }
  }
  std::string File(const std::string& text) {
    const std::string path = folder_ + "/keys";
    std::ofstream(path) << text;
    std::filesystem::permissions(
        path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return path;
  }
  absl::StatusOr<AwsKey> Find(std::vector<std::string> sources) {
    options_.credentials = std::move(sources);
    return FindAwsKey(options_, http_);
  }
  std::string ErrorOf(std::vector<std::string> sources) {
    const absl::StatusOr<AwsKey> key = Find(std::move(sources));
    return key.ok() ? "" : std::string(key.status().message());
  }

  std::string folder_;
  AwsOptions options_;
  FakeHttp http_;
};

TEST_F(CredentialsTest, FromTheEnvironment) {
  EXPECT_EQ(ErrorOf({"environment"}),
            "environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set");
  SetUpEnvironment("AKIA1", nullptr, nullptr);
  EXPECT_NE(ErrorOf({"environment"}), "");
  SetUpEnvironment("AKIA1", "s1", "t1");
  const absl::StatusOr<AwsKey> key = Find({"environment", "metadata"});
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(key->key.id, "AKIA1");
  EXPECT_EQ(key->key.secret, "s1");
  EXPECT_EQ(key->key.session_token, "t1");
  EXPECT_EQ(key->source, "environment");
  EXPECT_EQ(key->expires_at, 0);
  EXPECT_TRUE(http_.asked.empty());
}

TEST_F(CredentialsTest, FromAFile) {
  options_.profile = "weir";
  const std::string path = File(
      "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s1\n"
      "[weir]\naws_access_key_id = AKIA2\naws_secret_access_key = s2\n");
  const absl::StatusOr<AwsKey> key = Find({path});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->key.id, "AKIA2");
  EXPECT_EQ(key->source, path + " [weir]");
  options_.profile = "other";
  EXPECT_EQ(ErrorOf({path}), path + " has no section [other] with a key");
  std::filesystem::permissions(path, std::filesystem::perms::group_read,
                               std::filesystem::perm_options::add);
  EXPECT_EQ(ErrorOf({path}),
            path + ": others than its owner may read or write it: set its mode to 0600");
}

TEST_F(CredentialsTest, FromTheMetadataService) {
  http_.Will(200, "the/token==");
  http_.Will(200, "weir-role\n");
  http_.Will(200, kKey);
  const absl::StatusOr<AwsKey> key = Find({"environment", "metadata"});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->key.id, "ASIA1");
  EXPECT_EQ(key->key.session_token, "t");
  EXPECT_EQ(key->source, "metadata, role weir-role");
  EXPECT_EQ(key->expires_at, *protocol::ParseBasicTime("20270115T100000Z") * engine::kSecond);
  ASSERT_EQ(http_.asked.size(), 3u);
  EXPECT_EQ(http_.asked[0].method, "PUT");
  EXPECT_EQ(http_.asked[0].url, "http://169.254.169.254/latest/api/token");
  EXPECT_EQ(http_.asked[0].Header("X-aws-ec2-metadata-token-ttl-seconds"), "60");
  EXPECT_EQ(http_.asked[1].method, "GET");
  EXPECT_EQ(http_.asked[1].url,
            "http://169.254.169.254/latest/meta-data/iam/security-credentials/");
  EXPECT_EQ(http_.asked[1].Header("X-aws-ec2-metadata-token"), "the/token==");
  EXPECT_EQ(http_.asked[2].url,
            "http://169.254.169.254/latest/meta-data/iam/security-credentials/weir-role");
  EXPECT_EQ(http_.asked[2].Header("X-aws-ec2-metadata-token"), "the/token==");
}

TEST_F(CredentialsTest, WhatTheMetadataServiceMayGetWrong) {
  options_.metadata_endpoint = "http://127.0.0.1:1";
  const std::string roles = "GET http://127.0.0.1:1/latest/meta-data/iam/security-credentials/";
  const auto error = [this](std::vector<std::pair<int, std::string>> answers) {
    for (auto& [status, body] : answers) http_.Will(status, body);
    const std::string text = ErrorOf({"metadata"});
    EXPECT_TRUE(http_.empty());
    return text;
  };
  EXPECT_EQ(error({{0, "refused"}}), "metadata: PUT http://127.0.0.1:1/latest/api/token: refused");
  EXPECT_EQ(error({{403, "no"}}), "metadata: PUT http://127.0.0.1:1/latest/api/token: status 403");
  EXPECT_EQ(error({{200, "two\nlines: x"}}), "metadata: the service's token is none");
  EXPECT_EQ(error({{200, ""}}), "metadata: the service's token is none");
  EXPECT_EQ(error({{200, "t"}, {404, ""}}), "metadata: " + roles + ": status 404");
  EXPECT_EQ(error({{200, "t"}, {200, ""}}),
            "metadata: the instance has no role (instance profile)");
  EXPECT_EQ(error({{200, "t"}, {200, "a/../b"}}),
            "metadata: the instance has no role (instance profile)");
  EXPECT_EQ(error({{200, "t"}, {200, "r"}, {401, ""}}), "metadata: " + roles + "r: status 401");
  EXPECT_EQ(error({{200, "t"}, {200, "r"}, {200, "<html>"}}),
            "metadata: the key of the role \"r\": not a JSON object");
  EXPECT_NE(error({{200, "t"}, {200, "r"}, {200, R"({"Code":"Failed"})"}}).find("Code is \"Failed"),
            std::string::npos);
}

}  // namespace
}  // namespace weir::pool
