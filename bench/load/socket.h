// A non-blocking socket in an epoll set, what both roles of the load program are made of.
//
// One thread, no limit on what is queued: peers are the programs under test on this machine.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/check.h"

namespace weir::load {

// Says what is wrong and ends the program: a load that was not answered rightly measures nothing.
[[noreturn]] void Fail(const std::string& text);

class Socket;

// The epoll set. Level-triggered: a socket with much to read is read again in the next round.
class Poller {
 public:
  Poller();
  // Handles what is ready; returns how many sockets were. `timeout_ms` as in epoll_wait: 0 polls.
  int Poll(int timeout_ms);

 private:
  friend class Socket;
  const int epoll_;
  std::vector<Socket*> dead_;  // deleted when no event of this round can name them
};

class Socket {
 public:
  // Takes the descriptor. `listening`: OnAcceptable is called instead of the others.
  Socket(Poller& poller, int fd, bool listening = false);
  virtual ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void Send(std::string_view bytes);
  // Reads at most that many bytes, once. For sockets that are not polled.
  void ReadSome(size_t most);
  // Whether arriving bytes are read as they come.
  void SetPolled(bool polled);
  // Closes; the object is deleted after this round.
  void Die();
  bool dead() const { return fd_ < 0; }
  int fd() const { return fd_; }

 protected:
  // Returns how many bytes it has used; the rest is shown again, with what follows it.
  virtual size_t OnBytes(std::string_view bytes) = 0;
  // The peer has closed or the connection broke.
  virtual void OnEnd(int error) = 0;
  virtual void OnAcceptable() {}

 private:
  friend class Poller;
  void Handle(uint32_t events);
  void Drain();
  void Watch();

  Poller& poller_;
  int fd_;
  const bool listening_;
  bool polled_ = true;
  bool waiting_ = false;  // for room to send
  std::string unread_;    // an incomplete message
  std::string unsent_;
};

// Takes one message {type, length, body} off `bytes`; false if it is not complete.
bool NextMessage(std::string_view& bytes, char& type, std::string_view& body);

}  // namespace weir::load
