#include "engine/listener.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/socket.h"
#include "engine/uring.h"
#include "tests/engine/fake_shard.h"

namespace weir::engine {
namespace {

class Heard final : public Listener::Events {
 public:
  void OnAccepted(uint32_t listener, int fd) override {
    Add("accepted", listener, fd);
    fds.push_back(fd);
    if (stop_after != nullptr) stop_after->Stop();
  }
  void OnAcceptPaused(uint32_t listener, int error) override { Add("paused", listener, error); }
  void OnAcceptResumed(uint32_t listener) override { Add("resumed", listener, 0); }
  void OnListenerStopped(uint32_t listener) override { Add("stopped", listener, 0); }
  std::vector<std::string> Take() { return std::exchange(log, {}); }

  std::vector<std::string> log;
  std::vector<int> fds;
  Listener* stop_after = nullptr;

 private:
  void Add(const std::string& what, uint32_t listener, int number) {
    log.push_back(what + " " + std::to_string(listener) + " " + std::to_string(number));
  }
};

using Log = std::vector<std::string>;

class ListenerTest : public testing::Test {
 protected:
  FakeIo& io() { return fake_.io; }
  void AnswerAccept(int result) {
    io().Answer(FakeIo::Kind::kAccept, result);
    fake_.Tick();
  }
  bool accepting() { return io().Find(FakeIo::Kind::kAccept) != nullptr; }

  FakeShard fake_;
  Heard heard_;
  Listener listener_{fake_.shard, 3, 9, heard_};
};

TEST_F(ListenerTest, AcceptsOneAfterAnother) {
  listener_.Start();
  EXPECT_EQ(io().Find(FakeIo::Kind::kAccept)->fd, 3);
  AnswerAccept(50);
  AnswerAccept(51);
  EXPECT_EQ(heard_.Take(), (Log{"accepted 9 50", "accepted 9 51"}));
  // One that went before it was accepted.
  AnswerAccept(-ECONNABORTED);
  EXPECT_TRUE(heard_.Take().empty());
  EXPECT_TRUE(accepting());
  listener_.Stop();
  EXPECT_FALSE(listener_.stopped());
  EXPECT_TRUE(heard_.log.empty());
  fake_.Tick();
  EXPECT_EQ(heard_.Take(), Log{"stopped 9 0"});
  EXPECT_TRUE(listener_.stopped());
  EXPECT_FALSE(accepting());
}

TEST_F(ListenerTest, PausesWithoutDescriptorsAndResumes) {
  listener_.Start();
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
    AnswerAccept(-error);
    EXPECT_EQ(heard_.Take(), Log{"paused 9 " + std::to_string(error)});
    EXPECT_FALSE(accepting());
    // Not at once, and then it is not told again.
    fake_.Tick(50 * kMillisecond);
    EXPECT_FALSE(accepting());
    fake_.Tick(60 * kMillisecond);
    AnswerAccept(-error);
    EXPECT_TRUE(heard_.Take().empty());
    fake_.Tick(110 * kMillisecond);
    AnswerAccept(60);
    EXPECT_EQ(heard_.Take(), (Log{"resumed 9 0", "accepted 9 60"}));
  }
  listener_.Stop();
  fake_.Tick();
}

TEST_F(ListenerTest, StopWhilePausedIsToldToo) {
  listener_.Start();
  AnswerAccept(-EMFILE);
  heard_.log.clear();
  listener_.Stop();
  EXPECT_TRUE(heard_.log.empty());
  fake_.Tick(2 * kMillisecond);
  EXPECT_EQ(heard_.Take(), Log{"stopped 9 0"});
  fake_.Tick(kSecond);
  EXPECT_FALSE(accepting());
  EXPECT_TRUE(heard_.log.empty());
}

// The answer was under way when it was stopped.
TEST_F(ListenerTest, WhatComesAfterStopIsClosed) {
  listener_.Start();
  io().Answer(FakeIo::Kind::kAccept, 70);
  listener_.Stop();
  fake_.Tick();
  EXPECT_EQ(heard_.Take(), Log{"stopped 9 0"});
  EXPECT_EQ(io().closed, std::vector<int>{70});
}

TEST_F(ListenerTest, StopFromInsideAnEvent) {
  listener_.Start();
  heard_.stop_after = &listener_;
  AnswerAccept(50);
  fake_.Tick(2 * kMillisecond);
  EXPECT_EQ(heard_.Take(), (Log{"accepted 9 50", "stopped 9 0"}));
  EXPECT_FALSE(accepting());
}

// Keeps its shard from sleeping: what is waited for may come to the other one.
class RestlessApplication final : public QuietApplication {
 public:
  explicit RestlessApplication(Shard& shard) : shard_(shard) {}
  void OnTickEnd() override { shard_.Post(shard_.id(), {}); }

