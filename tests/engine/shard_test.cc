#include "engine/shard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/engine/fake_shard.h"

namespace weir::engine {
namespace {

// Writes down what happens to it.
class Recorder final : public ShardApplication, public StreamEvents {
 public:
  void OnStart() override { log.push_back("start"); }
  void OnMessage(Message&& message) override {
    log.push_back("message " + std::to_string(message.kind));
    numbers.push_back(message.words[0]);
    froms.push_back(message.from);
    if (on_message) on_message(message);
  }
  void OnTickEnd() override {
    log.push_back("tick end");
    if (on_tick_end) on_tick_end();
  }
  void OnTimer() { log.push_back("timer"); }
  void OnBytes(Slice) override {}
  void OnEnd(StreamEnd) override {}
  void OnDrained() override {}
  void OnClosed() override { log.push_back("closed"); }
  void OnDetached(Detached&&) override {}

  std::vector<std::string> log;
  std::vector<uint64_t> numbers;
  std::vector<uint32_t> froms;
  std::function<void(const Message&)> on_message;
  std::function<void()> on_tick_end;
};

Message Numbered(uint64_t number, uint32_t kind = 1) {
  Message message;
  message.kind = kind;
  message.words[0] = number;
  return message;
}

class ShardTest : public testing::Test {
 protected:
  // Shard 0 of `shards`.
  void Make(uint32_t shards, uint32_t capacity = 1024, ShardOptions options = {}) {
    fake_ = std::make_unique<FakeShard>(shards, capacity, options);
    fake_->shard.set_application(recorder_);
  }
  Shard& shard() { return fake_->shard; }
  FakeIo& io() { return fake_->io; }
  Mailbox& mailbox(uint32_t number) { return fake_->peers.mailbox(number); }
  void PushToUs(uint64_t number, uint32_t kind = 1) {
    Message message = Numbered(number, kind);
    ASSERT_TRUE(mailbox(0).Push(message));
  }

