// A connected socket as its owner sees it: bytes come, bytes are queued, it ends.
//
// Receiving is multishot into shared buffers; a stream with much to receive changes to private
// buffers (bulk) by itself. What is queued during a tick leaves at its end as one send; one send at
// a time is in flight. A slice of a receive buffer leaves in the same tick or is copied, so that
// buffers go back soon.
//
// A large send may go without a copy (zero_copy_send): what it has sent drives the queue on as
// ever, so that the next send need not wait a round trip for the peer's acknowledgement; its bytes
// stay until the kernel has released them, which closing and detaching wait for.
//
//   open -> lingering (all sent; waits for the peer's end) -> closing -> closed
//        -> detaching -> detached
//
// A stream may be encrypted (StartTls): then what comes passes through its Tls before the owner
// sees it, in private chunks, and what is queued is sealed when it is sent, as few records as may
// be. What is queued before the handshake is over waits for that.
//
// Closing is a protocol: shut down, wait until no operation is in flight and the kernel reads from
// none of our memory, close. Single shard.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "engine/base/intrusive_list.h"
#include "engine/base/slab.h"
#include "engine/chunk.h"
#include "engine/io.h"
#include "engine/timer_wheel.h"
#include "engine/tls.h"

namespace weir::engine {

class Stream;

enum class StreamEnd : uint8_t {
  kOrderly,       // the peer sends no more; it can still be sent to
  kReset,         // the connection is gone
  kWriteTimeout,  // the peer takes nothing
  kTlsFailed,     // Stream::tls()->error() says why; what the peer is to be told is queued
};

// A connection between two streams: plain data that may go to another shard.
struct Detached {
  int fd = -1;
  std::vector<uint8_t> unread;  // as it came: of an encrypted connection, ciphertext
  bool ended = false;           // the peer has closed its side
  std::unique_ptr<Tls> tls;     // nullptr: it is not encrypted
};

// Any callback may call any method of the stream, Close included.
class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  // In order. A reference may be kept only by queueing the slice to a stream in this tick; else it
  // is copied (HeldBytes).
  virtual void OnBytes(Slice bytes) = 0;
  // At most once. After all but kOrderly the owner calls Close or CloseWhenSent.
  virtual void OnEnd(StreamEnd end) = 0;
  // The handshake is over; before the first bytes that came encrypted.
  virtual void OnEncrypted() {}
  // The queue has fallen below the low-water mark after it had been above the high-water mark.
  virtual void OnDrained() = 0;
  // After Close: nothing is in flight, the descriptor is closed; now the stream may die.
  virtual void OnClosed() = 0;
  // After Detach: the stream may die. If the connection broke meanwhile, OnEnd comes instead.
  virtual void OnDetached(Detached&& detached) = 0;
};

class StreamContext;
struct StreamTls;

// One send without a copy: keeps its slices until the kernel has released them.
class ZeroCopySend {
 public:
  ZeroCopySend(Stream& stream, std::span<const Slice> slices);

 private:
  friend class Stream;
  void OnCompletion(const Completion& completion);

  Stream& stream_;
  const absl::InlinedVector<Slice, 4> slices_;
  uint64_t held_ = 0;      // bytes of the chunks
  bool answered_ = false;  // what was sent is known
  Operation operation_;
};

class Stream {
 public:
  static constexpr size_t kHighWater = size_t{64} * 1024;
  static constexpr size_t kLowWater = size_t{16} * 1024;
  static constexpr uint32_t kBulkBytes = 64 * 1024;
  static constexpr size_t kRingChunksMax = 8;
  // Several slices of at most this many bytes in all are copied into one block rather than sent as
  // a vector.
  static constexpr size_t kCoalesceBytes = 2048;

  Stream();
  ~Stream();

  // Starts receiving. No callback comes from inside these calls.
  void Attach(StreamContext& context, int fd, BufferGroup group, StreamEvents& events);
  // What another stream has left unread comes first.
  void Attach(StreamContext& context, Detached&& detached, BufferGroup group, StreamEvents& events);

  // From here on the connection is encrypted. What is queued already leaves in the clear.
  // `received`: what came behind the bytes that asked for this. A client's side begins by itself.
  // Then OnEncrypted, or OnEnd(kTlsFailed).
  void StartTls(std::unique_ptr<Tls> tls, const Slice& received);
  const Tls* tls() const;  // nullptr: it is not encrypted

  void Queue(Slice bytes);
  void Queue(Bytes bytes);  // copies
  size_t queued_bytes() const { return queued_bytes_; }
  bool above_high_water() const { return queued_bytes_ > kHighWater; }
  // OnDrained comes as if the high-water mark had been passed. Only above the low-water mark.
  void TellWhenDrained() {
    CHECK(queued_bytes_ > kLowWater);
    was_high_ = true;
  }

  void StopReceiving();
  void ResumeReceiving();
  bool receiving() const { return receive_state_ == Receive::kOn; }

  void CloseWhenSent();
  void Close();
  // Nothing may be queued, and no handshake under way.
  void Detach();

  bool open() const { return life_ == Life::kOpen; }
  int fd() const { return fd_; }

