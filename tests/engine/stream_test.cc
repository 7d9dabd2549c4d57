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
#include "tests/engine/stream_fixture.h"

namespace weir::engine {
namespace {

class StreamTest : public StreamFixture {};

INSTANTIATE_TEST_SUITE_P(
    Masks, StreamTest,
    testing::Values(StreamVariant{"none"}, StreamVariant{"one_shot_receive", "one_shot_receive"},
                    StreamVariant{"tiny_rings", "tiny_rings"}, StreamVariant{"flood", "flood"},
                    StreamVariant{"burst", "burst"}, StreamVariant{"zero_copy", "", 4096}),
    [](const auto& each) { return std::string(each.param.name); });

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
  const std::string unread(end->detached.unread.begin(), end->detached.unread.end());
  EXPECT_EQ(end->received + unread, "before ");
  next->stream.Attach(*context_, std::move(end->detached), BufferGroup::kBackends, *next);
  EXPECT_EQ(next->received, "");  // not from inside the call
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
