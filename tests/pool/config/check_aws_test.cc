// [aws], server_auth, secret_arn and username: what goes together, and what is refused.
#include "pool/config/check_aws.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "pool/config/load_toml.h"

namespace weir::pool {
namespace {

constexpr const char* kArn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-AbCdEf";

class CheckAwsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weir-config-XXXXXX";
    folder_ = mkdtemp(name);
    Write("app.json", R"({"username": "app", "password": "x"})");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  absl::StatusOr<Config> Load(const std::string& target, const std::string& auth,
                              const std::string& rest = "") {
    Write("weir.toml", "[[endpoint]]\nlisten = \"127.0.0.1:6432\"\n[[target]]\n" + target +
                           "\n[[auth]]\n" + auth + "\n" + rest);
    return LoadConfig(folder_ + "/weir.toml");
  }
  std::string ErrorOf(const std::string& target, const std::string& auth,
                      const std::string& rest = "") {
    const absl::StatusOr<Config> config = Load(target, auth, rest);
    return config.ok() ? "" : std::string(config.status().message());
  }
  void Expect(const std::string& error, std::string_view part) {
    EXPECT_NE(error.find(part), std::string::npos) << error;
  }
  std::string Aws(const std::string& options) {
    return ErrorOf("", "secret_file = 'app.json'", "[aws]\n" + options);
  }

  std::string folder_;
};

TEST_F(CheckAwsTest, Defaults) {
  const absl::StatusOr<Config> config = Load("", std::string("secret_arn = '") + kArn + "'",
                                             "[aws]\ncredentials = ['metadata', 'k']");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->aws.credentials, (std::vector<std::string>{"metadata", folder_ + "/k"}));
  EXPECT_EQ(config->aws.profile, "default");
  EXPECT_EQ(config->aws.secret_refresh_period, 300 * engine::kSecond);
  EXPECT_TRUE(NeedsAws(*config));
  EXPECT_TRUE(config->users.empty());
  const absl::StatusOr<Config> plain = Load("", "secret_file = 'app.json'");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->aws.credentials, std::vector<std::string>{"environment"});
  EXPECT_FALSE(NeedsAws(*plain));
}

TEST_F(CheckAwsTest, NamesOfSecrets) {
  EXPECT_EQ(RegionOfSecret(kArn), "eu-west-1");
  EXPECT_EQ(RegionOfSecret("arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:a"),
            "cn-north-1");
  for (const char* bad : {"", "app", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:",
                          "arn:aws:secretsmanager:eu-west-1:111122223333:secret",
                          "arn:aws:secretsmanager::111122223333:secret:a",
                          "arn:aws:secretsmanager:eu-west-1:1111:secret:a",
                          "arn:aws:secretsmanager:evil.example/:111122223333:secret:a",
                          "arn:aws:s3:eu-west-1:111122223333:secret:a",
                          "arn:aws:secretsmanager:eu-west-1:111122223333:secret:a b",
                          "arn:aws:secretsmanager:eu-west-1:111122223333:secret:a:b"}) {
    EXPECT_EQ(RegionOfSecret(bad), "") << bad;
    if (*bad != '\0')
      Expect(ErrorOf("", std::string("secret_arn = '") + bad + "'"),
             "weir.toml:6:14: secret_arn: must be arn:aws:secretsmanager:<region>:");
  }
}

TEST_F(CheckAwsTest, Urls) {
  EXPECT_EQ(HostOfUrl("https://db.example:8443"), "db.example:8443");
  EXPECT_EQ(HostOfUrl("http://[::1]:80"), "[::1]:80");
  for (const char* bad : {"", "db.example", "ftp://db", "https://", "https://a/b", "https://a@b",
                          "https://a?b", "https://a b", "https://a\r\nb"})
    EXPECT_EQ(HostOfUrl(bad), "") << bad;
  for (const char* name : {"secrets_manager_endpoint", "metadata_endpoint"}) {
    const std::string option = std::string(name) + " = ";
    EXPECT_EQ(Aws(option + "'http://127.0.0.1:1'"), "");
    EXPECT_EQ(Aws(option + "'http://[::1]:1'"), "");
    EXPECT_EQ(Aws(option + "'http://localhost:1'"), "");
    EXPECT_EQ(Aws(option + "'https://a.example'"), "");
    Expect(Aws(option + "'http://a.example'"),
           std::string(name) + ": http is for this machine only: use https");
    Expect(Aws(option + "'http://127.0.0.1.example'"), "http is for this machine only");
    Expect(Aws(option + "'a.example'"), "must be https://host or https://host:port");
  }
  EXPECT_EQ(Aws("metadata_endpoint = 'http://169.254.169.254'"), "");
  Expect(Aws("secrets_manager_endpoint = 'http://169.254.169.254'"), "use https");
}

