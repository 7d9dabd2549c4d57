// Both ends of TLS against each other in memory, and against an OpenSSL client that does what ours
// never would.
#include "engine/tls.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/tls_context.h"
#include "engine/tls_openssl.h"
#include "tests/engine/tls_certificates.h"
#include "tests/engine/tls_pair.h"

namespace weir::engine {
namespace {

using Verify = TlsClientOptions::Verify;
using Status = Tls::Status;

class TlsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    authority_ = new TestAuthority;
    server_ = authority_->Certify("server", {"server", "DNS:db.example,DNS:*.pool.example"});
  }
  static void TearDownTestSuite() { delete std::exchange(authority_, nullptr); }

  static std::unique_ptr<const TlsServerContext> Serve(TlsServerOptions options) {
    if (options.certificates.empty()) options.certificates = {{server_.certificate, server_.key}};
    if (options.protocol.empty()) options.protocol = "postgresql";
    std::vector<std::string> warnings;
    auto context = TlsServerContext::Load(options, entropy_, warnings);
    EXPECT_TRUE(context.ok()) << context.status();
    return *std::move(context);
  }
  static std::unique_ptr<const TlsClientContext> Trust(TlsClientOptions options) {
    std::vector<std::string> warnings;
    auto context = TlsClientContext::Load(options, warnings);
    EXPECT_TRUE(context.ok()) << context.status();
    return *std::move(context);
  }
  static TlsClientOptions Full(std::string host) {
    return {.verify = Verify::kName, .host = std::move(host), .ca_file = authority_->ca()};
  }
  // The facts of the server's side; those of the client's in client_facts_.
  TlsFacts Connect(const TlsServerContext& server, const TlsClientContext& client,
                   bool direct = false) {
    TlsEnd a(client.NewConnection());
    TlsEnd b(server.NewConnection(direct, 0));
    Handshake(a, b);
    client_error_ = a.tls->error();
    server_error_ = b.tls->error();
    client_facts_ = a.tls->Facts();
    return b.tls->Facts();
  }

  static TestAuthority* authority_;
  static TestAuthority::Files server_;
  static SystemEntropy entropy_;
  TlsFacts client_facts_;
  std::string client_error_;
  std::string server_error_;
};

TestAuthority* TlsTest::authority_ = nullptr;
TestAuthority::Files TlsTest::server_;
SystemEntropy TlsTest::entropy_;

TEST_F(TlsTest, EverySplitOfTheSameBytes) {
  const auto server = Serve({});
  const auto client = Trust(Full("db.example"));
  std::string large;
  for (int i = 0; large.size() < 50000; ++i) large += std::to_string(i);
  for (const size_t piece : {1, 2, 3, 5, 7, 100, 1000, 16384, 1 << 20}) {
    TlsEnd a(client->NewConnection());
    TlsEnd b(server->NewConnection(false, 0));
    Handshake(a, b, piece);
    ASSERT_TRUE(a.tls->ready() && b.tls->ready()) << a.tls->error() << b.tls->error();
    EXPECT_EQ(a.readies + b.readies, 2);
    a.Write("hello");
    b.Write("well met");
    b.Write(large);
    Exchange(a, b, piece);
    EXPECT_EQ(b.received, "hello");
    EXPECT_EQ(a.received, "well met" + large);
    EXPECT_EQ(a.last, Status::kMore);
    a.tls->Close(a);
    Exchange(a, b, piece);
    EXPECT_EQ(b.last, Status::kClosed);
    b.Write("goodbye");
    b.tls->Close(b);
    Exchange(a, b, piece);
    EXPECT_EQ(a.received, "well met" + large + "goodbye");
    EXPECT_EQ(a.last, Status::kClosed);
  }
}

TEST_F(TlsTest, Facts) {
  const auto server = Serve({});
  const TlsFacts facts = Connect(*server, *Trust(Full("db.example")));
  EXPECT_EQ(facts.version, "TLSv1.3");
  EXPECT_EQ(facts.server_name, "db.example");
  EXPECT_EQ(facts.protocol, "");
  EXPECT_FALSE(facts.resumed);
  EXPECT_TRUE(facts.peer_names.empty());
  EXPECT_EQ(facts.endpoint_binding, TestAuthority::Hash(server_.certificate, EVP_sha256()));
  EXPECT_EQ(client_facts_.endpoint_binding, facts.endpoint_binding);
  EXPECT_EQ(client_facts_.peer_names,
            (std::vector<std::string>{"server", "db.example", "*.pool.example"}));
}

