#pragma once

#include "quietcore/clock.hpp"
#include "quietcore/shared_memory.hpp"

#include <cstdint>

namespace quietcore {

// What the feed's core measures of itself: counters, most of them for the statistics page, and when each
// message is published, from which readers know how long it took. What it costs is shown by native/bench,
// which builds the same core with native/bench/unmeasured in place of this file.

using Count = std::uint64_t;
using FeedStatistics = shm::Statistics;

/// When a message that was received at `receive_ns` is published, UTC.
[[nodiscard]] inline std::int64_t publish_time_ns(std::int64_t /*receive_ns*/) noexcept {
  return realtime_ns();
}

} // namespace quietcore
