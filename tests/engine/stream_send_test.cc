// Sends without a copy: what is sent arrives, the bytes stay until the kernel has released them,
// and a stream ends only then.
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/engine/fake_io.h"
#include "tests/engine/stream_fixture.h"

namespace weir::engine {
namespace {

std::string Pattern(size_t bytes) {
  std::string all;
  all.reserve(bytes + 16);
  for (size_t i = 0; all.size() < bytes; ++i) all += std::to_string(i) + ";";
  all.resize(bytes);
  return all;
}

class ZeroCopyTest : public StreamFixture {
 protected:
  void SetUp() override {
    StreamFixture::SetUp();
    if (!uring_->sends_zero_copy()) GTEST_SKIP() << "this kernel sends nothing without a copy";
  }
  void TearDown() override {
    if (context_ == nullptr || IsSkipped()) return;
    EXPECT_EQ(context_->zero_copy_held(), 0u);
    EXPECT_EQ(chunks_.bytes_in_use(), 0u);
  }
  // In blocks as bulk receives make them.
  void QueueBlocks(End& end, std::string_view text) {
    for (size_t at = 0; at < text.size(); at += Stream::kBulkBytes) {
      end.stream.Queue(chunks_.Copy(AsBytes(text.substr(at, Stream::kBulkBytes))));
    }
  }
  // What the other end has to give now; 0 if that was its end, else the error: EAGAIN if more may
  // come.
  static int Take(int fd, std::string& into) {
    char buffer[65536];
    ssize_t taken = 0;
    while ((taken = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
      into.append(buffer, static_cast<size_t>(taken));
    return taken == 0 ? 0 : errno;
  }
  // A peer that has taken nothing, the kernel all that it accepts: some of it has not been sent on.
  std::unique_ptr<End> OpenStalled(int* other, std::string_view text) {
    auto end = OpenTcp(other);
    const int little = 64 * 1024;
    const int much = 8 << 20;
    setsockopt(*other, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    setsockopt(end->stream.fd(), SOL_SOCKET, SO_SNDBUFFORCE, &much, sizeof much);
    setsockopt(end->stream.fd(), SOL_SOCKET, SO_SNDBUF, &much, sizeof much);
    QueueBlocks(*end, text);
    return end;
  }
};

INSTANTIATE_TEST_SUITE_P(
    Masks, ZeroCopyTest,
    testing::Values(StreamVariant{"none", "", 16384},
                    StreamVariant{"one_shot_receive", "one_shot_receive", 16384},
                    StreamVariant{"tiny_rings", "tiny_rings", 16384},
                    StreamVariant{"flood", "flood", 16384}, StreamVariant{"burst", "burst", 16384}),
    [](const auto& each) { return std::string(each.param.name); });

// Through two streams, in both directions at once.
TEST_P(ZeroCopyTest, LargeTransfersBothWays) {
  int left = -1;
  int right = -1;
  auto a = OpenTcp(&left);
  auto b = OpenTcp(&right);
  a->echo_to = &b->stream;
  b->echo_to = &a->stream;
  const std::string there = Pattern(6 << 20);
  const std::string back = "back " + Pattern(5 << 20);
  size_t there_written = 0;
  size_t back_written = 0;
  std::string there_got;
  std::string back_got;
  uint64_t most_held = 0;
  const auto write_some = [](int fd, const std::string& all, size_t& written) {
    const ssize_t put = send(fd, all.data() + written,
                             std::min<size_t>(all.size() - written, 200'000), MSG_DONTWAIT);
    if (put > 0) written += static_cast<size_t>(put);
  };
  const auto hold = [](End& from, End& to) {
    if (to.stream.above_high_water()) {
      from.stream.StopReceiving();
    } else if (!from.stream.receiving() && to.stream.queued_bytes() < Stream::kLowWater) {
      from.stream.ResumeReceiving();
    }
  };
  EXPECT_TRUE(Until([&] {
    write_some(left, there, there_written);
    write_some(right, back, back_written);
    hold(*a, *b);
    hold(*b, *a);
    context_->Flush();
    most_held = std::max(most_held, context_->zero_copy_held());
    Take(right, there_got);
    Take(left, back_got);
    return there_got.size() >= there.size() && back_got.size() >= back.size();
  }));
  EXPECT_TRUE(there_got == there) << there_got.size() << " of " << there.size();
  EXPECT_TRUE(back_got == back) << back_got.size() << " of " << back.size();
  // Without multishot receives there is no bulk, and receive buffers are copied.
  EXPECT_EQ(most_held > 0, std::string_view(GetParam().mask) != "one_shot_receive");
  Close(*a);
  Close(*b);
  close(left);
  close(right);
}

// All is sent as far as the stream sees, but the peer has not taken it: nobody else gets the
// blocks.
TEST_P(ZeroCopyTest, BytesStayUntilThePeerHasTakenThem) {
  const std::string text = Pattern(2 << 20);
  int other = -1;
  auto end = OpenStalled(&other, text);
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  EXPECT_GT(context_->zero_copy_held(), 0u);
  std::vector<ChunkRef> others;
  for (size_t i = 0; i < 2 * text.size() / Stream::kBulkBytes; ++i) {
    others.push_back(chunks_.Allocate(Stream::kBulkBytes));
    std::memset(others.back()->data, '#', Stream::kBulkBytes);
  }
  std::string got;
  ASSERT_TRUE(Until([&] {
    Take(other, got);
    return got.size() >= text.size();
  }));
  EXPECT_TRUE(got == text);
  EXPECT_TRUE(Until([&] { return context_->zero_copy_held() == 0; }));
  Close(*end);
  close(other);
}

// The next send does not wait until the one before it is released.
TEST_P(ZeroCopyTest, SendsFollowEachOther) {
  int other = -1;
  auto end = OpenStalled(&other, Pattern(200'000));
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  const uint64_t first = context_->zero_copy_held();
  EXPECT_GT(first, 0u);
  QueueBlocks(*end, Pattern(200'000));
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  EXPECT_GT(context_->zero_copy_held(), first);
  std::string got;
  ASSERT_TRUE(Until([&] {
    Take(other, got);
    return got.size() >= 400'000;
  }));
  EXPECT_TRUE(got == Pattern(200'000) + Pattern(200'000));
  Close(*end);
  close(other);
}

TEST_P(ZeroCopyTest, WhatWasSentArrivesAfterClose) {
  const std::string text = Pattern(2 << 20);
  int other = -1;
  auto end = OpenStalled(&other, text);
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  ASSERT_GT(context_->zero_copy_held(), 0u);
  end->stream.Close();
  for (int i = 0; i < 5; ++i) Tick();
  EXPECT_FALSE(end->closed);
  std::string got;
  ASSERT_TRUE(Until([&] {
    Take(other, got);
    return end->closed;
  }));
  EXPECT_EQ(Take(other, got), 0);
  EXPECT_TRUE(got == text) << got.size() << " of " << text.size();
  close(other);
}

// A peer that takes nothing of what was sent before the end is given up after the write timeout.
TEST_P(ZeroCopyTest, APeerThatTakesNothingHoldsNoClosedStream) {
  context_->write_timeout = 30 * kMillisecond;
  int other = -1;
  auto end = OpenStalled(&other, Pattern(2 << 20));
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  ASSERT_GT(context_->zero_copy_held(), 0u);
  end->stream.Close();
  EXPECT_TRUE(Until([&] { return end->closed; }));
  EXPECT_EQ(context_->zero_copy_held(), 0u);
  close(other);
}

// Closed with a send in flight and more behind it: the peer sees that it was cut short, and nothing
// waits for it.
TEST_P(ZeroCopyTest, CloseInTheMiddle) {
  context_->zero_copy_held_max = 64 << 20;
  int other = -1;
  auto end = OpenStalled(&other, std::string(24 << 20, 'x'));
  size_t before = 0;
  ASSERT_TRUE(Until([&] {
    // Nothing more goes: the kernel has all that it takes.
    const bool same = end->stream.queued_bytes() == before;
    before = end->stream.queued_bytes();
    for (int i = 0; i < 5; ++i) Tick();
    return same && before < (24u << 20) && end->stream.queued_bytes() == before;
  }));
  ASSERT_GT(context_->zero_copy_held(), 0u);
  end->stream.Close();
  EXPECT_TRUE(Until([&] { return end->closed; }));
  EXPECT_EQ(context_->zero_copy_held(), 0u);
  std::string got;
  EXPECT_EQ(Take(other, got), ECONNRESET);
  close(other);
}

TEST_P(ZeroCopyTest, TheWriteTimeoutIsTheSame) {
  context_->write_timeout = 30 * kMillisecond;
  context_->zero_copy_held_max = 64 << 20;
  int other = -1;
  auto end = OpenStalled(&other, std::string(24 << 20, 'x'));
  ASSERT_TRUE(Until([&] { return !end->ends.empty(); }));
  EXPECT_EQ(end->ends.front(), StreamEnd::kWriteTimeout);
  EXPECT_GT(context_->zero_copy_held(), 0u);
  Close(*end);
  close(other);
}

TEST_P(ZeroCopyTest, APeerThatResetsReleasesEverything) {
  int other = -1;
  auto end = OpenStalled(&other, Pattern(2 << 20));
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  ASSERT_GT(context_->zero_copy_held(), 0u);
  const linger none{1, 0};
  setsockopt(other, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(other);
  ASSERT_TRUE(Until([&] { return !end->ends.empty() && context_->zero_copy_held() == 0; }));
  EXPECT_EQ(end->ends.front(), StreamEnd::kReset);
  Close(*end);
}

TEST_P(ZeroCopyTest, DetachWaitsUntilAllIsReleased) {
  const std::string text = Pattern(2 << 20);
  int other = -1;
  auto end = OpenStalled(&other, text);
  ASSERT_TRUE(Until([&] { return end->stream.queued_bytes() == 0; }));
  ASSERT_GT(context_->zero_copy_held(), 0u);
  end->stream.Detach();
  for (int i = 0; i < 5; ++i) Tick();
  EXPECT_FALSE(end->was_detached);
  Write(other, "unread");
  std::string got;
  ASSERT_TRUE(Until([&] {
    Take(other, got);
    return end->was_detached;
  }));
  EXPECT_EQ(context_->zero_copy_held(), 0u);
  Take(other, got);
  EXPECT_TRUE(got == text);
  auto next = std::make_unique<End>();
  next->received = std::string(end->detached.unread.begin(), end->detached.unread.end());
  next->stream.Attach(*context_, end->detached.fd, BufferGroup::kBackends, *next);
  EXPECT_TRUE(Until([&] { return next->received == "unread"; }));
  Close(*next);
  close(other);
}

// Slow peers hold a bounded part of the memory: what is beyond it is copied.
TEST_P(ZeroCopyTest, WhatTheKernelHoldsIsBounded) {
  context_->zero_copy_held_max = 256 << 10;
  const std::string text = Pattern(2 << 20);
  int other = -1;
  auto end = OpenTcp(&other);
  std::string got;
  size_t queued = 0;
  while (queued < text.size()) {
    QueueBlocks(*end, std::string_view(text).substr(queued, 64 << 10));
    queued += 64 << 10;
    Tick();
    EXPECT_LE(context_->zero_copy_held(), 256u << 10);
  }
  EXPECT_TRUE(Until([&] {
    EXPECT_LE(context_->zero_copy_held(), 256u << 10);
    Take(other, got);
    return got.size() >= text.size();
  }));
  EXPECT_TRUE(got == text);
  Close(*end);
  close(other);
}

// Small sends, and receive buffers, which must go back soon, are copied.
TEST_P(ZeroCopyTest, WhatIsSmallOrInReceiveBuffersIsCopied) {
  context_->zero_copy_send = 4096;
  int left = -1;
  int right = -1;
  auto a = OpenTcp(&left);
  auto b = OpenTcp(&right);
  b->stream.Queue(AsBytes(std::string(4095, 's')));
  context_->Flush();
  EXPECT_EQ(context_->zero_copy_held(), 0u);
  ASSERT_TRUE(Until([&] { return b->stream.queued_bytes() == 0; }));
  a->echo_to = &b->stream;
  Write(left, std::string(4096, 'r'));
  std::string got;
  ASSERT_TRUE(Until([&] {
    context_->Flush();
    EXPECT_EQ(context_->zero_copy_held(), 0u);
    Take(right, got);
    return got.size() >= 8191;
  }));
  b->stream.Queue(AsBytes(std::string(4096, 'l')));
  context_->Flush();
  EXPECT_GT(context_->zero_copy_held(), 0u);
  Close(*a);
  Close(*b);
  close(left);
  close(right);
}

// With a kernel that refuses them.
class RefusedTest : public testing::Test {
 protected:
  void SetUp() override {
    context_.zero_copy_send = 4096;
    end_.stream.Attach(context_, 7, BufferGroup::kClients, end_);
  }
  void TearDown() override {
    end_.stream.Close();
    for (int i = 0; i < 4 && !end_.closed; ++i) Tick();
    EXPECT_TRUE(end_.closed);
  }
  void Tick() {
    context_.Flush();
    io_.Tick(io_.now, false);
  }

  FakeIo io_;
  ChunkPool chunks_{1 << 20};
  TimerWheel timers_{io_.now};
  StreamContext context_{io_, chunks_, timers_};
  End end_;
  const std::string text_ = std::string(5000, 'x');
};

TEST_F(RefusedTest, TooMuchLockedMemoryCopiesThisOne) {
  for (const int error : {ENOBUFS, ENOMEM}) {
    end_.stream.Queue(AsBytes(text_));
    Tick();
    ASSERT_NE(io_.Find(FakeIo::Kind::kSendZeroCopy), nullptr);
    io_.Answer(FakeIo::Kind::kSendZeroCopy, -error);
    Tick();
    EXPECT_TRUE(end_.ends.empty());
    EXPECT_EQ(context_.zero_copy_held(), 0u);
    Tick();
    ASSERT_NE(io_.Find(FakeIo::Kind::kSend), nullptr);
    EXPECT_EQ(io_.Find(FakeIo::Kind::kSend)->text, text_);
    io_.Answer(FakeIo::Kind::kSend, 5000);
    Tick();
    EXPECT_EQ(end_.stream.queued_bytes(), 0u);
  }
}

TEST_F(RefusedTest, ASocketWithoutThemIsAskedOnce) {
  end_.stream.Queue(AsBytes(text_));
  Tick();
  io_.Answer(FakeIo::Kind::kSendZeroCopy, -EOPNOTSUPP);
  Tick();
  for (int i = 0; i < 3; ++i) {
    Tick();
    EXPECT_EQ(io_.Find(FakeIo::Kind::kSendZeroCopy), nullptr);
    io_.Answer(FakeIo::Kind::kSend, 5000);
    Tick();
    end_.stream.Queue(AsBytes(text_));
  }
  EXPECT_TRUE(end_.ends.empty());
}

// The result is short: the rest follows, and all of the first stays until it is released, which may
// come after the rest has.
TEST_F(RefusedTest, ShortSendsAndReleasesInAnyOrder) {
  end_.stream.Queue(AsBytes(text_));
  Tick();
  Operation& first = *io_.Find(FakeIo::Kind::kSendZeroCopy)->operation;
  io_.Answer(first, 500, /*more=*/true);
  Tick();
  EXPECT_EQ(end_.stream.queued_bytes(), 4500u);
  Tick();
  ASSERT_EQ(io_.asked.size(), 3u);
  Operation& second = *io_.asked.back().operation;
  EXPECT_EQ(io_.asked.back().text.size(), 4500u);
  io_.Answer(second, 4500, /*more=*/true);
  Tick();
  EXPECT_EQ(end_.stream.queued_bytes(), 0u);
  EXPECT_GT(chunks_.bytes_in_use(), 0u);
  io_.Answer(second, 0);
  Tick();
  EXPECT_GT(context_.zero_copy_held(), 0u);
  io_.Answer(first, 0);
  Tick();
  EXPECT_EQ(context_.zero_copy_held(), 0u);
  EXPECT_EQ(chunks_.bytes_in_use(), 0u);
}

// Without such sends in the kernel nothing is asked for.
TEST_F(RefusedTest, AKernelWithoutThem) {
  io_.zero_copy = false;
  end_.stream.Queue(AsBytes(text_));
  Tick();
  EXPECT_EQ(io_.Find(FakeIo::Kind::kSendZeroCopy), nullptr);
  io_.Answer(FakeIo::Kind::kSend, 5000);
  Tick();
  EXPECT_EQ(end_.stream.queued_bytes(), 0u);
}

TEST(UringZeroCopyTest, TheMaskTakesThemAway) {
  Uring::Options options;
  options.mask = *UringMask::Parse("no_zero_copy");
  EXPECT_FALSE((*Uring::Create(options, -1))->sends_zero_copy());
}

}  // namespace
}  // namespace weir::engine
