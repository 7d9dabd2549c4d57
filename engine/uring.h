// Io on io_uring: one ring a shard, created in the shard's own thread.
//
// SINGLE_ISSUER | DEFER_TASKRUN | SUBMIT_ALL | CQSIZE | CLAMP: completions are run only when the
// shard asks, so that one system call a tick submits everything, waits and harvests. Completions
// are copied out in a bounded batch, then their handlers run; what the handlers ask for is
// submitted with the next tick. Kernel 6.1 is the oldest that works; what is newer is probed for
// (MSG_RING to wake other shards is fast from 6.11, before that an eventfd does it; sends without
// a copy).
#pragma once

#include <liburing.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/buffer_ring.h"
#include "engine/io.h"

namespace weir::engine {

// Capabilities taken away, for tests: the program must work the same without them.
struct UringMask {
  bool no_fast_wake = false;      // other shards are woken by eventfd only
  bool one_shot_receive = false;  // a receive ends after every completion
  bool tiny_rings = false;        // 8 receive buffers a group
  bool flood = false;             // a tiny completion queue and batch: it overflows all the time
  bool burst = false;         // up to 8,192 completions are collected before the first is handled
  bool no_zero_copy = false;  // no zero-copy sends

  // Names separated by commas; anything else is an error that lists the names.
  static absl::StatusOr<UringMask> Parse(std::string_view names);
};

class Uring final : public Io {
 public:
  struct Options {
    uint32_t buffers = 256;  // of each group
    UringMask mask;
  };

  // What setting up a ring said, in words that tell what to do.
  static absl::Status Explain(int error);
  // In the shard's own thread. `event_fd` wakes this ring from threads that have none; it stays the
  // caller's.
  static absl::StatusOr<std::unique_ptr<Uring>> Create(const Options& options, int event_fd);
  ~Uring() override;

  // The ring and eventfd of another shard, by number. Set before the first Wake.
  struct Peer {
    int ring_fd = -1;
    int event_fd = -1;
  };
  void set_peers(std::vector<Peer> peers) { peers_ = std::move(peers); }
  int ring_fd() const { return ring_.ring_fd; }

  absl::StatusOr<int> Listen(const Address& address, int backlog) override;
  int OpenSocket(const Address& address) override;
  void Accept(int listener, Operation& operation) override;
  void Connect(int fd, const Address& address, Operation& operation) override;
  void StartReceive(int fd, BufferGroup group, Operation& operation) override;
  void ReceiveInto(int fd, MutableBytes into, Operation& operation) override;
  void Send(int fd, std::span<const Slice> slices, Operation& operation) override;
  void SendZeroCopy(int fd, std::span<const Slice> slices, Operation& operation) override;
  bool sends_zero_copy() const override { return zero_copy_; }
  void PollHangup(int fd, Operation& operation) override;
  void Cancel(Operation& operation) override;
  std::string PeerHost(int fd) override;
  void Shutdown(int fd) override;
  void Close(int fd) override;
  void Abort(int fd) override;
  void Wake(uint32_t shard) override;
  uint32_t buffers_free(BufferGroup group) const override {
    return buffers_[static_cast<int>(group)].free();
  }
  uint32_t buffers(BufferGroup group) const override {
    return buffers_[static_cast<int>(group)].size();
  }
  Nanos Now() const override { return now_; }
  bool busy() const override { return !batch_.empty(); }
  void Tick(Nanos deadline, bool may_sleep) override;

 private:
  Uring() = default;
  absl::Status SetUp(const Options& options, int event_fd);
  io_uring_sqe* Sqe();
  io_uring_sqe* Begin(Operation& operation, uint8_t kind);
  bool ProbeZeroCopy();
  const msghdr& Gather(std::span<const Slice> slices);
  void ArmEvent();
  void Enter(Nanos deadline, bool may_sleep);
  void Collect();
  void Harvest();

  struct Event {
    uint64_t data;
    int32_t result;
    uint32_t flags;
  };
  struct Vector {
    msghdr header;
    iovec parts[kSlicesMax];
  };

  io_uring ring_{};
  Nanos now_ = MonotonicNow();
  bool ring_ready_ = false;
  bool fast_wake_ = false;
  bool zero_copy_ = false;
  UringMask mask_;
  uint32_t batch_max_ = 1024;
  int event_fd_ = -1;
  uint64_t event_count_ = 0;
  BufferRing buffers_[kBufferGroups];
  std::vector<Event> batch_;
  bool leftover_ = false;       // completions that this tick did not get to
  std::deque<Vector> vectors_;  // of sends not yet submitted
  size_t vectors_used_ = 0;
  std::vector<Peer> peers_;
};

}  // namespace weir::engine
