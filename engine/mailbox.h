// Messages to a shard from any thread: a bounded queue of many producers and one consumer, and the
// flag by which a producer knows whether the consumer sleeps.
//
// The consumer sets the flag, looks at the queue once more, then sleeps. A producer pushes, and
// wakes the consumer only if it is the one that clears the flag: at most one wake per sleep. Nobody
// waits here: a full queue is the producer's to deal with.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/shared.h"

namespace weir::engine {

class MessageBody {
 public:
  virtual ~MessageBody() = default;
};

struct Message {
  uint32_t kind = 0;
  uint32_t from = 0;  // the shard that sent it
  uint64_t words[4] = {};
  std::unique_ptr<MessageBody> body;
};

// Kinds from here on are the engine's own.
inline constexpr uint32_t kEngineMessages = 0xF0000000;

class Mailbox {
 public:
  explicit Mailbox(uint32_t capacity = 4096);  // a power of two
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Any thread. False: full, and the message is as it was.
  bool Push(Message& message);
  // Any thread, after a Push: true if the consumer is to be woken, by this caller.
  bool ClaimWake();

  // The consumer only.
  bool Pop(Message& message);
  bool empty() const;
  // Returns false if there is something in the queue after all: do not sleep.
  bool PrepareSleep();
  void Awake() { sleeping_.store(false, std::memory_order_relaxed); }

 private:
  struct Cell {
    Shared<uint64_t> sequence{0};
    Message message;
  };

  const uint64_t mask_;
  std::unique_ptr<Cell[]> cells_;
  alignas(64) Shared<uint64_t> tail_{0};  // producers
  alignas(64) uint64_t head_ = 0;         // the consumer
  alignas(64) Shared<bool> sleeping_{false};
};

}  // namespace weir::engine
