// An Io whose kernel is the test: it keeps what was asked for, answers when it is told to, and its
// clock goes when it is moved.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/io.h"

namespace weir::engine {

class FakeIo final : public Io {
 public:
  enum class Kind : uint8_t {
    kAccept,
    kConnect,
    kReceive,
    kReceiveInto,
    kSend,
    kSendZeroCopy,
    kHangup
  };
  struct Asked {
    Kind kind;
    int fd;
    Operation* operation;
    std::string text;  // what is sent; the address that is connected to
  };

  ~FakeIo() override { EXPECT_TRUE(asked.empty()) << "something is in flight"; }

  // The oldest in flight of this kind; nullptr if there is none.
  const Asked* Find(Kind kind) const {
    for (const Asked& each : asked) {
      if (each.kind == kind) return &each;
    }
    return nullptr;
  }
  // With the next tick.
  void Answer(Kind kind, int32_t result, bool more = false) {
    const Asked* found = Find(kind);
    ASSERT_NE(found, nullptr) << "nothing of the kind is in flight";
    Answer(*found->operation, result, more);
  }
  void Answer(Operation& operation, int32_t result, bool more = false) {
    due_.push_back({&operation, {result, more, {}}});
  }

  absl::StatusOr<int> Listen(const Address&, int) override {
    return absl::UnimplementedError("FakeIo has no listeners");
  }
  int OpenSocket(const Address&) override {
    if (!socket_results.empty()) {
      const int result = socket_results.front();
      socket_results.erase(socket_results.begin());
      if (result < 0) return result;
    }
    open.push_back(next_fd_);
    return next_fd_++;
  }
  void Accept(int fd, Operation& operation) override { Ask(Kind::kAccept, fd, operation, {}); }
  void Connect(int fd, const Address& address, Operation& operation) override {
    Ask(Kind::kConnect, fd, operation, address.ToString());
  }
  void StartReceive(int fd, BufferGroup, Operation& operation) override {
    Ask(Kind::kReceive, fd, operation, {});
  }
  void ReceiveInto(int fd, MutableBytes, Operation& operation) override {
    Ask(Kind::kReceiveInto, fd, operation, {});
  }
  void Send(int fd, std::span<const Slice> slices, Operation& operation) override {
    Ask(Kind::kSend, fd, operation, TextOf(slices));
  }
  void SendZeroCopy(int fd, std::span<const Slice> slices, Operation& operation) override {
    Ask(Kind::kSendZeroCopy, fd, operation, TextOf(slices));
  }
  bool sends_zero_copy() const override { return zero_copy; }
  void PollHangup(int fd, Operation& operation) override { Ask(Kind::kHangup, fd, operation, {}); }
  void Cancel(Operation& operation) override {
    if (!operation.in_flight() || operation.cancelling()) return;
    operation.set_cancelling();
    for (const auto& [each, completion] : due_) {
      if (each == &operation && !completion.more) return;  // too late
    }
    Answer(operation, -ECANCELED);
  }
  std::string PeerHost(int) override { return "fake"; }
  void Shutdown(int fd) override { shut_down.push_back(fd); }
  void Close(int fd) override {
    closed.push_back(fd);
    std::erase(open, fd);
  }
  void Abort(int fd) override {
    aborted.push_back(fd);
    std::erase(open, fd);
  }
  void Wake(uint32_t shard) override { woken.push_back(shard); }
  uint32_t buffers_free(BufferGroup) const override { return 64; }
  uint32_t buffers(BufferGroup) const override { return 64; }
  Nanos Now() const override { return now; }
  bool busy() const override { return busy_; }
  void Tick(Nanos deadline, bool may_sleep) override {
    if (on_tick) on_tick();
    ticks.push_back({deadline, may_sleep});
    std::vector<std::pair<Operation*, Completion>> due = std::exchange(due_, {});
    busy_ = !due.empty();
    for (const auto& [operation, completion] : due) {
      if (!completion.more) {
        std::erase_if(asked, [&](const Asked& each) { return each.operation == operation; });
      }
      operation->Complete(completion);
    }
  }

  Nanos now = 1000 * kSecond;
  bool zero_copy = true;
  std::vector<Asked> asked;
  std::vector<int> socket_results;  // of OpenSocket, from the front; negative: it fails
  std::vector<int> open;            // of its own sockets
  std::vector<int> closed;
  std::vector<int> aborted;
  std::vector<int> shut_down;
  std::vector<uint32_t> woken;
  struct TickAsked {
    Nanos deadline;
    bool may_sleep;
  };
  std::vector<TickAsked> ticks;
  std::function<void()> on_tick;

 private:
  void Ask(Kind kind, int fd, Operation& operation, std::string text) {
    operation.Begin(static_cast<uint8_t>(kind));
    asked.push_back({kind, fd, &operation, std::move(text)});
  }
  static std::string TextOf(std::span<const Slice> slices) {
    std::string text;
    for (const Slice& each : slices) text += AsText(each.bytes());
    return text;
  }

  int next_fd_ = 100;
  bool busy_ = false;
  std::vector<std::pair<Operation*, Completion>> due_;
};

}  // namespace weir::engine