TEST_F(TlsTest, TheBindingIsByTheHashOfTheSignature) {
  const std::pair<const EVP_MD*, const EVP_MD*> cases[] = {{EVP_sha384(), EVP_sha384()},
                                                           {EVP_sha512(), EVP_sha512()}};
  for (const auto& [hash, expected] : cases) {
    const auto files = authority_->Certify("other", {.common_name = "x", .hash = hash});
    const auto server = Serve({.certificates = {{files.certificate, files.key}}});
    const TlsFacts facts = Connect(*server, *Trust({}));
    EXPECT_EQ(facts.endpoint_binding, TestAuthority::Hash(files.certificate, expected));
    EXPECT_EQ(client_facts_.endpoint_binding, facts.endpoint_binding);
    // It has not been verified: nobody knows who it is.
    EXPECT_TRUE(client_facts_.peer_names.empty());
  }
}

TEST_F(TlsTest, TheCertificateIsChosenByName) {
  const auto exact = authority_->Certify("exact", {"e", "DNS:a.pool.example"});
  const auto other = authority_->Certify("common", {.common_name = "Common.Example"});
  const auto server = Serve({.certificates = {{server_.certificate, server_.key},
                                              {exact.certificate, exact.key},
                                              {other.certificate, other.key}}});
  const std::pair<std::string, std::string> cases[] = {
      {"db.example", server_.certificate},     {"DB.Example", server_.certificate},
      {"b.pool.example", server_.certificate}, {"a.pool.example", exact.certificate},
      {"common.example", other.certificate},   {"a.b.pool.example", server_.certificate},
      {"pool.example", server_.certificate},   {"unknown", server_.certificate},
      {"127.0.0.1", server_.certificate},
  };
  for (const auto& [host, file] : cases) {
    const TlsFacts facts = Connect(*server, *Trust({.host = host, .ca_file = {}}));
    const std::string binding = TestAuthority::Hash(file, EVP_sha256());
    EXPECT_EQ(facts.endpoint_binding, binding) << host;
    EXPECT_EQ(client_facts_.endpoint_binding, binding) << host;
  }
}

TEST_F(TlsTest, WhatTheClientMustFindInTheCertificate) {
  const auto server = Serve({});
  TestAuthority stranger;
  const std::tuple<Verify, std::string, std::string, std::string> cases[] = {
      {Verify::kNone, "other", "", ""},
      {Verify::kAuthority, "other", authority_->ca(), ""},
      {Verify::kAuthority, "db.example", stranger.ca(), "certificate"},
      {Verify::kName, "db.example", authority_->ca(), ""},
      {Verify::kName, "x.pool.example", authority_->ca(), ""},
      {Verify::kName, "x.y.pool.example", authority_->ca(), "hostname mismatch"},
      {Verify::kName, "other.example", authority_->ca(), "hostname mismatch"},
      {Verify::kName, "server", authority_->ca(), "hostname mismatch"},
      {Verify::kName, "127.0.0.1", authority_->ca(), "IP address mismatch"},
      {Verify::kName, "db.example", stranger.ca(), "certificate"},
      {Verify::kName, "db.example", "system", "certificate"},
  };
  for (const auto& [verify, host, ca, error] : cases) {
    const TlsClientOptions options{.verify = verify, .host = host, .ca_file = ca};
    Connect(*server, *Trust(options));
    EXPECT_EQ(client_error_.empty(), error.empty()) << host << ": " << client_error_;
    EXPECT_NE(client_error_.find(error), std::string::npos) << client_error_;
    // The server hears why.
    EXPECT_EQ(server_error_.find("alert") != std::string::npos, !error.empty()) << server_error_;
  }
  const auto address = authority_->Certify("address", {"x", "IP:127.0.0.1,IP:::1"});
  const auto at = Serve({.certificates = {{address.certificate, address.key}}});
  for (const char* host : {"127.0.0.1", "::1"}) {
    const TlsFacts facts = Connect(*at, *Trust(Full(host)));
    EXPECT_EQ(client_error_, "");
    EXPECT_EQ(facts.server_name, "");  // an address is not told
  }
}

