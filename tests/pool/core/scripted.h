// Several pools in one thread, with a driver that completes what it is told to and a clock that
// moves when it is told to.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pool/core/pool.h"

namespace weir::pool {

class ScriptedShard;

class ScriptedBackend final : public Backend {
 public:
  using Backend::Backend;
  ScriptedShard* shard = nullptr;
};

struct ScriptedMove final : engine::MessageBody {
  explicit ScriptedMove(engine::Nanos expires) : expires_at(expires) {}
  const engine::Nanos expires_at;
};

// What a driver has been asked for and has not done yet.
struct Pending {
  enum class Kind { kOpen, kClose, kDetach, kFacts, kCatalogue } kind;
  ScriptedBackend* backend;
};

class ScriptedWaiter final : public Waiter {
 public:
  void OnBorrowed(Backend& got) override {
    EXPECT_EQ(backend, nullptr);
    backend = &got;
    ++served;
  }
  void OnBorrowFailed(BorrowFailure how, engine::Bytes told) override {
    ++failed;
    failure = how;
    why = engine::AsText(told);
  }
  Backend* backend = nullptr;
  ScriptedShard* shard = nullptr;
  int served = 0;
  int failed = 0;
  BorrowFailure failure = BorrowFailure::kShutdown;
  std::string why;
};

class ScriptedShard final : public PoolHost, public BackendDriver {
 public:
  ScriptedShard(uint32_t id, PoolShared& shared, std::vector<std::unique_ptr<ScriptedShard>>& all,
                engine::Nanos& now, const PoolOptions& options)
      : id_(id),
        all_(all),
        now_(now),
        timers_(now),
        random_(id + 1),
        routes_(shared.routes),
        pool(*this, *this, shared, routes_, options) {}

  uint32_t shard_id() const override { return id_; }
  engine::Nanos Now() const override { return now_; }
  engine::TimerWheel& Timers() override { return timers_; }
  engine::Prng& Random() override { return random_; }
  void Send(uint32_t to, engine::Message&& message) override {
    message.from = id_;
    all_[to]->inbox.push_back(std::move(message));
  }
  void PoolLog(bool, std::string_view) override {}

  Backend& Open(RouteId route, TargetId target) override {
    return Add(Pending::Kind::kOpen, std::make_unique<ScriptedBackend>(route, target));
  }
  void Close(Backend& backend) override { Do(Pending::Kind::kClose, backend); }
  void Detach(Backend& backend) override { Do(Pending::Kind::kDetach, backend); }
  bool AskCatalogue(Backend& backend) override {
    if (!std::exchange(catalogue_due, false)) return false;
    Do(Pending::Kind::kCatalogue, backend);
    return true;
  }
  bool AskFacts(Backend& backend) override {
    Do(Pending::Kind::kFacts, backend);
    return true;
  }
  Backend& Attach(RouteId route, TargetId target,
                  std::unique_ptr<engine::MessageBody> body) override {
    backends.push_back(std::make_unique<ScriptedBackend>(route, target));
    if (!breaks_on_the_way)
      backends.back()->expires_at = static_cast<ScriptedMove&>(*body).expires_at;
    return *backends.back();
  }

  // One turn: mail, timers, the end of the tick.
  void Turn(size_t mails = SIZE_MAX) {
    for (; mails > 0 && !inbox.empty(); --mails) {
      engine::Message message = std::move(inbox.front());
      inbox.pop_front();
      pool.OnMessage(std::move(message));
    }
    timers_.Fire(now_, 1000);
    pool.OnTickEnd();
    pool.CheckInvariants();
  }
  // Completes the n-th pending thing.
  void Complete(size_t n, const ServerFacts& facts, const LaunchFailure* failure = nullptr) {
    const Pending done = pending[n];
    pending.erase(pending.begin() + static_cast<ptrdiff_t>(n));
    switch (done.kind) {
      case Pending::Kind::kOpen:
        if (failure == nullptr) {
          pool.OnOpened(*done.backend, facts);
        } else {
          pool.OnOpenFailed(*done.backend, *failure);
          pool.OnClosed(*done.backend);
          Forget(done.backend);
        }
        return;
      case Pending::Kind::kClose:
        pool.OnClosed(*done.backend);
        Forget(done.backend);
        return;
      case Pending::Kind::kDetach:
        pool.OnDetached(*done.backend, std::make_unique<ScriptedMove>(done.backend->expires_at));
        Forget(done.backend);
        return;
      case Pending::Kind::kFacts:
        pool.OnFacts(*done.backend, facts);
        return;
      case Pending::Kind::kCatalogue:
        pool.OnAnswered(*done.backend);
        return;
    }
  }
  void Forget(Backend* backend) {
    std::erase_if(backends, [backend](const auto& each) { return each.get() == backend; });
  }
  bool Proven(RouteId route) { return routes_.Get(route).proven.load(); }
  RouteId Route(const std::string& database) {
    return *routes_.Intern({TargetRole::kReadWrite, database, "user", ""});
  }

  bool breaks_on_the_way = false;  // what is attached has ended
  bool catalogue_due = false;
  std::deque<engine::Message> inbox;
  std::vector<Pending> pending;
  std::vector<std::unique_ptr<ScriptedBackend>> backends;

 private:
  Backend& Add(Pending::Kind kind, std::unique_ptr<ScriptedBackend> backend) {
    backends.push_back(std::move(backend));
    pending.push_back({kind, backends.back().get()});
    return *backends.back();
  }
  void Do(Pending::Kind kind, Backend& backend) {
    pending.push_back({kind, static_cast<ScriptedBackend*>(&backend)});
  }

  const uint32_t id_;
  std::vector<std::unique_ptr<ScriptedShard>>& all_;
  engine::Nanos& now_;
  engine::TimerWheel timers_;
  engine::Prng random_;
  RouteCache routes_;

 public:
  Pool pool;
};

class ScriptedPools {
 public:
  explicit ScriptedPools(uint32_t count, const PoolOptions& options = {}) : shared(count, 1) {
    for (uint32_t id = 0; id < count; ++id) {
      shards.push_back(std::make_unique<ScriptedShard>(id, shared, shards, now, options));
    }
  }
  ScriptedShard& operator[](size_t id) { return *shards[id]; }
  // Turns everything over until nothing changes any more.
  void Settle(const ServerFacts& facts) {
    for (int round = 0; round < 200; ++round) {
      for (auto& shard : shards) {
        shard->Turn();
        while (!shard->pending.empty()) shard->Complete(0, facts);
        shard->Turn();
      }
    }
  }
  uint32_t open() const {
    uint32_t all = 0;
    for (const auto& shard : shards) all += shard->pool.counts(0).open;
    return all;
  }
  uint32_t slices() const {
    uint32_t all = 0;
    for (const auto& shard : shards) all += shard->pool.counts(0).slice;
    return all;
  }

  engine::Nanos now = 1000 * engine::kSecond;
  PoolShared shared;
  std::vector<std::unique_ptr<ScriptedShard>> shards;
};

}  // namespace weir::pool
