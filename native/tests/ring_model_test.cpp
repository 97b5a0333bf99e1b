// The ring's own code, on a small ring, under every value that the memory model lets its loads see.
#include "quietcore/ring_protocol.hpp"

#include "weak_memory.hpp"

#include <array>
#include <gtest/gtest.h>
#include <vector>

namespace quietcore {
namespace {

using test::WeakMemory;
using test::WeakMemoryReference;
constexpr std::size_t kWords = 2;

/// A ring that a writer has filled, and what a reader may make of it.
class Model {
public:
  Model(std::uint64_t capacity, std::uint64_t ticks, WeakMemory::Without without = WeakMemory::Without())
      : capacity_(capacity), ticks_(ticks), memory_(without), slots_(capacity * (kWords + 1)) {
    for (std::uint64_t n = 0; n < ticks; ++n) {
      write_tick(access(), slots_.data() + n % capacity * (kWords + 1), n, std::array{n + 100, n + 100});
      if ((n + 1) % (capacity / 4 == 0 ? 1 : capacity / 4) == 0)
        memory_.store_release(published_, n + 1);
    }
  }

  /// Lets a reader that wants `first` look `polls` times, in every way; returns how many ways there were.
  std::uint64_t read(std::uint64_t first, int polls) {
    return memory_.explore([&] {
      ReadPosition at{first, 0};
      for (int i = 0; i < polls; ++i) {
        const std::uint64_t wanted = at.next;
        std::array<std::uint64_t, kWords> words{};
        switch (read_tick(access(), slots_.data(), capacity_, published_, at, words)) {
        case Poll::Got:
          ++got;
          wrong += words[0] != wanted + 100 || words[1] != wanted + 100 ? 1U : 0U;
          break;
        case Poll::Overrun:
          ++overrun;
          // It goes forward, never beyond what was written, and never counts what it could still have had.
          wrong += at.next <= wanted || at.next > ticks_ ? 1U : 0U;
          break;
        case Poll::Empty:
          ++empty;
          break;
        }
      }
      wrong += at.dropped > at.next - first ? 1U : 0U;
    });
  }

  std::uint64_t got = 0;
  std::uint64_t overrun = 0;
  std::uint64_t empty = 0;
  std::uint64_t wrong = 0;

private:
  WeakMemoryReference access() { return {&memory_}; }

  std::uint64_t capacity_;
  std::uint64_t ticks_;
  WeakMemory memory_;
  std::vector<WeakMemory::Word> slots_;
  WeakMemory::Word published_;
};

TEST(RingModel, NoAcceptedTickIsTornOrOfAnotherNumber) {
  std::uint64_t ways = 0;
  for (const std::uint64_t capacity : {4U, 8U}) {
    for (const std::uint64_t ticks : {1U, 4U, 5U, 9U, 13U}) {
      for (std::uint64_t first = 0; first <= ticks; ++first) {
        Model model(capacity, ticks);
        ways += model.read(first, capacity == 4 ? 3 : 2);
        ASSERT_EQ(model.wrong, 0U) << capacity << " slots, " << ticks << " ticks, from " << first;
      }
    }
  }
  EXPECT_GT(ways, 100'000U);
  RecordProperty("ways", std::to_string(ways));
}

TEST(RingModel, EveryOutcomeIsReached) {
  Model model(4, 9);
  (void)model.read(1, 2);
  EXPECT_GT(model.got, 0U);
  EXPECT_GT(model.overrun, 0U);
  EXPECT_GT(model.empty, 0U);
}

// Without any one of its orders the same code must fail here, or the model sees nothing.
TEST(RingModel, EveryFenceIsNeeded) {
  WeakMemory::Without none;
  for (const auto leave_out : {&WeakMemory::Without::fence_release, &WeakMemory::Without::fence_acquire,
                               &WeakMemory::Without::store_release, &WeakMemory::Without::load_acquire}) {
    WeakMemory::Without without = none;
    without.*leave_out = true;
    std::uint64_t wrong = 0;
    for (std::uint64_t first = 0; first <= 5; ++first) {
      Model model(4, 9, without);
      (void)model.read(first, 1);
      wrong += model.wrong;
    }
    EXPECT_GT(wrong, 0U);
  }
}

} // namespace
} // namespace quietcore
