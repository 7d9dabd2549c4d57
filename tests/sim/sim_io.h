// engine::Io on the virtual network, one a shard, with the kernel's freedoms taken by chance: which
// of several sockets comes first, how many bytes come at once, whether a multishot goes on, whether
// a cancelled operation has had its way after all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/io.h"
#include "tests/sim/net.h"

namespace weir::sim {

struct SimIoOptions {
  uint32_t buffers = 64;    // of each group
  double one_shot = 0.05;   // how often a multishot ends by itself
  double postpone = 0.2;    // how often something that is ready waits for a later tick
  double accept_error = 0;  // how often accepting finds no descriptor
};

// All descriptors of the program: ends and listening sockets by number, the lowest free one first.
class Descriptors {
 public:
  static constexpr int kFirst = 10;
  struct Listener {
    std::vector<End*> backlog;
  };

  int Open(End* end);
  int OpenListener();
  End& end(int fd);
  End* end_or_null(int fd);
  void SetEnd(int fd, End* end);
  Listener& listener(int fd);
  void Close(int fd);
  size_t open() const { return open_; }

 private:
  std::vector<End*> ends_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<bool> used_;
  size_t open_ = 0;
  int Take();
};

class SimIo;

// What a SimIo asks of the scheduler.
class Host {
 public:
  virtual ~Host() = default;
  // Others may run; returns at once or later.
  virtual void Yield(SimIo& io) = 0;
  // Until something is ready for `io`, it is woken, or the deadline has come.
  virtual void Sleep(SimIo& io, engine::Nanos deadline) = 0;
  virtual SimIo& io(uint32_t shard) = 0;
};

class SimIo final : public engine::Io, public Party {
 public:
  SimIo(Host& host, Net& net, Descriptors& descriptors, const SimIoOptions& options);
  ~SimIo() override;

  // Something may be ready, or somebody has woken us.
  bool stirred() const { return stirred_ || woken_; }
  void Stir() { stirred_ = true; }
  bool idle() const { return pending_.empty(); }
  // What is in flight, by kind and descriptor, and the free buffers.
  std::string Situation() const;

  // Party
  void OnChange(End&) override { stirred_ = true; }

  // engine::Io
  absl::StatusOr<int> Listen(const engine::Address& address, int backlog) override;
  int OpenSocket(const engine::Address& address) override;
  void Accept(int listener, engine::Operation& operation) override;
  void Connect(int fd, const engine::Address& address, engine::Operation& operation) override;
  void StartReceive(int fd, engine::BufferGroup group, engine::Operation& operation) override;
  void ReceiveInto(int fd, engine::MutableBytes into, engine::Operation& operation) override;
  void Send(int fd, std::span<const engine::Slice> slices, engine::Operation& operation) override;
  void PollHangup(int fd, engine::Operation& operation) override;
  void Cancel(engine::Operation& operation) override;
  std::string PeerHost(int) override { return "10.0.0.1"; }
  void Shutdown(int fd) override;
  void Close(int fd) override;
  void Wake(uint32_t shard) override;
  uint32_t buffers_free(engine::BufferGroup group) const override;
  uint32_t buffers(engine::BufferGroup) const override { return options_.buffers; }
  Nanos Now() const override { return now_; }
  bool busy() const override { return !batch_.empty(); }
  void Tick(Nanos deadline, bool may_sleep) override;

 private:
  enum Kind : uint8_t { kAccept, kConnect, kReceive, kReceiveInto, kSend, kPoll };
  struct Pending {
    engine::Operation* operation = nullptr;
    Kind kind = kAccept;
    int fd = -1;
    engine::BufferGroup group = engine::BufferGroup::kClients;
    engine::MutableBytes into;
    std::vector<engine::Bytes> parts;
    bool cancelled = false;
  };
  // One group of receive buffers. Released ones are overwritten: whoever still reads them is found.
  class Buffers final : public engine::ChunkOwner {
   public:
    void SetUp(uint32_t count);
    engine::Slice Take(std::string_view bytes);
    void Release(engine::Chunk& chunk) override;
    uint32_t free() const { return static_cast<uint32_t>(free_.size()); }
    ~Buffers();

   private:
    std::vector<std::unique_ptr<uint8_t[]>> memory_;
    std::unique_ptr<engine::Chunk[]> chunks_;
    std::vector<engine::Chunk*> free_;
    uint32_t count_ = 0;
  };
  // What became of one pending operation in this tick.
  enum class Fate : uint8_t { kWaits, kGoesOn, kDone };

  Pending& Begin(engine::Operation& operation, Kind kind, int fd);
  void Gather();
  Fate Try(Pending& pending);
  Fate TryReceive(Pending& pending, End& end);
  Fate TryReceiveInto(Pending& pending, End& end);
  Fate TrySend(Pending& pending, End& end);
  Fate TryAccept(Pending& pending);
  Fate Done(Pending& pending, int32_t result);

  Host& host_;
  Net& net_;
  Descriptors& descriptors_;
  const SimIoOptions options_;
  Nanos now_;
  bool stirred_ = true;
  bool woken_ = false;
  Buffers buffers_[engine::kBufferGroups];
  std::vector<Pending> pending_;
  std::vector<std::pair<engine::Operation*, engine::Completion>> batch_;
};

}  // namespace weir::sim
