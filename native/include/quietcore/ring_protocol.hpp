#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace quietcore {

/// How the ring's protocol touches shared words. The tests put in another one, which tries every value that
/// the C++ memory model lets a load see.
struct HardwareMemory {
  using Word = std::uint64_t;

  static std::uint64_t load_acquire(Word &word) noexcept {
    return std::atomic_ref<std::uint64_t>(word).load(std::memory_order_acquire);
  }
  static std::uint64_t load_relaxed(Word &word) noexcept {
    return std::atomic_ref<std::uint64_t>(word).load(std::memory_order_relaxed);
  }
  static void store_relaxed(Word &word, std::uint64_t value) noexcept {
    std::atomic_ref<std::uint64_t>(word).store(value, std::memory_order_relaxed);
  }
  static void store_release(Word &word, std::uint64_t value) noexcept {
    std::atomic_ref<std::uint64_t>(word).store(value, std::memory_order_release);
  }
  static void fence_acquire() noexcept { std::atomic_thread_fence(std::memory_order_acquire); }
  static void fence_release() noexcept { std::atomic_thread_fence(std::memory_order_release); }
};

/// Words of a tick behind its sequence.
inline constexpr std::size_t kTickWords = 7;

/// What one look at the ring gave.
enum class Poll : std::uint8_t { Empty, Got, Overrun };

/// Writes tick `n` into its slot: odd sequence, words, even sequence.
template <typename Memory, std::size_t kWords>
inline void write_tick(Memory memory, typename Memory::Word *slot, std::uint64_t n,
                       const std::array<std::uint64_t, kWords> &words) noexcept {
  memory.store_relaxed(slot[0], 2 * n + 1);
  // Whoever sees one of the words, and then looks again, sees the odd sequence too.
  memory.fence_release();
  for (std::size_t i = 0; i < kWords; ++i)
    memory.store_relaxed(slot[1 + i], words[i]);
  memory.store_release(slot[0], 2 * n + 2);
}

/// Where a reader stands.
struct ReadPosition {
  std::uint64_t next = 0;    ///< number of the tick it wants
  std::uint64_t dropped = 0; ///< ticks that it lost so far
};

/// Takes tick `at.next`, or tells that it is not there yet, or that it is gone: then the position is put
/// behind what is lost, and that is counted exactly.
template <typename Memory, std::size_t kWords>
[[nodiscard]] inline Poll read_tick(Memory memory, typename Memory::Word *slots, std::uint64_t capacity,
                                    typename Memory::Word &published, ReadPosition &at,
                                    std::array<std::uint64_t, kWords> &words) noexcept {
  typename Memory::Word *slot = slots + (at.next & (capacity - 1)) * (kWords + 1);
  const std::uint64_t wanted = 2 * at.next + 2;
  const std::uint64_t before = memory.load_acquire(slot[0]);
  if (static_cast<std::int64_t>(before - wanted) < 0)
    return Poll::Empty;
  std::uint64_t seen = before;
  if (before == wanted) {
    for (std::size_t i = 0; i < kWords; ++i)
      words[i] = memory.load_relaxed(slot[1 + i]);
    memory.fence_acquire();
    seen = memory.load_relaxed(slot[0]);
    if (seen == before) {
      ++at.next;
      return Poll::Got;
    }
  }
  // Lapped. The tick seen in this slot bounds what is certainly lost even where the cursor is old.
  const std::uint64_t observed = (seen - 1) >> 1U;
  const std::uint64_t cursor = memory.load_acquire(published);
  const std::uint64_t half_back = cursor > capacity / 2 ? cursor - capacity / 2 : 0;
  const std::uint64_t target = std::max(half_back, observed - capacity + 1);
  at.dropped += target - at.next;
  at.next = target;
  return Poll::Overrun;
}

} // namespace quietcore
