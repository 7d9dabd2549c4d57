// Real threads with real rings. Nothing here waits without a bound.
#include "engine/shards.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weir::engine {
namespace {

constexpr uint32_t kPing = 1;   // answered to the board
constexpr uint32_t kRelay = 2;  // goes round all shards, then to the board
constexpr uint32_t kWork = 3;   // a job for the worker, then to the board
constexpr uint32_t kStop = 4;

// What the shards tell the test.
class Board {
 public:
  void Put(const std::string& line) {
    std::lock_guard lock(mutex_);
    lines_.push_back(line);
    changed_.notify_all();
  }
  // Waits until there are so many lines; takes them.
  std::vector<std::string> Take(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return lines_.size() >= count; });
    return std::exchange(lines_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

class Echo final : public ShardApplication {
 public:
  Echo(Shard& shard, Board& board, std::atomic<int>& alive)
      : shard_(shard), board_(board), alive_(alive), thread_(std::this_thread::get_id()) {
    ++alive_;
  }
  ~Echo() override {
    EXPECT_EQ(std::this_thread::get_id(), thread_);
    --alive_;
  }
  void OnStart() override { started_ = true; }
  void OnTickEnd() override {}
  void OnMessage(Message&& message) override {
    EXPECT_TRUE(started_);
    EXPECT_EQ(std::this_thread::get_id(), thread_);
    const std::string me = std::to_string(shard_.id());
    switch (message.kind) {
      case kPing:
        board_.Put(me + " ping " + std::to_string(message.words[0]));
        return;
      case kRelay:
        if (message.words[0] == 0) {
          board_.Put(me + " relayed from " + std::to_string(message.from));
        } else {
          --message.words[0];
          shard_.Post((shard_.id() + 1) % shard_.count(), std::move(message));
        }
        return;
      case kWork:
        shard_.worker().Submit(shard_.id(), std::make_unique<Work>(*this, message.words[0]));
        return;
      default:
        shard_.Stop();
    }
  }

 private:
  struct Work final : Job {
    Work(Echo& for_whom, uint64_t with) : echo(for_whom), number(with) {}
    void Run() override { EXPECT_NE(std::this_thread::get_id(), echo.thread_); }
    void Done() override {
      EXPECT_EQ(std::this_thread::get_id(), echo.thread_);
      echo.board_.Put(std::to_string(echo.shard_.id()) + " work " + std::to_string(number));
    }
    Echo& echo;
    const uint64_t number;
  };

  Shard& shard_;
  Board& board_;
  std::atomic<int>& alive_;
  const std::thread::id thread_;
  bool started_ = false;
};

class ShardsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    options_.shards = 3;
    options_.uring.buffers = 8;
    options_.uring.mask = *UringMask::Parse(GetParam());
    shards_ = std::make_unique<Shards>(options_);
    const absl::Status started = shards_->Start(
        [this](Shard& shard) { return std::make_unique<Echo>(shard, board_, alive_); });
    ASSERT_TRUE(started.ok()) << started;
    ASSERT_EQ(alive_.load(), 3);
    EXPECT_FALSE(shards_->stopped());
  }
  void TearDown() override {
    for (uint32_t shard = 0; shard < 3; ++shard) Post(shard, kStop);
    const Nanos deadline = MonotonicNow() + 10 * kSecond;
    while (!shards_->stopped() && MonotonicNow() < deadline) std::this_thread::yield();
    if (!shards_->stopped()) {
      std::fprintf(stderr, "a shard sleeps on: it cannot be joined\n");
      std::abort();
    }
    shards_->Join();
    EXPECT_EQ(alive_.load(), 0);
  }
  void Post(uint32_t shard, uint32_t kind, uint64_t number = 0) {
    Message message;
    message.kind = kind;
    message.words[0] = number;
    shards_->Post(shard, std::move(message));
  }

  ShardsOptions options_;
  Board board_;
  std::atomic<int> alive_{0};
  std::unique_ptr<Shards> shards_;
};

INSTANTIATE_TEST_SUITE_P(Masks, ShardsTest, testing::Values("", "no_fast_wake"),
                         [](const auto& each) {
                           return std::string(*each.param == '\0' ? "none" : each.param);
                         });

// They have no timer and nothing to do: each sleeps for ever unless it is woken.
TEST_P(ShardsTest, PostFromOutsideWakesASleeper) {
  for (uint64_t i = 0; i < 50; ++i) {
    const uint32_t shard = static_cast<uint32_t>(i % 3);
    Post(shard, kPing, i);
    ASSERT_EQ(board_.Take(1),
              std::vector<std::string>{std::to_string(shard) + " ping " + std::to_string(i)});
  }
}

// More than a mailbox holds; in order.
TEST_P(ShardsTest, PostWaitsWhileTheMailboxIsFull) {
  constexpr uint64_t kMany = 10'000;
  for (uint64_t i = 0; i < kMany; ++i) Post(1, kPing, i);
  std::vector<std::string> all;
  while (all.size() < kMany) {
    const std::vector<std::string> more = board_.Take(1);
    ASSERT_FALSE(more.empty());
    all.insert(all.end(), more.begin(), more.end());
  }
  for (uint64_t i = 0; i < kMany; ++i) ASSERT_EQ(all[i], "1 ping " + std::to_string(i));
}

TEST_P(ShardsTest, ShardsWakeEachOther) {
  for (int i = 0; i < 20; ++i) {
    Post(0, kRelay, 31);
    ASSERT_EQ(board_.Take(1), std::vector<std::string>{"1 relayed from 0"});
  }
}

TEST_P(ShardsTest, AnswersOfTheWorkerComeBack) {
  for (uint32_t shard = 0; shard < 3; ++shard) {
    for (uint64_t i = 0; i < 10; ++i) {
      Post(shard, kWork, i);
      ASSERT_EQ(board_.Take(1),
                std::vector<std::string>{std::to_string(shard) + " work " + std::to_string(i)});
    }
  }
}

// In a process of its own, which ends with 0 if all is as it should be.
[[noreturn]] void StartWithTooFewDescriptors(rlim_t left) {
  ShardsOptions options;
  options.shards = 3;
  options.uring.buffers = 8;
  bool right = false;
  {
    Shards shards(options);
    const int next = dup(0);
    close(next);
    const rlim_t most = static_cast<rlim_t>(next) + left;
    const rlimit limit{most, most};
    setrlimit(RLIMIT_NOFILE, &limit);
    std::atomic<int> made{0};
    const absl::Status status = shards.Start([&made](Shard&) {
      ++made;
      return std::unique_ptr<ShardApplication>();
    });
    const std::string text = std::string(status.message());
    right = text.find(std::strerror(EMFILE)) != std::string::npos && shards.stopped() && made == 0;
    if (!right) std::fprintf(stderr, "\"%s\", made %d\n", text.c_str(), made.load());
  }
  _exit(right ? 0 : 1);
}

// There are rings for two of the three threads: none begins, and the error is told.
TEST(ShardsStartTest, AnErrorOfOneStopsAll) {
  EXPECT_EXIT(StartWithTooFewDescriptors(2), testing::ExitedWithCode(0), "");
}

TEST(ShardsStartTest, ErrorsOfAllAreOne) {
  EXPECT_EXIT(StartWithTooFewDescriptors(0), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace weir::engine
