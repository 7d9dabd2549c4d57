#include "pool/metrics/metrics.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pool/metrics/statistics.h"

namespace weir::pool {
namespace {

TEST(HistogramTest, PercentilesWithinABucket) {
  Histogram histogram;
  EXPECT_EQ(histogram.Percentile(0.5), 0);
  for (int i = 1; i <= 1000; ++i) histogram.Record(i * engine::kMicrosecond);
  EXPECT_EQ(histogram.count(), 1000u);
  for (const double fraction : {0.01, 0.5, 0.9, 0.99}) {
    const double exact = fraction * 1000 * engine::kMicrosecond;
    EXPECT_NEAR(static_cast<double>(histogram.Percentile(fraction)), exact, exact * 0.07 + 1000);
  }
  Histogram earlier = histogram;
  histogram.Record(engine::kSecond);
  EXPECT_EQ(histogram.Since(earlier).count(), 1u);
  histogram.Record(-5);
  histogram.Record(engine::kForever);
  earlier.Add(histogram);
  EXPECT_EQ(earlier.count(), 2003u);
}

TEST(StatisticsTest, AShardEachAndAll) {
  std::vector<ShardStatistics> before(2), after(2);
  after[0].shard = 0;
  after[1].shard = 1;
  after[0].clients = 3;
  after[1].clients = 4;
  after[1].clients_tls = 3;
  after[0].backends_tls = 1;
  before[1].metrics.Add(Counter::kTransactions, 5);
  after[1].metrics.Add(Counter::kTransactions, 12);
  before[1].metrics.Set(Counter::kTicks, 100);
  after[1].metrics.Add(Counter::kDatabaseConnectionsBorrowedAgain, 9);
  after[1].metrics.Add(Counter::kDatabaseConnectionsBorrowedOther, 8);
  static constexpr std::string_view kNames[] = {"none", "listen", "load"};
  for (ShardStatistics& each : after) each.pin_names = kNames;
  before[1].metrics.RecordPin(1);
  for (const uint8_t reason : {1, 1, 2}) after[1].metrics.RecordPin(reason);
  after[0].metrics.RecordPin(2);
  after[0].metrics.Set(Counter::kTicks, 4);
  after[1].metrics.Set(Counter::kTicks, 103);
  after[1].metrics.Set(Counter::kReads, 10);
  after[1].metrics.Set(Counter::kReadsJoined, 9);
  after[1].metrics.Set(Counter::kReadsInFlight, 55);
  after[1].metrics.Set(Counter::kReadsRepeatedSlow, 2);
  after[1].metrics.Set(Counter::kReadsRepeatedLost, 1);
  const std::vector<std::string> lines = StatisticsLines(before, after);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_NE(lines[1].find("event=statistics shard=1 clients=4 clients_tls=3 clients_no_tls=1 "),
            std::string::npos);
  EXPECT_NE(lines[2].find("shard=all clients=7 clients_tls=3 clients_no_tls=4 "),
            std::string::npos);
  EXPECT_NE(lines[2].find("transactions=7"), std::string::npos);
  EXPECT_NE(lines[2].find(" backends_tls=1 "), std::string::npos);
  EXPECT_NE(lines[1].find(" ticks=3 completions=0 enobufs=0 short_sends=0"), std::string::npos);
  EXPECT_NE(lines[2].find(" borrowed_again=9 borrowed_other=8 "), std::string::npos);
  EXPECT_NE(lines[0].find(" pins=load:1 "), std::string::npos);
  EXPECT_NE(lines[1].find(" pins=listen:1,load:1 "), std::string::npos);
  EXPECT_NE(lines[2].find(" pins=listen:1,load:2 "), std::string::npos);
  EXPECT_NE(lines[2].find(" ticks=7 "), std::string::npos);
  EXPECT_NE(lines[0].find(" reads=0 reads_joined=0 reads_depth=- reads_repeated=- "),
            std::string::npos);
  EXPECT_NE(lines[1].find(" reads=10 reads_joined=9 reads_depth=5.5 reads_repeated=slow:2,lost:1 "),
            std::string::npos);
}

}  // namespace
}  // namespace weir::pool
