// An encrypted stream, whatever comes and wherever it is cut: the same bytes lead to the same place
// in any pieces; between honest ends every byte arrives, in order, also when the stream stops, or
// moves to another one on the way; of what somebody has changed nothing arrives.
//
// Input: the kind, how bytes are cut; then the bytes of a client, or what two ends do.
#include <openssl/err.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/stream.h"
#include "engine/tls_context.h"
#include "tests/engine/tls_certificates.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using engine::Bytes;
using engine::Operation;
using engine::Slice;

constexpr uint8_t kBytesOfAClient = 1;
constexpr uint8_t kDirect = 2;

// One connection whose other end is in the target's hand.
class Pipe final : public engine::Io {
 public:
  explicit Pipe(Pieces* pieces) : pieces_(pieces) {}

  // To the stream, as much as it takes; the rest waits.
  void Deliver(std::string_view bytes) { inbound_ += bytes; }
  // What it has sent since.
  std::string Take() { return std::exchange(outbound_, {}); }
  // Nothing has moved in the last tick.
  bool idle() const { return idle_; }

  absl::StatusOr<int> Listen(const engine::Address&, int) override { UNREACHABLE(); }
  int OpenSocket(const engine::Address&) override { UNREACHABLE(); }
  void Accept(int, Operation&) override { UNREACHABLE(); }
  void Connect(int, const engine::Address&, Operation&) override { UNREACHABLE(); }
  void StartReceive(int, engine::BufferGroup, Operation& operation) override {
    Begin(operation, receive_);
    into_ = {};
  }
  void ReceiveInto(int, engine::MutableBytes into, Operation& operation) override {
    Begin(operation, receive_);
    into_ = into;
  }
  void Send(int, std::span<const Slice> slices, Operation& operation) override {
    Begin(operation, send_);
    sending_.clear();
    for (const Slice& each : slices) sending_ += engine::AsText(each.bytes());
  }
  void PollHangup(int, Operation& operation) override { operation.Begin(0); }
  void Cancel(Operation& operation) override {
    if (!operation.in_flight() || operation.cancelling()) return;
    operation.set_cancelling();
    cancelled_.push_back(&operation);
  }
  std::string PeerHost(int) override { return "fuzz"; }
  void Shutdown(int) override {}
  void Close(int) override {}
  void Wake(uint32_t) override {}
  uint32_t buffers_free(engine::BufferGroup) const override { return 64; }
  uint32_t buffers(engine::BufferGroup) const override { return 64; }
  engine::Nanos Now() const override { return now_; }
  bool busy() const override { return false; }

  void Tick(engine::Nanos, bool) override {
    now_ += engine::kMillisecond;
    idle_ = cancelled_.empty() && send_ == nullptr && (receive_ == nullptr || inbound_.empty());
    for (Operation* each : std::exchange(cancelled_, {})) {
      if (each == receive_) receive_ = nullptr;
      if (each == send_) send_ = nullptr;
      each->Complete({-ECANCELED, false, {}});
    }
    if (Operation* const sent = std::exchange(send_, nullptr)) {
      const size_t count = Cut(sending_.size());
      outbound_ += sending_.substr(0, count);
      sent->Complete({static_cast<int32_t>(count), false, {}});
    }
    if (receive_ != nullptr && !inbound_.empty()) Receive();
  }

 private:
  static void Begin(Operation& operation, Operation*& place) {
    CHECK(place == nullptr);
    operation.Begin(0);
    place = &operation;
  }
  size_t Cut(size_t size) { return pieces_ == nullptr ? size : pieces_->Next(size); }
  void Receive() {
    const bool bulk = !into_.empty();
    const size_t count = Cut(std::min(inbound_.size(), bulk ? into_.size() : size_t{16} * 1024));
    const std::string bytes = inbound_.substr(0, count);
    inbound_.erase(0, count);
    Operation& operation = *receive_;
    if (bulk) {
      std::memcpy(into_.data(), bytes.data(), count);
      receive_ = nullptr;
      operation.Complete({static_cast<int32_t>(count), false, {}});
      return;
    }
    operation.Complete({static_cast<int32_t>(count), true, chunks_.Copy(engine::AsBytes(bytes))});
  }

  Pieces* const pieces_;
  engine::ChunkPool chunks_{64 << 20};
  engine::Nanos now_ = engine::kSecond;
  bool idle_ = false;
  Operation* receive_ = nullptr;
  Operation* send_ = nullptr;
  engine::MutableBytes into_;
  std::vector<Operation*> cancelled_;
  std::string sending_;
  std::string inbound_;
  std::string outbound_;
};

