// One shard's part of the pool: its backends, its slots, the clients that wait here.
//
// To borrow: an idle backend of the route here; one of another shard; a free slot, here or
// elsewhere, for a new backend; an idle backend of another route, whose slot is used; else wait. To
// return: to the oldest waiter, here unless one elsewhere has waited clearly longer; else idle.
//
// A backend occupies a slot from the beginning of its login until its server has closed. A shard's
// slots are its slice; the sum of all slices is the budget, which only the target's steward
// changes. Slots follow demand: by request (one outstanding per pair of shards), or offered to a
// want that was published on the board.
//
// pool.cc: borrowing and returning. balance.cc: what to do for those who wait. lending.cc: other
// shards. ledger.cc: the budget. janitor.cc: idle backends and their age. generation.cc: those that
// began with what sessions do not begin with any more.
// carriers.cc: backends that carry reads of several clients. pool_state.cc: what it tells of
// itself.
#pragma once

#include <array>
#include <atomic>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/prng.h"
#include "engine/mailbox.h"
#include "engine/timer_wheel.h"
#include "pool/core/board.h"
#include "pool/core/borrow_queue.h"
#include "pool/core/hot_backends.h"
#include "pool/core/launch.h"
#include "pool/core/routes.h"

namespace weir::pool {

struct PoolOptions {
  uint32_t max_percent = 100;
  uint32_t max_idle_percent = 50;
  uint32_t min_idle = 0;
  engine::Nanos route_switch_bound = 50 * engine::kMillisecond;
  engine::Nanos idle_timeout = 300 * engine::kSecond;
  engine::Nanos lifetime = 86400 * engine::kSecond;
  bool rotate = false;           // never a client's last backend if there can be another: for tests
  uint32_t pipeline_depth = 16;  // reads in flight on one backend, at most
  engine::Nanos pipeline_max_wait = engine::kMillisecond;  // expected, for those ahead
  uint32_t hot_backends = 0;  // that carry reads, for tests; 0: what HotBackends finds
};

// What all shards share.
struct PoolShared {
  PoolShared(uint32_t shard_count, uint32_t target_count);

  RouteTable routes;
  const uint32_t shards;
  std::vector<std::unique_ptr<TargetBoard>> targets;
  std::unique_ptr<std::atomic<uint32_t>[]> clients;  // of each shard, for placement
};

// What a pool needs of its shard.
class PoolHost {
 public:
  virtual uint32_t shard_id() const = 0;
  virtual engine::Nanos Now() const = 0;
  virtual engine::TimerWheel& Timers() = 0;
  virtual engine::Prng& Random() = 0;
  virtual void Send(uint32_t shard, engine::Message&& message) = 0;
  virtual void PoolLog(bool warning, std::string_view line) = 0;

 protected:
  ~PoolHost() = default;
};

struct PoolCounts {
  uint32_t budget = 0;
  uint32_t slice = 0;
  uint32_t open = 0;
  uint32_t opening = 0;
  uint32_t idle = 0;
  uint32_t linked = 0;
  uint32_t waiting = 0;
  uint64_t let_in = 0;  // of those who waited, to join others' reads
};

struct RouteCounts {
  RouteId route = 0;
  uint32_t waiting = 0;
  uint32_t idle = 0;
  uint32_t opening = 0;
  uint32_t asked = 0;              // requests and evictions under way for it
  engine::Nanos oldest_since = 0;  // of its waiters
  engine::Nanos held_until = 0;    // no login before
  engine::Nanos next_deadline = engine::kForever;
};

class Pool {
 public:
  // Messages of this kind and the 255 behind it are the pool's.
  static constexpr uint32_t kMessages = 0x100;

  Pool(PoolHost& host, BackendDriver& driver, PoolShared& shared, RouteCache& routes,
       const PoolOptions& options);
  ~Pool();

