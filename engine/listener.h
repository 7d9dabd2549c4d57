// Accepting on one shard. All shards accept from the same listening socket, each with one OP_ACCEPT
// at a time: the kernel wakes one of them per connection. Without descriptors accepting pauses,
// says so, and resumes by itself.
#pragma once

#include <cstdint>

#include "engine/shard.h"

namespace weir::engine {

class Listener {
 public:
  class Events {
   public:
    virtual void OnAccepted(uint32_t listener, int fd) = 0;
    virtual void OnAcceptPaused(uint32_t listener, int error) = 0;
    virtual void OnAcceptResumed(uint32_t listener) = 0;
    virtual void OnListenerStopped(uint32_t listener) = 0;

   protected:
    ~Events() = default;
  };

  // `number` names the listener in events. The descriptor stays the caller's.
  Listener(Shard& shard, int fd, uint32_t number, Events& events);
  ~Listener();

  void Start();
  void Stop();  // -> OnListenerStopped when no accept is in flight; not synchronously
  bool stopped() const { return stopping_ && !accept_.in_flight(); }

 private:
  void OnAccept(const Completion& completion);
  void OnTimer();

  Shard& shard_;
  const int fd_;
  const uint32_t number_;
  Events& events_;
  Operation accept_;
  Timer retry_;
  bool paused_ = false;
  bool stopping_ = false;
};

}  // namespace weir::engine
