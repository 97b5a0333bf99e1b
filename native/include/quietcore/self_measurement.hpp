#pragma once

#include "quietcore/counted_clock.hpp"
#include "quietcore/shared_memory.hpp"

#include <cstdint>

namespace quietcore {

// What the feed's core measures of itself: counters, most of them for the statistics page, and when each
// message is published, from which readers know how long it took. What it costs is shown by native/bench,
// which builds the same core with native/bench/unmeasured in place of this file.

using Count = std::uint64_t;
using FeedStatistics = shm::Statistics;

/// When messages are published, UTC.
class PublishClock {
public:
  [[nodiscard]] std::int64_t now_ns(std::int64_t /*receive_ns*/) noexcept { return clock_.now_ns(); }

private:
  CountedClock<> clock_{counter_is_trusted()};
};

} // namespace quietcore