  // An idle backend at once, linked; else nullptr, and the waiter waits.
  Backend* Borrow(Waiter& waiter);
  void Leave(Waiter& waiter);
  // For a read, which the caller starts on it at once: a backend that carries reads of others, or
  // an idle one; else nullptr, and the waiter waits. What OnBorrowed brings may carry reads, too.
  Backend* BorrowToRead(Waiter& waiter);
  void OnReadStarted(Backend& backend, engine::Nanos cost);
  void OnReadEnded(Backend& backend, engine::Nanos cost);
  // Some have ended, others are in flight: those who wait may join them.
  void OfferRoom(Backend& backend);
  template <class Visitor>
  void ForEachCarrier(Visitor&& visit) {
    visited_.clear();  // they may end while they are visited
    for (const auto& route : route_states_) {
      if (route == nullptr) continue;
      for (Backend* each = route->carriers.Front(); each != nullptr;
           each = route->carriers.Next(*each))
        visited_.push_back(each);
    }
    for (Backend* each : visited_) visit(*each);
  }
  // None is in flight any more: it is linked, and to be returned.
  void EndReads(Backend& backend);
  // Linked, clean, nothing owed.
  void Return(Backend& backend);
  // Linked, must not be used again.
  void Discard(Backend& backend);
  // Somebody, on any shard, waits for a backend of the target. As of the last tick for other
  // shards.
  bool OthersWait(TargetId target) const {
    return targets_[target].waiting > 0 || targets_[target].wanted_elsewhere;
  }

  // From the driver.
  void OnOpened(Backend& backend, const ServerFacts& facts);
  void OnOpenFailed(Backend& backend, const LaunchFailure& failure);  // OnClosed follows
  void OnFacts(Backend& backend, const ServerFacts& facts);
  void OnAnswered(Backend& backend);
  void OnClosed(Backend& backend);
  void OnLost(Backend& backend);  // OnClosed follows
  void OnDetached(Backend& backend, std::unique_ptr<engine::MessageBody> body);

  void OnMessage(engine::Message&& message);
  void OnTickEnd();
  void Drain();
  void Reconfigure(const PoolOptions& options) { options_ = options; }
  // What servers have refused is tried again: the secrets are others.
  void Forgive();
  // Wants one backend of the route to be opened, if there is room.
  void Prewarm(RouteId route);

  PoolCounts counts(TargetId target) const;
  // Of every route that this shard has met, by id.
  std::vector<RouteCounts> route_counts() const;
  bool empty() const;  // no backend and no waiter
  void Describe(std::string& out) const;
  void CheckInvariants() const;

 private:
  friend class Waiter;

  // What another shard is asked for: an idle backend of the route; that or a free slot; or that it
  // closes an idle backend of another route, for one that may have that or only once in a while.
  enum class Wish : uint8_t { kIdle, kIdleOrSlot, kEviction, kRareEviction };
  static constexpr int kWishes = 4;

