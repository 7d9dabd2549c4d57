// Streams over the real io_uring with the other end in the test's own hand; under every mask that
// takes a capability away, copying and not.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/stream.h"
#include "engine/uring.h"

namespace weir::engine {

struct StreamVariant {
  const char* name;
  const char* mask = "";
  uint64_t zero_copy_send = 0;
};
inline void PrintTo(const StreamVariant& variant, std::ostream* out) { *out << variant.name; }

// One end of a pair as a stream, and what came of it.
class End final : public StreamEvents {
 public:
  void OnBytes(Slice bytes) override {
    received += AsText(bytes.bytes());
    if (std::exchange(detaches, false)) stream.Detach();
    if (echo_to != nullptr) echo_to->Queue(std::move(bytes));
  }
  void OnEnd(StreamEnd how) override { ends.push_back(how); }
  void OnEncrypted() override { encrypted = true; }
  void OnDrained() override { ++drained; }
  void OnClosed() override { closed = true; }
  void OnDetached(Detached&& what) override {
    detached = std::move(what);
    was_detached = true;
  }

  Stream stream;
  Stream* echo_to = nullptr;
  std::string received;
  std::vector<StreamEnd> ends;
  int drained = 0;
  bool encrypted = false;
  bool detaches = false;  // when the next bytes come
  bool closed = false;
  bool was_detached = false;
  Detached detached;
};

class StreamFixture : public testing::TestWithParam<StreamVariant> {
 protected:
  void SetUp() override {
    Uring::Options options;
    options.buffers = 64;
    options.mask = *UringMask::Parse(GetParam().mask);
    absl::StatusOr<std::unique_ptr<Uring>> uring = Uring::Create(options, -1);
    ASSERT_TRUE(uring.ok()) << uring.status();
    uring_ = *std::move(uring);
    timers_ = std::make_unique<TimerWheel>(uring_->Now());
    context_ = std::make_unique<StreamContext>(*uring_, chunks_, *timers_);
    context_->zero_copy_send = GetParam().zero_copy_send;
  }

  // Ticks until the condition holds; fails after ten seconds.
  template <class Condition>
  bool Until(Condition&& condition) {
    const Nanos deadline = MonotonicNow() + 10 * kSecond;
    while (!condition()) {
      if (MonotonicNow() > deadline) return false;
      Tick();
    }
    return true;
  }
  void Tick() {
    timers_->Fire(uring_->Now(), 100);
    context_->Flush();
    uring_->Tick(std::min(timers_->NextDeadline(), uring_->Now() + 5 * kMillisecond), true);
  }
  // A stream on one end; the other end is a plain descriptor.
  std::unique_ptr<End> Open(int* other, BufferGroup group = BufferGroup::kClients) {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    auto end = std::make_unique<End>();
    end->stream.Attach(*context_, fds[0], group, *end);
    *other = fds[1];
    return end;
  }
  // The same over TCP.
  std::unique_ptr<End> OpenTcp(int* other) {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(listener, 1), 0);
    EXPECT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
    *other = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(connect(*other, reinterpret_cast<sockaddr*>(&address), length), 0);
    const int fd = accept(listener, nullptr, nullptr);
    EXPECT_GE(fd, 0);
    close(listener);
    auto end = std::make_unique<End>();
    end->stream.Attach(*context_, fd, BufferGroup::kClients, *end);
    return end;
  }
  void Close(End& end) {
    end.stream.Close();
    EXPECT_TRUE(Until([&end] { return end.closed; }));
  }
  static void Write(int fd, std::string_view text) {
    ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  ChunkPool chunks_{64 << 20};
  std::unique_ptr<Uring> uring_;
  std::unique_ptr<TimerWheel> timers_;
  std::unique_ptr<StreamContext> context_;
};

}  // namespace weir::engine
