#pragma once

#include "quietcore/shared_memory.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quietcore {

enum class Side : std::uint8_t { Bid, Ask };

/// What one change did to a side.
enum class Change : std::uint8_t { Inserted, Updated, Removed, Absent };

struct Applied {
  Change change;
  std::size_t rank; ///< 0 is the best price; where the level is, or was, or would be
};

/// One side of a book: sorted, contiguous, the best price at the END, so that changes near the top move few
/// entries however deep the book is. Asks are kept under negated keys: both sides then sort the same way.
template <Side kSide> class BookSide {
public:
  explicit BookSide(std::size_t reserve = 0) {
    keys_.reserve(reserve);
    sizes_.reserve(reserve);
  }

  /// Sets the size at a price; size 0 deletes. Allocates only where the side outgrows its reserve.
  Applied apply(std::int64_t price, std::int64_t size) {
    const std::int64_t key = to_key(price);
    const std::size_t at = lower_bound(key);
    const bool found = at < keys_.size() && keys_[at] == key;
    const auto offset = static_cast<std::ptrdiff_t>(at);
    if (size == 0) {
      if (!found)
        return {Change::Absent, keys_.size() - at};
      const std::size_t rank = keys_.size() - 1 - at;
      keys_.erase(keys_.begin() + offset);
      sizes_.erase(sizes_.begin() + offset);
      return {Change::Removed, rank};
    }
    if (found) {
      sizes_[at] = size;
      return {Change::Updated, keys_.size() - 1 - at};
    }
    const std::size_t rank = keys_.size() - at;
    keys_.insert(keys_.begin() + offset, key);
    sizes_.insert(sizes_.begin() + offset, size);
    return {Change::Inserted, rank};
  }

  void clear() noexcept {
    keys_.clear();
    sizes_.clear();
  }

  /// Drops the worst levels beyond `depth`; returns how many.
  std::size_t trim(std::size_t depth) {
    if (keys_.size() <= depth)
      return 0;
    const std::size_t extra = keys_.size() - depth;
    keys_.erase(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(extra));
    sizes_.erase(sizes_.begin(), sizes_.begin() + static_cast<std::ptrdiff_t>(extra));
    return extra;
  }

  [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }
  [[nodiscard]] bool empty() const noexcept { return keys_.empty(); }

  /// The level of a rank; rank must be below size().
  [[nodiscard]] shm::Level level(std::size_t rank) const noexcept {
    const std::size_t at = keys_.size() - 1 - rank;
    return {to_key(keys_[at]), sizes_[at]};
  }

  /// The best level, or zeros where the side is empty.
  [[nodiscard]] shm::Level best() const noexcept { return empty() ? shm::Level{0, 0} : level(0); }

  /// Copies the best levels, best first; returns how many.
  std::size_t top(std::span<shm::Level> out) const noexcept {
    const std::size_t count = std::min(out.size(), keys_.size());
    for (std::size_t i = 0; i < count; ++i)
      out[i] = level(i);
    return count;
  }

private:
  /// Its own inverse.
  static constexpr std::int64_t to_key(std::int64_t price) noexcept {
    return kSide == Side::Bid ? price : -price;
  }

  /// First entry not below key. Most changes are near the top, so it looks there first.
  [[nodiscard]] std::size_t lower_bound(std::int64_t key) const noexcept {
    constexpr std::size_t kNear = 16;
    std::size_t at = keys_.size();
    const std::size_t stop = at > kNear ? at - kNear : 0;
    while (at > stop && keys_[at - 1] >= key)
      --at;
    if (at > stop || at == 0 || keys_[at - 1] < key)
      return at;
    const auto end = keys_.begin() + static_cast<std::ptrdiff_t>(at);
    return static_cast<std::size_t>(std::lower_bound(keys_.begin(), end, key) - keys_.begin());
  }

  std::vector<std::int64_t> keys_;
  std::vector<std::int64_t> sizes_;
};

} // namespace quietcore
