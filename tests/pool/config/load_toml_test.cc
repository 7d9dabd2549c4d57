// Loading: defaults, units, positions of errors, all errors at once, what a reload cannot change.
#include "pool/config/load_toml.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "pool/config/describe.h"
#include "pool/config/option_table.h"
#include "pool/config/salt_key.h"

namespace weir::pool {
namespace {

constexpr const char* kGood = R"([[endpoint]]
listen = "127.0.0.1:6432"
[[target]]
host = "127.0.0.1"
[[auth]]
secret_file = "app.json"
)";

class LoadConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weir-config-XXXXXX";
    folder_ = mkdtemp(name);
    Write("app.json", R"({"username": "app", "password": "x", "engine": "postgres"})");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  absl::StatusOr<Config> Load(const std::string& text) {
    Write("weir.toml", text);
    return LoadConfig(folder_ + "/weir.toml");
  }
  std::string ErrorOf(const std::string& text) {
    const absl::StatusOr<Config> config = Load(text);
    return config.ok() ? "" : std::string(config.status().message());
  }

  std::string folder_;
};

TEST_F(LoadConfigTest, DefaultsAndUnits) {
  const absl::StatusOr<Config> config = Load(std::string(kGood) + R"(
[connection_pool]
connection_borrow_timeout = 0.25
max_connections_percent = 40
statement_scan_limit = "64KiB"
[engine]
pin_threads = true
)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->proxy.name, "weir");
  EXPECT_EQ(config->proxy.idle_client_timeout, 1800 * engine::kSecond);
  EXPECT_EQ(config->connection_pool.connection_borrow_timeout, 250 * engine::kMillisecond);
  EXPECT_EQ(config->connection_pool.max_idle_connections_percent, 20);
  EXPECT_EQ(config->connection_pool.statement_scan_limit, 65536u);
  EXPECT_EQ(config->connection_pool.route_switch_bound, 50 * engine::kMillisecond);
  EXPECT_EQ(config->engine.pin_threads, "true");
  EXPECT_EQ(config->engine.buffer_memory, 64u << 20);
  EXPECT_EQ(config->targets[0].port, 5432);
  EXPECT_EQ(config->auths[0].secret_file, folder_ + "/app.json");
}

TEST_F(LoadConfigTest, ASizeThatMayBeOff) {
  EXPECT_EQ(Load(kGood)->engine.zero_copy_send, 0u);
  const auto with = [](const std::string& value) {
    return std::string(kGood) + "[engine]\nzero_copy_send = " + value + "\n";
  };
  EXPECT_EQ(Load(with("\"off\""))->engine.zero_copy_send, 0u);
  EXPECT_EQ(Load(with("\"16KiB\""))->engine.zero_copy_send, 16384u);
  EXPECT_EQ(Load(with("65536"))->engine.zero_copy_send, 65536u);
  for (const char* value : {"true", "\"on\"", "\"\"", "\"16KB\"", "-1", "\"OFF\"", "1.5"}) {
    EXPECT_NE(ErrorOf(with(value))
                  .find("weir.toml:8:18: zero_copy_send: expected \"off\" or a size: a number of "
                        "bytes, or text such as \"16KiB\""),
              std::string::npos)
        << value << ": " << ErrorOf(with(value));
  }
  for (const char* value : {"0", "4095", "\"2MiB\"", "\"99999999999GiB\""}) {
    EXPECT_NE(ErrorOf(with(value))
                  .find("weir.toml:8:18: zero_copy_send: must be \"off\" or 4096 to 1048576 bytes"),
              std::string::npos)
        << value << ": " << ErrorOf(with(value));
  }
  const absl::StatusOr<Config> before = Load(kGood);
  EXPECT_EQ(NeedRestart(*before, *Load(with("\"16KiB\""))),
            (std::vector<std::string>{"engine.zero_copy_send"}));
  EXPECT_NE(ErrorOf(std::string(kGood) + "[engine]\nbuffer_memory = 'off'\n")
                .find("buffer_memory: expected a size"),
            std::string::npos);
}

