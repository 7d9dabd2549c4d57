// The limit: forwards bytes between pairs of sockets, with no protocol and no pool. Each client
// gets a connection to the server of its own.
//
//   rawfwd [--epoll] [--spin MICROSECONDS] LISTEN TARGET       rawfwd 127.0.0.1:7000 127.0.0.1:5432
//
// Runs weir's engine (shard, streams, io_uring), or with --epoll the plain loop that anybody would
// write. What the cheaper of the two spends on a round trip is the kernel's TCP path, which every
// proxy pays. Until SIGTERM; then it prints the counts of its loop as a line of JSON.
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "bench/rawfwd_epoll.h"
#include "engine/base/slab.h"
#include "engine/connector.h"
#include "engine/listener.h"
#include "engine/shards.h"
#include "engine/signals.h"
#include "engine/socket.h"

namespace weir::bench {
namespace {

using engine::Address;
using engine::Nanos;

constexpr Nanos kConnectTimeout = 5 * engine::kSecond;
constexpr uint32_t kStopMessage = 1;

struct Options {
  bool epoll = false;
  Nanos spin = 0;
  Address listen;
  Address target;
};

class Forwarder;

// A client, its server connection, and what arrived before that was open.
class Pair final : public engine::Connector::Events {
 public:
  explicit Pair(Forwarder& forwarder) : forwarder_(forwarder) {}

  void Accept(int fd);
  void OnConnected(int fd) override;
  void OnConnectFailed(int error, std::string_view text) override;
  void OnCancelled() override { SideClosed(); }

 private:
  class Side final : public engine::StreamEvents {
   public:
    Side(Pair& pair, bool is_client) : pair_(pair), is_client_(is_client) {}
    void OnBytes(engine::Slice bytes) override;
    void OnEnd(engine::StreamEnd end) override { pair_.End(end); }
    void OnDrained() override { Other().stream.ResumeReceiving(); }
    void OnClosed() override { pair_.SideClosed(); }
    void OnDetached(engine::Detached&&) override { UNREACHABLE(); }

    engine::Stream stream;

   private:
    Side& Other() { return is_client_ ? pair_.server_ : pair_.client_; }
    Pair& pair_;
    const bool is_client_;
  };

  void End(engine::StreamEnd end);
  void SideClosed();

  Forwarder& forwarder_;
  Side client_{*this, true};
  Side server_{*this, false};
  engine::Connector connector_;
  std::string early_;
  int closed_ = 0;  // of two sides
};

class Forwarder final : public engine::ShardApplication, public engine::Listener::Events {
 public:
  Forwarder(engine::Shard& its_shard, int listener, const Address& to)
      : shard(its_shard), target(to), listener_(its_shard, listener, 0, *this) {}

  void OnStart() override { listener_.Start(); }
  void OnTickEnd() override {}
  void OnMessage(engine::Message&&) override {
    const engine::IoCounts& counts = shard.io().counts();
    std::printf(
        "{\"ticks\": %llu, \"completions\": %llu, \"enobufs\": %llu, \"short_sends\": %llu}\n",
        static_cast<unsigned long long>(counts.ticks),
        static_cast<unsigned long long>(counts.completions),
        static_cast<unsigned long long>(counts.enobufs),
        static_cast<unsigned long long>(counts.short_sends));
    std::fflush(stdout);
    _exit(0);  // the kernel closes it all
  }
  void OnAccepted(uint32_t, int fd) override { pairs.Emplace(*this).Accept(fd); }
  void OnAcceptPaused(uint32_t, int error) override {
    std::fprintf(stderr, "rawfwd: accept: errno %d\n", error);
  }
  void OnAcceptResumed(uint32_t) override {}
  void OnListenerStopped(uint32_t) override {}

  engine::Shard& shard;
  const Address target;
  engine::Slab<Pair> pairs;