struct Contexts {
  std::unique_ptr<const engine::TlsServerContext> server;
  std::unique_ptr<const engine::TlsClientContext> client;
};

const Contexts& TheContexts() {
  static const Contexts kContexts = [] {
    const engine::TestAuthority::Wish db{"server", "DNS:db.example"};
    const engine::TestAuthority::Wish pool{"other", "DNS:*.pool.example"};
    engine::TestAuthority authority;
    engine::SystemEntropy entropy;
    std::vector<std::string> warnings;
    engine::TlsServerOptions options{.protocol = "postgresql"};
    for (const auto& [name, wish] : {std::pair("db", db), std::pair("pool", pool)}) {
      const engine::TestAuthority::Files files = authority.Certify(name, wish);
      options.certificates.push_back({files.certificate, files.key});
    }
    Contexts made;
    made.server = *engine::TlsServerContext::Load(options, entropy, warnings);
    made.client = *engine::TlsClientContext::Load(
        {.host = "a.pool.example", .ca_file = {}, .protocol = "postgresql"}, warnings);
    return made;
  }();
  return kContexts;
}

// The server's end; it may live on in another stream.
class End final : public engine::StreamEvents {
 public:
  explicit End(Pieces* pieces, bool direct) : pipe_(pieces) {
    stream_->Attach(context_, 1, engine::BufferGroup::kClients, *this);
    stream_->StartTls(TheContexts().server->NewConnection(direct, 0), {});
  }
  ~End() override {
    stream_->Close();
    for (int i = 0; i < 100 && !closed_; ++i) Tick();
    CHECK(closed_);
  }

  void OnBytes(Slice bytes) override {
    CHECK(encrypted && ends.empty() && bytes.length > 0);
    received += engine::AsText(bytes.bytes());
  }
  void OnEnd(engine::StreamEnd how) override {
    ends.push_back(how);
    error = std::string(stream_->tls()->error());
    if (how != engine::StreamEnd::kOrderly) stream_->CloseWhenSent();
  }
  void OnEncrypted() override {
    CHECK(!encrypted);
    encrypted = true;
  }
  void OnDrained() override {}
  void OnClosed() override { closed_ = true; }
  void OnDetached(engine::Detached&& detached) override { detached_ = std::move(detached); }

  void Tick() {
    timers_.Fire(pipe_.Now(), 100);
    context_.Flush();
    pipe_.Tick(0, false);
    if (detached_.fd < 0) return;
    // The old one may die only now.
    stream_ = std::make_unique<engine::Stream>();
    stream_->Attach(context_, std::exchange(detached_, {}), engine::BufferGroup::kClients, *this);
  }
  // Until nothing is on the way; `most` bounds what never gets there.
  void Run(int most) {
    for (int i = 0; i < most; ++i) Tick();
  }
  void Move() {
    if (encrypted && ends.empty() && stream_->open() && stream_->queued_bytes() == 0)
      stream_->Detach();
  }
  void Stop(bool stop) {
    if (!stream_->open()) return;
    if (stop) stream_->StopReceiving();
    if (!stop && !stream_->receiving()) stream_->ResumeReceiving();
  }
  void Queue(const std::string& text) {
    if (stream_->open() && (ends.empty() || ends.back() == engine::StreamEnd::kOrderly)) {
      queued += text;
      stream_->Queue(engine::AsBytes(text));
    }
  }
  Pipe& pipe() { return pipe_; }
  bool quiet() const { return pipe_.idle() && detached_.fd < 0; }

  bool encrypted = false;
  std::vector<engine::StreamEnd> ends;
  std::string error;
  std::string received;
  std::string queued;

 private:
  Pipe pipe_;
  engine::ChunkPool chunks_{64 << 20};
  engine::TimerWheel timers_{pipe_.Now()};
  engine::StreamContext context_{pipe_, chunks_, timers_};
  std::unique_ptr<engine::Stream> stream_ = std::make_unique<engine::Stream>();
  engine::Detached detached_;
  bool closed_ = false;
};

