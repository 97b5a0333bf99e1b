#pragma once

#include "quietcore/book_side.hpp"

#include <cstddef>
#include <span>

namespace quietcore {

/// Calls emit(price, size) for the changes that turn a reader's ladder `before` into `after`, both best first
/// and at most `depth` long: first deletes (size 0) best to worst, then upserts best to worst.
///
/// The reader inserts or replaces at the sorted place and drops what falls beyond `depth` levels; so a price
/// that vanished needs no delete where it is worse than all of a full new ladder: the upserts push it out.
template <Side kSide, typename Emit>
void ladder_diff(std::span<const shm::Level> before, std::span<const shm::Level> after, std::size_t depth,
                 Emit &&emit) {
  const auto better = [](std::int64_t a, std::int64_t b) { return kSide == Side::Bid ? a > b : a < b; };
  const bool full = after.size() == depth;
  std::size_t j = 0;
  for (const shm::Level &old : before) {
    while (j < after.size() && better(after[j].price, old.price))
      ++j;
    const bool kept = j < after.size() && after[j].price == old.price;
    const bool pushed_out = full && (depth == 0 || better(after.back().price, old.price));
    if (!kept && !pushed_out)
      emit(old.price, std::int64_t{0});
  }
  std::size_t i = 0;
  for (const shm::Level &level : after) {
    while (i < before.size() && better(before[i].price, level.price))
      ++i;
    const bool same = i < before.size() && before[i].price == level.price && before[i].size == level.size;
    if (!same)
      emit(level.price, level.size);
  }
}

} // namespace quietcore
