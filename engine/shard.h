// One shard: a thread with its ring, buffers, timers and mailbox, and the loop that drives them.
//
// A tick: submit and wait, harvest completions and call their handlers; drain the mailbox; fire
// timers; let the application end its tick; one send per dirty stream. Every step is bounded. The
// one system call of a tick is Io::Tick.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/prng.h"
#include "engine/base/ring_queue.h"
#include "engine/chunk.h"
#include "engine/io.h"
#include "engine/mailbox.h"
#include "engine/stream.h"
#include "engine/timer_wheel.h"
#include "engine/worker.h"

namespace weir::engine {

class Shard;

// What runs on a shard. Everything is called in the shard's own thread.
class ShardApplication {
 public:
  virtual ~ShardApplication() = default;
  virtual void OnStart() = 0;
  virtual void OnMessage(Message&& message) = 0;
  virtual void OnTickEnd() = 0;  // before what is queued leaves
};

// What a shard shares with the others: mailboxes and workers. Implemented by Shards, and by the
// simulator.
class ShardPeers {
 public:
  virtual uint32_t count() const = 0;
  virtual Mailbox& mailbox(uint32_t shard) = 0;
  virtual Worker& worker() = 0;

 protected:
  ~ShardPeers() = default;
};

struct ShardOptions {
  uint64_t buffer_memory = 64 << 20;
  Nanos spin = 0;
  uint64_t zero_copy_send = 0;  // bytes; 0: never
};

class Shard {
 public:
  Shard(uint32_t id, ShardPeers& peers, Io& io, Entropy& entropy, const ShardOptions& options);
  ~Shard();

  uint32_t id() const { return id_; }
  uint32_t count() const { return peers_.count(); }
  Io& io() { return io_; }
  ChunkPool& chunks() { return chunks_; }
  TimerWheel& timers() { return timers_; }
  StreamContext& streams() { return streams_; }
  Worker& worker() { return peers_.worker(); }
  Entropy& entropy() { return entropy_; }
  Prng& prng() { return prng_; }
  Nanos now() const { return io_.Now(); }

  // Never fails and never waits: what does not fit is kept here and tried again each tick. In order
  // per destination.
  void Post(uint32_t shard, Message&& message);

  void set_application(ShardApplication& application) { application_ = &application; }
  void Start();
  // One tick. Returns false once stopped.
  bool Tick();
  void Stop() { stopped_ = true; }

 private:
  void DrainMailbox();
  void DrainOutboxes();
  void Dispatch(Message&& message);

  const uint32_t id_;
  ShardPeers& peers_;
  Io& io_;
  Entropy& entropy_;
  Prng prng_;
  ChunkPool chunks_;
  TimerWheel timers_;
  StreamContext streams_;
  ShardApplication* application_ = nullptr;
  std::vector<RingQueue<Message>> outboxes_;  // one a shard; our own holds messages to ourselves
  size_t waiting_messages_ = 0;               // in all of them
  const Nanos spin_;
  Nanos busy_until_ = 0;  // spins until then
  Nanos trimmed_at_ = 0;
  bool stopped_ = false;
};

// A job that is done, on its way back to its shard.
struct DoneJob final : MessageBody {
  std::unique_ptr<Job> job;
};
inline constexpr uint32_t kJobDoneMessage = kEngineMessages + 1;

}  // namespace weir::engine
