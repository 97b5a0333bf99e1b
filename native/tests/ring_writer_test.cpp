#include "quietcore/ring_writer.hpp"

#include "quietcore/ring_reader.hpp"
#include "test_segment.hpp"

#include <gtest/gtest.h>
#include <unistd.h>
#include <vector>

namespace quietcore {
namespace {

using test::MemorySegment;
using Levels = std::vector<shm::Level>;

Tick sample(std::int64_t n) {
  Tick tick;
  tick.symbol = 3;
  tick.kind = shm::Kind::TRADE;
  tick.time_source = shm::TimeSource::USER;
  tick.flags = 33;
  tick.remaining = 7;
  tick.receive_ns = 1'700'000'000'000'000'000 + n;
  tick.publish_delta_ns = 4'000'000'000U;
  tick.venue_delta_us = -5;
  tick.a = n;
  tick.b = -n;
  tick.c = n * 3;
  tick.d = INT64_MIN;
  return tick;
}

TEST(RingWriter, FieldsLieWhereTheSchemaSays) {
  const MemorySegment segment;
  RingWriter writer(segment.view());
  writer.push(sample(42));
  const auto &slot = *reinterpret_cast<const shm::Slot *>(segment.view().slot(0));
  EXPECT_EQ(slot.seq, 2U);
  EXPECT_EQ(slot.symbol, 3);
  EXPECT_EQ(slot.kind, static_cast<std::uint8_t>(shm::Kind::TRADE));
  EXPECT_EQ(slot.time_source, static_cast<std::uint8_t>(shm::TimeSource::USER));
  EXPECT_EQ(slot.flags, 33);
  EXPECT_EQ(slot.remaining, 7);
  EXPECT_EQ(slot.receive_ns, 1'700'000'000'000'000'042);
  EXPECT_EQ(slot.publish_delta_ns, 4'000'000'000U);
  EXPECT_EQ(slot.venue_delta_us, -5);
  EXPECT_EQ(slot.a, 42);
  EXPECT_EQ(slot.b, -42);
  EXPECT_EQ(slot.c, 126);
  EXPECT_EQ(slot.d, INT64_MIN);
}

TEST(RingWriter, TheCursorIsStoredAtLeastEveryQuarter) {
  const MemorySegment segment(1024);
  RingWriter writer(segment.view());
  for (int n = 0; n < 10'000; ++n) {
    writer.push(sample(n));
    const std::uint64_t published = segment.view().header().published;
    ASSERT_LE(published, writer.next());
    ASSERT_LT(writer.next() - published, 256U);
  }
  writer.publish();
  EXPECT_EQ(segment.view().header().published, 10'000U);
}

TEST(RingWriter, TheFirstProducerLeavesBooksEmptyAndSaysNothing) {
  const MemorySegment segment;
  const RingWriter writer(segment.view());
  const shm::Header &header = segment.view().header();
  EXPECT_EQ(header.epoch, 1U);
  EXPECT_EQ(header.pid, static_cast<std::uint32_t>(getpid()));
  EXPECT_NE(header.pid_start, 0U);
  EXPECT_NE(header.heartbeat_ns, 0U);
  EXPECT_EQ(writer.next(), 0U);
  const auto book = RingReader(segment.view()).book(0);
  ASSERT_TRUE(book.has_value());
  EXPECT_EQ(book->entry.state, shm::State::EMPTY);
}

TEST(RingWriter, ANewProducerGoesOnWhereADeadOneStopped) {
  const MemorySegment segment(1024);
  {
    RingWriter dead(segment.view());
    for (int n = 0; n < 2500; ++n)
      dead.push(sample(n));
    dead.write_book(0, {.state = shm::State::LIVE, .tick = 2499, .update_id = 77}, Levels{{10, 1}},
                    Levels{{11, 1}});
    // It died in the middle of tick 2500 and of a book.
    segment.view().slot(2500)[0] = 2 * 2500 + 1;
    segment.view().book(0).seq |= 1U;
  }
  EXPECT_FALSE(RingReader(segment.view()).book(0, 10).has_value()) << "odd: nobody may read it";

  RingWriter heir(segment.view());
  EXPECT_EQ(heir.epoch(), 2U);
  EXPECT_EQ(heir.next(), 2501U) << "RESTART is tick 2500, in the slot left odd";
  RingReader reader(segment.view());
  EXPECT_EQ(reader.next(), 2501U);
  reader.seek(2499);
  Tick tick;
  ASSERT_EQ(reader.poll(tick), Poll::Got);
  EXPECT_EQ(tick.a, 2499);
  ASSERT_EQ(reader.poll(tick), Poll::Got);
  EXPECT_EQ(tick.kind, shm::Kind::RESTART);
  EXPECT_EQ(tick.a, 2);
  EXPECT_EQ(tick.b, getpid());
  EXPECT_EQ(reader.poll(tick), Poll::Empty);
  const auto book = reader.book(0);
  ASSERT_TRUE(book.has_value());
  EXPECT_EQ(book->entry.state, shm::State::STALE);
  EXPECT_EQ(book->entry.tick, 2500U) << "RESTART: readers forget their ladders there";
  EXPECT_EQ(book->epoch, 2U);
  EXPECT_EQ(segment.view().book(0).seq % 2, 0U);
}

TEST(RingWriter, ATableEntryComesBackAsWritten) {
  const MemorySegment segment(1024, 3);
  RingWriter writer(segment.view());
  const BookEntry entry{shm::State::LIVE, 9, 123, 456, 1000, 900, 899, 40, 50, 7};
  writer.write_book(0, entry, Levels{{10, 1}, {9, 2}, {8, 3}}, Levels{{11, 4}});
  const auto book = RingReader(segment.view()).book(0);
  ASSERT_TRUE(book.has_value());
  EXPECT_EQ(book->entry.state, shm::State::LIVE);
  EXPECT_EQ(book->entry.tick, 9U);
  EXPECT_EQ(book->entry.update_id, 123U);
  EXPECT_EQ(book->entry.venue_sequence, 456U);
  EXPECT_EQ(book->entry.receive_ns, 1000);
  EXPECT_EQ(book->entry.venue_ns, 900);
  EXPECT_EQ(book->entry.engine_ns, 899);
  EXPECT_EQ(book->entry.bid_levels, 40U);
  EXPECT_EQ(book->entry.ask_levels, 50U);
  EXPECT_EQ(book->entry.messages, 7U);
  ASSERT_EQ(book->bids.size(), 3U);
  EXPECT_EQ(book->bids[2].price, 8);
  ASSERT_EQ(book->asks.size(), 1U);
  EXPECT_EQ(book->asks[0].size, 4);

  writer.write_state(0, shm::State::STALE, 12);
  const auto stale = RingReader(segment.view()).book(0);
  ASSERT_TRUE(stale.has_value());
  EXPECT_EQ(stale->entry.state, shm::State::STALE);
  EXPECT_EQ(stale->entry.tick, 12U);
  EXPECT_EQ(stale->bids.size(), 3U) << "the ladder stays";
}

TEST(RingWriter, StatisticsSurviveTheProducer) {
  const MemorySegment segment;
  {
    RingWriter writer(segment.view());
    shm::Statistics statistics{};
    statistics.messages = 5;
    statistics.locked_kib = 6;
    writer.store_statistics(statistics);
  }
  const RingWriter heir(segment.view());
  EXPECT_EQ(heir.load_statistics().messages, 5U);
  EXPECT_EQ(heir.load_statistics().locked_kib, 6U);
}

} // namespace
} // namespace quietcore