TEST_F(TlsTest, TimeIsUp) {
  const auto old = authority_->Certify(
      "old",
      {.common_name = "x", .alternative_names = "DNS:db.example", .from_days = -9, .to_days = -2});
  TlsServerOptions options{.certificates = {{old.certificate, old.key}}};
  std::vector<std::string> warnings;
  const auto server = TlsServerContext::Load(options, entropy_, warnings);
  ASSERT_TRUE(server.ok());
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("old.crt: the certificate has expired"), std::string::npos);
  Connect(**server, *Trust(Full("db.example")));
  EXPECT_NE(client_error_.find("expired"), std::string::npos) << client_error_;
}

TEST_F(TlsTest, ProtocolsAreNegotiated) {
  const auto server = Serve({});
  TlsClientOptions options = Full("db.example");
  options.protocol = "postgresql";
  EXPECT_EQ(Connect(*server, *Trust(options), true).protocol, "postgresql");
  EXPECT_EQ(client_facts_.protocol, "postgresql");
  options.protocol = "http/1.1";
  for (const bool direct : {false, true}) {
    Connect(*server, *Trust(options), direct);
    EXPECT_NE(client_error_.find("no application protocol"), std::string::npos) << client_error_;
  }
  // None is good enough for those who have asked in PostgreSQL's own way.
  options.protocol = "";
  Connect(*server, *Trust(options), false);
  EXPECT_EQ(client_error_, "");
  Connect(*server, *Trust(options), true);
  EXPECT_NE(client_error_.find("no application protocol"), std::string::npos) << client_error_;
}

TEST_F(TlsTest, ClientsShowWhoTheyAre) {
  TestAuthority stranger;
  const auto app = authority_->Certify("app", {"app", "DNS:app.example,email:app@example"});
  const auto other = stranger.Certify("app", {.common_name = "app"});
  std::string nul("app\0.evil", 9);
  const auto sly = authority_->Certify("sly", {nul, "DNS:sly.example"});
  for (const bool required : {false, true}) {
    const auto server =
        Serve({.client_ca_file = authority_->ca(), .client_certificate_required = required});
    TlsClientOptions options = Full("db.example");
    EXPECT_TRUE(Connect(*server, *Trust(options)).peer_names.empty());
    EXPECT_EQ(server_error_.empty(), !required);
    options.certificate_file = app.certificate;
    options.key_file = app.key;
    EXPECT_EQ(Connect(*server, *Trust(options)).peer_names,
              (std::vector<std::string>{"app", "app.example", "app@example"}));
    options.certificate_file = sly.certificate;
    options.key_file = sly.key;
    EXPECT_EQ(Connect(*server, *Trust(options)).peer_names,
              std::vector<std::string>{"sly.example"});
    options.certificate_file = other.certificate;
    options.key_file = other.key;
    Connect(*server, *Trust(options));
    EXPECT_NE(server_error_.find("cannot be verified"), std::string::npos) << server_error_;
  }
}

TEST_F(TlsTest, GarbageIsAnError) {
  const auto server = Serve({});
  for (const std::string_view bytes : {std::string_view("GET / HTTP/1.1\r\n\r\n"),
                                       std::string_view("\x16\x03\x01\xff\xff garbage"),
                                       std::string_view("\x16\x03\x01\0\x05\x01\0\0\x01\0", 10)}) {
    TlsEnd end(server->NewConnection(false, 0));
    end.Take(bytes);
    EXPECT_EQ(end.last, Status::kFailed);
    EXPECT_NE(end.tls->error(), "");
    end.Take("more");
    EXPECT_EQ(end.last, Status::kFailed);
  }
  // In the middle of a good one, too.
  const auto client = Trust(Full("db.example"));
  TlsEnd a(client->NewConnection());
  TlsEnd b(server->NewConnection(false, 0));
  Handshake(a, b);
  a.Write("hello");
  a.sent[10] ^= 1;
  Exchange(a, b);
  EXPECT_EQ(b.last, Status::kFailed);
  EXPECT_EQ(b.received, "");
  EXPECT_NE(a.tls->error().find("bad record mac"), std::string::npos) << a.tls->error();
}

