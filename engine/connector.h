// One attempt to connect: look the name up (on the worker), try its addresses in order, within a
// deadline.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/shard.h"

namespace weir::engine {

class Connector {
 public:
  class Events {
   public:
    virtual void OnConnected(int fd) = 0;
    // `error`: an errno; ETIMEDOUT if the deadline has passed. `text` says where and why.
    virtual void OnConnectFailed(int error, std::string_view text) = 0;
    virtual void OnCancelled() = 0;

   protected:
    ~Events() = default;
  };

  Connector() = default;
  ~Connector();

  // Answers once, not synchronously, by one of the events; then it may die.
  void Start(Shard& shard, const std::string& host, uint16_t port, Nanos deadline, Events& events);
  // -> OnCancelled, unless another answer is already under way. Only while active.
  void Cancel();
  bool active() const { return state_ != State::kNone; }

 protected:
  // What the worker found, in the order to be tried.
  void OnResolved(std::vector<Address> addresses, const std::string& error);

 private:
  enum class State : uint8_t { kNone, kResolving, kConnecting, kFailing, kCancelling };
  friend class ResolveJob;

  void TryNext();
  void OnConnect(const Completion& completion);
  void OnTimer();
  void Answer();
  void FailLater(int error, std::string text);

  Shard* shard_ = nullptr;
  Events* events_ = nullptr;
  State state_ = State::kNone;
  bool timed_out_ = false;
  Nanos deadline_ = 0;
  std::string where_;
  std::vector<Address> addresses_;
  size_t next_ = 0;
  int fd_ = -1;
  int error_ = 0;
  std::string text_;
  Operation connect_;
  Timer timer_;
  class ResolveJob* job_ = nullptr;  // told when we go
};

}  // namespace weir::engine
