// A shard over a FakeIo, with mailboxes and a worker of the test's own.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/shard.h"
#include "tests/engine/fake_io.h"

namespace weir::engine {

// Runs jobs when the test says so.
class FakeWorker final : public Worker {
 public:
  void Submit(uint32_t shard, std::unique_ptr<Job> job) override {
    jobs.emplace_back(shard, std::move(job));
  }
  std::vector<std::pair<uint32_t, std::unique_ptr<Job>>> jobs;
};

class FakePeers final : public ShardPeers {
 public:
  explicit FakePeers(uint32_t shards = 1, uint32_t capacity = 1024) {
    for (uint32_t i = 0; i < shards; ++i) mailboxes_.push_back(std::make_unique<Mailbox>(capacity));
  }
  uint32_t count() const override { return static_cast<uint32_t>(mailboxes_.size()); }
  Mailbox& mailbox(uint32_t shard) override { return *mailboxes_[shard]; }
  FakeWorker& worker() override { return worker_; }

  // The job that has waited longest is done; its shard hears of it with its next tick.
  void RunJob() {
    ASSERT_FALSE(worker_.jobs.empty());
    auto [shard, job] = std::move(worker_.jobs.front());
    worker_.jobs.erase(worker_.jobs.begin());
    job->Run();
    auto body = std::make_unique<DoneJob>();
    body->job = std::move(job);
    Message message;
    message.kind = kJobDoneMessage;
    message.body = std::move(body);
    ASSERT_TRUE(mailbox(shard).Push(message));
  }

 private:
  std::vector<std::unique_ptr<Mailbox>> mailboxes_;
  FakeWorker worker_;
};

// Does nothing of its own.
class QuietApplication : public ShardApplication {
 public:
  void OnStart() override {}
  void OnMessage(Message&&) override {}
  void OnTickEnd() override {}
};

class FixedEntropy final : public Entropy {
 public:
  void Fill(MutableBytes out) override {
    for (uint8_t& byte : out) byte = ++last_;
  }

 private:
  uint8_t last_ = 0;
};

class FakeShard {
 public:
  explicit FakeShard(uint32_t shards = 1, uint32_t capacity = 1024,
                     const ShardOptions& options = {})
      : peers(shards, capacity), shard(0, peers, io, entropy_, options) {
    shard.set_application(quiet_);
  }
  // One tick that finds the clock moved on.
  bool Tick(Nanos passed = 0) {
    io.now += passed;
    return shard.Tick();
  }

  FakeIo io;
  FakePeers peers;

 private:
  FixedEntropy entropy_;
  QuietApplication quiet_;

 public:
  Shard shard;
};

}  // namespace weir::engine
