#include "engine/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace weir::engine {
namespace {

TEST(MailboxTest, FullIsToldAndTheMessageStays) {
  Mailbox mailbox(4);
  struct Body final : MessageBody {};
  for (int i = 0; i < 4; ++i) {
    Message message;
    message.words[0] = static_cast<uint64_t>(i);
    EXPECT_TRUE(mailbox.Push(message));
  }
  Message fifth;
  fifth.body = std::make_unique<Body>();
  EXPECT_FALSE(mailbox.Push(fifth));
  EXPECT_NE(fifth.body, nullptr);
  Message out;
  for (uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(mailbox.Pop(out));
    EXPECT_EQ(out.words[0], i);
  }
  EXPECT_FALSE(mailbox.Pop(out));
  EXPECT_TRUE(mailbox.Push(fifth));
}

TEST(MailboxTest, AtMostOneWakePerSleep) {
  Mailbox mailbox(16);
  Message message;
  EXPECT_TRUE(mailbox.Push(message));
  EXPECT_FALSE(mailbox.ClaimWake());     // nobody sleeps
  EXPECT_FALSE(mailbox.PrepareSleep());  // something is there
  Message out;
  EXPECT_TRUE(mailbox.Pop(out));
  EXPECT_TRUE(mailbox.PrepareSleep());
  EXPECT_TRUE(mailbox.ClaimWake());
  EXPECT_FALSE(mailbox.ClaimWake());
}

// Three producers, one consumer that really sleeps: nothing is lost, in order per producer.
TEST(MailboxTest, ThreeProducers) {
  constexpr uint64_t kEach = 200'000;
  Mailbox mailbox(256);
  std::atomic<uint32_t> wakes{0};
  std::vector<std::thread> producers;
  for (uint32_t producer = 0; producer < 3; ++producer) {
    producers.emplace_back([&mailbox, &wakes, producer] {
      for (uint64_t i = 0; i < kEach;) {
        Message message;
        message.from = producer;
        message.words[0] = i;
        if (!mailbox.Push(message)) {
          std::this_thread::yield();
          continue;
        }
        ++i;
        if (mailbox.ClaimWake()) {
          wakes.fetch_add(1);
          wakes.notify_one();
        }
      }
    });
  }
  uint64_t next[3] = {};
  uint64_t received = 0;
  uint32_t sleeps = 0;
  uint32_t tries = 0;  // to sleep: each may be answered with one wake, also if it finds a message
  while (received < 3 * kEach) {
    Message message;
    while (mailbox.Pop(message)) {
      ASSERT_EQ(message.words[0], next[message.from]++);
      ++received;
    }
    if (received == 3 * kEach) continue;
    ++tries;
    if (!mailbox.PrepareSleep()) continue;
    wakes.wait(sleeps);
    ++sleeps;
    mailbox.Awake();
  }
  for (std::thread& each : producers) each.join();
  EXPECT_LE(wakes.load(), tries);
}

}  // namespace
}  // namespace weir::engine
