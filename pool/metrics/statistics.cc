#include "pool/metrics/statistics.h"

#include "engine/base/text.h"

namespace weir::pool {
namespace {

// "listen:2,load:1", or "-".
std::string Pins(const ShardMetrics& since, std::span<const std::string_view> names) {
  std::string out;
  for (size_t i = 0; i < names.size() && i < kPinReasons; ++i) {
    if (since.pins[i] == 0) continue;
    engine::Append(out, out.empty() ? "" : ",", names[i], ":", since.pins[i]);
  }
  return out.empty() ? "-" : out;
}

// "slow:2,lost:1", or "-".
std::string Repeated(const ShardMetrics& since) {
  static constexpr std::pair<Counter, std::string_view> kReasons[] = {
      {Counter::kReadsRepeatedSlow, "slow"},
      {Counter::kReadsRepeatedReader, "reader"},
      {Counter::kReadsRepeatedCancel, "cancel"},
      {Counter::kReadsRepeatedLost, "lost"}};
  std::string out;
  for (const auto& [counter, name] : kReasons) {
    if (since[counter] == 0) continue;
    engine::Append(out, out.empty() ? "" : ",", name, ":", since[counter]);
  }
  return out.empty() ? "-" : out;
}

// Reads in flight on a backend, on average: "5.2", or "-".
std::string Depth(const ShardMetrics& since) {
  const uint64_t reads = since[Counter::kReads];
  if (reads == 0) return "-";
  const uint64_t tenths = since[Counter::kReadsInFlight] * 10 / reads;
  return engine::Cat(tenths / 10, ".", tenths % 10);
}

std::string Line(std::string_view who, const ShardStatistics& now, const ShardMetrics& since) {
  const auto micros = [&since](double fraction) {
    return since.borrow_wait.Percentile(fraction) / engine::kMicrosecond;
  };
  return engine::Cat(
      "event=statistics shard=", who, " clients=", now.clients, " clients_tls=", now.clients_tls,
      " clients_no_tls=", now.clients - now.clients_tls, " backends=", now.backends,
      " backends_tls=", now.backends_tls, " budget=", now.budget, " borrowed=", now.borrowed,
      " pinned=", now.pinned, " pins=", Pins(since, now.pin_names), " waiting=", now.waiting,
      " transactions=", since[Counter::kTransactions],
      " borrow_timeouts=", since[Counter::kDatabaseConnectionsBorrowRequestsAborted],
      " borrowed_again=", since[Counter::kDatabaseConnectionsBorrowedAgain],
      " borrowed_other=", since[Counter::kDatabaseConnectionsBorrowedOther],
      " reads=", since[Counter::kReads], " reads_joined=", since[Counter::kReadsJoined],
      " reads_depth=", Depth(since), " reads_repeated=", Repeated(since),
      " borrow_wait_p50_us=", micros(0.5), " borrow_wait_p99_us=", micros(0.99),
      " ticks=", since[Counter::kTicks], " completions=", since[Counter::kCompletions],
      " enobufs=", since[Counter::kReceivesWithoutBuffer],
      " short_sends=", since[Counter::kShortSends]);
}

}  // namespace

std::vector<std::string> StatisticsLines(const std::vector<ShardStatistics>& before,
                                         const std::vector<ShardStatistics>& after) {
  std::vector<std::string> lines;
  ShardStatistics all;
  for (size_t i = 0; i < after.size(); ++i) {
    const ShardStatistics& now = after[i];
    ShardMetrics since = now.metrics;
    if (i < before.size()) {
      for (size_t c = 0; c < kCounters; ++c) since.counters[c] -= before[i].metrics.counters[c];
      for (size_t p = 0; p < kPinReasons; ++p) since.pins[p] -= before[i].metrics.pins[p];
      since.borrow_wait = now.metrics.borrow_wait.Since(before[i].metrics.borrow_wait);
    }
    lines.push_back(Line(engine::Cat(now.shard), now, since));
    all.clients += now.clients;
    all.clients_tls += now.clients_tls;
    all.backends += now.backends;
    all.backends_tls += now.backends_tls;
    all.borrowed += now.borrowed;
    all.pinned += now.pinned;
    all.pin_names = now.pin_names;
    all.waiting += now.waiting;
    all.budget = now.budget;
    for (size_t c = 0; c < kCounters; ++c) all.metrics.counters[c] += since.counters[c];
    for (size_t p = 0; p < kPinReasons; ++p) all.metrics.pins[p] += since.pins[p];
    all.metrics.borrow_wait.Add(since.borrow_wait);
  }
  lines.push_back(Line("all", all, all.metrics));
  return lines;
}

}  // namespace weir::pool
