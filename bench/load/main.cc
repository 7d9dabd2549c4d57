// A load that is no bottleneck: a PostgreSQL server of canned answers and clients that check them,
// in one busy-polling thread, on a core of its own, beside the program under test.
//
//   load --serve PORT                            the server only, until SIGTERM; it sleeps
//   load --connect PORT ...                      the clients only
//   load --serve PORT --connect PORT2 ...        both: what listens on PORT2 leads to PORT
//
// Prints one line of JSON. Any answer that does not carry its question's key ends it with status 1.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "bench/load/clients.h"
#include "bench/load/measure.h"
#include "bench/load/server.h"
#include "engine/base/text.h"
#include "engine/socket.h"

namespace weir::load {
namespace {

using engine::MonotonicNow;
using engine::Nanos;

constexpr const char* kUsage =
    "usage: load [--serve PORT] [--connect PORT] [options]\n"
    "  --task run|logins|idle|handshakes   run: questions and answers (default); logins: all "
    "clients\n"
    "                            log in at once; idle: what a logged-in client costs the process "
    "--pid in\n"
    "                            memory; handshakes: of TLS, as many as clients, a few at a time\n"
    "  --tls 0|1                 clients ask for TLS, in PostgreSQL's way (0)\n"
    "  --resume 0|1              ... and take up earlier sessions (0)\n"
    "  --password TEXT           for those who are asked by SCRAM\n"
    "  --mode simple|extended|prepared   (simple)\n"
    "  --clients N               (1)\n"
    "  --slow N                  that many of them ask for large answers and take them slowly (0)\n"
    "  --rate R                  questions per second in all; 0: closed loop (0)\n"
    "  --seconds S               of measurement (1); --warmup S before it (0.2)\n"
    "  --distance-us N           microseconds that the server's words are on their way (0)\n"
    "  --late-every N            the answer to every N-th question takes --late-us microseconds; "
    "the\n"
    "                            latencies are those of the others (0: none)\n"
    "  --pid PID                 the process whose CPU time and memory are measured\n"
    "  --counter FILE            its count of allocations, from libcount_allocations.so\n"
    "  --cpu N                   the core to run on\n";

constexpr uint32_t kFirstIdle = 20;  // before memory is looked at: they open what all share
constexpr Nanos kGiveUp = 30 * engine::kSecond;
constexpr Nanos kSettle = engine::kSecond / 2;

struct Options {
  uint16_t serve = 0;
  uint16_t connect = 0;
  std::string task = "run";
  std::string mode_name = "simple";
  Mode mode = Mode::kSimple;
  uint32_t clients = 1;
  uint32_t slow = 0;
  double rate = 0;
  double seconds = 1;
  double warmup = 0.2;
  Nanos distance = 0;
  LateAnswers late;
  pid_t pid = 0;
  std::string counter;
  Entry entry;
  int cpu = -1;
};

Nanos Seconds(double seconds) { return static_cast<Nanos>(seconds * engine::kSecond); }

bool Parse(int count, char** values, Options& out) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = values[i];
    const char* value = values[i + 1];
    if (name == "--serve") {
      out.serve = static_cast<uint16_t>(std::atoi(value));
    } else if (name == "--connect") {
      out.connect = static_cast<uint16_t>(std::atoi(value));
    } else if (name == "--task") {
      out.task = value;
    } else if (name == "--mode") {
      out.mode_name = value;
    } else if (name == "--clients") {
      out.clients = static_cast<uint32_t>(std::atoi(value));
    } else if (name == "--slow") {
      out.slow = static_cast<uint32_t>(std::atoi(value));
    } else if (name == "--rate") {
      out.rate = std::atof(value);
    } else if (name == "--seconds") {
      out.seconds = std::atof(value);
    } else if (name == "--warmup") {
      out.warmup = std::atof(value);
    } else if (name == "--distance-us") {
      out.distance = std::atoll(value) * engine::kMicrosecond;
    } else if (name == "--late-every") {
      out.late.every = static_cast<uint32_t>(std::atoi(value));
    } else if (name == "--late-us") {
      out.late.time = std::atoll(value) * engine::kMicrosecond;
    } else if (name == "--pid") {
      out.pid = std::atoi(value);
    } else if (name == "--counter") {
      out.counter = value;
    } else if (name == "--tls") {
      out.entry.tls = std::atoi(value) != 0;
    } else if (name == "--resume") {
      out.entry.resumes = std::atoi(value) != 0;
    } else if (name == "--password") {
      out.entry.password = value;
    } else if (name == "--cpu") {
      out.cpu = std::atoi(value);
    } else {
      return false;
    }
  }
  if (out.mode_name == "extended") out.mode = Mode::kExtended;
  if (out.mode_name == "prepared") out.mode = Mode::kPrepared;
  const bool handshakes = out.task == "handshakes" && out.entry.tls && out.slow == 0;
  const bool tasks = out.task == "run" || out.task == "logins" || out.task == "idle" || handshakes;
  const bool modes = out.mode != Mode::kSimple || out.mode_name == "simple";
  return count % 2 == 1 && tasks && modes && (out.serve != 0 || out.connect != 0) &&
         out.clients > out.slow;
}

