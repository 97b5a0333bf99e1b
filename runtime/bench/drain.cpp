// References of the runtime's measurements: the feed handler's own reader over the same segment, and a round trip of
// one cache line between two cores. Built with what the machine offers, as numba does.
#include "src/ring_reader.cpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace {

using quietcore::Poll;
using quietcore::RingReader;
using quietcore::SegmentView;

std::atomic_ref<std::uint64_t> word(std::uint64_t *place) { return std::atomic_ref<std::uint64_t>(*place); }

} // namespace

extern "C" {

/// Take `count` ticks from `first` on, as often as `rounds` says; return the sum of a payload word of all.
std::int64_t drain(std::byte *base, std::uint64_t first, std::uint64_t count, std::uint64_t rounds) {
  RingReader reader{SegmentView{base}};
  quietcore::Tick tick{};
  std::int64_t sum = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    reader.seek(first);
    for (std::uint64_t n = 0; n < count; ++n) {
      if (reader.poll(tick) == Poll::Got)
        sum += tick.a;
    }
  }
  return sum;
}

/// Send 1 to `count` by one word, and wait for each to come back by another.
void ping(std::uint64_t *there, std::uint64_t *back, std::uint64_t count) {
  for (std::uint64_t n = 1; n <= count; ++n) {
    word(there).store(n, std::memory_order_release);
    while (word(back).load(std::memory_order_acquire) != n)
      quietcore::cpu_pause();
  }
}

/// The other end of `ping`.
void pong(std::uint64_t *there, std::uint64_t *back, std::uint64_t count) {
  for (std::uint64_t n = 1; n <= count; ++n) {
    while (word(there).load(std::memory_order_acquire) != n)
      quietcore::cpu_pause();
    word(back).store(n, std::memory_order_release);
  }
}

/// Send ticks `first` to `first + count - 1` through a ring's slots, each after the answer to the one before it.
void ping_ticks(std::uint64_t *slots, std::uint64_t mask, std::uint64_t first, std::uint64_t *back,
                std::uint64_t count) {
  for (std::uint64_t n = first; n < first + count; ++n) {
    std::uint64_t *slot = slots + (n & mask) * 8;
    word(slot).store(2 * n + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 1; i < 8; ++i)
      word(slot + i).store(n, std::memory_order_relaxed);
    word(slot).store(2 * n + 2, std::memory_order_release);
    while (word(back).load(std::memory_order_acquire) != n + 1)
      quietcore::cpu_pause();
  }
}
}
