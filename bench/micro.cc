// Micro benchmarks: scanner, exchange, borrow and return. Allocations are counted: none per
// transaction once warm.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

#include "protocol/postgres/replies.h"
#include "protocol/postgres/requests.h"
#include "protocol/postgres/sql_scan.h"
#include "tests/pool/core/scripted.h"

namespace {
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): counted by operator new
uint64_t allocations = 0;
}  // namespace

void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace weir {
namespace {

constexpr std::string_view kSelect = "SELECT abalance FROM pgbench_accounts WHERE aid = 123456;";

// Counts what a round of the loop allocates, once warm.
class Allocations {
 public:
  explicit Allocations(benchmark::State& state) : state_(state), before_(allocations) {}
  ~Allocations() {
    state_.counters["allocations"] = benchmark::Counter(static_cast<double>(allocations - before_) /
                                                        static_cast<double>(state_.iterations()));
  }

 private:
  benchmark::State& state_;
  uint64_t before_;
};

void BM_Scan(benchmark::State& state) {
  Allocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(postgres::Scan(kSelect, {}));
}
BENCHMARK(BM_Scan);

std::string Message(char type, std::string_view body) {
  std::string out(1, type);
  const uint32_t length = static_cast<uint32_t>(body.size()) + 4;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  return out.append(body);
}

class Nowhere final : public protocol::ExchangeSink {
 public:
  void ForwardToServer(uint32_t, uint32_t) override {}
  void InsertToServer(engine::Bytes) override {}
  void ForwardToClient(uint32_t, uint32_t) override {}
  void InsertToClient(engine::Bytes) override {}
};

void RunExchange(benchmark::State& state, const std::string& request, const std::string& reply,
                 const std::string& before, const std::string& before_reply) {
  postgres::StatementTable table;
  postgres::RequestsContext context(table);
  postgres::PostgresRequests requests(context);
  postgres::PostgresReplies replies;
  Nowhere sink;
  const auto round = [&](const std::string& out, const std::string& in) {
    replies.Join(requests);
    const protocol::Taken taken = requests.Take(engine::AsBytes(out), &replies, false, sink);
    CHECK(taken.consumed == out.size());
    replies.Flush(sink);
    CHECK(replies.Take(engine::AsBytes(in), sink) == protocol::ReplyStatus::kOk && replies.quiet());
    replies.Part();
  };
  if (!before.empty()) round(before, before_reply);
  for (int i = 0; i < 10; ++i) round(request, reply);
  Allocations count(state);
  for (auto _ : state) round(request, reply);
}

const std::string kRow = Message('D', std::string("\0\1\0\0\0\1"
                                                  "7",
                                                  7)) +
                         Message('C', std::string("SELECT 1\0", 9));
const std::string kReady = Message('Z', "I");

void BM_ExchangeSimple(benchmark::State& state) {
  RunExchange(state, Message('Q', std::string(kSelect) + '\0'),
              Message('T', std::string(30, 'c')) + kRow + kReady, "", "");
}
BENCHMARK(BM_ExchangeSimple);

void BM_ExchangeExtended(benchmark::State& state) {
  const std::string request =
      Message('P', std::string(1, '\0') + std::string(kSelect) + std::string(3, '\0')) +
      Message('B', std::string(8, '\0')) + Message('E', std::string(5, '\0')) + Message('S', "");
  RunExchange(state, request, Message('1', "") + Message('2', "") + kRow + kReady, "", "");
}
BENCHMARK(BM_ExchangeExtended);

void BM_ExchangePrepared(benchmark::State& state) {
  const std::string parse =
      Message('P', std::string("P0\0", 3) + std::string(kSelect) + std::string(3, '\0')) +
      Message('S', "");
  const std::string request = Message('B', std::string("\0P0\0\0\0\0\0\0\0", 10)) +
                              Message('E', std::string(5, '\0')) + Message('S', "");
  RunExchange(state, request, Message('2', "") + kRow + kReady, parse, Message('1', "") + kReady);
}
BENCHMARK(BM_ExchangePrepared);

void BM_BorrowReturn(benchmark::State& state) {
  pool::ScriptedPools pools(1);
  pool::ScriptedWaiter waiter;
  waiter.route = pools[0].Route("db");
  waiter.deadline = pools.now + engine::kSecond;
  pools[0].pool.Borrow(waiter);
  pools.Settle({20, 0, 0});
  pools[0].pool.Return(*waiter.backend);
  {
    Allocations count(state);
    for (auto _ : state) {
      pool::Backend* backend = pools[0].pool.Borrow(waiter);
      pools[0].pool.Return(*backend);
    }
  }
}
BENCHMARK(BM_BorrowReturn);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