class Load {
 public:
  explicit Load(const Options& options) : options_(options) {
    if (options.serve != 0)
      server_ = std::make_unique<Server>(poller_, options.serve, options.distance, options.late);
    if (options.connect != 0) {
      clients_ = std::make_unique<Clients>(
          poller_, *engine::Address::FromHost("127.0.0.1", options.connect), options.mode,
          options.entry, latencies_, options.late.every);
    }
  }

  void Serve() {
    for (Nanos due = engine::kForever;;) {
      poller_.Poll(due == engine::kForever ? -1 : 0);
      due = server_->Tick(MonotonicNow());
    }
  }

  void Run() {
    LogIn(options_.slow, true);
    LogIn(options_.clients - options_.slow, false);
    clients_->Begin(options_.rate, MonotonicNow());
    PollUntil([end = MonotonicNow() + Seconds(options_.warmup)] { return MonotonicNow() >= end; });
    clients_->StartRecording();
    const Usage before = UsageOf(options_.pid, options_.counter);
    const Nanos begin = MonotonicNow();
    const Nanos end = begin + Seconds(options_.seconds);
    // On a crowded machine it may take longer until anything is answered.
    PollUntil([this, end] { return MonotonicNow() >= end && clients_->answers() > 0; });
    const Usage after = UsageOf(options_.pid, options_.counter);
    const double took = static_cast<double>(MonotonicNow() - begin) / engine::kSecond;
    const uint64_t answers = clients_->answers();
    clients_->End(MonotonicNow());
    PollUntil([this] { return clients_->quiet(); });
    PrintRun(before, after, took, answers);
  }

  void LogInAtOnce() {
    const Usage before = UsageOf(options_.pid, options_.counter);
    const Nanos begin = MonotonicNow();
    LogIn(options_.clients, false);
    const double took = static_cast<double>(MonotonicNow() - begin) / engine::kSecond;
    const Usage after = UsageOf(options_.pid, options_.counter);
    std::printf("{\"logins\": %u, \"seconds\": %.3f, \"logins_per_second\": %.0f, \"cpu\": %.2f}\n",
                options_.clients, took, options_.clients / took,
                static_cast<double>(after.cpu - before.cpu) / 1e3 / options_.clients);
  }

  // The first one logs in, for its session, which may come as late as the first words do.
  void Handshake() {
    LogIn(1, false);
    const uint64_t resumed = clients_->resumed();
    const Usage before = UsageOf(options_.pid, options_.counter);
    const Nanos begin = MonotonicNow();
    clients_->Handshake(options_.clients);
    PollUntil([this] { return clients_->handshakes_done(); });
    const double took = static_cast<double>(MonotonicNow() - begin) / engine::kSecond;
    const Usage after = UsageOf(options_.pid, options_.counter);
    std::printf(
        "{\"handshakes\": %u, \"resumed\": %llu, \"seconds\": %.3f, "
        "\"handshakes_per_second\": %.0f, \"cpu\": %.2f}\n",
        options_.clients, static_cast<unsigned long long>(clients_->resumed() - resumed), took,
        options_.clients / took,
        static_cast<double>(after.cpu - before.cpu) / 1e3 / options_.clients);
  }