 private:
  engine::Listener listener_;
};

void Pair::Accept(int fd) {
  client_.stream.Attach(forwarder_.shard.streams(), fd, engine::BufferGroup::kClients, client_);
  const Address& target = forwarder_.target;
  std::string host = target.ToString();
  host.resize(host.rfind(':'));
  connector_.Start(forwarder_.shard, host, target.port(), forwarder_.shard.now() + kConnectTimeout,
                   *this);
}

void Pair::OnConnected(int fd) {
  server_.stream.Attach(forwarder_.shard.streams(), fd, engine::BufferGroup::kBackends, server_);
  server_.stream.Queue(engine::AsBytes(early_));
  early_.clear();
  if (!client_.stream.open()) server_.stream.CloseWhenSent();
}

void Pair::OnConnectFailed(int, std::string_view text) {
  std::fprintf(stderr, "rawfwd: %.*s\n", static_cast<int>(text.size()), text.data());
  client_.stream.Close();
  SideClosed();
}

void Pair::Side::OnBytes(engine::Slice bytes) {
  engine::Stream& to = Other().stream;
  if (pair_.connector_.active()) {
    pair_.early_ += engine::AsText(bytes.bytes());
    return;
  }
  to.Queue(std::move(bytes));
  if (to.above_high_water()) stream.StopReceiving();
}

// One side's end is the other's, once all is sent.
void Pair::End(engine::StreamEnd end) {
  if (connector_.active()) {
    client_.stream.Close();
    connector_.Cancel();
    return;
  }
  for (Side* side : {&client_, &server_}) {
    if (end == engine::StreamEnd::kOrderly) {
      side->stream.CloseWhenSent();
    } else {
      side->stream.Close();
    }
  }
}

void Pair::SideClosed() {
  if (++closed_ == 2) forwarder_.pairs.Erase(*this);
}

int ForwardByEngine(int listener, const Options& options) {
  engine::ShardsOptions shards_options;
  shards_options.shard.spin = options.spin;
  engine::Shards shards(shards_options);
  const absl::Status started = shards.Start([&](engine::Shard& shard) {
    return std::make_unique<Forwarder>(shard, listener, options.target);
  });
  if (!started.ok()) {
    std::fprintf(stderr, "rawfwd: %s\n", std::string(started.message()).c_str());
    return 1;
  }
  while (engine::WaitForSignal(engine::kSecond) == 0) {
  }
  engine::Message stop;
  stop.kind = kStopMessage;
  shards.Post(0, std::move(stop));
  shards.Join();
  return 0;
}

bool Parse(int count, char** values, Options& out) {
  int place = 0;
  for (int i = 1; i < count; ++i) {
    const std::string_view value = values[i];
    if (value == "--epoll") {
      out.epoll = true;
    } else if (value == "--spin" && i + 1 < count) {
      out.spin = std::atoll(values[++i]) * engine::kMicrosecond;
    } else if (!value.starts_with("-") && place < 2) {
      const absl::StatusOr<Address> address = Address::Parse(value, 5432);
      if (!address.ok() || !address->IsLoopback()) return false;
      (place++ == 0 ? out.listen : out.target) = *address;
    } else {
      return false;
    }
  }
  return place == 2;
}

int Main(int count, char** values) {
  Options options;
  if (!Parse(count, values, options)) {
    std::fprintf(stderr,
                 "usage: rawfwd [--epoll] [--spin MICROSECONDS] LISTEN TARGET, both on loopback: "
                 "127.0.0.1:PORT\n");
    return 2;
  }
  engine::RaiseDescriptorLimit();
  engine::BlockSignals();
  const absl::StatusOr<int> listener = engine::OpenListener(options.listen, 4096);
  if (!listener.ok()) {
    std::fprintf(stderr, "rawfwd: %s\n", std::string(listener.status().message()).c_str());
    return 1;
  }
  return options.epoll ? ForwardByEpoll(*listener, options.target, options.spin)
                       : ForwardByEngine(*listener, options);
}

}  // namespace
}  // namespace weir::bench

int main(int count, char** values) { return weir::bench::Main(count, values); }
