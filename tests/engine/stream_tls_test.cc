// Encrypted streams over the real io_uring; the other end is another stream, or TLS in the test's
// own hand over a plain descriptor.
#include "engine/stream_tls.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/tls_context.h"
#include "engine/tls_openssl.h"
#include "tests/engine/fake_io.h"
#include "tests/engine/stream_fixture.h"
#include "tests/engine/tls_certificates.h"
#include "tests/engine/tls_pair.h"

namespace weir::engine {
namespace {

// What both sides are made from, once.
class Sides {
 public:
  Sides() {
    const TestAuthority::Files files = authority_.Certify("server", {"server", "DNS:db.example"});
    std::vector<std::string> warnings;
    server_ = *TlsServerContext::Load({.certificates = {{files.certificate, files.key}}}, entropy_,
                                      warnings);
    client_ = *TlsClientContext::Load({.verify = TlsClientOptions::Verify::kName,
                                       .host = "db.example",
                                       .ca_file = authority_.ca()},
                                      warnings);
  }
  std::unique_ptr<Tls> Server() const { return server_->NewConnection(false, 0); }
  std::unique_ptr<Tls> Client() const { return client_->NewConnection(); }

 private:
  TestAuthority authority_;
  SystemEntropy entropy_;
  std::unique_ptr<const TlsServerContext> server_;
  std::unique_ptr<const TlsClientContext> client_;
};

class StreamTlsTest : public StreamFixture {
 protected:
  static void SetUpTestSuite() { sides_ = new Sides; }
  static void TearDownTestSuite() { delete std::exchange(sides_, nullptr); }
  void TearDown() override {
    EXPECT_EQ(chunks_.bytes_in_use(), 0u);
    EXPECT_EQ(uring_->buffers_free(BufferGroup::kClients), uring_->buffers(BufferGroup::kClients));
  }

  // A stream whose other end, which speaks TLS, is in the test's hand.
  std::unique_ptr<End> OpenTls(int* other) {
    auto end = Open(other);
    end->stream.StartTls(sides_->Server(), {});
    return end;
  }
  // What the peer sends goes out, what it gets is taken; true when there was something.
  static bool Pump(TlsEnd& peer, int fd, size_t most = 1 << 20) {
    const std::string out = std::exchange(peer.sent, {});
    if (!out.empty()) Write(fd, out);
    std::string buffer(most, '\0');
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) peer.Take(std::string_view(buffer).substr(0, static_cast<size_t>(got)));
    return !out.empty() || got > 0;
  }
  template <class Condition>
  bool PumpUntil(TlsEnd& peer, int fd, Condition&& condition) {
    return Until([&] {
      Pump(peer, fd);
      return condition();
    });
  }

  static Sides* sides_;
};
Sides* StreamTlsTest::sides_ = nullptr;

INSTANTIATE_TEST_SUITE_P(
    Masks, StreamTlsTest,
    testing::Values(StreamVariant{"none"}, StreamVariant{"one_shot_receive", "one_shot_receive"},
                    StreamVariant{"tiny_rings", "tiny_rings"}, StreamVariant{"flood", "flood"},
                    StreamVariant{"burst", "burst"}, StreamVariant{"zero_copy", "", 4096}),
    [](const auto& each) { return std::string(each.param.name); });

// Asked for in the clear, as PostgreSQL's protocol does it; then much of everything, both ways.
TEST_P(StreamTlsTest, TwoStreams) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  End client;
  End server;
  client.stream.Attach(*context_, fds[0], BufferGroup::kBackends, client);
  server.stream.Attach(*context_, fds[1], BufferGroup::kClients, server);
  client.stream.Queue(AsBytes("request"));
  ASSERT_TRUE(Until([&] { return server.received == "request"; }));
  server.stream.Queue(AsBytes("S"));
  server.stream.StartTls(sides_->Server(), {});
  server.stream.Queue(AsBytes("this waits for the handshake; "));
  ASSERT_TRUE(Until([&] { return !client.received.empty(); }));
  EXPECT_EQ(std::exchange(client.received, {}), "S");
  client.stream.StartTls(sides_->Client(), {});
  client.stream.Queue(AsBytes("; and this"));
  std::string large;
  for (int i = 0; large.size() < 1 << 20; ++i) large += std::to_string(i) + ";";
  server.stream.Queue(AsBytes(large));
  ASSERT_TRUE(Until([&] { return client.received.size() > large.size(); }));
  EXPECT_EQ(client.received, "this waits for the handshake; " + large);
  ASSERT_TRUE(Until([&] { return server.received == "request; and this"; }));
  EXPECT_TRUE(client.encrypted && server.encrypted);
  EXPECT_GE(server.drained, 1);
  // Echoed: slices of what one has received leave by the other.
  server.received.clear();
  client.received.clear();
  server.echo_to = &server.stream;
  client.stream.Queue(AsBytes(large));
  ASSERT_TRUE(Until([&] { return client.received.size() == large.size(); }));
  EXPECT_EQ(client.received, large);
  EXPECT_EQ(server.received, large);
  Close(client);
  Close(server);
}

