// What must be true at every moment, when all is quiet, and at the end.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "tests/sim/world.h"

namespace weir::sim {
namespace {

using engine::Cat;
using engine::kForever;
using engine::kMicrosecond;
using engine::kMillisecond;
using engine::kSecond;

// Somebody may wait beside what would serve him for as long as a look at the board takes.
constexpr Nanos kStrandedMax = 30 * kMillisecond;
// A deadline is kept within a tick.
constexpr Nanos kLateMax = 100 * kMillisecond;

}  // namespace

std::string World::Situation() const {
  std::string out;
  for (const SimClient& client : clients_) {
    if (!client.done()) engine::Append(out, client.Situation(), "\n");
  }
  const pool::TargetBoard& target = *shared_->pool.targets[0];
  engine::Append(out, "budget ", target.budget.load(), " launching ", target.launching.load(),
                 " failures ", target.failures.load(), " retry at ", target.retry_at.load(),
                 " borrow timeout ", config_.connection_pool.connection_borrow_timeout, "\n");
  out += server_->Situation();
  for (const Seat& seat : seats_) {
    if (seat.proxy == nullptr) continue;
    const pool::PoolCounts counts = seat.proxy->pool.counts(0);
    engine::Append(out, "shard ", seat.proxy->shard_id(), ": clients ", seat.proxy->clients.size(),
                   " backends ", seat.proxy->backends.size(), " cancels ",
                   seat.proxy->cancels.size(), " slice ", counts.slice, " open ", counts.open,
                   " opening ", counts.opening, " idle ", counts.idle, " linked ", counts.linked,
                   " waiting ", counts.waiting, " ", seat.io->Situation(),
                   seat.mailbox->empty() ? "" : " mail", seat.asleep ? " asleep\n" : "\n");
    const pool::BoardLine& line = shared_->pool.targets[0]->lines[seat.proxy->shard_id()];
    const pool::BoardState board = line.Read();
    engine::Append(out, "board: wanted ", board.wanted, " route ", board.oldest_route, " since ",
                   board.oldest_since, " idle ", board.idle, " free ", board.free,
                   board.waiting ? " waiting" : "", " epoch ", line.epoch(), "\n");
    seat.proxy->pool.Describe(out);
    seat.proxy->backends.ForEach([&out](const pool::BackendSession& backend) {
      backend.Describe(out);
      out.push_back('\n');
    });
    seat.proxy->clients.ForEach([&out](const pool::ClientSession& client) {
      client.Describe(out);
      out.push_back('\n');
    });
  }
  return out;
}

void World::Violation(const std::string& what) {
  for (const std::string& note : net_->notes()) std::fprintf(stderr, "%s\n", note.c_str());
  std::fprintf(stderr, "seed %llu, step %llu, %.6f s: %s\n(%s)\n%s",
               static_cast<unsigned long long>(seed_), static_cast<unsigned long long>(steps_),
               static_cast<double>(net_->now()) / 1e9, what.c_str(), words_.c_str(),
               Situation().c_str());
  engine::CheckFailed("tests/sim", 0, "a violation");
}

void World::CheckShards() {
  for (const Seat& seat : seats_) seat.proxy->pool.CheckInvariants();
  const uint32_t budget = shared_->pool.targets[0]->budget.load();
  budget_most_ = std::max(budget_most_, budget);
  if (server_->open() > static_cast<int>(budget_most_) && !faulty_) {
    Violation(
        Cat("the server has ", server_->open(), " connections, the budget is ", budget_most_));
  }
}

void World::CheckDeadlines() {
  for (const Seat& seat : seats_) {
    for (const pool::RouteCounts& counts : seat.proxy->pool.route_counts()) {
      if (counts.waiting > 0 && seat.io->Now() - counts.next_deadline > kLateMax)
        Violation(Cat("a client of route ", counts.route, " waits beyond its deadline"));
    }
  }
}

// Nobody for whom no request or close is under way waits beside an idle backend of his route,
// wherever it is; nor, if no login is under way either, beside a free slot that may be used now.
void World::CheckNobodyStranded() {
  const pool::TargetBoard& target = *shared_->pool.targets[0];
  if (draining_) {
    stranded_since_.clear();
    return;
  }
  struct Sum {
    uint32_t waiting = 0;
    uint32_t opening = 0;
    uint32_t asked = 0;
    uint32_t idle = 0;
    Nanos held_until = 0;
    Nanos oldest = kForever;
  };
  std::map<pool::RouteId, Sum> sums;
  uint32_t free = 0;
  uint32_t opening = 0;
  for (const Seat& seat : seats_) {
    const pool::PoolCounts counts = seat.proxy->pool.counts(0);
    free += counts.slice - counts.open;
    opening += counts.opening;
    for (const pool::RouteCounts& route : seat.proxy->pool.route_counts()) {
      sums[route.route].waiting += route.waiting;
      sums[route.route].idle += route.idle;
      sums[route.route].opening += route.opening;
      sums[route.route].asked += route.asked;
      if (route.waiting == 0) continue;
      sums[route.route].oldest = std::min(sums[route.route].oldest, route.oldest_since);
      sums[route.route].held_until = std::max(sums[route.route].held_until, route.held_until);
    }
  }
  const bool may_log_in =
      opening == 0 && target.failures.load() == 0 && target.retry_at.load() <= net_->now();
  const bool rotates = config_.connection_pool.debug_borrow == "rotate";
  for (const auto& [route, sum] : sums) {
    // A rotated client may wait for a login beside the backend that it had last.
    const uint32_t served = sum.asked + (rotates ? sum.opening : 0);
    const bool stranded = (sum.waiting > served && sum.idle > 0) ||
                          (sum.waiting > sum.opening + sum.asked && free > 0 && may_log_in &&
                           sum.held_until <= net_->now());
    Nanos& since = stranded_since_[route];
    if (!stranded) {
      since = 0;
    } else if (since == 0) {
      since = net_->now();
    } else if (net_->now() - std::max(since, sum.oldest) > kStrandedMax) {
      Violation(Cat("clients of route ", route, " wait beside what would serve them"));
    }
  }
}

// While somebody waits for a backend of his own, no read joins on one that he might have.
void World::CheckNobodyPassedBy() {
  passed_by_.resize(seats_.size());
  for (size_t i = 0; i < seats_.size(); ++i) {
    Nanos oldest = 0;
    for (const pool::RouteCounts& route : seats_[i].proxy->pool.route_counts()) {
      if (route.waiting > 0 && (oldest == 0 || route.oldest_since < oldest))
        oldest = route.oldest_since;
    }
    // Those who had waited themselves are let in together.
    const uint64_t joined = seats_[i].proxy->metrics[pool::Counter::kReadsJoined] -
                            seats_[i].proxy->pool.counts(0).let_in;
    const auto [before, joined_before] = std::exchange(passed_by_[i], {oldest, joined});
    if (oldest != 0 && oldest == before && joined > joined_before)
      Violation(Cat("reads have joined on shard ", i, " though somebody has waited"));
  }
}

// When all is over, whatever went wrong: new clients are served.
void World::CheckService() {
  late_ = true;
  server_->Start();
  server_->Hang(0);
  net_->SetSilent(std::string(PgServer::kAddress), false);
  ClientOptions options;
  options.weir_address = kWeirAddress;
  options.lives = 12;
  options.away_max = 3 * kSecond;
  options.requests = 12;
  options.may_lose = faulty_;
  // A route that has never logged in may have to wait for ten seconds.
  options.may_wait = config_.connection_pool.connection_borrow_timeout < 15 * kSecond;
  options.borrow_timeout = config_.connection_pool.connection_borrow_timeout;
  options.patience = 30 * kSecond;
  options.think_max = 300 * kMillisecond;
  options.pins = 0;
  const uint64_t before = answers - refused - lost;
  for (int i = 0; i < 2; ++i) {
    clients_.emplace_back(*net_, entropy_, *this, seed_ * 1000 + 900 + static_cast<uint64_t>(i),
                          900 + i, options);
    clients_.back().Start();
  }
  WaitFor("serving the last clients", 120 * kSecond, &World::AllClientsDone);
  if (answers - refused - lost == before) Violation("nobody is served any more");
}

void World::CheckQuiet() {
  uint32_t slices = 0;
  for (const Seat& seat : seats_) {
    const pool::PoolCounts counts = seat.proxy->pool.counts(0);
    slices += counts.slice;
    if (seat.proxy->backends.size() != counts.open)
      Violation("a backend that the pool does not know");
  }
  const uint32_t budget = shared_->pool.targets[0]->budget.load();
  if (slices != budget && !faulty_) {
    Violation(Cat("the slices' sum is ", slices, ", the budget is ", budget));
  }
  for (const auto& [tag, least] : rows_least) {
    if (server_->database().rows[tag] < least)
      Violation(Cat("rows of ", tag, " were confirmed and are lost"));
  }
  for (const auto& [tag, rows] : server_->database().rows) {
    const auto found = rows_least.find(tag);
    if (found != rows_least.end() && rows > found->second)
      Violation(Cat("rows of ", tag, " are there twice"));
  }
}

void World::CheckEnd() {
  for (const Seat& seat : seats_) {
    if (!seat.io->idle()) Violation("an operation is in flight after the end");
    if (seat.proxy->clients.size() + seat.proxy->backends.size() > 0)
      Violation("a session is left");
  }
  // The listening socket is all that is open.
  if (descriptors_.open() != 1) Violation(Cat(descriptors_.open() - 1, " descriptors are left"));
}

}  // namespace weir::sim
