#pragma once

#include <chrono>
#include <cstddef>
#include <deque>

namespace quietcore {

/// How often something may be tried within a time: at most `count` times within any `window`.
class TryBudget {
public:
  using Clock = std::chrono::steady_clock;

  /// count 0: no limit.
  TryBudget(std::size_t count, Clock::duration window) : count_(count), window_(window) {}

  /// Takes a try and returns how long to wait before it; zero where it may be made at once.
  [[nodiscard]] Clock::duration take(Clock::time_point now) {
    if (count_ == 0)
      return {};
    Clock::time_point at = now;
    if (taken_.size() == count_) {
      at = std::max(now, taken_.front() + window_);
      taken_.pop_front();
    }
    taken_.push_back(at);
    return at - now;
  }

private:
  std::size_t count_;
  Clock::duration window_;
  std::deque<Clock::time_point> taken_;
};

} // namespace quietcore
