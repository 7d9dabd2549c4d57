// Who runs when: shards, events of the network, stores that others do not see yet, work off the
// shards. Every choice is the seed's.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "engine/base/check.h"
#include "tests/sim/world.h"

namespace weir::sim {
namespace {

using engine::kForever;
using engine::kMicrosecond;
using engine::kMillisecond;
using engine::kSecond;

// A run that takes longer is stuck.
constexpr uint64_t kStepsMax = 30'000'000;
constexpr Nanos kTimeMax = 900 * kSecond;

}  // namespace

void World::Yield(SimIo&) {
  CHECK(running_ != kNobody);
  seats_[static_cast<size_t>(running_)].fiber->GiveWay();
}

void World::Sleep(SimIo&, Nanos deadline) {
  CHECK(running_ != kNobody);
  Seat& seat = seats_[static_cast<size_t>(running_)];
  seat.asleep = true;
  seat.wake_at = deadline;
  seat.fiber->GiveWay();
  seat.asleep = false;
}

bool World::Runnable(const Seat& seat) const {
  if (seat.fiber->ended() || seat.frozen_until > steps_) return false;
  return !seat.asleep || seat.io->stirred() || seat.wake_at <= net_->now();
}

void World::RunShard(uint32_t shard) {
  running_ = static_cast<int>(shard);
  seats_[shard].fiber->Resume();
  running_ = kNobody;
  net_->Advance(net_->now() + net_->Between(kMicrosecond / 2, 20 * kMicrosecond));
}

void World::Step() {
  ++steps_;
  if (steps_ > kStepsMax || net_->now() > kTimeMax) Violation("the run does not end");
  if (choices_.Below(drain_every_) == 0) DrainSome();
  uint32_t runnable[64];
  size_t count = 0;
  for (uint32_t id = 0; id < seats_.size(); ++id) {
    if (Runnable(seats_[id])) runnable[count++] = id;
  }
  const bool event = net_->NextEvent() <= net_->now();
  if (event && (count == 0 || choices_.Below(2) == 0)) {
    net_->RunEvent();
    return;
  }
  if (count > 0) {
    const uint32_t shard = runnable[choices_.Below(count)];
    net_->Mix(shard);
    RunShard(shard);
    return;
  }
  // Nobody can run: stores are seen in the end, and time goes on.
  for (Seat& seat : seats_) {
    DrainSeat(seat);
    seat.frozen_until = 0;
  }
  for (const Seat& seat : seats_) {
    if (Runnable(seat)) return;
  }
  Nanos next = net_->NextEvent();
  for (const Seat& seat : seats_) {
    if (!seat.fiber->ended()) next = std::min(next, seat.wake_at);
  }
  if (next == kForever) Violation("nothing will ever happen again");
  net_->Advance(next);
}

// --- Words that shards share.

void World::OnAccess() {
  if (running_ == kNobody || choices_.Below(yield_every_) != 0) return;
  Seat& seat = seats_[static_cast<size_t>(running_)];
  // The kernel may take the core away for a while.
  seat.frozen_until = steps_ + choices_.Below(freeze_max_);
  seat.fiber->GiveWay();
}

void World::Store(void* cell, uint64_t value, Apply apply, bool release) {
  if (running_ == kNobody) {
    apply(cell, value);
    return;
  }
  seats_[static_cast<size_t>(running_)].stores.push_back({cell, value, apply, release});
}

bool World::Pending(const void* cell, uint64_t& value) {
  if (running_ == kNobody) return false;
  const std::deque<BufferedStore>& stores = seats_[static_cast<size_t>(running_)].stores;
  for (auto each = stores.rbegin(); each != stores.rend(); ++each) {
    if (each->cell != cell) continue;
    value = each->value;
    return true;
  }
  return false;
}

void World::Drain(const void* cell) {
  if (running_ == kNobody) return;
  Seat& seat = seats_[static_cast<size_t>(running_)];
  if (cell == nullptr) {
    DrainSeat(seat);
    return;
  }
  for (size_t i = 0; i < seat.stores.size();) {
    if (seat.stores[i].cell != cell) {
      ++i;
      continue;
    }
    seat.stores[i].apply(seat.stores[i].cell, seat.stores[i].value);
    seat.stores.erase(seat.stores.begin() + static_cast<ptrdiff_t>(i));
  }
}

void World::DrainSeat(Seat& seat) {
  for (const BufferedStore& each : seat.stores) each.apply(each.cell, each.value);
  seat.stores.clear();
}

// One store of somebody is seen: the oldest, or a later one that may overtake.
void World::DrainSome() {
  Seat& seat = seats_[choices_.Below(seats_.size())];
  if (seat.stores.empty()) return;
  size_t place = choices_.Below(seat.stores.size());
  if (seat.stores[place].release) place = 0;
  for (size_t i = 0; i < place; ++i) {
    if (seat.stores[i].cell == seat.stores[place].cell) place = i;
  }
  if (seat.stores[place].release) place = 0;
  seat.stores[place].apply(seat.stores[place].cell, seat.stores[place].value);
  seat.stores.erase(seat.stores.begin() + static_cast<ptrdiff_t>(place));
}

// --- Work off the shards.

void World::Post(uint32_t shard, engine::Message&& message) {
  if (!mailbox(shard).Push(message)) {
    // Full: again later.
    auto again = std::make_shared<engine::Message>(std::move(message));
    net_->At(net_->now() + 100 * kMicrosecond,
             [this, shard, again] { Post(shard, std::move(*again)); });
    return;
  }
  if (mailbox(shard).ClaimWake()) seats_[shard].io->Wake(shard);
}

void World::Submit(uint32_t shard, std::unique_ptr<engine::Job> job) {
  jobs_.push_back(std::move(job));
  net_->At(net_->now() + net_->Between(0, 3 * kMillisecond),
           [this, shard, place = jobs_.size() - 1] {
             jobs_[place]->Run();
             auto body = std::make_unique<engine::DoneJob>();
             body->job = std::move(jobs_[place]);
             engine::Message message;
             message.kind = engine::kJobDoneMessage;
             message.body = std::move(body);
             Post(shard, std::move(message));
           });
}

}  // namespace weir::sim
