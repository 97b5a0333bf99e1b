#pragma once

#include "quietcore/shared_memory.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
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

/// What the changes of one message did to a side.
struct SideChange {
  std::size_t best_rank = std::numeric_limits<std::size_t>::max(); ///< best rank touched
  std::size_t absent = 0;                                          ///< deletes of levels that were not there
};

/// Takes no notes of changes.
struct NoChangeLog {
  void begin(std::size_t) noexcept {}
  void note(std::int64_t, std::int64_t, bool, bool) noexcept {}
};

/// One side of a book: sorted, contiguous, the best price at the END, so that changes near the top move few
/// entries however deep the book is. Asks are kept under negated keys: both sides then sort the same way.
template <Side kSide> class BookSide {
public:
  explicit BookSide(std::size_t reserve = 0) : entries_(reserve + 1) { set_end(); }

  /// Sets the size at a price; size 0 deletes. Allocates only where the side outgrows its reserve.
  Applied apply(std::int64_t price, std::int64_t size) {
    const shm::Level level{price, size};
    const std::size_t count = count_;
    NoChangeLog log;
    const SideChange done = apply(std::span(&level, 1), log);
    if (done.absent != 0)
      return {Change::Absent, count_ - find(to_key(price), count_)};
    return {count_ == count  ? Change::Updated
            : count_ < count ? Change::Removed
                             : Change::Inserted,
            done.best_rank};
  }

  /// Applies the changes of one message. Venues send them best first; each is then looked for from where the
  /// last one was. Any order gives the same book. log.note(price, size, deleted, changed) is called for each.
  template <typename Log> SideChange apply(std::span<const shm::Level> levels, Log &log) {
    SideChange out;
    reserve(count_ + levels.size());
    log.begin(levels.size());
    std::size_t from = count_;
    for (const shm::Level &level : levels) {
      const std::int64_t key = to_key(level.price);
      if (entries_[from].price < key)
        from = count_;
      const std::size_t at = find(key, from);
      from = at;
      // Which of the four cases it is cannot be foreseen: as few branches as there are ways to move entries.
      const bool found = entries_[at].price == key;
      const bool set = level.size != 0;
      const std::int64_t before = found ? entries_[at].size : 0;
      const std::size_t rank = count_ - at - (found ? 1 : 0);
      if (found == set) {
        entries_[at].size = found ? level.size : entries_[at].size;
        out.absent += found ? 0U : 1U;
      } else {
        move(at + (set ? 1 : 0), at + (set ? 0 : 1), rank + 1);
        count_ = set ? count_ + 1 : count_ - 1;
        entries_[at].price = set ? key : entries_[at].price;
        entries_[at].size = set ? level.size : entries_[at].size;
      }
      out.best_rank = std::min(out.best_rank, found || set ? rank : out.best_rank);
      log.note(level.price, level.size, found && !set, set && level.size != before);
    }
    return out;
  }

  /// Replaces the content; sizes of 0 are no levels, of a price given twice the first counts. One pass where
  /// they come best first, as venues send them.
  void assign(std::span<const shm::Level> levels) {
    clear();
    reserve(levels.size());
    std::size_t at = levels.size();
    std::int64_t last = std::numeric_limits<std::int64_t>::max();
    for (const shm::Level &level : levels) {
      const std::int64_t key = to_key(level.price);
      if (key >= last || level.size == 0) {
        clear();
        for (std::size_t i = levels.size(); i-- > 0;)
          apply(levels[i].price, levels[i].size);
        return;
      }
      last = key;
      entries_[--at] = {key, level.size};
    }
    count_ = levels.size();
    set_end();
  }

  void clear() noexcept {
    count_ = 0;
    set_end();
  }

  /// Drops the worst levels beyond `depth`; returns how many.
  std::size_t trim(std::size_t depth) noexcept {
    if (count_ <= depth)
      return 0;
    const std::size_t extra = count_ - depth;
    move(0, extra, depth + 1);
    count_ = depth;
    return extra;
  }

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

  /// The level of a rank; rank must be below size().
  [[nodiscard]] shm::Level level(std::size_t rank) const noexcept {
    const shm::Level &entry = entries_[count_ - 1 - rank];
    return {to_key(entry.price), entry.size};
  }

  /// The best level, or zeros where the side is empty.
  [[nodiscard]] shm::Level best() const noexcept { return empty() ? shm::Level{0, 0} : level(0); }

  /// Copies the levels from a rank on, best first, as many as fit; returns how many.
  std::size_t top(std::span<shm::Level> out, std::size_t rank = 0) const noexcept {
    const std::size_t count = std::min(out.size(), count_ - std::min(count_, rank));
    for (std::size_t i = 0; i < count; ++i)
      out[i] = level(rank + i);
    return count;
  }

private:
  /// Its own inverse.
  static constexpr std::int64_t to_key(std::int64_t price) noexcept {
    return kSide == Side::Bid ? price : -price;
  }

  /// First entry not below key, of those before `from`; `from` where there is none.
  [[nodiscard]] std::size_t find(std::int64_t key, std::size_t from) const noexcept {
    const shm::Level *entries = entries_.data();
    // The next change is mostly near the last one: a few at a time, without a branch for each.
    constexpr std::size_t kBlock = 8;
    constexpr std::size_t kNear = 64;
    if (from >= kBlock) {
      const std::size_t above = not_below(entries + from - kBlock, key);
      if (above < kBlock)
        return from - above;
      // Where every price has its level, the difference of the keys is that of the places.
      const auto distance =
          static_cast<std::uint64_t>(entries[from - 1].price) - static_cast<std::uint64_t>(key);
      if (distance < from && entries[from - 1 - distance].price == key)
        return from - 1 - distance;
      from -= kBlock;
    }
    std::size_t at = from;
    const std::size_t stop = std::max(from, kNear) - kNear;
    while (at >= stop + kBlock) {
      const std::size_t above = not_below(entries + at - kBlock, key);
      at -= above;
      if (above < kBlock)
        return at;
    }
    if (stop == 0) {
      while (at > 0 && entries[at - 1].price >= key)
        --at;
      return at;
    }
    const shm::Level *found = std::lower_bound(
        entries, entries + at, key, [](const shm::Level &entry, std::int64_t k) { return entry.price < k; });
    return static_cast<std::size_t>(found - entries);
  }

  /// How many of eight ascending entries are not below key.
  static std::size_t not_below(const shm::Level *eight, std::int64_t key) noexcept {
    std::size_t count = 0;
    for (std::size_t i = 0; i < 8; ++i)
      count += eight[i].price >= key ? 1U : 0U;
    return count;
  }

  void move(std::size_t to, std::size_t from, std::size_t count) noexcept {
    std::memmove(entries_.data() + to, entries_.data() + from, count * sizeof(shm::Level));
  }

  void reserve(std::size_t count) {
    if (count + 1 > entries_.size())
      entries_.resize(std::max(count + 1, entries_.size() * 2));
  }

  /// Behind the last entry stands one with a key above all others.
  void set_end() noexcept { entries_[count_] = {std::numeric_limits<std::int64_t>::max(), 0}; }

  std::vector<shm::Level> entries_; ///< keys in place of prices, the end mark behind them
  std::size_t count_ = 0;
};

} // namespace quietcore
