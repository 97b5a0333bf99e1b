#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace quietcore {

/// Waits between tries: doubling up to a limit, each shortened by up to half at random so that many clients
/// of one server do not come back together.
class Backoff {
public:
  using Duration = std::chrono::milliseconds;

  Backoff(Duration first, Duration limit, std::uint64_t seed) : first_(first), limit_(limit), random_(seed) {}

  [[nodiscard]] Duration next() {
    const Duration whole = std::min(limit_, first_ * (std::int64_t{1} << std::min(tries_, 20U)));
    ++tries_;
    std::uniform_int_distribution<std::int64_t> jitter(whole.count() / 2, whole.count());
    return Duration(jitter(random_));
  }
  void reset() noexcept { tries_ = 0; }

private:
  Duration first_;
  Duration limit_;
  std::mt19937_64 random_;
  unsigned tries_ = 0;
};

} // namespace quietcore