// Behind a client's first words, its last ones, or in the place of either: nothing in the clear is
// ever taken for a part of what was meant.
TEST_F(TlsTest, ClearTextIsNeverData) {
  const auto server = Serve({});
  TlsClientOptions options = Full("db.example");
  options.protocol = "postgresql";
  const auto client = Trust(options);
  const std::string_view startup("\0\0\0\x12\0\3\0\0user\0app\0\0", 18);
  for (const bool direct : {false, true}) {
    for (int flight = 0; flight < 3; ++flight) {
      for (const size_t piece : {1, 7, 1 << 20}) {
        TlsEnd a(client->NewConnection());
        TlsEnd b(server->NewConnection(direct, 0));
        a.Take({});
        if (flight > 0) {
          b.Take(std::exchange(a.sent, {}));
          a.Take(std::exchange(b.sent, {}));
          ASSERT_TRUE(a.tls->ready());
        }
        // With its first words, with its last, or when it is ready.
        const std::string before = flight == 2 ? std::exchange(a.sent, {}) : std::string();
        b.Take(before);
        EXPECT_EQ(b.tls->ready(), flight == 2);
        const std::string bytes = std::exchange(a.sent, {}) + std::string(startup);
        for (size_t at = 0; at < bytes.size() && b.last != Status::kFailed; at += piece)
          b.Take(std::string_view(bytes).substr(at, piece));
        EXPECT_EQ(b.last, Status::kFailed) << flight << " " << piece;
        EXPECT_FALSE(b.tls->ready());
        EXPECT_EQ(b.received, "");
      }
    }
  }
}

TEST_F(TlsTest, MovesBetweenItsPieces) {
  const auto client = Trust(Full("db.example"));
  TlsEnd a(client->NewConnection());
  TlsEnd b(Serve({})->NewConnection(false, 0));
  // The context may go before the connection.
  EXPECT_FALSE(b.tls->ready());
  const auto server = Serve({});
  TlsEnd c(client->NewConnection());
  TlsEnd d(server->NewConnection(false, 0));
  Handshake(c, d);
  c.Write("first, second");
  const std::string bytes = std::exchange(c.sent, {});
  d.Take(bytes.substr(0, 9));
  TlsEnd moved(std::move(d.tls));
  moved.Take(bytes.substr(9));
  EXPECT_EQ(moved.received, "first, second");
}

TEST_F(TlsTest, WhatIsWrongWithFiles) {
  const auto other = authority_->Certify("another", {.common_name = "another"});
  const auto open = authority_->Certify("open", {.common_name = "open"});
  ASSERT_EQ(chmod(open.key.c_str(), 0644), 0);
  const auto rsa = authority_->Certify("rsa", {.common_name = "rsa", .rsa = true});
  const std::string junk = authority_->Path("junk");
  FILE* file = fopen(junk.c_str(), "w");
  fputs("hello\n", file);
  fclose(file);
  ASSERT_EQ(chmod(junk.c_str(), 0600), 0);
  const std::tuple<std::string, std::string, std::string, std::string> cases[] = {
      {"/nowhere.crt", server_.key, "",
       "/nowhere.crt: the certificate cannot be read: No such file"},
      {server_.certificate, "/nowhere.key", "", "/nowhere.key: the private key cannot be read"},
      {junk, server_.key, "", "junk: there is no certificate in PEM form in it"},
      {server_.certificate, junk, "", "junk: there is no private key in PEM form in it"},
      {server_.certificate, other.key, "", "another.key: the private key does not belong to"},
      {server_.certificate, rsa.key, "", "rsa.key: the private key does not belong to"},
      {open.certificate, open.key, "", "chmod"},
      {server_.certificate, server_.key, junk, "junk: "},
      {server_.certificate, server_.key, "/nowhere.ca", "/nowhere.ca: the list of authorities"},
  };
  for (const auto& [certificate, key, ca, error] : cases) {
    std::vector<std::string> warnings;
    const auto context = TlsServerContext::Load(
        {.certificates = {{certificate, key}}, .client_ca_file = ca}, entropy_, warnings);
    ASSERT_FALSE(context.ok()) << error;
    EXPECT_NE(std::string(context.status().message()).find(error), std::string::npos)
        << context.status();
  }
}

