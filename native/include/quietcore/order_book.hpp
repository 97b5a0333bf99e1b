#pragma once

#include "quietcore/book_side.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace quietcore {

/// Best price and size of both sides; size 0: that side is empty.
struct Quote {
  std::int64_t bid_price = 0;
  std::int64_t bid_size = 0;
  std::int64_t ask_price = 0;
  std::int64_t ask_size = 0;

  friend bool operator==(const Quote &, const Quote &) = default;
};

/// What applying one message did.
struct BookChange {
  std::size_t best_bid_rank = std::numeric_limits<std::size_t>::max(); ///< best rank touched
  std::size_t best_ask_rank = std::numeric_limits<std::size_t>::max();
  std::size_t absent = 0;   ///< deletes of levels that were not there
  std::size_t overflow = 0; ///< levels beyond the venue's window, dropped
};

/// A book in integer ticks and lots. With a window it holds at most that many levels a side, as the venue
/// does; without one it keeps every level it was ever told of.
class OrderBook {
public:
  /// window: levels a side that the venue keeps, 0: no window. reserve: levels a side held without
  /// allocating.
  explicit OrderBook(std::size_t window, std::size_t reserve)
      : window_(window), bids_(reserve), asks_(reserve) {}

  /// Replaces the content.
  BookChange assign(std::span<const shm::Level> bids, std::span<const shm::Level> asks) {
    bids_.assign(bids);
    asks_.assign(asks);
    BookChange change;
    change.best_bid_rank = 0;
    change.best_ask_rank = 0;
    change.overflow = enforce_window();
    return change;
  }

  /// Applies a delta. The window is enforced after the whole of it: a message may insert before it deletes.
  BookChange apply(std::span<const shm::Level> bids, std::span<const shm::Level> asks) {
    NoChangeLog log;
    return apply(bids, asks, log, log);
  }
  template <typename BidLog, typename AskLog>
  BookChange apply(std::span<const shm::Level> bids, std::span<const shm::Level> asks, BidLog &bid_log,
                   AskLog &ask_log) {
    const SideChange bid = bids_.apply(bids, bid_log);
    const SideChange ask = asks_.apply(asks, ask_log);
    return {bid.best_rank, ask.best_rank, bid.absent + ask.absent, enforce_window()};
  }

  void clear() noexcept {
    bids_.clear();
    asks_.clear();
  }

  /// Changes the window, as a recording of another depth demands.
  void set_window(std::size_t window) noexcept { window_ = window; }
  [[nodiscard]] std::size_t window() const noexcept { return window_; }

  [[nodiscard]] const BookSide<Side::Bid> &bids() const noexcept { return bids_; }
  [[nodiscard]] const BookSide<Side::Ask> &asks() const noexcept { return asks_; }

  [[nodiscard]] Quote quote() const noexcept {
    const shm::Level bid = bids_.best();
    const shm::Level ask = asks_.best();
    return {bid.price, bid.size, ask.price, ask.size};
  }

  /// A bid at or above an ask: no matching engine leaves such a book, so an update is missing or wrong.
  [[nodiscard]] bool crossed() const noexcept {
    return !bids_.empty() && !asks_.empty() && bids_.best().price >= asks_.best().price;
  }

private:
  std::size_t enforce_window() { return window_ == 0 ? 0 : bids_.trim(window_) + asks_.trim(window_); }

  std::size_t window_;
  BookSide<Side::Bid> bids_;
  BookSide<Side::Ask> asks_;
};

} // namespace quietcore