TEST_F(LoadConfigTest, AllErrorsAreToldWithTheirPlaces) {
  const std::string error =
      ErrorOf(std::string(kGood) + "nam = 1\n[proxy]\nclient_lifetime = -1\ndebug_logging = 1\n");
  EXPECT_NE(error.find("weir.toml:7:1: unknown key \"nam\" in [auth]"), std::string::npos) << error;
  EXPECT_NE(error.find("weir.toml:9:19: client_lifetime: must be 0 to 31536000 seconds"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("weir.toml:10:17: debug_logging: expected true or false"), std::string::npos)
      << error;
}

TEST_F(LoadConfigTest, WhatDoesNotGoTogetherIsToldWithThePlaceOfItsOwnTable) {
  const std::string second = "[[endpoint]]\nname = \"b\"\n";
  EXPECT_NE(ErrorOf(kGood + second + "listen = \"127.0.0.1:6432\"\n")
                .find("weir.toml:9:10: listen: two endpoints on the address 127.0.0.1:6432"),
            std::string::npos);
  EXPECT_NE(ErrorOf(kGood + second + "listen = \"nowhere\"\n")
                .find("weir.toml:9:10: listen: \"nowhere\": expected"),
            std::string::npos);
  EXPECT_NE(ErrorOf("[[endpoint]]\nlisten = \"nowhere\"\n" + std::string(kGood))
                .find("weir.toml:2:10: listen: \"nowhere\""),
            std::string::npos);
  std::filesystem::remove(folder_ + "/app.json");
  EXPECT_NE(ErrorOf(kGood).find("weir.toml:6:15: secret_file: " + folder_ +
                                "/app.json: cannot be read: No such file"),
            std::string::npos);
}

TEST_F(LoadConfigTest, LettersBeyondAsciiAreForStringsAndComments) {
  const std::string good = "# caf\u00e9 \"\n[proxy]\nname = \"\"\"\u00e9\\\"\n\u3042\"\"\"\"\n" +
                           std::string(kGood) + "# '\u00e9";
  const absl::StatusOr<Config> config = Load(good);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->proxy.name, "\u00e9\"\n\u3042\"");
  for (const char* bad : {"[proxy]\nname = \u00e9\n", "[proxy]\n\u3042 = 'x'\n",
                          "[proxy]\nname = 'x'\u00e9\n", "[proxy]\nname = 1'a\"\u00e9\n"}) {
    const absl::StatusOr<Config> refused = Load(bad);
    ASSERT_FALSE(refused.ok());
    const std::string message(refused.status().message());
    EXPECT_NE(message.find("weir.toml:2:"), std::string::npos) << message;
    EXPECT_NE(message.find("only strings and comments"), std::string::npos) << message;
  }
}

TEST_F(LoadConfigTest, AKeyThatIsNoneIsAnError) {
  for (const char* bad : {"[:proxy]\n", "[proxy]\n= 1\n", "[[:endpoint]]\n", "x = {: = 1}\n"}) {
    const absl::StatusOr<Config> refused = Load(bad);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(std::string(refused.status().message()).find("weir.toml:"), std::string::npos);
  }
}

TEST_F(LoadConfigTest, KeysThatNobodyKnows) {
  EXPECT_NE(ErrorOf(std::string(kGood) + "rotation = 5\n").find("unknown key"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(kGood) + "[awss]\n").find("did you mean \"aws\"?"),
            std::string::npos);
}