TEST_F(TlsTest, AnEncryptedKeyIsNotAskedFor) {
  const std::string path = authority_->Path("encrypted.key");
  EVP_PKEY* key = EVP_EC_gen("P-256");
  FILE* file = fopen(path.c_str(), "w");
  char passphrase[] = "secret";
  PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), reinterpret_cast<unsigned char*>(passphrase),
                       6, nullptr, nullptr);
  fclose(file);
  EVP_PKEY_free(key);
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  std::vector<std::string> warnings;
  const auto context =
      TlsServerContext::Load({.certificates = {{server_.certificate, path}}}, entropy_, warnings);
  ASSERT_FALSE(context.ok());
  EXPECT_NE(std::string(context.status().message()).find("openssl pkey"), std::string::npos)
      << context.status();
}

// Clients by OpenSSL itself, which may do what ours do not.
class TlsPeerTest : public TlsTest {
 protected:
  void SetUp() override {
    context_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_min_proto_version(context_, 0);
    SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT);
  }
  void TearDown() override {
    SSL_SESSION_free(session_);
    SSL_CTX_free(context_);
  }
  SSL* NewSsl() {
    SSL* ssl = SSL_new(context_);
    SSL_set_connect_state(ssl);
    SSL_set_tlsext_host_name(ssl, "db.example");
    if (session_ != nullptr) SSL_set_session(ssl, session_);
    return ssl;
  }
  // Whether it was resumed.
  bool ConnectAndTalk(const TlsServerContext& server, Nanos now = 0) {
    SSL* ssl = NewSsl();
    TlsEnd a(std::make_unique<TlsOpenssl>(ssl, TlsOpenssl::Server{}));
    TlsEnd b(server.NewConnection(false, now));
    Handshake(a, b);
    EXPECT_TRUE(a.tls->ready() && b.tls->ready()) << a.tls->error();
    if (!b.tls->ready()) return false;
    a.Write("ping");
    Exchange(a, b);
    // Nothing has gone before there is something to say.
    b.Write("pong");
    Exchange(a, b);
    EXPECT_EQ(a.received, "pong");
    EXPECT_EQ(a.tls->Facts().resumed, b.tls->Facts().resumed);
    a.tls->Close(a);  // or OpenSSL would not resume it
    SSL_SESSION_free(std::exchange(session_, SSL_get1_session(ssl)));
    return b.tls->Facts().resumed;
  }

  SSL_CTX* context_ = nullptr;
  SSL_SESSION* session_ = nullptr;
};

TEST_F(TlsPeerTest, TicketsAreGoodForTwoPeriodsAndOneContext) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    SSL_CTX_set_max_proto_version(context_, version);
    SSL_SESSION_free(std::exchange(session_, nullptr));
    const auto server = Serve({});
    const Nanos start = 10 * TlsTicketKeys::kPeriod;
    EXPECT_FALSE(ConnectAndTalk(*server, start));
    EXPECT_TRUE(ConnectAndTalk(*server, start));
    EXPECT_TRUE(ConnectAndTalk(*server, start + TlsTicketKeys::kPeriod));
    // That has renewed it.
    EXPECT_TRUE(ConnectAndTalk(*server, start + 2 * TlsTicketKeys::kPeriod));
    EXPECT_FALSE(ConnectAndTalk(*server, start + 4 * TlsTicketKeys::kPeriod));
    EXPECT_TRUE(ConnectAndTalk(*server, start + 4 * TlsTicketKeys::kPeriod));
    EXPECT_FALSE(ConnectAndTalk(*Serve({}), start + 4 * TlsTicketKeys::kPeriod));
  }
}

TEST_F(TlsPeerTest, ATicketIsForItsCertificate) {
  const auto other = authority_->Certify("ticket", {"x", "DNS:other.example"});
  const auto server =
      Serve({.certificates = {{other.certificate, other.key}, {server_.certificate, server_.key}}});
  EXPECT_FALSE(ConnectAndTalk(*server));
  EXPECT_TRUE(ConnectAndTalk(*server));
  SSL* ssl = NewSsl();
  SSL_set_tlsext_host_name(ssl, "other.example");
  TlsEnd a(std::make_unique<TlsOpenssl>(ssl, TlsOpenssl::Server{}));
  TlsEnd b(server->NewConnection(false, 0));
  Handshake(a, b);
  ASSERT_TRUE(b.tls->ready());
  EXPECT_FALSE(b.tls->Facts().resumed);
  EXPECT_EQ(b.tls->Facts().endpoint_binding, TestAuthority::Hash(other.certificate, EVP_sha256()));
}

