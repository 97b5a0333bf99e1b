#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace quietcore {

/// Counts durations in bins of at most 1/16 of their value; nothing is allocated, and nothing is too large.
class LatencyHistogram {
public:
  void add(std::uint64_t value) noexcept {
    ++bins_[bin_of(value)];
    ++count_;
    largest_ = value > largest_ ? value : largest_;
  }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t largest() const noexcept { return largest_; }

  /// The least value that at least this share of all do not exceed, up to the bin's width; 0 where there are
  /// none.
  [[nodiscard]] std::uint64_t quantile(double share) const noexcept {
    if (count_ == 0)
      return 0;
    const double wanted = share * static_cast<double>(count_);
    std::uint64_t below = 0;
    for (std::size_t bin = 0; bin < bins_.size(); ++bin) {
      below += bins_[bin];
      if (bins_[bin] != 0 && static_cast<double>(below) >= wanted) {
        const std::uint64_t top = top_of(bin);
        return top < largest_ ? top : largest_;
      }
    }
    return largest_;
  }

private:
  static constexpr unsigned kBits = 4;
  static constexpr std::size_t kSteps = std::size_t{1} << kBits;

  static std::size_t bin_of(std::uint64_t value) noexcept {
    if (value < kSteps)
      return static_cast<std::size_t>(value);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kBits - 1;
    return (std::size_t{shift} + 1) * kSteps + static_cast<std::size_t>((value >> shift) - kSteps);
  }
  static std::uint64_t top_of(std::size_t bin) noexcept {
    if (bin < kSteps)
      return bin;
    const std::size_t shift = bin / kSteps - 1;
    return ((std::uint64_t{bin % kSteps} + kSteps + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - kBits + 1) * kSteps> bins_{};
  std::uint64_t count_ = 0;
  std::uint64_t largest_ = 0;
};

} // namespace quietcore
