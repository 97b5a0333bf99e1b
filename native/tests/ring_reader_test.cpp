#include "quietcore/ring_reader.hpp"

#include "test_segment.hpp"

#include <gtest/gtest.h>
#include <random>

namespace quietcore {
namespace {

using test::MemorySegment;

void push(RingWriter &writer, std::int64_t n) {
  Tick tick;
  tick.a = n;
  writer.push(tick);
}

TEST(RingReader, StartsAtTheCursor) {
  const MemorySegment segment(1024);
  RingWriter writer(segment.view());
  for (int n = 0; n < 10; ++n)
    push(writer, n);
  writer.publish();
  RingReader reader(segment.view());
  Tick tick;
  EXPECT_EQ(reader.poll(tick), Poll::Empty);
  push(writer, 10);
  ASSERT_EQ(reader.poll(tick), Poll::Got);
  EXPECT_EQ(tick.a, 10);
}

TEST(RingReader, CountsExactlyWhatItLost) {
  // Whatever the producer does between two polls: read + dropped = published, in order, nothing twice.
  for (const std::uint64_t capacity : {4U, 8U, 64U, 1024U}) {
    std::mt19937_64 random(capacity);
    const MemorySegment segment(capacity);
    RingWriter writer(segment.view());
    RingReader reader(segment.view());
    std::int64_t pushed = 0;
    std::uint64_t got = 0;
    std::int64_t last = -1;
    Tick tick;
    for (int round = 0; round < 20'000; ++round) {
      const std::uint64_t burst = random() % (capacity * (random() % 8 == 0 ? 4 : 1));
      for (std::uint64_t i = 0; i < burst; ++i)
        push(writer, pushed++);
      const std::uint64_t polls = random() % (capacity + 2);
      for (std::uint64_t i = 0; i < polls; ++i) {
        const Poll result = reader.poll(tick);
        if (result == Poll::Empty)
          break;
        if (result == Poll::Overrun)
          continue;
        ASSERT_GT(tick.a, last);
        last = tick.a;
        ++got;
        ASSERT_EQ(got + reader.dropped(), static_cast<std::uint64_t>(tick.a) + 1);
      }
    }
    for (Poll result = reader.poll(tick); result != Poll::Empty; result = reader.poll(tick))
      got += result == Poll::Got ? 1U : 0U;
    EXPECT_EQ(got + reader.dropped(), static_cast<std::uint64_t>(pushed)) << capacity;
    EXPECT_GT(reader.dropped(), 0U) << "the test never overran";
  }
}

TEST(RingReader, AnOldCursorDoesNotMisleadIt) {
  const MemorySegment segment(8);
  RingWriter writer(segment.view());
  RingReader reader(segment.view());
  for (int n = 0; n < 100; ++n)
    push(writer, n);
  segment.view().header().published = 0; // as if it had never been stored
  Tick tick;
  ASSERT_EQ(reader.poll(tick), Poll::Overrun);
  // Slot 0 held tick 96: everything up to 88 is certainly gone.
  EXPECT_EQ(reader.dropped(), 89U);
  EXPECT_EQ(reader.next(), 89U);
}

TEST(RingReader, ASlotBeingWrittenIsEmptyOrOverrunNeverRead) {
  const MemorySegment segment(8);
  RingWriter writer(segment.view());
  RingReader reader(segment.view());
  push(writer, 0);
  segment.view().slot(1)[0] = 3; // tick 1 is being written
  Tick tick;
  ASSERT_EQ(reader.poll(tick), Poll::Got);
  EXPECT_EQ(reader.poll(tick), Poll::Empty);
  EXPECT_EQ(reader.poll(tick), Poll::Empty);
}

} // namespace
} // namespace quietcore