  void StayIdle() {
    LogIn(kFirstIdle, false);
    Settle();
    const uint64_t before = UsageOf(options_.pid, options_.counter).resident;
    LogIn(options_.clients, false);
    Settle();
    const uint64_t after = UsageOf(options_.pid, options_.counter).resident;
    std::printf("{\"idle_clients\": %u, \"bytes_per_client\": %.0f}\n", options_.clients,
                (static_cast<double>(after) - static_cast<double>(before)) / options_.clients);
  }

 private:
  template <class Condition>
  void PollUntil(Condition&& condition) {
    const Nanos give_up = MonotonicNow() + kGiveUp + Seconds(options_.seconds + options_.warmup);
    while (!condition()) {
      poller_.Poll(0);
      const Nanos now = MonotonicNow();
      if (server_ != nullptr) server_->Tick(now);
      clients_->Tick(now);
      if (now > give_up) Fail("answers did not come within 30 s");
    }
  }

  void LogIn(uint32_t count, bool slow) {
    if (count == 0) return;
    clients_->Add(count, slow);
    PollUntil([this] { return clients_->all_ready(); });
  }

  // What was asked for during the logins has been done by then.
  void Settle() {
    PollUntil([end = MonotonicNow() + kSettle] { return MonotonicNow() >= end; });
  }

  void PrintRun(const Usage& before, const Usage& after, double took, uint64_t answers) {
    const double each = 1 / static_cast<double>(answers);
    const double cpu = static_cast<double>(after.cpu - before.cpu) / engine::kMicrosecond;
    const double user = static_cast<double>(after.user_ticks - before.user_ticks);
    const double system = static_cast<double>(after.system_ticks - before.system_ticks);
    const double user_part = user + system > 0 ? user / (user + system) : 0;
    const auto micros = [this](double fraction) {
      return static_cast<double>(latencies_.Percentile(fraction)) / engine::kMicrosecond;
    };
    std::printf("{\"transactions\": %llu, \"seconds\": %.3f, \"tps\": %.0f",
                static_cast<unsigned long long>(answers), took,
                static_cast<double>(answers) / took);
    std::printf(", \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f", micros(0.5),
                micros(0.99), micros(0.999),
                static_cast<double>(latencies_.greatest()) / engine::kMicrosecond);
    std::printf(", \"cpu\": %.3f, \"user\": %.3f, \"sys\": %.3f, \"busy\": %.3f", cpu * each,
                cpu * each * user_part, cpu * each * (1 - user_part), cpu / 1e6 / took);
    std::printf(", \"allocations\": %.5f, \"slow_answers\": %llu}\n",
                static_cast<double>(after.allocations - before.allocations) * each,
                static_cast<unsigned long long>(clients_->slow_answers()));
  }

  const Options options_;
  Poller poller_;
  Latencies latencies_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Clients> clients_;
};

int Main(int count, char** values) {
  Options options;
  if (!Parse(count, values, options)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  if (options.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(options.cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) Fail("there is no such core for --cpu");
  }
  engine::RaiseDescriptorLimit();
  Load load(options);
  if (options.connect == 0) {
    load.Serve();
  } else if (options.task == "logins") {
    load.LogInAtOnce();
  } else if (options.task == "handshakes") {
    load.Handshake();
  } else if (options.task == "idle") {
    load.StayIdle();
  } else {
    load.Run();
  }
  // The kernel closes what is open.
  std::fflush(stdout);
  _exit(0);
}

}  // namespace
}  // namespace weir::load

int main(int count, char** values) { return weir::load::Main(count, values); }
