// Clients waiting for a backend of one route, oldest first.
//
// Fair between clients, not between requests: a client that has returned a backend goes to the
// back. A waiter leaves in exactly one way: served, failed (its deadline, a refusal, shutdown), or
// by its own will.
#pragma once

#include <cstdint>

#include "engine/base/bytes.h"
#include "engine/base/intrusive_list.h"
#include "engine/timer_wheel.h"
#include "pool/core/backend.h"

namespace weir::pool {

enum class BorrowFailure : uint8_t {
  kTimedOut,
  kRefused,  // the server will have none of this route: its own error comes along
  kShutdown,
};

class Pool;

class Waiter {
 public:
  virtual ~Waiter() = default;
  // `backend` is linked from now on.
  virtual void OnBorrowed(Backend& backend) = 0;
  // `why`: the server's error if it refuses; else what is known, for people. May be empty.
  virtual void OnBorrowFailed(BorrowFailure failure, engine::Bytes why) = 0;
  bool waiting() const { return link_.linked(); }

  // Set before Borrow.
  RouteId route = 0;
  // Its request is a read that may be in flight on a backend together with others, and is expected
  // to take so long: nanoseconds. (Every idle client has these: they fit beside.)
  bool reads : 1 = false;
  uint32_t read_cost : 31 = 0;
  engine::Nanos since = 0;
  engine::Nanos deadline = 0;
  uint64_t preferred = 0;  // the number of the backend it would like best; 0: any
  uint64_t profile = 0;    // its settings, as Backend::profile
  uint64_t last = 0;       // of the one it has, or had last; 0: none yet
  uint64_t before = 0;     // of the one it had before that

 private:
  friend class Pool;
  void Got(const Backend& backend) {
    before = last;
    last = backend.number;
  }
  void OnDeadline();
  uint64_t asked_ = 0;  // the shards that were asked to lend for it, a bit each
  engine::ListLink link_;
  engine::Timer timer_;
  Pool* pool_ = nullptr;
};

}  // namespace weir::pool