// The client's end, by hand.
class Client final : public engine::TlsOutput {
 public:
  Client() { Take({}); }
  void OnCiphertext(Bytes bytes) override { sent += engine::AsText(bytes); }
  void Take(std::string_view bytes) {
    Bytes in = engine::AsBytes(bytes);
    for (engine::Tls::Status status = engine::Tls::Status::kReady;
         status == engine::Tls::Status::kReady || status == engine::Tls::Status::kData;) {
      uint8_t into[999];
      size_t length = 0;
      status = tls_->Read(in, into, length, *this);
      received += engine::AsText(Bytes(into, length));
    }
  }
  void Write(const std::string& text) {
    if (!tls_->ready() || closed) return;
    wrote += text;
    tls_->Write(engine::AsBytes(text), *this);
  }
  void Close() {
    if (!tls_->ready() || std::exchange(closed, true)) return;
    tls_->Close(*this);
  }

  std::string sent;  // and not yet on its way
  std::string received;
  std::string wrote;
  bool closed = false;

 private:
  std::unique_ptr<engine::Tls> tls_ = TheContexts().client->NewConnection();
};

bool IsPrefix(const std::string& part, const std::string& whole) {
  return std::string_view(whole).starts_with(part);
}

// What two ends do, and somebody between them.
void Talk(Choices& choices, Pieces& pieces, size_t unit, bool direct) {
  constexpr int kTicksMax = 200'000;
  End server(&pieces, direct);
  Client client;
  bool changed = false;
  const auto exchange = [&](int ticks) {
    // What has come is looked at in the next tick.
    int quiet = 0;
    for (int i = 0; i < ticks && quiet < 8; ++i) {
      server.pipe().Deliver(std::exchange(client.sent, {}));
      server.Tick();
      client.Take(server.pipe().Take());
      quiet = client.sent.empty() && server.quiet() ? quiet + 1 : 0;
    }
  };
  for (int turn = 0; turn < 64 && !choices.empty(); ++turn) {
    const size_t what = choices.Below(8);
    const size_t size = choices.Byte();
    switch (what) {
      case 0:
        client.Write(std::string(size * unit + 1, static_cast<char>('a' + turn % 26)));
        break;
      case 1:
        server.Queue(std::string(size * unit + 1, static_cast<char>('A' + turn % 26)));
        break;
      case 2:
        exchange(static_cast<int>(size) + 1);
        break;
      case 3:
        client.Close();
        break;
      case 4:
        if (client.sent.empty()) break;
        client.sent[size * 7 % client.sent.size()] ^= static_cast<char>(1 << turn % 8);
        changed = true;
        break;
      case 5:
        server.Move();
        break;
      default:
        server.Stop(what == 6);
    }
  }
  server.Stop(false);
  exchange(kTicksMax);
  server.Stop(false);  // where it had moved meanwhile
  exchange(kTicksMax);
  CHECK(IsPrefix(server.received, client.wrote) && IsPrefix(client.received, server.queued));
  CHECK(server.ends.size() <= 1);
  if (changed) return;
  CHECK(server.encrypted && server.received == client.wrote && client.received == server.queued);
  CHECK(server.ends.empty() != client.closed);
  if (client.closed) CHECK(server.ends[0] == engine::StreamEnd::kOrderly);
}

struct Outcome {
  bool encrypted = false;
  std::vector<engine::StreamEnd> ends;
  std::string error;
  bool operator==(const Outcome&) const = default;
};

// Whatever a client says, which has not seen our answer.
Outcome Listen(const std::string& bytes, Pieces* pieces, bool direct) {
  End end(pieces, direct);
  end.pipe().Deliver(bytes);
  for (size_t i = 0; i < bytes.size() + 10 && end.ends.empty(); ++i) end.Tick();
  end.Run(10);
  CHECK(end.received.empty());
  return {end.encrypted, end.ends, end.error};
}

FUZZ_TARGET(stream_tls) {
  Choices choices(input);
  const uint8_t kind = choices.Byte();
  const uint8_t seed = choices.Byte();
  Pieces pieces(seed);
  const bool direct = (kind & kDirect) != 0;
  if ((kind & kBytesOfAClient) == 0) {
    // Much of it only in large pieces: an input is to take no time.
    Talk(choices, pieces, (seed & 3) == 3 ? 256 : 1, direct);
    return;
  }
  const std::string bytes(choices.Rest());
  const Outcome whole = Listen(bytes, nullptr, direct);
  CHECK(!whole.encrypted);
  CHECK(Listen(bytes, &pieces, direct) == whole);
}

}  // namespace
}  // namespace weir::fuzz
