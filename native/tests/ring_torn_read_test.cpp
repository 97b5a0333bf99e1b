// Words of one tick must come from one tick. The same hunt without the recheck must find torn ones, or it
// proves nothing.
#include "quietcore/ring_reader.hpp"

#include "test_segment.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

namespace quietcore {
namespace {

using test::MemorySegment;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kAtMost{40};

/// Reads of the hunt; `make ring-proof` asks for 10^9 by QUIETCORE_TORN_READS, and gives them the time.
std::uint64_t wanted_reads(std::uint64_t otherwise) {
  const char *asked = std::getenv("QUIETCORE_TORN_READS");
  return asked == nullptr ? otherwise : std::stoull(asked);
}

std::chrono::seconds time_for(std::uint64_t reads) { return kAtMost + std::chrono::seconds(reads / 500'000); }

Tick marked(std::uint64_t n) {
  const auto value = static_cast<std::int64_t>(n);
  Tick tick;
  tick.receive_ns = value;
  tick.a = value;
  tick.b = value;
  tick.c = value;
  tick.d = value;
  return tick;
}

/// Pushes until told to stop.
class Producer {
public:
  explicit Producer(RingWriter &writer)
      : thread_([this, &writer] {
          for (std::uint64_t n = 0; !stop_.load(std::memory_order_relaxed); ++n)
            writer.push(marked(n));
        }) {}
  Producer(const Producer &) = delete;
  Producer &operator=(const Producer &) = delete;
  ~Producer() {
    stop_.store(true, std::memory_order_relaxed);
    thread_.join();
  }

private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

/// Reads until enough ticks were accepted. In a small ring nearly every look meets the producer.
void read_whole_ticks(std::uint64_t capacity, std::uint64_t wanted) {
  const MemorySegment segment(capacity);
  RingWriter writer(segment.view());
  RingReader reader(segment.view());
  const Producer producer(writer);
  std::uint64_t got = 0;
  std::uint64_t torn = 0;
  std::int64_t last = -1;
  Tick tick;
  const auto deadline = Clock::now() + time_for(wanted);
  while (got < wanted && Clock::now() < deadline) {
    for (int i = 0; i < 1000; ++i) {
      if (reader.poll(tick) != Poll::Got)
        continue;
      ++got;
      torn += tick.receive_ns != tick.a || tick.b != tick.a || tick.c != tick.a || tick.d != tick.a ? 1U : 0U;
      ASSERT_GT(tick.a, last);
      last = tick.a;
    }
  }
  EXPECT_EQ(torn, 0U);
  EXPECT_GT(got, wanted / 100) << "too few reads to say anything";
  EXPECT_EQ(got + reader.dropped(), reader.next()) << "every tick was either got or counted as lost";
  std::printf("%llu reads, %llu lost, %llu torn\n", static_cast<unsigned long long>(got),
              static_cast<unsigned long long>(reader.dropped()), static_cast<unsigned long long>(torn));
}

TEST(TornRead, AnAcceptedTickIsWhole) {
  read_whole_ticks(std::getenv("QUIETCORE_TORN_READS") == nullptr ? 1024 : 65536, wanted_reads(2'000'000));
}

TEST(TornRead, AnAcceptedTickIsWholeWhenTheProducerIsCloseBehind) { read_whole_ticks(8, 5'000); }

TEST(TornRead, EachOfSeveralReadersAccountsForEveryTick) {
  constexpr std::size_t kReaders = 3;
  constexpr std::uint64_t kTicks = 300'000;
  const MemorySegment segment(1024);
  RingWriter writer(segment.view());
  struct Account {
    std::uint64_t got = 0;
    std::uint64_t dropped = 0;
    std::uint64_t next = 0;
    std::uint64_t wrong = 0;
  };
  std::vector<Account> accounts(kReaders);
  std::atomic<std::size_t> ready{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < kReaders; ++r) {
    threads.emplace_back([&, r] {
      RingReader reader(segment.view());
      reader.seek(0);
      Account &account = accounts[r];
      Tick tick;
      ready.fetch_add(1);
      for (bool over = false;;) {
        const std::uint64_t wanted = reader.next();
        const Poll poll = reader.poll(tick);
        if (poll == Poll::Got) {
          ++account.got;
          account.wrong += tick.a != static_cast<std::int64_t>(wanted) ? 1U : 0U;
          // Each reader is slow in its own way, so that they are lapped at different places.
          if (r != 0 && account.got % (1000 * r) == 0)
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        } else if (poll == Poll::Empty) {
          if (over)
            break;
          over = done.load(std::memory_order_acquire); // and one look more behind it
          std::this_thread::yield();
        }
      }
      account.dropped = reader.dropped();
      account.next = reader.next();
    });
  }
  while (ready.load() != kReaders)
    std::this_thread::yield();
  for (std::uint64_t n = 0; n < kTicks; ++n)
    writer.push(marked(n));
  writer.publish();
  done.store(true, std::memory_order_release);
  std::uint64_t lost = 0;
  for (std::size_t r = 0; r < kReaders; ++r) {
    threads[r].join();
    EXPECT_EQ(accounts[r].wrong, 0U);
    EXPECT_EQ(accounts[r].next, kTicks);
    EXPECT_EQ(accounts[r].got + accounts[r].dropped, kTicks) << "reader " << r;
    lost += accounts[r].dropped;
  }
  EXPECT_GT(lost, 0U) << "nobody was ever lapped: nothing was tested";
}

TEST(TornRead, WithoutTheRecheckItIsFound) {
  const MemorySegment segment(4);
  RingWriter writer(segment.view());
  const Producer producer(writer);
  std::uint64_t torn = 0;
  const auto deadline = Clock::now() + kAtMost;
  for (std::uint64_t n = 0; torn == 0 && Clock::now() < deadline;) {
    for (int i = 0; i < 1000; ++i, ++n) {
      std::uint64_t *slot = segment.view().slot(n);
      const std::uint64_t before = shared(slot[0]).load(std::memory_order_acquire);
      if (before == 0 || before % 2 != 0)
        continue;
      std::array<std::uint64_t, 8> words{};
      for (std::size_t w = 1; w < words.size(); ++w)
        words[w] = shared(slot[w]).load(std::memory_order_relaxed);
      torn += words[2] != words[4] || words[5] != words[4] || words[6] != words[4] || words[7] != words[4]
                  ? 1U
                  : 0U;
    }
  }
  EXPECT_GT(torn, 0U) << "the hunt cannot see a torn tick: the test above proves nothing";
}

TEST(TornRead, ABookIsWholeOrRefused) {
  const MemorySegment segment(8, 5);
  RingWriter writer(segment.view());
  std::atomic<bool> stop{false};
  std::thread thread([&] {
    std::array<shm::Level, 5> side{};
    for (std::int64_t n = 1; !stop.load(std::memory_order_relaxed); ++n) {
      side.fill({n, n});
      const auto id = static_cast<std::uint64_t>(n);
      writer.write_book(0, {.state = shm::State::LIVE, .tick = id, .update_id = id}, side, side);
    }
  });
  const RingReader reader(segment.view());
  std::uint64_t copies = 0;
  std::uint64_t torn = 0;
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  while (copies < 200'000 && Clock::now() < deadline) {
    const auto book = reader.book(0);
    if (!book || book->entry.state != shm::State::LIVE)
      continue;
    ++copies;
    const auto id = static_cast<std::int64_t>(book->entry.update_id);
    for (const auto &side : {book->bids, book->asks}) {
      for (const shm::Level &level : side)
        torn += level.price != id || level.size != id ? 1U : 0U;
    }
  }
  stop.store(true, std::memory_order_relaxed);
  thread.join();
  EXPECT_EQ(torn, 0U);
  EXPECT_GT(copies, 100U);
}

} // namespace
} // namespace quietcore