  struct RouteState {
    RouteId id = 0;
    TargetId target = 0;
    engine::IntrusiveList<Backend, &Backend::idle_link_> idle;  // most recently used first
    engine::IntrusiveList<Waiter, &Waiter::link_> waiters;      // oldest first
    engine::ListLink active_link;                               // while it has waiters
    uint32_t opening = 0;                                       // logins in progress
    uint32_t asked = 0;  // requests and evictions under way for it
    engine::Nanos refused_until = 0;
    std::vector<uint8_t> refusal;  // the server's error
    engine::Nanos used_at = 0;
    engine::Nanos launched_at = 0;     // its last login began
    engine::Nanos shut_out_since = 0;  // its secret has been refused, where it was accepted
    engine::Nanos held_until = 0;      // no login before
    uint32_t failures = 0;             // of its own, in a row
    std::string trouble;               // the last of them, for people
    // Epochs of the other shards' board lines at which they refused this route something, by wish.
    // Empty: none has.
    std::vector<std::array<uint32_t, kWishes>> refused_at;
    uint64_t generation = 0;  // the newest for which outdated idle backends were closed
    engine::IntrusiveList<Backend, &Backend::carrier_link_> carriers;
    std::unique_ptr<HotBackends> hot;  // nullptr: nobody has read
    uint32_t reads_ended = 0;          // in this tick
    uint32_t reads = 0;                // in flight
    engine::Nanos grow_at = 0;         // no more backends for reads before
  };
  // A route's place in a pass of Balance.
  struct Place {
    engine::Nanos tried_at;
    engine::Nanos since;
    RouteId route;
    auto operator<=>(const Place&) const = default;
  };
  struct Target {
    engine::IntrusiveList<Backend, &Backend::state_link_> backends[kBackendStates];
    engine::IntrusiveList<RouteState, &RouteState::active_link> active;
    uint32_t slice = 0;
    uint32_t open = 0;  // slots in use
    uint32_t debt = 0;  // slots to give back to the steward
    uint32_t waiting = 0;
    uint64_t let_in = 0;
    std::vector<Place> pass;    // who is to be helped in this pass of Balance
    size_t passed = 0;          // of them
    engine::Nanos look_at = 0;  // RouteToSwitchTo: not before, if they are many
    bool wanted_elsewhere = false;
    bool dirty = false;
    engine::Timer retry;  // a launch was put off
    Pool* pool = nullptr;
    void OnRetry();
    BoardState published;
    // Wants that others have claimed and whose grants are still to come. Below 0 while a grant is
    // here whose claim has not been looked at.
    int32_t claimed = 0;
    std::vector<bool> outstanding;   // a request to that shard is not yet answered
    std::vector<RouteId> asked_for;  // ... for that route
    bool refused = false;            // a request since plenty was published last has found nothing
    bool new_idle = false;           // since then a route that had no idle backend has got one
    // The steward's.
    uint32_t issued = 0;                  // the sum of all slices, and slots in messages
    uint32_t recalled = 0;                // debts not yet paid
    std::vector<uint32_t> recalled_from;  // ... by shard
    uint32_t wanted_budget = 1;           // by the server's facts
    engine::Nanos cut_until = 0;          // after a 53300
    uint32_t cut_budget = 0;
  };

  RouteState& StateOf(RouteId route);
  Target& TargetOf(const Backend& backend) { return targets_[backend.target()]; }
  TargetBoard& board(TargetId target) const { return *shared_.targets[target]; }
  bool steward(TargetId target) const { return target % shared_.shards == host_.shard_id(); }
  uint32_t free_slots(const Target& target) const {
    return target.slice > target.open ? target.slice - target.open : 0;
  }
  size_t CountOf(const Target& target, BackendState state) const;

  void Move(Backend& backend, BackendState to);
  void Enqueue(RouteState& route, Waiter& waiter);
  void Dequeue(RouteState& route, Waiter& waiter);
  void OnDeadline(Waiter& waiter);
  Backend* TakeIdle(RouteState& route, Waiter& waiter);
  Backend* TakeAnother(RouteState& route, const Waiter& waiter);
  void Serve(Waiter& waiter, Backend& backend);
  void Settle(Backend& backend);
  bool SettleElsewhere(Backend& backend, RouteState& route);
  void MakeIdle(Backend& backend, engine::Nanos since);
  void CloseBackend(Backend& backend);
  void FailWaiters(RouteState& route, BorrowFailure failure, engine::Bytes error);
  void Occupy(Backend& backend);

  // carriers.cc
  bool MayJoinAny(const RouteState& route, const Target& target) const;
  bool TakesRead(const Backend& backend, const Waiter& waiter) const;
  Backend* BestCarrier(RouteState& route, const Waiter& waiter);
  void Grow(RouteState& route);
  std::unique_ptr<HotBackends> NewHotBackends(const RouteState& route) const;
  uint32_t MostCarriers(const RouteState& route) const;
  void JudgeReads();