TEST_F(LoadConfigTest, OptionsOfTls) {
  const absl::StatusOr<Config> plain = Load(kGood);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_TRUE(plain->certificates.empty());
  EXPECT_EQ(plain->targets[0].tls_mode, "prefer");
  EXPECT_EQ(plain->client_tls.minimum_version, "TLSv1.2");
  const std::string certificate =
      "[[certificate]]\ncertificate_file = 'a.crt'\nkey_file = 'b.key'\n";
  const std::string target = "[[target]]\nhost = 'db.example'\n";
  const std::string rest = "[[endpoint]]\n[[auth]]\nsecret_file = 'app.json'\n";
  const absl::StatusOr<Config> full =
      Load(rest + target +
           "tls_mode = 'verify-full'\ntls_certificate_file = 'c.crt'\ntls_key_file = 'c.key'\n" +
           certificate + certificate + "[client_tls]\nclient_ca_file = 'ca.crt'\n" +
           "client_certificate = 'required'\n[proxy]\nrequire_tls = true\n");
  ASSERT_TRUE(full.ok()) << full.status();
  ASSERT_EQ(full->certificates.size(), 2u);
  EXPECT_EQ(full->certificates[1].certificate_file, folder_ + "/a.crt");
  EXPECT_EQ(full->certificates[1].key_file, folder_ + "/b.key");
  EXPECT_EQ(full->client_tls.client_ca_file, folder_ + "/ca.crt");
  EXPECT_EQ(full->targets[0].tls_ca_file, "system");
  EXPECT_EQ(full->targets[0].tls_certificate_file, folder_ + "/c.crt");
  const std::pair<std::string, const char*> wrong[] = {
      {target + "[proxy]\nrequire_tls = true\n", "weir.toml:7:15: require_tls: no client"},
      {target + "[[certificate]]\nkey_file = 'x'\n", "certificate_file: the file"},
      {target + "[[certificate]]\ncertificate_file = 'x'\n", "key_file: the file"},
      {target + "[client_tls]\nclient_ca_file = 'x'\n", "needs a [[certificate]]"},
      {target + certificate + "[client_tls]\nclient_certificate = 'required'\n",
       "required needs client_ca_file"},
      {target + certificate + "[client_tls]\nclient_certificate = 'maybe'\n", "must be optional"},
      {target + certificate + "[client_tls]\nminimum_version = '1.2'\n", "must be TLSv1.2 or"},
      {target + "tls_mode = 'allow'\n", "tls_mode: must be disable"},
      {target + "tls_mode = 'verify-ca'\n", "verify-ca would take any server"},
      {target + "tls_ca_file = 'ca.crt'\n", "tls_ca_file: is read for"},
      {target + "tls_mode = 'verify-ca'\ntls_ca_file = ''\n", "must be a file or"},
      {target + "tls_key_file = 'x'\n", "go together"},
      {"[[target]]\nhost = 'unix:/tmp'\ntls_mode = 'require'\n", "no TLS on unix sockets"},
  };
  for (const auto& [text, error] : wrong)
    EXPECT_NE(ErrorOf(rest + text).find(error), std::string::npos) << ErrorOf(rest + text);
}

TEST_F(LoadConfigTest, SecretsMustBeGood) {
  for (const char* secret :
       {"", "[]", "{}", R"({"username": "app"})", R"({"username": 1, "password": "x"})"}) {
    Write("app.json", secret);
    const std::string error = ErrorOf(kGood);
    EXPECT_NE(error.find("app.json"), std::string::npos) << secret;
  }
  Write("app.json", R"({"username": "app", "password": "hidden-value)");
  EXPECT_EQ(ErrorOf(kGood).find("hidden-value"), std::string::npos);
}

