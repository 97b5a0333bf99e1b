#pragma once

#include "quietcore/clock.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace quietcore {

/// What a call too short for a clock costs: medians over blocks of 1,000 calls, the empty loop subtracted.
class CallCost {
public:
  static constexpr std::uint64_t kBlock = 1'000;

  /// Nanoseconds a call, with the 95 % interval of the median by the order of the blocks; at least 100
  /// blocks.
  struct Figure {
    double median;
    double low;
    double high;
  };

  /// Measures one block of calls, and the empty loop beside it; `call` is given the number of the call.
  template <typename Call> void block(Call &&call) {
    const std::int64_t spent = timed(call);
    const std::int64_t empty = timed([](std::uint64_t) {});
    costs_.push_back(static_cast<double>(std::max<std::int64_t>(spent - empty, 1)) / kBlock);
  }

  [[nodiscard]] std::size_t blocks() const noexcept { return costs_.size(); }

  [[nodiscard]] Figure figure() {
    std::sort(costs_.begin(), costs_.end());
    const auto count = static_cast<double>(costs_.size());
    // The k-th from either end, k by the normal form of the binomial distribution.
    const auto rank =
        static_cast<std::size_t>(std::max(0.0, std::floor(count / 2 - 0.98 * std::sqrt(count))));
    return {costs_[costs_.size() / 2], costs_[rank], costs_[costs_.size() - 1 - rank]};
  }

private:
  template <typename Call> static std::int64_t timed(Call &&call) {
    const std::uint64_t begin = monotonic_ns();
    for (std::uint64_t i = 0; i < kBlock; ++i) {
      call(i);
      asm volatile("" ::: "memory"); // no call is put together with the next
    }
    return static_cast<std::int64_t>(monotonic_ns() - begin);
  }

  std::vector<double> costs_;
};

} // namespace quietcore