  // balance.cc
  void Balance(TargetId id);
  uint32_t UnservedOf(const RouteState& route) const;
  uint32_t NeedOf(const RouteState& route) const;
  bool Held(const RouteState& route) const { return route.held_until > host_.Now(); }
  bool OneAtATime(const RouteState& route) const { return route.failures > 0 || !Proven(route.id); }
  bool WaitsForSecret(RouteState& route, engine::Nanos now);
  void Hold(RouteState& route, const LaunchFailure& failure);
  uint32_t KeptSlots(TargetId id) const;
  uint32_t SpareSlots(TargetId id) const;
  RouteState* OldestNeedy(TargetId id, bool proven_only);
  void BeginPass(TargetId id);
  bool Help(TargetId id, RouteState& route, engine::Nanos* retry_at);
  RouteState* RouteToSwitchTo(TargetId id, const RouteState& from, engine::Nanos longer_than);
  bool Down(TargetId id) const { return board(id).failures.load(std::memory_order_relaxed) > 0; }
  uint32_t TurnOf(TargetId id) const;
  engine::Nanos ProbeAt(TargetId id) const;
  bool MayLaunch(TargetId id, const RouteState& route, engine::Nanos* retry_at) const;
  bool LoginFits(TargetId id, const RouteState& route, uint32_t most) const;
  void Launch(TargetId id, RouteState& route);
  Backend* OldestIdle(Target& target, const RouteState* but);
  bool Evict(TargetId id, RouteState& route);
  void CloseFor(Backend& victim, RouteState& route);
  bool MayEvict(TargetId id, const RouteState& route) const;
  bool MayEvictForNew(TargetId id) const;
  bool TakeForNew(TargetId id);
  bool Proven(RouteId route) const {
    return routes_.Get(route).proven.load(std::memory_order_relaxed);
  }
  bool IdleElsewhere(TargetId id) const;
  void OnLaunchFailure(TargetId id, RouteState& route, const LaunchFailure& failure,
                       engine::Nanos began);

  // lending.cc
  bool Publish(TargetId id);
  BoardState StateForBoard(TargetId id);
  void OfferPlenty(TargetId id, bool fresh);
  void TellToLook(TargetId id);
  bool Ask(TargetId id, RouteState& route, Wish wish, bool once = false);
  void Lend(Backend& backend, uint32_t shard);
  void GrantSlots(TargetId id, uint32_t shard, uint32_t count, bool answer);
  void OnRequest(const engine::Message& message);
  void OnAnswer(TargetId id, uint32_t shard);
  void OnGrant(TargetId id, const engine::Message& message);
  void SendTo(uint32_t shard, uint32_t kind, uint64_t a, uint64_t b, uint64_t c,
              std::unique_ptr<engine::MessageBody> body = nullptr);

  void TellSteward(TargetId id, const ServerFacts& facts);
  void TellStewardCut(TargetId id);
  void Recall(TargetId id, uint32_t shard, uint32_t count);
  void GiveBack(TargetId id, uint32_t count);

  // ledger.cc
  void Learn(TargetId id, const ServerFacts& facts);
  void Cut(TargetId id);
  void SetBudget(TargetId id);
  void PayDebt(TargetId id);
  void SlotsBack(TargetId id, uint32_t shard, uint32_t count);

  // generation.cc
  bool Outdated(const Backend& backend) const;
  void LearnGeneration(const Backend& backend, const ServerFacts& facts);
  void CloseOutdated(RouteState& route);
  void AskGenerations(engine::Nanos now);

  // janitor.cc
  void OnJanitor();
  void CloseIdle(TargetId id, engine::Nanos now);
  void KeepWarm(TargetId id);
  void AskFactsIfDue(TargetId id, engine::Nanos now);
  void AskCatalogues(TargetId id);

  PoolHost& host_;
  BackendDriver& driver_;
  PoolShared& shared_;
  RouteCache& routes_;
  PoolOptions options_;
  std::unique_ptr<Target[]> targets_;
  const uint32_t target_count_;
  std::vector<std::unique_ptr<RouteState>> route_states_;  // by id
  std::vector<Backend*> returning_;  // returned while another return is under way
  std::vector<RouteState*> read_in_tick_;
  std::vector<Backend*> visited_;  // by ForEachCarrier
  bool settling_ = false;
  bool draining_ = false;
  uint64_t numbers_ = 0;
  engine::Timer janitor_;
};

}  // namespace weir::pool
