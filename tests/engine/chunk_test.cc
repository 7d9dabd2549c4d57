#include "engine/chunk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "engine/held_bytes.h"

namespace weir::engine {
namespace {

std::string TextOf(const Slice& slice) { return std::string(AsText(slice.bytes())); }

TEST(ChunkPoolTest, BlocksAreCountedAndUsedAgain) {
  ChunkPool pool(1000);
  const uint8_t* first = nullptr;
  {
    const Slice slice = pool.Copy(AsBytes("hello"));
    first = slice.data();
    EXPECT_EQ(TextOf(slice), "hello");
    EXPECT_EQ(TextOf(slice.Sub(1, 3)), "ell");
    EXPECT_EQ(pool.bytes_in_use(), 64u);
    EXPECT_FALSE(pool.exhausted());
    const ChunkRef large = pool.Allocate(5000);
    EXPECT_GE(large->size, 5000u);
    EXPECT_TRUE(pool.exhausted());
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
  EXPECT_EQ(pool.Copy(AsBytes("x")).data(), first);
  const ChunkRef huge = pool.Allocate(3 << 20);
  EXPECT_GE(huge->size, 3u << 20);
}

TEST(ChunkPoolTest, ASliceKeepsItsChunk) {
  ChunkPool pool(1 << 20);
  Slice part;
  {
    const Slice whole = pool.Copy(AsBytes("0123456789"));
    part = whole.Sub(2, 3);
  }
  EXPECT_EQ(TextOf(part), "234");
  EXPECT_EQ(pool.bytes_in_use(), 64u);
  part = {};
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

TEST(HeldBytesTest, InAnyPiecesTheBytesComeOutAsTheyWentIn) {
  ChunkPool pool(1 << 20);
  std::string all;
  for (int i = 0; i < 500; ++i) all += std::to_string(i) + ",";
  for (const size_t piece : {1u, 7u, 64u, 100u, 1000u}) {
    HeldBytes held;
    for (size_t at = 0; at < all.size(); at += piece)
      held.Append(pool, AsBytes(std::string_view(all).substr(at, piece)));
    EXPECT_EQ(held.size(), all.size());
    std::string out;
    for (uint32_t want = 1; !held.empty(); want = want % 97 + 5) {
      const uint32_t count = std::min<uint32_t>(want, static_cast<uint32_t>(held.size()));
      const Slice gathered = held.Gather(pool, count);
      EXPECT_EQ(gathered.length, count);
      out += TextOf(gathered);
      held.Consume(count);
    }
    EXPECT_EQ(out, all);
    EXPECT_EQ(pool.bytes_in_use(), 0u);
  }
}

TEST(HeldBytesTest, ReceiveBuffersAreCopied) {
  ChunkPool pool(1 << 20);
  uint8_t memory[4] = {'r', 'i', 'n', 'g'};
  Chunk ring{.data = memory, .size = 4, .origin = ChunkOrigin::kRing};
  HeldBytes held;
  held.Append(pool, Slice{ChunkRef(&ring), 0, 4});
  EXPECT_EQ(ring.references, 0u);
  memory[0] = 'X';
  EXPECT_EQ(TextOf(held.Front()), "ring");
}

}  // namespace
}  // namespace weir::engine
