#pragma once

#include "quietcore/book_side.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace quietcore {

/// Notes, while a delta is applied to one side, which changes of the published ladder it makes, so that they
/// need not be looked for by comparing the ladder before with the one after.
template <Side kSide> class LadderLog {
public:
  /// Before a delta: the ladder as it is published, best first, and its greatest length.
  void ladder_before(std::span<const shm::Level> before, std::size_t depth) noexcept {
    full_before_ = before.size() == depth;
    worst_before_ = full_before_ ? before.back().price : kNoWorst;
    depth_ = depth;
  }

  void begin(std::size_t levels) {
    if (levels > deletes_.size()) {
      deletes_.resize(levels);
      upserts_.resize(levels);
    }
    deleted_ = 0;
    upserted_ = 0;
    last_ = kBeyondBest;
    sorted_ = true;
  }

  void note(std::int64_t price, std::int64_t size, bool deleted, bool changed) noexcept {
    sorted_ = sorted_ && better(last_, price);
    last_ = price;
    const bool inside = !better(worst_before_, price);
    // Written whether it counts or not: no branch that nobody can foresee.
    deletes_[deleted_] = price;
    deleted_ += deleted && inside ? 1U : 0U;
    upserts_[upserted_] = {price, size};
    upserted_ += changed && inside ? 1U : 0U;
  }

  /// Each price came once, best first: only then do the notes say everything.
  [[nodiscard]] bool complete() const noexcept { return sorted_; }

  /// After the delta, where complete() and no level was dropped for the window: emit(price, size) for just
  /// what ladder_diff(before, after) finds, in the same order.
  template <typename Emit> void changes(std::span<const shm::Level> after, Emit &&emit) noexcept {
    if (after.size() == depth_) {
      const std::int64_t worst = after.back().price;
      while (deleted_ > 0 && better(worst, deletes_[deleted_ - 1]))
        --deleted_;
      while (upserted_ > 0 && better(worst, upserts_[upserted_ - 1].price))
        --upserted_;
    }
    for (std::size_t i = 0; i < deleted_; ++i)
      emit(deletes_[i], std::int64_t{0});
    for (std::size_t i = 0; i < upserted_; ++i)
      emit(upserts_[i].price, upserts_[i].size);
    if (!full_before_)
      return;
    // What was beyond the ladder and has come into it.
    std::size_t entered = after.size();
    while (entered > 0 && better(worst_before_, after[entered - 1].price))
      --entered;
    for (const shm::Level &level : after.subspan(entered))
      emit(level.price, level.size);
  }

private:
  static constexpr std::int64_t kLow = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kHigh = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t kBeyondBest = kSide == Side::Bid ? kHigh : kLow;
  static constexpr std::int64_t kNoWorst = kSide == Side::Bid ? kLow : kHigh;

  static constexpr bool better(std::int64_t a, std::int64_t b) noexcept {
    return kSide == Side::Bid ? a > b : a < b;
  }

  std::size_t depth_ = 0;
  bool full_before_ = false;
  std::int64_t worst_before_ = kNoWorst;
  std::int64_t last_ = kBeyondBest;
  bool sorted_ = true;
  std::size_t deleted_ = 0;
  std::size_t upserted_ = 0;
  std::vector<std::int64_t> deletes_; ///< prices
  std::vector<shm::Level> upserts_;
};

} // namespace quietcore