 private:
  Shard& shard_;
};

// One real socket, two rings: every connection is accepted once, and by the one that is left when
// the other has stopped.
TEST(ListenerOverTheRingTest, TwoShardsShareASocket) {
  sockaddr_in bound{};
  bound.sin_family = AF_INET;
  bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof bound;
  const absl::StatusOr<int> socket_fd =
      OpenListener(Address(reinterpret_cast<sockaddr*>(&bound), length), 64);
  ASSERT_TRUE(socket_fd.ok()) << socket_fd.status();
  ASSERT_EQ(getsockname(*socket_fd, reinterpret_cast<sockaddr*>(&bound), &length), 0);
  struct Half {
    std::unique_ptr<Uring> uring = *Uring::Create({.buffers = 8, .mask = {}}, -1);
    FakePeers peers;
    FixedEntropy entropy;
    Shard shard{0, peers, *uring, entropy, {}};
    RestlessApplication restless{shard};
    Heard heard;
  };
  Half halves[2];
  std::unique_ptr<Listener> listeners[2];
  for (uint32_t i = 0; i < 2; ++i) {
    halves[i].shard.set_application(halves[i].restless);
    listeners[i] = std::make_unique<Listener>(halves[i].shard, *socket_fd, i, halves[i].heard);
    listeners[i]->Start();
  }
  const auto until = [&](auto&& condition) {
    const Nanos deadline = MonotonicNow() + 10 * kSecond;
    while (!condition() && MonotonicNow() < deadline) {
      for (Half& half : halves) half.shard.Tick();
    }
    return condition();
  };
  std::vector<int> clients;
  const auto connect_many = [&](int count) {
    for (int i = 0; i < count; ++i) {
      clients.push_back(socket(AF_INET, SOCK_STREAM, 0));
      ASSERT_EQ(connect(clients.back(), reinterpret_cast<sockaddr*>(&bound), length), 0);
    }
  };
  connect_many(20);
  EXPECT_TRUE(until(
      [&] { return halves[0].heard.fds.size() + halves[1].heard.fds.size() >= clients.size(); }));
  listeners[1]->Stop();
  EXPECT_TRUE(until([&] { return listeners[1]->stopped(); }));
  EXPECT_EQ(halves[1].heard.log.back(), "stopped 1 0");
  const size_t before = halves[1].heard.fds.size();
  connect_many(10);
  EXPECT_TRUE(until(
      [&] { return halves[0].heard.fds.size() + halves[1].heard.fds.size() >= clients.size(); }));
  EXPECT_EQ(halves[1].heard.fds.size(), before);
  listeners[0]->Stop();
  EXPECT_TRUE(until([&] { return listeners[0]->stopped(); }));
  // Each accepted descriptor is the other end of one client.
  std::set<std::string> ports;
  for (Half& half : halves) {
    for (const int fd : half.heard.fds) {
      sockaddr_in peer{};
      socklen_t size = sizeof peer;
      ASSERT_EQ(getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size), 0);
      ports.insert(std::to_string(peer.sin_port));
      close(fd);
    }
  }
  EXPECT_EQ(ports.size(), clients.size());
  for (const int fd : clients) close(fd);
  close(*socket_fd);
}

}  // namespace
}  // namespace weir::engine
