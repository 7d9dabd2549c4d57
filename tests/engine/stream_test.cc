// Streams over the real io_uring, with socket pairs; under every mask that takes a capability away.
#include "engine/stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "engine/uring.h"

namespace weir::engine {
namespace {

// One end of a pair as a stream, and what came of it.
class End final : public StreamEvents {
 public:
  void OnBytes(Slice bytes) override {
    received += AsText(bytes.bytes());
    if (echo_to != nullptr) echo_to->Queue(std::move(bytes));
  }
  void OnEnd(StreamEnd how) override { ends.push_back(how); }
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
  bool closed = false;
  bool was_detached = false;
  Detached detached;
};

class StreamTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    Uring::Options options;
    options.buffers = 64;
    options.mask = *UringMask::Parse(GetParam());
    absl::StatusOr<std::unique_ptr<Uring>> uring = Uring::Create(options, -1);
    ASSERT_TRUE(uring.ok()) << uring.status();
    uring_ = *std::move(uring);
    timers_ = std::make_unique<TimerWheel>(uring_->Now());
    context_ = std::make_unique<StreamContext>(*uring_, chunks_, *timers_);
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

INSTANTIATE_TEST_SUITE_P(Masks, StreamTest,
                         testing::Values("", "one_shot_receive", "tiny_rings", "flood", "burst"),
                         [](const auto& each) {
                           return std::string(*each.param == '\0' ? "none" : each.param);
                         });

TEST_P(StreamTest, BytesComeAndGo) {
  int other = -1;
  auto end = Open(&other);
  Write(other, "hello");
  ASSERT_TRUE(Until([&] { return end->received == "hello"; }));
  EXPECT_GT(uring_->counts().ticks, 0u);
  EXPECT_GT(uring_->counts().completions, 0u);
  end->stream.Queue(AsBytes("one "));
  end->stream.Queue(AsBytes("two "));
  end->stream.Queue(ChunkPool(1 << 20).bytes_in_use() == 0 ? AsBytes("three") : Bytes());
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  char buffer[64] = {};
  EXPECT_EQ(read(other, buffer, sizeof buffer), 13);
  EXPECT_STREQ(buffer, "one two three");
  shutdown(other, SHUT_WR);
  ASSERT_TRUE(Until([&] { return !end->ends.empty(); }));
  EXPECT_EQ(end->ends, std::vector<StreamEnd>{StreamEnd::kOrderly});
  // It can still be sent to.
  end->stream.Queue(AsBytes("bye"));
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  EXPECT_EQ(read(other, buffer, sizeof buffer), 3);
  EXPECT_EQ(uring_->counts().short_sends, 0u);
  Close(*end);
  close(other);
}

// Much data through two streams, from one pair to another, past a reader that is slow: every byte,
// in order, and no more held than the marks allow.
TEST_P(StreamTest, BulkWithBackpressure) {
  int source = -1;
  int sink = -1;
  auto in = Open(&source);
  auto out = Open(&sink, BufferGroup::kBackends);
  in->echo_to = &out->stream;
  constexpr size_t kBytes = 3 << 20;
  std::string all;
  for (size_t i = 0; all.size() < kBytes; ++i) all += std::to_string(i) + ";";
  size_t written = 0;
  std::string got;
  size_t most_queued = 0;
  const Nanos deadline = MonotonicNow() + 20 * kSecond;
  while (got.size() < all.size() && MonotonicNow() < deadline) {
    const ssize_t put = send(source, all.data() + written,
                             std::min<size_t>(all.size() - written, 100000), MSG_DONTWAIT);
    if (put > 0) written += static_cast<size_t>(put);
    if (out->stream.above_high_water()) {
      in->stream.StopReceiving();
    } else if (!in->stream.receiving() && out->stream.queued_bytes() < Stream::kLowWater) {
      in->stream.ResumeReceiving();
    }
    Tick();
    most_queued = std::max(most_queued, out->stream.queued_bytes());
    char buffer[30000];
    const ssize_t taken = recv(sink, buffer, sizeof buffer, MSG_DONTWAIT);
    if (taken > 0) got.append(buffer, static_cast<size_t>(taken));
  }
  EXPECT_TRUE(got == all) << got.size() << " of " << all.size();
  EXPECT_LT(most_queued, size_t{1} << 20);
  Close(*in);
  Close(*out);
  close(source);
  close(sink);
}

// More streams with data than there are buffers, and readers that take nothing: everybody is served
// all the same.
TEST_P(StreamTest, RunningOutOfBuffersLosesNothing) {
  constexpr int kStreams = 300;
  std::vector<std::unique_ptr<End>> ends;
  std::vector<int> others(kStreams);
  for (int i = 0; i < kStreams; ++i) ends.push_back(Open(&others[static_cast<size_t>(i)]));
  int stalled = -1;
  auto slow = Open(&stalled, BufferGroup::kBackends);
  for (auto& end : ends) end->echo_to = &slow->stream;
  const std::string text(3000, 'x');
  for (const int other : others) Write(other, text);
  ASSERT_TRUE(Until([&] {
    for (const auto& end : ends) {
      if (end->received.size() < text.size()) return false;
    }
    return true;
  }));
  EXPECT_GT(slow->stream.queued_bytes(), 500000u);
  for (auto& end : ends) {
    end->echo_to = nullptr;
    shutdown(others[static_cast<size_t>(&end - ends.data())], SHUT_WR);
  }
  ASSERT_TRUE(Until([&] {
    for (const auto& end : ends) {
      if (end->ends.empty()) return false;
    }
    return true;
  }));
  EXPECT_GT(uring_->counts().enobufs, 0u);
  for (auto& end : ends) Close(*end);
  Close(*slow);
  for (const int other : others) close(other);
  close(stalled);
}

TEST_P(StreamTest, AStoppedStreamLearnsOfABrokenPeer) {
  int other = -1;
  auto end = Open(&other);
  end->stream.StopReceiving();
  for (int i = 0; i < 5; ++i) Tick();
  close(other);
  ASSERT_TRUE(Until([&] { return !end->ends.empty(); }));
  EXPECT_EQ(end->ends.front(), StreamEnd::kReset);
  Close(*end);
}

TEST_P(StreamTest, DetachAndAttachLoseNothing) {
  int other = -1;
  auto end = Open(&other);
  Write(other, "before ");
  end->stream.Detach();
  ASSERT_TRUE(Until([&] { return end->was_detached; }));
  Write(other, "after");
  auto next = std::make_unique<End>();
  next->received = std::string(end->detached.unread.begin(), end->detached.unread.end());
  next->stream.Attach(*context_, end->detached.fd, BufferGroup::kBackends, *next);
  ASSERT_TRUE(Until([&] { return end->received + next->received == "before after"; }));
  Close(*next);
  close(other);
}

TEST_P(StreamTest, APeerThatTakesNothingIsGivenUp) {
  context_->write_timeout = 30 * kMillisecond;
  int other = -1;
  auto end = Open(&other);
  end->stream.Queue(AsBytes(std::string(4 << 20, 'x')));
  ASSERT_TRUE(Until([&] { return !end->ends.empty(); }));
  EXPECT_EQ(end->ends.front(), StreamEnd::kWriteTimeout);
  EXPECT_GT(uring_->counts().short_sends, 0u);
  Close(*end);
  close(other);
}

TEST_P(StreamTest, LastWordsAreReadBeforeTheConnectionCloses) {
  int other = -1;
  auto end = Open(&other);
  Write(other, "never read by anybody");
  end->stream.Queue(AsBytes("last words"));
  end->stream.CloseWhenSent();
  for (int i = 0; i < 5; ++i) Tick();
  char buffer[64] = {};
  EXPECT_EQ(read(other, buffer, sizeof buffer), 10);
  EXPECT_EQ(read(other, buffer, sizeof buffer), 0);
  close(other);
  EXPECT_TRUE(Until([&] { return end->closed; }));
}

TEST(UringTest, ErrorsSayWhatToDo) {
  EXPECT_NE(Uring::Explain(ENOSYS).message().find("6.1"), absl::string_view::npos);
  EXPECT_NE(Uring::Explain(ENOMEM).message().find("MEMLOCK"), absl::string_view::npos);
  EXPECT_NE(Uring::Explain(EPERM).message().find("io_uring"), absl::string_view::npos);
  EXPECT_FALSE(UringMask::Parse("no_such_mask").ok());
  EXPECT_TRUE(UringMask::Parse("flood,tiny_rings")->flood);
}

}  // namespace
}  // namespace weir::engine
