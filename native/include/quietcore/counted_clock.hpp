#pragma once

#include "quietcore/clock.hpp"

#include <cstdint>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace quietcore {

/// The CPU's time-stamp counter and UTC by the kernel.
struct HardwareCounter {
  static std::uint64_t stamp() noexcept {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return 0;
#endif
  }
  static std::int64_t utc_ns() noexcept { return realtime_ns(); }
};

/// Whether the counter runs evenly, through idle states too, and the kernel keeps time by it itself: only
/// then is it the same clock. Reads /proc and /sys.
[[nodiscard]] bool counter_is_trusted();

/// UTC for a third of the price of clock_gettime: counted on from its last answer, which is at most a
/// millisecond old. So it follows a clock that is slewed or set, and is wrong by less than a microsecond in
/// between.
template <typename Source = HardwareCounter> class CountedClock {
public:
  /// `trusted`: where the counter is not, each time is the kernel's.
  explicit CountedClock(bool trusted, Source source = {}) : trusted_(trusted), source_(source) {}

  [[nodiscard]] std::int64_t now_ns() noexcept {
    if (!trusted_) [[unlikely]]
      return source_.utc_ns();
    const std::uint64_t since = source_.stamp() - stamp_;
    if (since >= limit_) [[unlikely]]
      return ask();
    return utc_ns_ + static_cast<std::int64_t>((since * scale_) >> kShift);
  }

private:
  static constexpr unsigned kShift = 24;
  static constexpr std::int64_t kAskEveryNs = 1'000'000;
  static constexpr std::int64_t kFirstNs = 1'000'000;        ///< over so long the first scale is taken
  static constexpr std::int64_t kScaleEveryNs = 100'000'000; ///< and each later one over at least so long
  static constexpr std::int64_t kTooLongNs = 10'000'000'000;
  static constexpr std::uint64_t kSlew = 1024; ///< a scale that differs by 1/1024 is a clock that was set

  std::int64_t ask() noexcept {
    // The closest pair of three: an interruption between the two readings would be wrong for a millisecond.
    std::uint64_t closest = UINT64_MAX;
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t before = source_.stamp();
      const std::int64_t utc = source_.utc_ns();
      const std::uint64_t took = source_.stamp() - before;
      if (took < closest) {
        closest = took;
        utc_ns_ = utc;
        stamp_ = before + took / 2;
      }
    }
    const std::int64_t passed = utc_ns_ - base_utc_ns_;
    const std::uint64_t steps = stamp_ - base_stamp_;
    if (passed < 0 || passed > kTooLongNs) {
      rebase();
    } else if (passed >= (scale_ == 0 ? kFirstNs : kScaleEveryNs) && steps != 0) {
      const std::uint64_t scale = (static_cast<std::uint64_t>(passed) << kShift) / steps;
      const std::uint64_t apart = scale > scale_ ? scale - scale_ : scale_ - scale;
      if (scale != 0 && (scale_ == 0 || apart < scale_ / kSlew)) {
        scale_ = scale;
        limit_ = (std::uint64_t{kAskEveryNs} << kShift) / scale_;
      }
      rebase();
    }
    return utc_ns_;
  }
  void rebase() noexcept {
    base_utc_ns_ = utc_ns_;
    base_stamp_ = stamp_;
  }

  bool trusted_;
  [[no_unique_address]] Source source_;
  std::uint64_t stamp_ = 0;
  std::int64_t utc_ns_ = 0;
  std::uint64_t scale_ = 0; ///< ns a step, times 2^kShift
  std::uint64_t limit_ = 0; ///< steps until the kernel is asked again; 0: each time
  std::uint64_t base_stamp_ = 0;
  std::int64_t base_utc_ns_ = 0;
};

} // namespace quietcore