// A secret is in a file or in the environment; what it holds must serve the way clients log in.
TEST_F(LoadConfigTest, WhereSecretsAreAndWhatTheyHold) {
  setenv("WEIR_TEST_SECRET", R"({"username": "other", "password": "hidden-value"})", 1);
  const std::string start = std::string(kGood) + "[[auth]]\n";
  const absl::StatusOr<Config> good = Load(start + "secret_env = 'WEIR_TEST_SECRET'\n");
  EXPECT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->auths[1].rotation_grace, 300 * engine::kSecond);
  EXPECT_NE(
      ErrorOf(std::string(kGood) + "secret_env = 'WEIR_TEST_SECRET'\n").find("one of them must go"),
      std::string::npos);
  EXPECT_NE(ErrorOf(start).find("or secret_env with the name of a variable"), std::string::npos);
  EXPECT_NE(
      ErrorOf(start + "secret_env = 'WEIR_TEST_NONE'\n")
          .find("weir.toml:8:14: secret_env: environment variable WEIR_TEST_NONE: it is not set"),
      std::string::npos);
  setenv("WEIR_TEST_SECRET", R"({"username": "app", "password": "hidden-value"})", 1);
  const std::string twice = ErrorOf(start + "secret_env = 'WEIR_TEST_SECRET'\n");
  EXPECT_NE(twice.find("two [[auth]] entries"), std::string::npos);
  EXPECT_EQ(twice.find("hidden-value"), std::string::npos);
  unsetenv("WEIR_TEST_SECRET");

  const std::string key(43, 'A');
  const std::string verifier = "SCRAM-SHA-256$4096:c2FsdA==$" + key + "=:" + key + "=";
  const std::string hash = "md5" + std::string(32, '0');
  const auto with = [&](const std::string& password, const std::string& method) {
    Write("app.json", R"({"username": "app", "password": ")" + password + "\"}");
    return ErrorOf(std::string(kGood) + "client_password_auth_type = '" + method + "'\n");
  };
  for (const char* method : {"POSTGRES_SCRAM_SHA_256", "POSTGRES_MD5", "TRUST"}) {
    EXPECT_EQ(with("x", method), "");
    EXPECT_EQ(with(verifier, method).empty(), std::string(method).ends_with("256")) << method;
    EXPECT_EQ(with(hash, method).empty(), !std::string(method).ends_with("256")) << method;
  }
  EXPECT_NE(with("x", "POSTGRES_CERTIFICATE").find("needs client_ca_file in [client_tls]"),
            std::string::npos);
  EXPECT_NE(ErrorOf(std::string(kGood) + "certificate_names = ['x']\n")
                .find("it needs client_password_auth_type"),
            std::string::npos);
}

TEST_F(LoadConfigTest, MethodsOfServers) {
  const auto with = [](const std::string& host, const std::string& methods) {
    return "[[endpoint]]\nlisten = '127.0.0.1:6432'\n[[target]]\nhost = '" + host +
           "'\nserver_auth_methods = [" + methods + "]\n[[auth]]\nsecret_file = 'app.json'\n";
  };
  EXPECT_EQ(ErrorOf(with("db.example", "'scram-sha-256', 'scram-sha-256-plus', 'md5', 'trust'")),
            "");
  EXPECT_EQ(ErrorOf(with("unix:/run/postgresql", "'password'")), "");
  for (const char* host : {"127.0.0.1", "db.example"}) {
    EXPECT_NE(ErrorOf(with(host, "'password'")).find("or a unix socket as host"),
              std::string::npos);
  }
  EXPECT_NE(ErrorOf(with("db.example", "'certificate'")).find("needs tls_certificate_file"),
            std::string::npos);
  EXPECT_EQ(ErrorOf(with("db.example'\ntls_mode = 'verify-full", "'password'")), "");
  EXPECT_NE(ErrorOf(with("db.example'\ntls_mode = 'require", "'password'")), "");
  EXPECT_NE(ErrorOf(with("db.example", "'scram'")).find("\"scram\" is unknown"), std::string::npos);
}

TEST_F(LoadConfigTest, TwoSecretsOfOneUser) {
  EXPECT_NE(ErrorOf(std::string(kGood) + "[[auth]]\nsecret_file = \"app.json\"\n")
                .find("two [[auth]] entries"),
            std::string::npos);
}