TEST_P(StreamTlsTest, WhatIsQueuedTogetherIsOneRecord) {
  int other = -1;
  auto end = OpenTls(&other);
  TlsEnd peer(sides_->Client());
  peer.Take({});
  ASSERT_TRUE(PumpUntil(peer, other, [&] { return end->encrypted; }));
  end->stream.Queue(AsBytes("one"));  // the ticket goes with it
  ASSERT_TRUE(PumpUntil(peer, other, [&] { return peer.received == "one"; }));
  for (int i = 0; i < 10; ++i) end->stream.Queue(chunks_.Copy(AsBytes("0123456789")));
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  char buffer[4096];
  const ssize_t got = read(other, buffer, sizeof buffer);
  EXPECT_EQ(got, 5 + 100 + 1 + 16);  // header, text, type, tag
  peer.Take(std::string_view(buffer, static_cast<size_t>(got)));
  EXPECT_EQ(peer.received.size(), 103u);
  Close(*end);
  close(other);
}

TEST_P(StreamTlsTest, DetachedInTheMiddleOfARecord) {
  int other = -1;
  auto end = OpenTls(&other);
  TlsEnd peer(sides_->Client());
  peer.Take({});
  ASSERT_TRUE(PumpUntil(peer, other, [&] { return end->encrypted && peer.tls->ready(); }));
  std::string all;
  std::string expected;
  for (int i = 0; i < 40; ++i) {
    expected += std::string(700, static_cast<char>('a' + i % 26));
    peer.Write(expected.substr(expected.size() - 700));
  }
  const std::string bytes = std::exchange(peer.sent, {});
  std::vector<std::unique_ptr<End>> ends;
  ends.push_back(std::move(end));
  for (size_t at = 0; at < bytes.size(); at += 1000) {
    End& now = *ends.back();
    Write(other, std::string_view(bytes).substr(at, 1000));
    if (at % 3000 == 0) Tick();
    now.stream.Detach();
    ASSERT_TRUE(Until([&] { return now.was_detached; }));
    EXPECT_TRUE(now.detached.tls->ready());
    auto next = std::make_unique<End>();
    next->stream.Attach(*context_, std::move(now.detached), BufferGroup::kClients, *next);
    ends.push_back(std::move(next));
  }
  const auto received = [&] {
    std::string sum;
    for (const auto& each : ends) sum += each->received;
    return sum;
  };
  ASSERT_TRUE(Until([&] { return received().size() == expected.size(); }));
  EXPECT_EQ(received(), expected);
  ends.back()->stream.Queue(AsBytes("and back"));
  ASSERT_TRUE(PumpUntil(peer, other, [&] { return peer.received == "and back"; }));
  Close(*ends.back());
  close(other);
}

// From inside OnBytes, with more in the record, and perhaps another one behind it.
TEST_P(StreamTlsTest, DetachedByItsOwner) {
  for (const std::string more : {"", "second"}) {
    int other = -1;
    auto end = OpenTls(&other);
    TlsEnd peer(sides_->Client());
    peer.Take({});
    ASSERT_TRUE(PumpUntil(peer, other, [&] { return end->encrypted && peer.tls->ready(); }));
    const std::string large(16000, 'x');
    peer.Write(large);
    const std::string first = std::exchange(peer.sent, {});
    if (!more.empty()) peer.Write(more);
    const std::string second = std::exchange(peer.sent, {});
    Write(other, std::string_view(first).substr(0, first.size() - 100));
    for (int i = 0; i < 10; ++i) Tick();
    EXPECT_EQ(end->received, "");
    end->detaches = true;
    Write(other, first.substr(first.size() - 100) + second);
    ASSERT_TRUE(Until([&] { return end->was_detached; }));
    EXPECT_LT(end->received.size(), large.size());
    End next;
    next.stream.Attach(*context_, std::move(end->detached), BufferGroup::kClients, next);
    ASSERT_TRUE(Until(
        [&] { return end->received.size() + next.received.size() == large.size() + more.size(); }));
    EXPECT_EQ(end->received + next.received, large + more);
    Close(next);
    close(other);
  }
}

TEST_P(StreamTlsTest, AFailedHandshakeIsToldToBoth) {
  int other = -1;
  auto end = OpenTls(&other);
  end->stream.Queue(AsBytes("never seen"));
  Write(other, std::string_view("\x16\x03\x01\0\x05\x01\0\0\x01\0", 10));
  ASSERT_TRUE(Until([&] { return !end->ends.empty(); }));
  EXPECT_EQ(end->ends.front(), StreamEnd::kTlsFailed);
  EXPECT_NE(end->stream.tls()->error(), "");
  end->stream.CloseWhenSent();
  Write(other, "more of it");
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  char buffer[64] = {};
  EXPECT_EQ(read(other, buffer, sizeof buffer), 7);  // an alert
  EXPECT_EQ(buffer[0], 21);
  for (int i = 0; i < 5; ++i) Tick();
  EXPECT_EQ(read(other, buffer, sizeof buffer), 0);
  close(other);
  ASSERT_TRUE(Until([&] { return end->closed; }));
  EXPECT_EQ(end->received, "");
}