TEST_F(CheckAwsTest, Credentials) {
  const std::string auth = std::string("secret_arn = '") + kArn + "'";
  Expect(ErrorOf("", auth, "[aws]\ncredentials = []"), "credentials: must be environment");
  Expect(ErrorOf("", auth, "[aws]\ncredentials = ['']"), "credentials: must be environment");
  Expect(ErrorOf("", auth, "[aws]\ncredentials = 'keys'"),
         "weir.toml:8:15: credentials: " + folder_ + "/keys: cannot be read");
  Write("keys", "[other]\naws_access_key_id = A\naws_secret_access_key = s\n");
  std::filesystem::permissions(folder_ + "/keys", std::filesystem::perms::owner_read);
  Expect(ErrorOf("", auth, "[aws]\ncredentials = 'keys'"), "has no section [default] with a key");
  EXPECT_EQ(ErrorOf("", auth, "[aws]\ncredentials = 'keys'\nprofile = 'other'"), "");
  Expect(ErrorOf("", auth, "[aws]\nca_file = ''"), "ca_file: must be a file or \"system\"");
}

TEST_F(CheckAwsTest, TokensToTheServer) {
  const std::string verified = "tls_mode = 'verify-full'\nserver_auth = 'iam'\n";
  const std::string secret = "secret_file = 'app.json'";
  const std::string region = "[aws]\nregion = 'us-east-1'";
  EXPECT_EQ(ErrorOf(verified, secret, region), "");
  Expect(ErrorOf(verified, secret), "region: server_auth = \"iam\" needs the server's");
  Expect(ErrorOf("server_auth = 'token'", secret), "server_auth: must be secret or iam");
  for (const char* mode : {"disable", "prefer", "require", "verify-ca"})
    Expect(ErrorOf("server_auth = 'iam'\ntls_mode = '" + std::string(mode) + "'\n", secret, region),
           "iam needs tls_mode = \"verify-full\"");
  Expect(ErrorOf(verified + "server_auth_methods = ['password']", secret, region),
         "a token has one method");
  const absl::StatusOr<Config> config = Load(verified, secret, region);
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(RegionOfServers(*config), "us-east-1");
}

TEST_F(CheckAwsTest, OneSourceOfASecret) {
  const std::string both = std::string("secret_file = 'app.json'\nsecret_arn = '") + kArn + "'";
  Expect(ErrorOf("", both), "secret_arn: there is a secret_file too: one of them must go");
  Expect(ErrorOf("", "secret_file = 'app.json'\nusername = 'a'"), "one of them must go");
  Expect(ErrorOf("", "auth_scheme = 'SECRETS'"), "secret_file: the file with this user's secret");
}

TEST_F(CheckAwsTest, WhoeverHasNoSecretNeedsNone) {
  const std::string verified = "tls_mode = 'verify-full'\nserver_auth = 'iam'\n";
  const std::string certificates = "client_password_auth_type = 'POSTGRES_CERTIFICATE'\n";
  const std::string rest =
      "[aws]\nregion = 'us-east-1'\n[[certificate]]\ncertificate_file = 'a'\nkey_file = 'b'\n"
      "[client_tls]\nclient_ca_file = 'c'\n";
  const absl::StatusOr<Config> config = Load(verified, certificates + "username = 'app'", rest);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_NE(config->AuthOf("app"), nullptr);
  Expect(ErrorOf("", certificates + "username = 'app'", rest),
         "weir can log in to the server only with server_auth");
  for (const char* type : {"TRUST", "POSTGRES_MD5", "POSTGRES_SCRAM_SHA_256"})
    Expect(
        ErrorOf(verified,
                "username = 'app'\nclient_password_auth_type = '" + std::string(type) + "'", rest),
        "username: without a secret clients can log in by token");
  Expect(ErrorOf(verified,
                 certificates + "username = 'app'\n[[auth]]\n" + certificates + "username = 'app'",
                 rest),
         "the user \"app\" has two [[auth]] entries");
}

}  // namespace
}  // namespace weir::pool