TEST_F(LoadConfigTest, AccessRules) {
  EXPECT_FALSE(Load(kGood)->access_rules.in_force());
  const absl::StatusOr<Config> config = Load(std::string(kGood) + R"([[access]]
address = "10.0.0.0/8"
user = ["app", "other"]
database = ["orders", "sameuser"]
method = "iam"
[[access]]
address = "unix"
user = "app"
tls = "any"
method = "password"
)");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->access_rules.in_force());
  const std::vector<AccessRule>& rules = config->access_rules.rules();
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0].place, "[[access]] 1");
  EXPECT_EQ(rules[0].tls, AccessTls::kRequired);
  EXPECT_EQ(rules[0].users.names, (std::vector<std::string>{"app", "other"}));
  EXPECT_FALSE(rules[0].users.all);
  EXPECT_EQ(rules[0].databases.names, std::vector<std::string>{"orders"});
  EXPECT_TRUE(rules[0].databases.same_user);
  EXPECT_EQ(rules[0].method, AccessMethod::kIam);
  EXPECT_EQ(rules[1].users.names, std::vector<std::string>{"app"});
  EXPECT_TRUE(rules[1].databases.all);
  EXPECT_EQ(rules[1].tls, AccessTls::kAny);
  EXPECT_EQ(rules[1].method, AccessMethod::kPassword);
}

TEST_F(LoadConfigTest, AccessRulesThatMakeNoSense) {
  const auto error = [this](const std::string& line) {
    return ErrorOf(std::string(kGood) + "[[access]]\nmethod = \"reject\"\n[[access]]\n" + line);
  };
  const auto at = [this](const std::string& told, std::string_view text) {
    EXPECT_NE(told.find(folder_ + "/weir.toml:" + std::string(text)), std::string::npos) << told;
  };
  at(error("method = \"x\"\n"), "10:10: method: must be iam, password,");
  at(error(""), "9:1: method: must be iam, password,");
  at(error("method = \"trust\"\naddress = \"db.example\"\n"),
     "11:11: address: \"db.example\": expect");
  at(error("method = \"trust\"\nuser = []\n"), "11:8: user: no name");
  at(error("method = \"trust\"\nuser = 1\n"), "11:8: user: expected a string or an array");
  at(error("method = \"trust\"\nuser = \"+admins\"\n"), "11:8: user: \"+admins\": groups");
  at(error("method = \"trust\"\ntls = \"no\"\n"), "11:7: tls: must be required or any");
  EXPECT_NE(ErrorOf("access = []\n" + std::string(kGood)), "");
}

TEST_F(LoadConfigTest, AccessFile) {
  Write("hba", "# none\nhost all app 10.0.0.0/8 scram-sha-256\n");
  const std::string named = "[proxy]\naccess_file = \"hba\"\n" + std::string(kGood);
  const absl::StatusOr<Config> config = Load(named);
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->access_rules.rules().size(), 1u);
  EXPECT_EQ(config->access_rules.rules()[0].place, "hba line 2");
  EXPECT_NE(ErrorOf(named + "[[access]]\nmethod = \"trust\"\n")
                .find("weir.toml:2:15: access_file: is in place of [[access]]"),
            std::string::npos);
  Write("hba", "\nhost all +admins all trust\nlocal all all peer\n");
  const std::string error = ErrorOf(named);
  EXPECT_NE(error.find("weir.toml:2:15: access_file: " + folder_ + "/hba: line 2: \"+admins\""),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("/hba: line 3: the method \"peer\""), std::string::npos) << error;
  std::filesystem::remove(folder_ + "/hba");
  EXPECT_NE(ErrorOf(named).find("cannot be read"), std::string::npos);
}

constexpr const char* kIam = R"([iam]
account_id = "111122223333"
region = "us-east-1"
resource_id = "prx-1"
credentials_file = "keys"
[[iam.principal]]
entry = "orders"
policy_files = ["orders.json"]
)";

