// The number of backends that carry many reads each, found on simulated servers.
#include "pool/core/hot_backends.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "engine/base/prng.h"

namespace weir::pool {
namespace {

using engine::kMillisecond;
using engine::kSecond;
using engine::Nanos;

// What a server does with so many backends in use: reads per second, and how many are in flight.
struct Load {
  double rate = 0;
  double in_flight = 0;
};
using Server = std::function<Load(double backends)>;

// Reads per second between the points of a curve.
double Between(const std::vector<std::pair<double, double>>& curve, double at) {
  if (at <= curve.front().first) return curve.front().second;
  for (size_t i = 1; i < curve.size(); ++i) {
    const auto& [x0, y0] = curve[i - 1];
    const auto& [x1, y1] = curve[i];
    if (at <= x1) return y0 + (y1 - y0) * (at - x0) / (x1 - x0);
  }
  return curve.back().second;
}

// So many clients, each of which sends when it has been answered.
Server Curve(std::vector<std::pair<double, double>> curve, double clients) {
  return [curve = std::move(curve), clients](double backends) {
    return Load{Between(curve, backends), clients};
  };
}

// Two cores: few busy backends are best, many of them wake and sleep in turns.
Server TwoCores(double clients = 32) {
  return Curve({{1, 70e3}, {2, 93e3}, {3, 98e3}, {4, 100e3}, {6, 99e3}, {9, 94e3}, {20, 75e3}},
               clients);
}
// The same, where nothing above 3 makes a difference.
Server FlatTop() { return Curve({{1, 50e3}, {2, 85e3}, {3, 99e3}, {4, 100e3}}, 32); }
Server ManyCores(double cores) { return Curve({{1, 12e3}, {cores, 12e3 * cores}}, 64); }
// Half a millisecond away: the time of a read is the distance, and that of those ahead of it.
Server FarAway(double clients) {
  return [clients](double backends) {
    return Load{clients / (500e-6 + clients / backends * 20e-6), clients};
  };
}
// Reads come at a rate of their own; the more backends, the less they wait for each other.
Server Arrivals(double rate, double service) {
  return [=](double backends) {
    const double room = 1 - rate * service / backends;
    if (room <= 0.02) return Load{0.98 * backends / service, 200};
    return Load{rate, std::max(1.6, rate * service / room)};
  };
}
// ... but each backend more makes all of them slower.
Server ArrivalsAtTwoCores(double rate) {
  return [=](double backends) { return Load{rate, rate * 100e-6 * (1 + 0.05 * backends)}; };
}

class Simulation {
 public:
  explicit Simulation(Server server, uint32_t seed, uint32_t most = 20, double noise = 0.1)
      : server_(std::move(server)), hot_(seed), prng_(seed + 1000), most_(most), noise_(noise) {}

  void Use(Server server) { server_ = std::move(server); }
  void set_most(uint32_t most) { most_ = most; }
  uint32_t target() const { return hot_.target(); }

  // Runs for so long; what the server did on average, without the noise.
  Load Run(Nanos time) {
    Load sum;
    int ticks = 0;
    for (const Nanos end = now_ + time; now_ < end; ++ticks) {
      const Load load = Tick();
      sum.rate += load.rate;
      sum.in_flight += load.in_flight;
    }
    return {sum.rate / ticks, sum.in_flight / ticks};
  }

  Load BestOf() const {
    Load best;
    for (uint32_t i = 1; i <= most_; ++i) {
      const Load load = server_(i);
      if (load.rate > best.rate) best = load;
    }
    return best;
  }

 private:
  static constexpr Nanos kTick = kMillisecond / 2;

  Load Tick() {
    now_ += kTick;
    // In stretches that are as long as the windows are, but do not begin with them.
    if (now_ >= stretch_end_) {
      stretch_end_ = now_ + 20 * kMillisecond;
      factor_ = 1 + noise_ * (2 * prng_.Fraction() - 1);
    }
    // What is in flight stays where it is until it is answered.
    const double target = std::min(hot_.target(), most_);
    in_use_ += (target - in_use_) * 0.5;
    const Load load = server_(std::max(in_use_, 1.0));
    const double reads = load.rate * factor_ * static_cast<double>(kTick) / 1e9 + rest_;
    const auto ended = static_cast<uint32_t>(reads);
    rest_ = reads - ended;
    if (ended > 0)
      hot_.OnEnded(ended, static_cast<uint32_t>(load.in_flight + prng_.Fraction()), most_, now_);
    return load;
  }