TEST_P(StreamTlsTest, GoodbyesAreSaidAndUnderstood) {
  for (const bool says_goodbye : {true, false}) {
    int other = -1;
    auto end = OpenTls(&other);
    TlsEnd peer(sides_->Client());
    peer.Take({});
    ASSERT_TRUE(PumpUntil(peer, other, [&] { return end->encrypted && peer.tls->ready(); }));
    peer.Write("last question");
    if (says_goodbye) peer.tls->Close(peer);
    Pump(peer, other);
    if (!says_goodbye) shutdown(other, SHUT_WR);
    ASSERT_TRUE(Until([&] { return !end->ends.empty(); }));
    EXPECT_EQ(end->ends, std::vector<StreamEnd>{StreamEnd::kOrderly});
    EXPECT_EQ(end->received, "last question");
    end->stream.Queue(AsBytes("last answer"));
    end->stream.CloseWhenSent();
    ASSERT_TRUE(PumpUntil(peer, other, [&] { return peer.last == Tls::Status::kClosed; }));
    EXPECT_EQ(peer.received, "last answer");
    ASSERT_TRUE(Until([&] { return end->closed; }));
    EXPECT_EQ(end->ends.size(), 1u);
    close(other);
  }
}

TEST_P(StreamTlsTest, ClosedInTheHandshake) {
  for (const bool when_sent : {true, false}) {
    int other = -1;
    auto end = OpenTls(&other);
    end->stream.Queue(AsBytes("never seen"));
    TlsEnd peer(sides_->Client());
    peer.Take({});
    Pump(peer, other);
    Tick();
    Tick();
    if (when_sent) {
      end->stream.CloseWhenSent();
    } else {
      end->stream.Close();
    }
    for (int i = 0; i < 3; ++i) Tick();
    close(other);
    ASSERT_TRUE(Until([&] { return end->closed; }));
  }
}

// A peer that has TLS answer, and takes none of it.
TEST_P(StreamTlsTest, NewKeysWithoutEndAreTheEnd) {
  int other = -1;
  auto end = OpenTls(&other);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* ssl = SSL_new(context);
  SSL_set_connect_state(ssl);
  TlsEnd peer(std::make_unique<TlsOpenssl>(ssl, TlsOpenssl::Server{}));
  peer.Take({});
  ASSERT_TRUE(PumpUntil(peer, other, [&] { return end->encrypted && peer.tls->ready(); }));
  end->stream.Queue(AsBytes(std::string(4 << 20, 'x')));
  for (int i = 0; i < 5; ++i) Tick();
  ASSERT_TRUE(end->ends.empty());
  for (int i = 0; i < 6000 && end->ends.empty(); ++i) {
    ASSERT_EQ(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    peer.Write("x");
    const std::string bytes = std::exchange(peer.sent, {});
    if (send(other, bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) break;
    Tick();
  }
  EXPECT_EQ(end->ends, std::vector<StreamEnd>{StreamEnd::kReset});
  Close(*end);
  close(other);
  SSL_CTX_free(context);
}

// Handshakes of many wait for each other, not the rest for them.
TEST(HandshakesTest, AFewStepsATick) {
  const Sides sides;
  FakeIo io;
  ChunkPool chunks{1 << 20};
  TimerWheel timers{io.now};
  StreamContext context{io, chunks, timers};
  std::vector<std::unique_ptr<End>> ends;
  for (int fd = 10; fd < 15; ++fd) {
    ends.push_back(std::make_unique<End>());
    ends.back()->stream.Attach(context, fd, BufferGroup::kBackends, *ends.back());
    ends.back()->stream.StartTls(sides.Client(), {});
  }
  const auto sends = [&io] {
    return std::count_if(io.asked.begin(), io.asked.end(),
                         [](const auto& each) { return each.kind == FakeIo::Kind::kSend; });
  };
  ends[4]->stream.Close();  // it waits no more
  EXPECT_TRUE(context.Flush());
  EXPECT_EQ(sends(), StreamContext::kHandshakeStepsPerTick);
  context.Flush();
  EXPECT_EQ(sends(), 4);
  io.Tick(io.now, false);
  context.Flush();
  EXPECT_FALSE(context.Flush());
  for (int i = 0; i < 4; ++i) {
    io.Answer(FakeIo::Kind::kSend, static_cast<int32_t>(io.Find(FakeIo::Kind::kSend)->text.size()));
    io.Tick(io.now, false);
  }
  for (const auto& each : ends) each->stream.Close();
  for (int i = 0; i < 3; ++i) {
    context.Flush();
    io.Tick(io.now, false);
  }
  for (const auto& each : ends) EXPECT_TRUE(each->closed);
  EXPECT_EQ(chunks.bytes_in_use(), 0u);
}

}  // namespace
}  // namespace weir::engine