TEST_F(LoadConfigTest, Iam) {
  Write("keys", "[orders]\naws_access_key_id = A\naws_secret_access_key = s\n");
  std::filesystem::permissions(folder_ + "/keys", std::filesystem::perms::owner_read);
  Write("orders.json", R"({"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}})");
  const std::string named = "[[endpoint]]\nhost_names = [\"db\", \"db:1\"]" +
                            std::string(kGood).substr(std::string("[[endpoint]]").size());
  const absl::StatusOr<Config> config = Load(named + kIam);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->iam.resource_id, "prx-1");
  EXPECT_EQ(config->iam.credentials_file, folder_ + "/keys");
  ASSERT_EQ(config->iam_principals.size(), 1u);
  EXPECT_EQ(config->iam_principals[0].entry, "orders");
  EXPECT_EQ(config->iam_principals[0].policy_files[0], folder_ + "/orders.json");
  EXPECT_EQ(config->endpoints[0].host_names, (std::vector<std::string>{"db", "db:1"}));

  const auto error = [&](const std::string& text, std::string_view part) {
    EXPECT_NE(ErrorOf(text).find(part), std::string::npos) << ErrorOf(text);
  };
  error(named + "iam_auth = \"REQUIRED\"\n" + kIam,
        "weir.toml:8:12: iam_auth: tokens come over TLS only, and there is no [[certificate]]");
  error(named + "iam_auth = \"ENABLED\"\n" + kIam, "iam_auth: must be DISABLED or REQUIRED");
  error(std::string(kGood) + kIam, "weir.toml:1:1: host_names: no endpoint has any");
  error(named + "[iam]\nregion = \"us east\"\n", "weir.toml:9:10: region: must be one such as");
  error(named + "[iam]\nregion = \"us-east-1\"\n", "account_id: must be the 12 digits");
  error(named + "[iam]\nregion = \"us-east-1\"\n", "resource_id: must be what policies");
  error(named + "[iam]\nregion = \"us-east-1\"\n", "credentials_file: the file with");
  error(named + kIam + "[[iam.principal]]\nentry = \"x\"\n",
        "weir.toml:17:9: entry: " + folder_ + "/keys has no section [x]");
  error(named + kIam + "entries = 1\n",
        "weir.toml:16:1: unknown key \"entries\" in [iam.principal]");
  error(named + "[iam]\nprincipal = 1\n", "weir.toml:9:13: \"iam.principal\" must be an array");
  for (const char* bad :
       {"unix:", "unix:/", "unix:x", "http://a", "https://", "https://a b", "https://u@a/", "a"})
    error(named + "[iam]\nverifier = \"" + bad + "\"\n", "verifier: must be unix:/path or https:");
  std::filesystem::permissions(folder_ + "/keys", std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  error(named + kIam,
        "weir.toml:12:20: credentials_file: " + folder_ + "/keys: others than its owner");
}

TEST_F(LoadConfigTest, WhatNeedsARestart) {
  const absl::StatusOr<Config> before = Load(kGood);
  const absl::StatusOr<Config> after = Load(
      std::string(kGood) + "[proxy]\nname = 'b'\nidle_client_timeout = 5\n[engine]\nshards = 3\n");
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(NeedRestart(*before, *after),
            (std::vector<std::string>{"proxy.name", "engine.shards"}));
}

TEST_F(LoadConfigTest, EveryOptionIsInTheHelp) {
  const std::string help = OptionsHelp();
  EXPECT_GT(AllOptions().size(), 45u);
  for (const OptionInfo& info : AllOptions())
    EXPECT_NE(help.find(info.name), std::string::npos) << info.name;
}

TEST_F(LoadConfigTest, TheSaltKeyIsMadeOnceAndStays) {
  const absl::StatusOr<Config> config = Load(kGood);
  ASSERT_TRUE(config.ok());
  engine::SystemEntropy entropy;
  // A check makes no file: it may be root's, and then the program could not read it.
  EXPECT_TRUE(LoadSaltKey(*config, entropy, MissingKey::kLeave).ok());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/weir.toml.salt-key"));
  const absl::StatusOr<std::string> first = LoadSaltKey(*config, entropy, MissingKey::kMake);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*LoadSaltKey(*config, entropy, MissingKey::kMake), *first);
  EXPECT_EQ(*LoadSaltKey(*config, entropy, MissingKey::kLeave), *first);
  struct stat status {};
  ASSERT_EQ(stat((folder_ + "/weir.toml.salt-key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  Config named = *config;
  named.proxy.salt_key_file = folder_ + "/short";
  Write("short", "too short");
  EXPECT_FALSE(LoadSaltKey(named, entropy, MissingKey::kLeave).ok());
}

}  // namespace
}  // namespace weir::pool