  Server server_;
  HotBackends hot_;
  engine::Prng prng_;
  uint32_t most_;
  double noise_;
  Nanos now_ = kSecond;
  Nanos stretch_end_ = 0;
  double factor_ = 1;
  double in_use_ = 1;
  double rest_ = 0;
};

constexpr uint32_t kSeeds = 40;

// From the third second on every second is within 10 % of the best, trials and all.
void ExpectBest(const Server& server, uint32_t most, const char* what, double noise = 0.1) {
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Simulation simulation(server, seed, most, noise);
    simulation.Run(3 * kSecond);
    const double best = simulation.BestOf().rate;
    for (int second = 3; second < 15; ++second) {
      EXPECT_GT(simulation.Run(kSecond).rate, 0.9 * best)
          << what << ", seed " << seed << ", second " << second << ", at " << simulation.target();
    }
  }
}

TEST(HotBackendsTest, EndsNearTheBestNumber) {
  ExpectBest(TwoCores(), 20, "two cores");
  ExpectBest(TwoCores(256), 20, "two cores, 256 clients");
  ExpectBest(FlatTop(), 20, "flat top");
  ExpectBest(FarAway(256), 20, "far away");
  ExpectBest(FarAway(64), 20, "far away, 64 clients");
  ExpectBest(ManyCores(16), 20, "16 cores");
  ExpectBest(ManyCores(16), 40, "16 cores, 40 backends");
  ExpectBest(ManyCores(64), 64, "64 cores");
  ExpectBest(TwoCores(), 2, "two cores, two backends");
  ExpectBest(TwoCores(), 1, "two cores, one backend");
}

TEST(HotBackendsTest, EndsNearTheBestNumberWithoutNoise) {
  ExpectBest(TwoCores(), 20, "two cores", 0);
  ExpectBest(FarAway(256), 20, "far away", 0);
  ExpectBest(ManyCores(16), 40, "16 cores", 0);
}

TEST(HotBackendsTest, OfEqualNumbersASmallOneIsTaken) {
  double sum = 0;
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Simulation simulation(FlatTop(), seed);
    simulation.Run(10 * kSecond);
    sum += simulation.target();
  }
  EXPECT_LT(sum / kSeeds, 6);
}

TEST(HotBackendsTest, FollowsAServerThatChanges) {
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Simulation simulation(TwoCores(), seed);
    simulation.Run(8 * kSecond);
    for (const Server& server : {ManyCores(16), TwoCores(), FarAway(256), TwoCores()}) {
      simulation.Use(server);
      simulation.Run(3 * kSecond);
      EXPECT_GT(simulation.Run(2 * kSecond).rate, 0.9 * simulation.BestOf().rate)
          << "seed " << seed << " at " << simulation.target();
      simulation.Run(5 * kSecond);
    }
  }
}

TEST(HotBackendsTest, WhereArrivalsDecideFewerInFlightAreBetter) {
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Simulation many(Arrivals(20e3, 100e-6), seed);
    many.Run(5 * kSecond);
    // 20 backends: 2.2; 3 backends: 6.
    EXPECT_LT(many.Run(5 * kSecond).in_flight, 2.8) << "seed " << seed << " at " << many.target();
    Simulation few(ArrivalsAtTwoCores(50e3), seed);
    few.Run(5 * kSecond);
    // 1 backend: 5.25; 20 backends: 10.
    EXPECT_LT(few.Run(5 * kSecond).in_flight, 6) << "seed " << seed << " at " << few.target();
  }
}

TEST(HotBackendsTest, WithoutLoadNothingJoins) {
  HotBackends hot;
  EXPECT_EQ(hot.target(), UINT32_MAX);
  Nanos now = kSecond;
  // 1,000 reads per second.
  for (int i = 0; i < 2000; ++i) {
    hot.OnEnded(1, 5, 20, now += kMillisecond);
    ASSERT_EQ(hot.target(), 20u);
  }
  hot.OnEnded(1, 5, 7, now += kMillisecond);
  EXPECT_EQ(hot.target(), 7u);
  // One client that is alone, however fast.
  for (int i = 0; i < 20'000; ++i) {
    hot.OnEnded(1, i % 2, 20, now += kMillisecond / 20);
    ASSERT_EQ(hot.target(), 20u);
  }
}

TEST(HotBackendsTest, ALoadThatGoesAndComesFindsItsNumberAgain) {
  Simulation simulation(TwoCores(), 1);
  simulation.Run(5 * kSecond);
  const uint32_t found = simulation.target();
  EXPECT_LT(found, 10u);
  simulation.Use(Curve({{1, 500}}, 3));
  simulation.Run(kSecond);
  EXPECT_EQ(simulation.target(), 20u);
  simulation.Use(TwoCores());
  simulation.Run(100 * kMillisecond);
  EXPECT_LT(simulation.target(), 10u);
}

TEST(HotBackendsTest, BeginsWithWhatCanCarryTheLoad) {
  const auto first = [](double clients) {
    Simulation simulation(ManyCores(16), 1, 20);
    simulation.Use(Curve({{1, 100e3}}, clients));
    simulation.Run(30 * kMillisecond);
    return simulation.target();
  };
  EXPECT_EQ(first(8), 1u);
  EXPECT_EQ(first(64), 4u);
  EXPECT_EQ(first(65), 5u);
  EXPECT_EQ(first(10'000), 20u);
}

TEST(HotBackendsTest, NeverMoreThanCouldBeHad) {
  engine::Prng prng(7);
  Simulation simulation(ManyCores(64), 3, 64);
  for (int i = 0; i < 300; ++i) {
    const auto most = static_cast<uint32_t>(1 + prng.Below(64));
    simulation.set_most(most);
    simulation.Run(static_cast<Nanos>(prng.Below(100)) * kMillisecond + kMillisecond);
    EXPECT_LE(simulation.target(), most);
    EXPECT_GE(simulation.target(), 1u);
  }
}

}  // namespace
}  // namespace weir::pool
