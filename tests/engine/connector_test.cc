#include "engine/connector.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/uring.h"
#include "tests/engine/fake_shard.h"

namespace weir::engine {
namespace {

class Answers final : public Connector::Events {
 public:
  void OnConnected(int fd) override { log.push_back("connected " + std::to_string(fd)); }
  void OnConnectFailed(int error, std::string_view text) override {
    log.push_back("failed " + std::to_string(error) + ": " + std::string(text));
  }
  void OnCancelled() override { log.push_back("cancelled"); }
  std::vector<std::string> Take() { return std::exchange(log, {}); }

  std::vector<std::string> log;
};

using Log = std::vector<std::string>;
constexpr auto kConnect = FakeIo::Kind::kConnect;

class ConnectorTest : public testing::Test {
 protected:
  // Names are looked up by the system, when the test lets the worker run.
  void Start(const std::string& host, Nanos timeout = 10 * kSecond) {
    connector_.Start(fake_.shard, host, 5432, io().now + timeout, answers_);
    EXPECT_TRUE(connector_.active());
    EXPECT_TRUE(answers_.log.empty()) << "answered from inside Start";
  }
  void Cancel() {
    connector_.Cancel();
    EXPECT_TRUE(answers_.log.empty()) << "answered from inside Cancel";
  }
  // After some ticks there is this one answer, and nothing is left behind.
  void ExpectAnswer(const std::string& answer) {
    for (int i = 0; i < 3; ++i) fake_.Tick(2 * kMillisecond);
    EXPECT_EQ(answers_.Take(), Log{answer});
    EXPECT_FALSE(connector_.active());
    EXPECT_TRUE(io().asked.empty());
    fake_.Tick(kMinute);
    EXPECT_TRUE(answers_.log.empty());
  }
  FakeIo& io() { return fake_.io; }
  FakeWorker& worker() { return fake_.peers.worker(); }
  std::string Connecting() {
    const FakeIo::Asked* asked = io().Find(kConnect);
    return asked == nullptr ? "" : asked->text;
  }
  static constexpr Nanos kMinute = 60 * kSecond;

