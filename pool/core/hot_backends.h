// How many backends of a route should carry reads of several clients at once ("hot" ones).
//
// With few of them each carries more, so that a server on a few cores sleeps and wakes less; a
// server far away, or one with many cores, wants more. Nobody can know the best number beforehand:
// it is found by trying, on one shard for one route.
//
// The rule. Time is cut into windows of about 20 ms and at least 200 reads. In windows in the order
// ABBA the number in force (A) and one that is half as large again or 2/3 of it (B) take turns;
// each pair of neighbours yields a gain: by how much more reads were answered in a second, less a
// quarter of by how much more were in flight on average. Where clients wait for their answers, the
// latter is the same for both; where reads come at a rate of their own, the former is, and fewer in
// flight means a shorter time for each (Little's law). After 8 pairs, or 3 that all say the same
// clearly, B is taken if it gains 1.5 %, or if it is the smaller number and loses nothing.
// What has gained tries on in its direction at once. Otherwise there is a rest, which grows to a
// second and ends when the reads per second change, and what has lost tries the other direction.
//
// Without load (fewer than 200 reads in 100 ms, or hardly more than one in flight) nothing has to
// join: every backend that could be had may carry reads, and the number found is kept for later.
//
// No clock, no allocation; a few numbers are added in a tick, nothing is done for a read.
#pragma once

#include <cstdint>

#include "engine/base/clock.h"
#include "engine/base/prng.h"

namespace weir::pool {

class HotBackends {
 public:
  // `seed`: so that shards do not try in step.
  explicit HotBackends(uint32_t seed = 0);

  // How many backends may carry reads before a read joins one that does.
  uint32_t target() const { return target_; }
  // `ended` reads have been answered since the last call. `most`: how many backends could be had
  // (>= 1). `in_flight`: reads in flight now, those that wait for a backend among them. Called at
  // the end of every tick in which something ended; `now` never goes back.
  void OnEnded(uint32_t ended, uint32_t in_flight, uint32_t most, engine::Nanos now);

 private:
  // kIdle: no load. kSettle: the number was just changed, what ends now began before. kTry, kRest:
  // a window of a trial, of a rest.
  enum class State : uint8_t { kIdle, kSettle, kTry, kRest };
  struct Window {
    double rate = 0;       // reads per nanosecond
    double in_flight = 0;  // on average
  };

  void Move(State to);
  void Begin(engine::Nanos now);
  void SetTarget(uint32_t number, engine::Nanos now);
  void GoIdle(engine::Nanos now);
  void OnWindow(const Window& window, engine::Nanos now);
  void OnTried(const Window& window, engine::Nanos now);
  void OnRested(const Window& window, engine::Nanos now);
  bool Decided() const;
  void Decide(engine::Nanos now);
  void StartTrial(engine::Nanos now);
  void StartRest(engine::Nanos now);
  uint32_t Neighbour(bool up) const;

  engine::Prng prng_;
  State state_ = State::kIdle;
  State behind_settling_ = State::kTry;
  uint32_t target_ = UINT32_MAX;
  uint32_t most_ = 1;
  uint32_t number_ = 0;  // in force; 0: not begun
  uint32_t trial_ = 0;
  bool up_ = true;  // the direction of the trial

  // The window at hand.
  engine::Nanos begin_ = 0;
  engine::Nanos length_ = 0;
  engine::Nanos settled_ = 0;
  uint64_t ended_ = 0;
  engine::Nanos last_ = 0;  // the last call
  uint32_t in_flight_ = 0;  // since then
  double area_ = 0;         // reads in flight x time

  // The trial at hand: sums over its pairs.
  uint32_t windows_ = 0;
  Window of_number_;
  Window of_trial_;
  uint32_t pairs_ = 0;
  uint32_t better_ = 0;
  uint32_t worse_ = 0;
  double gains_ = 0;
  double usual_rate_ = 0;  // of the number in force

  // The rest at hand.
  uint32_t lost_ = 0;  // trials since one answered more
  uint32_t unlike_ = 0;
  engine::Nanos rest_end_ = 0;
};

}  // namespace weir::pool
