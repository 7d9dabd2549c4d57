// The containers that everything else stands on.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/intrusive_list.h"
#include "engine/base/log.h"
#include "engine/base/prng.h"
#include "engine/base/ring_queue.h"
#include "engine/base/slab.h"
#include "engine/base/text.h"

namespace weir::engine {
namespace {

struct Element {
  explicit Element(int its_number) : number(its_number) {}
  int number;
  ListLink link;
};

TEST(IntrusiveListTest, OrderAndRemovalFromTheMiddle) {
  Element a(1), b(2), c(3);
  IntrusiveList<Element, &Element::link> list;
  list.PushBack(b);
  list.PushBack(c);
  list.PushFront(a);
  EXPECT_EQ(list.size(), 3u);
  EXPECT_EQ(list.Next(a), &b);
  EXPECT_EQ(list.Previous(a), nullptr);
  list.Remove(b);
  EXPECT_EQ(list.Next(a), &c);
  EXPECT_EQ(list.PopFront(), &a);
  EXPECT_EQ(list.PopFront(), &c);
  EXPECT_EQ(list.PopFront(), nullptr);
}

TEST(IntrusiveListDeathTest, AnElementMustLeaveBeforeItDies) {
  using List = IntrusiveList<Element, &Element::link>;
  EXPECT_DEATH(
      {
        List list;
        Element element(1);
        list.PushBack(element);
      },
      "CHECK failed");
}

TEST(RingQueueTest, GrowsAndKeepsTheOrder) {
  RingQueue<std::string> queue;
  int next = 0;
  for (int i = 0; i < 100; ++i) {
    queue.PushBack(std::to_string(i));
    if (i % 3 == 0) {
      EXPECT_EQ(queue.PopFront(), std::to_string(next++));
    }
  }
  while (!queue.empty()) {
    EXPECT_EQ(queue[0], std::to_string(next));
    EXPECT_EQ(queue.PopFront(), std::to_string(next++));
  }
  EXPECT_EQ(next, 100);
  queue.Release();
  EXPECT_EQ(queue.capacity(), 0u);
}

TEST(SlabTest, AStaleHandleFindsNothing) {
  Slab<std::string> slab;
  std::string& first = slab.Emplace("first");
  const Handle<std::string> handle = slab.HandleOf(first);
  EXPECT_EQ(slab.Find(handle), &first);
  slab.Erase(first);
  EXPECT_EQ(slab.Find(handle), nullptr);
  std::string& second = slab.Emplace("second");
  EXPECT_EQ(slab.HandleOf(second).seat, handle.seat);
  EXPECT_EQ(slab.Find(handle), nullptr);
  EXPECT_EQ(*slab.FindSeat(handle.seat), "second");
  EXPECT_EQ(slab.Find(Handle<std::string>{}), nullptr);
}

TEST(SlabTest, ObjectsStayWhereTheyAre) {
  Slab<int> slab;
  std::vector<int*> places;
  for (int i = 0; i < 1000; ++i) places.push_back(&slab.Emplace(i));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(*places[static_cast<size_t>(i)], i);
  int sum = 0;
  slab.ForEach([&sum](int value) { sum += value; });
  EXPECT_EQ(sum, 499500);
  EXPECT_EQ(slab.size(), 1000u);
}

TEST(PrngTest, SameSeedSameNumbers) {
  Prng a(7), b(7), c(8);
  EXPECT_EQ(a.Next(), b.Next());
  EXPECT_NE(a.Next(), c.Next());
  for (int i = 0; i < 1000; ++i) {
    EXPECT_LT(a.Below(10), 10u);
    const double fraction = a.Fraction();
    EXPECT_TRUE(fraction >= 0 && fraction < 1);
  }
}

TEST(TextTest, Cat) {
  EXPECT_EQ(Cat("a=", 1, ' ', std::string("b"), std::string_view("=2")), "a=1 b=2");
  EXPECT_EQ(Cat(uint8_t{65}), "65");
}

TEST(LogTest, ALineStaysOneLine) {
  static std::string told;
  SetLogSink([](LogLevel, std::string_view line) { told = line; });
  Log(LogLevel::kInfo, "user \"a\nb\x1b[2J\x7f\" \xc3\xa4");
  SetLogSink(nullptr);
  EXPECT_EQ(told, "user \"a\\nb\\x1b[2J\\x7f\" \xc3\xa4");
}

TEST(LogLimitTest, SoManyASecondAndTheRestIsCounted) {
  LogLimit limit(2);
  uint64_t left_out = 0;
  EXPECT_TRUE(limit.Allow(kSecond, left_out));
  EXPECT_TRUE(limit.Allow(kSecond, left_out));
  EXPECT_FALSE(limit.Allow(kSecond, left_out));
  EXPECT_FALSE(limit.Allow(kSecond + 1, left_out));
  EXPECT_TRUE(limit.Allow(2 * kSecond, left_out));
  EXPECT_EQ(left_out, 2u);
}

TEST(CheckDeathTest, ItPrintsWhatTheCrashPrintersKnow) {
  EXPECT_DEATH(
      {
        AddCrashPrinter([](void*, int fd) { dprintf(fd, "the last transition\n"); }, nullptr);
        CHECK(1 + 1 == 3);
      },
      "CHECK failed at .*: 1 \\+ 1 == 3\nthe last transition");
}

}  // namespace
}  // namespace weir::engine
