#include "engine/thread_worker.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/shards.h"

namespace weir::engine {
namespace {

// A door that jobs wait before, and a count of those that have come to it.
class Gate {
 public:
  void Pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::seconds(10), [this] { return open_; });
  }
  bool AwaitArrival(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return arrived_ >= count; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  int arrived() {
    std::lock_guard lock(mutex_);
    return arrived_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

class ThreadWorkerTest : public testing::Test {
 protected:
  struct Waiting final : Job {
    Waiting(Gate& before, std::vector<int>& into, int with)
        : gate(before), done(into), number(with) {}
    void Run() override {
      EXPECT_NE(std::this_thread::get_id(), submitter);
      gate.Pass();
    }
    void Done() override { done.push_back(number); }
    const std::thread::id submitter = std::this_thread::get_id();
    Gate& gate;
    std::vector<int>& done;
    const int number;
  };
  // Never run.
  struct Probe final : Job {
    explicit Probe(std::shared_ptr<bool> flag) : gone(std::move(flag)) {}
    ~Probe() override { *gone = true; }
    void Run() override { ADD_FAILURE() << "a job ran after Stop"; }
    void Done() override {}
    const std::shared_ptr<bool> gone;
  };
  void Submit(uint32_t shard, int number) {
    worker_.Submit(shard, std::make_unique<Waiting>(gate_, done_, number));
  }
  // What the shard would do with its next message, when it has come.
  bool Answer(uint32_t shard) {
    Message message;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!shards_.mailbox(shard).Pop(message)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    EXPECT_EQ(message.kind, kJobDoneMessage);
    static_cast<DoneJob&>(*message.body).job->Done();
    return true;
  }

  Gate gate_;
  std::vector<int> done_;
  Shards shards_{[] {
    ShardsOptions options;
    options.shards = 2;
    return options;
  }()};
  ThreadWorker worker_{shards_};
};

TEST_F(ThreadWorkerTest, JobsRunInOrderAndGoHome) {
  gate_.Open();
  for (int i = 0; i < 6; ++i) Submit(static_cast<uint32_t>(i % 2), i);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Answer(0));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Answer(1));
  EXPECT_EQ(done_, (std::vector<int>{0, 2, 4, 1, 3, 5}));
  EXPECT_TRUE(shards_.mailbox(0).empty() && shards_.mailbox(1).empty());
}

TEST_F(ThreadWorkerTest, SubmitNeverWaits) {
  Submit(0, 0);
  ASSERT_TRUE(gate_.AwaitArrival(1));
  for (int i = 1; i < 100; ++i) Submit(0, i);  // one is in hand all the time
  EXPECT_TRUE(shards_.mailbox(0).empty());
  EXPECT_EQ(gate_.arrived(), 1);
  gate_.Open();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Answer(0));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(done_[static_cast<size_t>(i)], i);
}

// The job in hand is finished; those that wait are dropped, and nothing is taken any more.
TEST_F(ThreadWorkerTest, Stop) {
  Submit(0, 0);
  ASSERT_TRUE(gate_.AwaitArrival(1));
  Submit(0, 1);
  Submit(1, 2);
  std::thread stopper([this] { worker_.Stop(); });
  // The door opens when Stop has been heard: a further job is gone at once.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  bool heard = false;
  while (!heard && std::chrono::steady_clock::now() < deadline) {
    const auto gone = std::make_shared<bool>(false);
    worker_.Submit(1, std::make_unique<Probe>(gone));
    heard = *gone;
    std::this_thread::yield();
  }
  EXPECT_TRUE(heard);
  gate_.Open();
  stopper.join();
  ASSERT_TRUE(Answer(0));
  EXPECT_EQ(done_, std::vector<int>{0});
  EXPECT_EQ(gate_.arrived(), 1);
  EXPECT_TRUE(shards_.mailbox(1).empty());
  Submit(1, 3);
  EXPECT_EQ(gate_.arrived(), 1);
  worker_.Stop();  // once more does no harm
}

TEST_F(ThreadWorkerTest, StopWithoutAJob) { worker_.Stop(); }

}  // namespace
}  // namespace weir::engine