  Recorder recorder_;
  std::unique_ptr<FakeShard> fake_;
};

// Messages of others, our own, timers, the application's end, then the sends and the kernel.
TEST_F(ShardTest, OrderOfATick) {
  Make(1);
  shard().Start();
  Stream stream;
  stream.Attach(shard().streams(), 7, BufferGroup::kClients, recorder_);
  Timer timer;
  timer.Bind(Callback::To<&Recorder::OnTimer>(recorder_));
  shard().timers().Arm(timer, io().now);
  shard().Post(0, Numbered(0, 2));
  PushToUs(0, 1);
  recorder_.on_tick_end = [&] { stream.Queue(AsBytes("reply")); };
  io().on_tick = [&] {
    const FakeIo::Asked* sent = io().Find(FakeIo::Kind::kSend);
    recorder_.log.push_back(sent == nullptr ? "kernel" : "kernel sends " + sent->text);
  };
  fake_->Tick(2 * kMillisecond);
  EXPECT_EQ(recorder_.log, (std::vector<std::string>{"start", "message 1", "message 2", "timer",
                                                     "tick end", "kernel sends reply"}));
  recorder_.on_tick_end = nullptr;
  io().on_tick = nullptr;
  stream.Close();
  for (int i = 0; i < 4; ++i) fake_->Tick();
  EXPECT_EQ(recorder_.log.back(), "tick end");
  EXPECT_EQ(io().closed, std::vector<int>{7});
}

TEST_F(ShardTest, AnIdleShardSleepsUntilItsNextTimer) {
  Make(1);
  fake_->Tick();
  EXPECT_TRUE(io().ticks.back().may_sleep);
  EXPECT_EQ(io().ticks.back().deadline, kForever);
  Timer timer;
  timer.Bind(Callback::To<&Recorder::OnTimer>(recorder_));
  shard().timers().Arm(timer, io().now + 20 * kMillisecond);
  fake_->Tick();
  EXPECT_TRUE(io().ticks.back().may_sleep);
  EXPECT_GT(io().ticks.back().deadline, io().now);
  EXPECT_LE(io().ticks.back().deadline, io().now + 21 * kMillisecond);
  shard().timers().Cancel(timer);
}

TEST_F(ShardTest, MessagesPerTickAreBounded) {
  Make(1);
  for (uint64_t i = 0; i < 600; ++i) PushToUs(i);
  fake_->Tick();
  EXPECT_EQ(recorder_.numbers.size(), 512u);
  EXPECT_FALSE(io().ticks.back().may_sleep);
  fake_->Tick();
  ASSERT_EQ(recorder_.numbers.size(), 600u);
  for (uint64_t i = 0; i < 600; ++i) EXPECT_EQ(recorder_.numbers[i], i);
  EXPECT_TRUE(io().ticks.back().may_sleep);
}

TEST_F(ShardTest, TimersPerTickAreBounded) {
  Make(1);
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 1100; ++i) {
    timers.push_back(std::make_unique<Timer>());
    timers.back()->Bind(Callback::To<&Recorder::OnTimer>(recorder_));
    shard().timers().Arm(*timers.back(), io().now);
  }
  const auto fired = [this] {
    return std::count(recorder_.log.begin(), recorder_.log.end(), "timer");
  };
  fake_->Tick(2 * kMillisecond);
  EXPECT_EQ(fired(), 1024);
  EXPECT_FALSE(io().ticks.back().may_sleep);
  fake_->Tick();
  EXPECT_EQ(fired(), 1100);
  EXPECT_TRUE(io().ticks.back().may_sleep);
}

// What does not fit waits here, and what comes later waits behind it.
TEST_F(ShardTest, PostToAFullMailboxKeepsTheOrder) {
  Make(2, 4);
  std::vector<uint64_t> received;
  const auto take = [&](size_t most) {
    Message message;
    for (size_t i = 0; i < most && mailbox(1).Pop(message); ++i) {
      EXPECT_EQ(message.from, 0u);
      received.push_back(message.words[0]);
    }
  };
  for (uint64_t i = 0; i < 10; ++i) shard().Post(1, Numbered(i));
  take(2);
  shard().Post(1, Numbered(10));  // there is room, but others were first
  fake_->Tick();
  // Nobody tells us when there is room: we look again soon.
  EXPECT_LE(io().ticks.back().deadline, io().now + kMillisecond);
  take(1);
  shard().Post(1, Numbered(11));
  for (int i = 0; i < 5; ++i) {
    fake_->Tick();
    take(100);
  }
  ASSERT_EQ(received.size(), 12u);
  for (uint64_t i = 0; i < 12; ++i) EXPECT_EQ(received[i], i);
  fake_->Tick();
  EXPECT_EQ(io().ticks.back().deadline, kForever);
}

TEST_F(ShardTest, AFullMailboxOfOneHoldsUpNoOther) {
  Make(3, 4);
  for (uint64_t i = 0; i < 5; ++i) shard().Post(1, Numbered(i));
  shard().Post(2, Numbered(77));
  Message message;
  ASSERT_TRUE(mailbox(2).Pop(message));
  EXPECT_EQ(message.words[0], 77u);
}

TEST_F(ShardTest, ASleeperIsWokenOnce) {
  Make(2, 4);
  shard().Post(1, Numbered(0));
  EXPECT_TRUE(io().woken.empty());  // it is awake
  Message message;
  ASSERT_TRUE(mailbox(1).Pop(message));
  ASSERT_TRUE(mailbox(1).PrepareSleep());
  for (uint64_t i = 0; i < 6; ++i) shard().Post(1, Numbered(i));
  EXPECT_EQ(io().woken, std::vector<uint32_t>{1});
  // It has taken all it saw and sleeps again; what had to wait wakes it once more.
  while (mailbox(1).Pop(message)) {
  }
  ASSERT_TRUE(mailbox(1).PrepareSleep());
  fake_->Tick();
  EXPECT_EQ(io().woken, (std::vector<uint32_t>{1, 1}));
}

TEST_F(ShardTest, MessagesToItselfComeWithTheNextTick) {
  Make(1, 4);
  // More than its mailbox holds; each answer posts another one.
  recorder_.on_message = [this](const Message& message) {
    if (message.words[0] < 100) shard().Post(0, Numbered(message.words[0] + 100));
  };
  for (uint64_t i = 0; i < 6; ++i) shard().Post(0, Numbered(i));
  EXPECT_TRUE(recorder_.numbers.empty());
  fake_->Tick();
  EXPECT_EQ(recorder_.numbers, (std::vector<uint64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_FALSE(io().ticks.back().may_sleep);
  fake_->Tick();
  EXPECT_EQ(recorder_.numbers.size(), 12u);
  EXPECT_EQ(recorder_.numbers.back(), 105u);
  EXPECT_EQ(recorder_.froms, std::vector<uint32_t>(12, 0));
  EXPECT_TRUE(io().ticks.back().may_sleep);
}

TEST_F(ShardTest, MessagesThatCameMeanwhileKeepItAwake) {
  Make(1);
  recorder_.on_tick_end = [this] { PushToUs(1); };
  fake_->Tick();
  EXPECT_FALSE(io().ticks.back().may_sleep);
  recorder_.on_tick_end = nullptr;
}

// While it sleeps it is marked so, after that not.
TEST_F(ShardTest, OnlyASleepingShardIsMarkedAsleep) {
  Make(1);
  bool asleep = false;
  io().on_tick = [&] { asleep = mailbox(0).ClaimWake(); };
  fake_->Tick();
  EXPECT_TRUE(asleep);
  io().on_tick = nullptr;
  fake_->Tick();
  EXPECT_FALSE(mailbox(0).ClaimWake());
}

TEST_F(ShardTest, SpinsAfterWorkAndThenSleeps) {
  Make(1, 1024, {.spin = 50 * kMicrosecond});
  fake_->Tick();
  EXPECT_TRUE(io().ticks.back().may_sleep);  // there was no work yet
  Stream stream;
  stream.Attach(shard().streams(), 7, BufferGroup::kClients, recorder_);
  io().Answer(FakeIo::Kind::kReceive, 0);  // the peer's end
  fake_->Tick();
  EXPECT_TRUE(io().ticks.back().may_sleep);
  fake_->Tick(10 * kMicrosecond);
  EXPECT_FALSE(io().ticks.back().may_sleep);
  fake_->Tick(39 * kMicrosecond);
  EXPECT_FALSE(io().ticks.back().may_sleep);
  fake_->Tick(2 * kMicrosecond);
  EXPECT_TRUE(io().ticks.back().may_sleep);
  stream.Close();
  fake_->Tick();
}

TEST_F(ShardTest, WhatIsDoneGoesToItsJob) {
  struct Counting final : Job {
    explicit Counting(int& times) : done(times) {}
    void Run() override { ++done; }
    void Done() override { done += 10; }
    int& done;
  };
  Make(1);
  int done = 0;
  shard().worker().Submit(shard().id(), std::make_unique<Counting>(done));
  fake_->Tick();
  EXPECT_EQ(done, 0);
  fake_->peers.RunJob();
  EXPECT_EQ(done, 1);
  fake_->Tick();
  EXPECT_EQ(done, 11);
  EXPECT_TRUE(recorder_.numbers.empty());
}

// What was said before the end still goes, but nothing is waited for.
TEST_F(ShardTest, Stop) {
  Make(2);
  recorder_.on_message = [this](const Message&) {
    shard().Post(1, Numbered(5));
    shard().Stop();
  };
  EXPECT_TRUE(fake_->Tick());
  const size_t ticks = io().ticks.size();
  PushToUs(0);
  EXPECT_FALSE(fake_->Tick());
  EXPECT_EQ(io().ticks.size(), ticks);
  EXPECT_EQ(recorder_.log.back(), "tick end");
  Message message;
  EXPECT_TRUE(mailbox(1).Pop(message));
}

}  // namespace
}  // namespace weir::engine
