#include "engine/topology.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace weir::engine {
namespace {

class QuotaTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weir-topology-XXXXXX";
    root_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  double Quota() { return ReadQuota(root_); }

  std::string root_;
};

TEST_F(QuotaTest, NoCgroups) { EXPECT_EQ(Quota(), 0); }

TEST_F(QuotaTest, OfTheOwnGroup) {
  Write("/proc/self/cgroup", "0::/system.slice/weir.service\n");
  EXPECT_EQ(Quota(), 0);
  Write("/sys/fs/cgroup/system.slice/weir.service/cpu.max", "max 100000\n");
  EXPECT_EQ(Quota(), 0);
  Write("/sys/fs/cgroup/system.slice/weir.service/cpu.max", "250000 100000\n");
  EXPECT_EQ(Quota(), 2.5);
}

TEST_F(QuotaTest, TheSmallestOfAllAbove) {
  Write("/proc/self/cgroup", "0::/a/b/c\n");
  Write("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
  Write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/a/cpu.max", "75000 50000\n");
  EXPECT_EQ(Quota(), 1.5);
  // In a container the own group is the root.
  Write("/sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(Quota(), 0.5);
  Write("/proc/self/cgroup", "0::/\n");
  EXPECT_EQ(Quota(), 0.5);
}

TEST_F(QuotaTest, OtherHierarchiesAndNonsense) {
  Write("/proc/self/cgroup", "12:cpu,cpuacct:/old\n1:name=systemd:/x\n0::/own\n");
  Write("/sys/fs/cgroup/old/cpu.max", "10000 100000\n");
  Write("/sys/fs/cgroup/own/cpu.max", "300000 100000\n");
  EXPECT_EQ(Quota(), 3);
  for (const char* text : {"", "\n", "many few\n", "100000\n", "100000 0\n", "-100000 100000\n"}) {
    Write("/sys/fs/cgroup/own/cpu.max", text);
    EXPECT_EQ(Quota(), 0) << text;
  }
}

TEST(TopologyTest, OneShardAUsableCpu) {
  const auto shards = [](uint32_t cpus, double quota) {
    return Topology{cpus, quota}.DefaultShards();
  };
  EXPECT_EQ(shards(8, 0), 8u);
  EXPECT_EQ(shards(8, 2.9), 2u);
  EXPECT_EQ(shards(8, 0.5), 1u);
  EXPECT_EQ(shards(2, 16), 2u);
  EXPECT_EQ(shards(0, 0), 1u);
  EXPECT_EQ(shards(512, 0), 64u);
}

// In a thread of its own, whose mask ends with it.
TEST(TopologyTest, PinningKeepsToTheMask) {
  cpu_set_t whole;
  ASSERT_EQ(sched_getaffinity(0, sizeof whole, &whole), 0);
  const int cpus = CPU_COUNT(&whole);
  EXPECT_EQ(ReadTopology().cpus, static_cast<uint32_t>(cpus));
  cpu_set_t pinned_before;
  CPU_ZERO(&pinned_before);
  for (int index = 0; index < 2 * cpus; ++index) {
    std::thread([&, index] {
      PinThread(static_cast<uint32_t>(index));
      cpu_set_t now;
      ASSERT_EQ(sched_getaffinity(0, sizeof now, &now), 0);
      EXPECT_EQ(CPU_COUNT(&now), 1);
      EXPECT_EQ(ReadTopology().cpus, 1u);
      cpu_set_t both;
      CPU_AND(&both, &now, &whole);
      EXPECT_EQ(CPU_COUNT(&both), 1);
      // Each index a CPU of its own, and round again.
      CPU_AND(&both, &now, &pinned_before);
      EXPECT_EQ(CPU_COUNT(&both), index < cpus ? 0 : 1);
      CPU_OR(&pinned_before, &pinned_before, &now);
    }).join();
  }
}

}  // namespace
}  // namespace weir::engine