TEST_F(TlsPeerTest, NoTicketsWhereCertificatesAreAskedFor) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    SSL_CTX_set_max_proto_version(context_, version);
    const auto server = Serve({.client_ca_file = authority_->ca()});
    EXPECT_FALSE(ConnectAndTalk(*server));
    EXPECT_FALSE(ConnectAndTalk(*server));
  }
}

TEST_F(TlsPeerTest, OldVersionsAndWeakCiphers) {
  const auto refused = [this](const TlsServerContext& server) {
    TlsEnd a(std::make_unique<TlsOpenssl>(NewSsl(), TlsOpenssl::Server{}));
    TlsEnd b(server.NewConnection(false, 0));
    Handshake(a, b);
    return !b.tls->ready();
  };
  const auto server = Serve({});
  SSL_CTX_set_max_proto_version(context_, TLS1_1_VERSION);
  EXPECT_TRUE(refused(*server));
  SSL_CTX_set_max_proto_version(context_, TLS1_2_VERSION);
  EXPECT_FALSE(refused(*server));
  EXPECT_TRUE(refused(*Serve({.only_newest = true})));
  for (const char* weak : {"AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"}) {
    ASSERT_EQ(SSL_CTX_set_cipher_list(context_, weak), 1);
    EXPECT_TRUE(refused(*server)) << weak;
  }
  ASSERT_EQ(SSL_CTX_set_cipher_list(context_, "ECDHE-ECDSA-AES128-GCM-SHA256"), 1);
  EXPECT_FALSE(refused(*server));
  SSL_CTX_set_max_proto_version(context_, TLS1_3_VERSION);
  EXPECT_FALSE(refused(*Serve({.only_newest = true})));
}

// A client cannot choose what costs the shard more than a few milliseconds.
TEST_F(TlsPeerTest, GroupsThatCostLittle) {
  const auto server = Serve({});
  for (const auto& [group, good] :
       {std::pair("X25519", true), std::pair("P-256", true), std::pair("P-384", true),
        std::pair("P-521", true), std::pair("X448", false), std::pair("ffdhe2048", false),
        std::pair("ffdhe8192", false), std::pair("ffdhe8192:P-256", true)}) {
    ASSERT_EQ(SSL_CTX_set1_groups_list(context_, group), 1);
    TlsEnd a(std::make_unique<TlsOpenssl>(NewSsl(), TlsOpenssl::Server{}));
    TlsEnd b(server->NewConnection(false, 0));
    Handshake(a, b);
    EXPECT_EQ(b.tls->ready(), good) << group << ": " << b.tls->error();
  }
}

TEST_F(TlsPeerTest, RenegotiationIsRefused) {
  SSL_CTX_set_max_proto_version(context_, TLS1_2_VERSION);
  const auto server = Serve({});
  SSL* ssl = NewSsl();
  TlsEnd a(std::make_unique<TlsOpenssl>(ssl, TlsOpenssl::Server{}));
  TlsEnd b(server->NewConnection(false, 0));
  Handshake(a, b);
  ASSERT_TRUE(b.tls->ready());
  ASSERT_EQ(SSL_renegotiate(ssl), 1);
  a.Take({});
  a.Write("x");
  Exchange(a, b);
  EXPECT_NE(a.tls->error(), "");
  EXPECT_EQ(b.received, "");
}

TEST_F(TlsPeerTest, NewKeysOnTheWay) {
  const auto server = Serve({});
  SSL* ssl = NewSsl();
  TlsEnd a(std::make_unique<TlsOpenssl>(ssl, TlsOpenssl::Server{}));
  TlsEnd b(server->NewConnection(false, 0));
  Handshake(a, b);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    a.Write("x");
    Exchange(a, b);
    b.Write("y");
    Exchange(a, b);
  }
  EXPECT_EQ(b.received, "xxx");
  EXPECT_EQ(a.received, "yyy");
}

}  // namespace
}  // namespace weir::engine