 private:
  friend class StreamContext;
  friend class ZeroCopySend;
  friend struct StreamTls;
  enum class Life : uint8_t { kNone, kOpen, kLingering, kClosing, kDetaching, kGone };
  enum class Receive : uint8_t { kOn, kStopping, kStopped };

  void OnReceive(const Completion& completion);
  void TakeBulk(const Completion& completion);
  void OnSent(const Completion& completion);
  void OnReleased();
  void OnHangup(const Completion& completion);
  void OnTimer();
  void Deliver(Slice bytes);
  void DeliverUnread();
  void KeepUnread(Bytes bytes);
  void ReceiveEnded(int32_t result);
  void StartReceiving();
  void End(StreamEnd end);
  void MarkDirty();
  void Flush();
  void FlushSend();
  void Submit(size_t count);
  bool WorthZeroCopy(std::span<const Slice> slices) const;
  bool sending() const { return sending_link_.linked(); }
  void CancelSend();
  void CopyRingSlices(size_t from);
  void Coalesce();
  void ForgetQueue();
  // Of an encrypted stream; in stream_tls.cc.
  void DeliverCiphertext(const Slice& bytes);
  void ContinueHandshake();
  void Decrypt(Bytes ciphertext);
  bool DecryptSome(Bytes& ciphertext);
  void FailTls();
  void Seal();
  void SealSlices(std::span<const Slice> plaintext);
  void DropUnsealed();
  bool joined() const;
  void FinishClosing();
  void AwaitReleases();
  void FinishDetaching();
  void Leave();

  // What every message touches.
  StreamContext* context_ = nullptr;
  StreamEvents* events_ = nullptr;
  int fd_ = -1;
  Life life_ = Life::kNone;
  Receive receive_state_ = Receive::kOn;
  BufferGroup group_ = BufferGroup::kClients;
  bool dirty_ = false;
  bool ended_ = false;   // the peer's end was seen
  bool broken_ = false;  // the connection is gone
  bool was_high_ = false;
  bool bulk_wanted_ = false;
  bool close_when_sent_ = false;
  uint8_t full_chunks_ = 0;  // received in a row
  uint8_t in_flight_slices_ = 0;
  bool holds_ring_ = false;  // the send in flight holds receive buffers
  bool copy_next_ = false;   // the kernel had no room for a zero-copy send just now
  bool copy_only_ = false;   // this kind of socket has none
  uint32_t unreleased_ = 0;  // zero-copy sends whose bytes the kernel may still read
  size_t queued_bytes_ = 0;  // in flight included
  absl::InlinedVector<Slice, 3> queue_;
  std::unique_ptr<StreamTls> tls_;  // nullptr: it is not encrypted
  Operation receive_op_;
  Operation send_op_;

  ChunkRef bulk_chunk_;  // what the receive in flight fills, if it is into a private buffer
  Operation hangup_op_;
  ZeroCopySend* zero_copy_ = nullptr;  // the send in flight, if it is one
  ListLink sending_link_;              // sends not completed in their tick
  ListLink starving_link_;             // receives that wait for buffers
  // Came while detaching, or before it was attached; nullptr: nothing.
  std::unique_ptr<std::vector<uint8_t>> unread_;
  Timer timer_;
  Nanos progress_at_ = 0;
};

// What the streams of a shard share.
class StreamContext {
 public:
  // A step of a handshake may take a millisecond: so many a tick, the rest in the next ones.
  static constexpr int kHandshakeStepsPerTick = 2;

  StreamContext(Io& shard_io, ChunkPool& shard_chunks, TimerWheel& shard_timers);
  ~StreamContext();

  // End of a tick: steps of handshakes, one send per dirty stream, ends that are due, receives that
  // waited for buffers. Before Io::Tick. Returns whether there is something to do at once: an owner
  // was told something, or handshakes wait for their turn.
  bool Flush();

  Io& io;
  ChunkPool& chunks;
  TimerWheel& timers;
  Nanos write_timeout = 60 * kSecond;
  // A send of at least this many bytes goes without a copy; 0: none does. Bytes that slow peers
  // have not taken count as buffer memory, so there is a bound on them: beyond it sends are copied.
  uint64_t zero_copy_send = 0;
  uint64_t zero_copy_held_max = 16 << 20;
  // Of chunks that the kernel has not released.
  uint64_t zero_copy_held() const { return zero_copy_held_; }

 private:
  friend class Stream;
  friend class ZeroCopySend;
  friend struct StreamTls;
  void ContinueHandshakes();
  void CheckSends();
  void Rearm();

  std::vector<Stream*> dirty_;
  bool told_owners_ = false;                      // in this Flush
  std::unique_ptr<class Handshakes> handshakes_;  // that have received something
  Slab<ZeroCopySend> zero_copy_sends_;
  uint64_t zero_copy_held_ = 0;
  IntrusiveList<Stream, &Stream::sending_link_> sending_;  // in flight, oldest first
  IntrusiveList<Stream, &Stream::starving_link_> starving_[kBufferGroups];
};

}  // namespace weir::engine
