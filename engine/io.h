// The only door to the kernel for sockets.
//
// Uring is what runs; a virtual network stands behind the same door in the simulator. Nothing above
// knows which it is. Every operation is a member of its owner; it says by a callback what became of
// it, never from inside the call that began it. Single shard.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "engine/address.h"
#include "engine/base/clock.h"
#include "engine/chunk.h"
#include "engine/io_counts.h"

namespace weir::engine {

// Receive buffers come from one of two groups, so that clients can never keep a backend's reply
// from being read.
enum class BufferGroup : uint8_t { kClients, kBackends };
inline constexpr int kBufferGroups = 2;

struct Completion {
  int32_t result = 0;  // bytes, a descriptor, or -errno
  bool more = false;   // a multishot operation goes on
  Slice bytes;         // of StartReceive only
};

// One operation of the kernel. At most once in flight; must not die while it is.
class Operation {
 public:
  using Handler = void (*)(void* owner, const Completion& completion);

  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() { CHECK(!in_flight_); }

  template <auto Method, class T>
  void Bind(T& owner) {
    owner_ = &owner;
    handler_ = [](void* object, const Completion& completion) {
      (static_cast<T*>(object)->*Method)(completion);
    };
  }

  bool in_flight() const { return in_flight_; }

  // For implementations of Io.
  void Begin(uint8_t kind) {
    CHECK(!in_flight_ && handler_ != nullptr);
    in_flight_ = true;
    cancelling_ = false;
    kind_ = kind;
  }
  void Complete(const Completion& completion) {
    CHECK(in_flight_);
    if (!completion.more) in_flight_ = false;
    handler_(owner_, completion);
  }
  uint8_t kind() const { return kind_; }
  bool cancelling() const { return cancelling_; }
  void set_cancelling() { cancelling_ = true; }

 private:
  Handler handler_ = nullptr;
  void* owner_ = nullptr;
  bool in_flight_ = false;
  bool cancelling_ = false;  // a cancel has been asked for; one is enough
  uint8_t kind_ = 0;
};

class Io {
 public:
  virtual ~Io() = default;

  // A listening socket; non-blocking, with the options that accepted sockets inherit.
  virtual absl::StatusOr<int> Listen(const Address& address, int backlog) = 0;
  // A socket to connect with; -errno if there is none to be had.
  virtual int OpenSocket(const Address& address) = 0;
  virtual void Accept(int listener, Operation& operation) = 0;
  // `address` must stay until the completion.
  virtual void Connect(int fd, const Address& address, Operation& operation) = 0;
  // Multishot. Completions bring bytes; 0: end of stream; -ENOBUFS: the group is empty, begin again
  // when buffers_free(group) says so. Any completion without `more` has ended it.
  virtual void StartReceive(int fd, BufferGroup group, Operation& operation) = 0;
  // Into memory of the caller's, for bulk.
  virtual void ReceiveInto(int fd, MutableBytes into, Operation& operation) = 0;
  // The slices' bytes, in order, as one send; may send less than asked. At most kSlicesMax. The
  // caller keeps the bytes until the completion; the span may go at once.
  static constexpr size_t kSlicesMax = 64;
  virtual void Send(int fd, std::span<const Slice> slices, Operation& operation) = 0;
  // The same, but the kernel reads the bytes where they lie. Completes first with `more` and what
  // was sent, then, as late as the peer has taken them, without: only then may the bytes go. What
  // went wrong at once completes without `more` alone; of that -EOPNOTSUPP, -ENOBUFS and -ENOMEM
  // mean that Send would do. Only if sends_zero_copy().
  virtual void SendZeroCopy(int fd, std::span<const Slice> slices, Operation& operation) {
    Send(fd, slices, operation);
  }
  virtual bool sends_zero_copy() const { return false; }
  // Completes when the peer has closed its side or the connection broke.
  virtual void PollHangup(int fd, Operation& operation) = 0;
  // It completes all the same, with what it had or with -ECANCELED. Harmless if it is not in
  // flight.
  virtual void Cancel(Operation& operation) = 0;
  // The host at the other end, without its port; "unix" for a unix socket.
  virtual std::string PeerHost(int fd) = 0;
  // Our side sends no more.
  virtual void Shutdown(int fd) = 0;
  virtual void Close(int fd) = 0;
  // Close, and what the peer has not taken yet is thrown away.
  virtual void Abort(int fd) { Close(fd); }
  // Wakes another shard from its sleep. The mailbox asks at most once per sleep.
  virtual void Wake(uint32_t shard) = 0;

  virtual uint32_t buffers_free(BufferGroup group) const = 0;
  virtual uint32_t buffers(BufferGroup group) const = 0;

  // Read once a tick, when it has woken up.
  virtual Nanos Now() const = 0;
  // The last tick brought completions.
  virtual bool busy() const = 0;
  // Submits what was asked for, waits for a completion, a wake or the deadline if `may_sleep`, then
  // takes the completions and calls their handlers; a bounded number per tick.
  virtual void Tick(Nanos deadline, bool may_sleep) = 0;

  // Ticks and completions are counted here, the rest by the streams.
  IoCounts& counts() { return counts_; }

 private:
  IoCounts counts_;
};

}  // namespace weir::engine