  FakeShard fake_;
  Answers answers_;
  Connector connector_;
};

TEST_F(ConnectorTest, ANumericAddressNeedsNoWorker) {
  for (const auto& [host, address] :
       std::vector<std::pair<std::string, std::string>>{{"192.0.2.1", "192.0.2.1:5432"},
                                                        {"::1", "[::1]:5432"},
                                                        {"localhost", "127.0.0.1:5432"}}) {
    Start(host);
    EXPECT_TRUE(worker().jobs.empty());
    EXPECT_EQ(Connecting(), address);
    const int fd = io().Find(kConnect)->fd;
    io().Answer(kConnect, 0);
    ExpectAnswer("connected " + std::to_string(fd));
    EXPECT_EQ(io().open.back(), fd);
  }
}

TEST_F(ConnectorTest, Refused) {
  Start("192.0.2.1");
  io().Answer(kConnect, -ECONNREFUSED);
  ExpectAnswer("failed 111: cannot connect to 192.0.2.1:5432: Connection refused");
  EXPECT_TRUE(io().open.empty());
}

TEST_F(ConnectorTest, TheDeadlineWhileConnecting) {
  Start("192.0.2.1", 5 * kSecond);
  fake_.Tick(4 * kSecond);
  EXPECT_TRUE(answers_.log.empty());
  fake_.Tick(2 * kSecond);
  ExpectAnswer("failed 110: cannot connect to 192.0.2.1:5432: no answer in time");
  EXPECT_TRUE(io().open.empty());
}

// It came with the deadline: too late.
TEST_F(ConnectorTest, ConnectedAtTheDeadline) {
  Start("192.0.2.1", 5 * kSecond);
  io().now += 6 * kSecond;
  io().Answer(kConnect, 0);
  ExpectAnswer("failed 110: cannot connect to 192.0.2.1:5432: no answer in time");
  EXPECT_TRUE(io().open.empty());
}

// One that has been too late once may begin again.
TEST_F(ConnectorTest, IsUsedAgain) {
  Start("192.0.2.1", 5 * kSecond);
  fake_.Tick(6 * kSecond);
  ExpectAnswer("failed 110: cannot connect to 192.0.2.1:5432: no answer in time");
  Start("192.0.2.2");
  EXPECT_EQ(Connecting(), "192.0.2.2:5432");
  const int fd = io().Find(kConnect)->fd;
  io().Answer(kConnect, 0);
  ExpectAnswer("connected " + std::to_string(fd));
}

TEST_F(ConnectorTest, NoSocketToBeHad) {
  io().socket_results = {-EMFILE};
  Start("192.0.2.1");
  ExpectAnswer("failed 24: cannot open a socket for 192.0.2.1:5432: Too many open files");
}

// A form of an address that only the system's resolver knows, without asking anybody: 127.1.
TEST_F(ConnectorTest, ANameIsLookedUpByTheWorker) {
  Start("127.2");
  EXPECT_EQ(Connecting(), "");
  ASSERT_EQ(worker().jobs.size(), 1u);
  Cancel();
  ExpectAnswer("cancelled");
  Start("127.1");
  ASSERT_EQ(worker().jobs.size(), 2u);
  fake_.peers.RunJob();  // of the one that was cancelled: nobody hears of it
  fake_.Tick();
  EXPECT_EQ(Connecting(), "");
  fake_.peers.RunJob();
  fake_.Tick();
  EXPECT_EQ(Connecting(), "127.0.0.1:5432");
  io().Answer(kConnect, -ECONNREFUSED);
  ExpectAnswer("failed 111: cannot connect to 127.0.0.1:5432: Connection refused");
}

TEST_F(ConnectorTest, ANameThatDoesNotExist) {
  const std::string host = std::string(300, 'x');  // longer than names may be: no server is asked
  Start(host);
  fake_.peers.RunJob();
  for (int i = 0; i < 3; ++i) fake_.Tick(2 * kMillisecond);
  ASSERT_EQ(answers_.log.size(), 1u);
  EXPECT_TRUE(answers_.log[0].starts_with("failed 113: cannot look up " + host + ":5432: "))
      << answers_.log[0];
  EXPECT_GT(answers_.log[0].size(), host.size() + 35);
}

TEST_F(ConnectorTest, TheDeadlineWhileLookingUp) {
  Start("db.example", 5 * kSecond);
  fake_.Tick(6 * kSecond);
  ExpectAnswer("failed 110: cannot look up db.example:5432: no answer in time");
}

TEST_F(ConnectorTest, CancelWhileConnecting) {
  Start("192.0.2.1");
  Cancel();
  connector_.Cancel();  // once is enough
  ExpectAnswer("cancelled");
  EXPECT_TRUE(io().open.empty());
}

TEST_F(ConnectorTest, CancelWhenItHasJustConnected) {
  Start("192.0.2.1");
  io().Answer(kConnect, 0);
  Cancel();
  ExpectAnswer("cancelled");
  EXPECT_TRUE(io().open.empty());
}

TEST_F(ConnectorTest, CancelAtTheDeadline) {
  Start("192.0.2.1", 5 * kSecond);
  fake_.shard.timers().Fire(io().now + 6 * kSecond, 10);
  Cancel();
  ExpectAnswer("cancelled");
  EXPECT_TRUE(io().open.empty());
}

TEST_F(ConnectorTest, CancelWhileFailing) {
  io().socket_results = {-EMFILE};
  Start("192.0.2.1");
  Cancel();
  ExpectAnswer("cancelled");
}

TEST_F(ConnectorTest, DiesWhileALookUpIsUnderWay) {
  {
    Connector gone;
    gone.Start(fake_.shard, "127.1", 5432, io().now + kSecond, answers_);
    gone.Cancel();
    for (int i = 0; i < 3; ++i) fake_.Tick(2 * kMillisecond);
    EXPECT_EQ(answers_.Take(), Log{"cancelled"});
  }
  fake_.peers.RunJob();
  fake_.Tick();
  EXPECT_TRUE(answers_.log.empty());
}

// A name with several addresses.
class ManyAddressesTest : public ConnectorTest {
 protected:
  struct Resolved final : Connector {
    using Connector::OnResolved;
  };
  void SetUp() override {
    resolved_.Start(fake_.shard, "db.example", 5432, io().now + 5 * kSecond, answers_);
    resolved_.OnResolved(
        {*Address::FromHost("2001:db8::1", 5432), *Address::FromHost("192.0.2.1", 5432),
         *Address::FromHost("192.0.2.2", 5432)},
        "");
  }
  Resolved resolved_;
};

TEST_F(ManyAddressesTest, AreTriedInOrder) {
  EXPECT_EQ(Connecting(), "[2001:db8::1]:5432");
  io().Answer(kConnect, -ENETUNREACH);
  fake_.Tick();
  EXPECT_EQ(Connecting(), "192.0.2.1:5432");
  io().Answer(kConnect, -ECONNREFUSED);
  fake_.Tick();
  EXPECT_EQ(Connecting(), "192.0.2.2:5432");
  EXPECT_TRUE(answers_.log.empty());
  EXPECT_EQ(io().open.size(), 1u);
  const int fd = io().Find(kConnect)->fd;
  io().Answer(kConnect, 0);
  ExpectAnswer("connected " + std::to_string(fd));
}

TEST_F(ManyAddressesTest, TheLastOnesErrorIsTold) {
  for (const int error : {ENETUNREACH, ECONNREFUSED, EHOSTUNREACH}) {
    io().Answer(kConnect, -error);
    fake_.Tick();
  }
  ExpectAnswer("failed 113: cannot connect to 192.0.2.2:5432: No route to host");
}

// A host without IPv6 has no socket for the first; the next has.
TEST_F(ManyAddressesTest, AFamilyWithoutSocketsIsPassedOver) {
  io().socket_results = {-EAFNOSUPPORT, 0};
  io().Answer(kConnect, -ENETUNREACH);
  fake_.Tick();
  EXPECT_EQ(Connecting(), "192.0.2.2:5432");
  io().Answer(kConnect, 0);
  fake_.Tick();
  EXPECT_TRUE(answers_.log.size() == 1 && answers_.log[0].starts_with("connected "));
}

// One deadline for all of them.
TEST_F(ManyAddressesTest, TheDeadlineEndsTheRound) {
  fake_.Tick(3 * kSecond);
  io().Answer(kConnect, -ENETUNREACH);
  fake_.Tick();
  EXPECT_EQ(Connecting(), "192.0.2.1:5432");
  fake_.Tick(3 * kSecond);
  ExpectAnswer("failed 110: cannot connect to 192.0.2.1:5432: no answer in time");
}

// With the kernel behind it.
class ConnectorOverTheRingTest : public testing::Test {
 protected:
  void SetUp() override {
    shard_.set_application(quiet_);
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address_), length_), 0);
    ASSERT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address_), &length_), 0);
  }
  void TearDown() override { close(fd_); }
  std::string Connect(Nanos timeout) {
    Connector connector;
    Timer wake;  // so that a tick never sleeps past the deadline below
    wake.Bind(Callback::To<&ConnectorOverTheRingTest::OnWake>(*this));
    connector.Start(shard_, "127.0.0.1", ntohs(address_.sin_port), shard_.now() + timeout,
                    answers_);
    const Nanos deadline = MonotonicNow() + 10 * kSecond;
    shard_.timers().Arm(wake, deadline);
    while (connector.active() && MonotonicNow() < deadline) shard_.Tick();
    shard_.timers().Cancel(wake);
    return answers_.log.empty() ? "" : answers_.Take().back();
  }
  void OnWake() {}

  std::unique_ptr<Uring> uring_ = *Uring::Create({.buffers = 8, .mask = {}}, -1);
  FakePeers peers_;
  FixedEntropy entropy_;
  QuietApplication quiet_;
  Shard shard_{0, peers_, *uring_, entropy_, {}};
  Answers answers_;
  int fd_ = -1;
  sockaddr_in address_{};
  socklen_t length_ = sizeof address_;
};

