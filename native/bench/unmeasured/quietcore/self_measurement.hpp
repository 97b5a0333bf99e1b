#pragma once

#include "quietcore/shared_memory.hpp"

#include <cstdint>

namespace quietcore {

// In place of include/quietcore/self_measurement.hpp: counts nothing, and reads no clock.

/// Takes what a counter takes, and forgets it.
struct Count {
  constexpr Count() noexcept = default;
  constexpr Count(std::uint64_t) noexcept {}
  constexpr Count &operator++() noexcept { return *this; }
  constexpr Count &operator+=(std::uint64_t) noexcept { return *this; }
};

/// Those of shm::Statistics that the core itself counts.
struct FeedStatistics {
  constexpr FeedStatistics() noexcept = default;
  FeedStatistics(const shm::Statistics &) noexcept {}
  operator shm::Statistics() const noexcept { return {}; }

  Count messages, bytes, ticks, depth_applied, depth_dropped, snapshots, gaps, crossed, resyncs, trades,
      tickers, malformed, unknown_symbol, out_of_range, duplicates, silences;
};

/// Every message is published when it was received.
struct PublishClock {
  [[nodiscard]] static std::int64_t now_ns(std::int64_t receive_ns) noexcept { return receive_ns; }
};

} // namespace quietcore