TEST_F(ConnectorOverTheRingTest, ConnectsAndIsRefused) {
  EXPECT_TRUE(Connect(10 * kSecond).starts_with("failed 111: cannot connect to 127.0.0.1:"));
  ASSERT_EQ(listen(fd_, 4), 0);
  const std::string answer = Connect(10 * kSecond);
  ASSERT_TRUE(answer.starts_with("connected ")) << answer;
  const int accepted = accept(fd_, nullptr, nullptr);
  const int connected = std::stoi(answer.substr(10));
  ASSERT_EQ(write(connected, "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(accepted, &byte, 1), 1);
  close(connected);
  close(accepted);
}

// A listener whose queue is full answers nothing.
TEST_F(ConnectorOverTheRingTest, TheDeadlineEndsAConnectThatHangs) {
  ASSERT_EQ(listen(fd_, 0), 0);
  std::vector<int> others;
  for (int i = 0; i < 4; ++i) {
    others.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    connect(others.back(), reinterpret_cast<sockaddr*>(&address_), length_);
  }
  const std::string answer = Connect(30 * kMillisecond);
  EXPECT_TRUE(answer.starts_with("failed 110: ") && answer.ends_with(": no answer in time"))
      << answer;
  for (const int fd : others) close(fd);
}

}  // namespace
}  // namespace weir::engine
