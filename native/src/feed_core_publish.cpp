// How a changed book, a trade and a ticker become ticks.
#include "quietcore/clock.hpp"
#include "quietcore/feed_core.hpp"
#include "quietcore/ladder_diff.hpp"

#include <algorithm>
#include <limits>

namespace quietcore {
namespace {

/// A venue's clock this far from ours is no clock to measure a latency with.
constexpr std::int64_t kForeignNs = 10'000'000'000;

constexpr std::uint16_t bit(shm::Flag flag) noexcept { return static_cast<std::uint16_t>(flag); }

std::uint16_t with(std::uint16_t flags, shm::Flag flag) noexcept {
  return static_cast<std::uint16_t>(flags | bit(flag));
}

} // namespace

Tick FeedCore::tick_like(std::uint32_t symbol, const Receipt &receipt, std::int64_t venue_ns) const noexcept {
  Tick tick;
  tick.symbol = static_cast<std::uint16_t>(symbol);
  tick.time_source = receipt.source;
  tick.receive_ns = receipt.receive_ns;
  tick.publish_delta_ns = publish_delta_ns_;
  if (publish_delta_saturated_)
    tick.flags = with(tick.flags, shm::Flag::PUBLISH_DELTA_SATURATED);
  const std::int64_t delta = receipt.receive_ns - venue_ns;
  // Negative cannot be a latency; nor can ten seconds: one of the clocks is not of this time.
  if (receipt.replayed || venue_ns == 0 || delta < 0 || delta > kForeignNs)
    tick.flags = with(tick.flags, shm::Flag::VENUE_TIME_FOREIGN);
  const std::int64_t micros = delta / 1000;
  constexpr std::int64_t kLow = std::numeric_limits<std::int32_t>::min();
  constexpr std::int64_t kHigh = std::numeric_limits<std::int32_t>::max();
  if (micros < kLow || micros > kHigh)
    tick.flags = with(tick.flags, shm::Flag::VENUE_TIME_SATURATED);
  tick.venue_delta_us = static_cast<std::int32_t>(std::clamp(micros, kLow, kHigh));
  return tick;
}

void FeedCore::stamp_publish(std::int64_t receive_ns) noexcept {
  if (ring_ == nullptr)
    return;
  const std::int64_t delta = realtime_ns() - receive_ns;
  publish_delta_saturated_ = delta < 0 || delta > std::numeric_limits<std::uint32_t>::max();
  publish_delta_ns_ = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(delta, 0, std::numeric_limits<std::uint32_t>::max()));
}

void FeedCore::emit(Tick &tick, std::size_t remaining) {
  tick.remaining = static_cast<std::uint16_t>(std::min<std::size_t>(remaining, 65535));
  ++statistics_.ticks;
  if (ring_ != nullptr)
    ring_->push(tick);
}

void FeedCore::emit_pending(std::size_t after) {
  for (std::size_t i = 0; i < pending_.size(); ++i)
    emit(pending_[i], pending_.size() - 1 - i + after);
  pending_.clear();
}

void FeedCore::add_ladder_ticks(SymbolBook &book, const OrderBook &from, const Tick &like,
                                std::uint64_t update_id) {
  const auto add = [&](auto side, std::vector<shm::Level> &published, std::uint16_t flags) {
    constexpr Side kSide = decltype(side)::value;
    std::size_t count = 0;
    if constexpr (kSide == Side::Bid)
      count = from.bids().top(ladder_);
    else
      count = from.asks().top(ladder_);
    const std::span<const shm::Level> after(ladder_.data(), count);
    ladder_diff<kSide>(published, after, ladder_depth_, [&](std::int64_t price, std::int64_t size) {
      Tick &tick = pending_.emplace_back(like);
      tick.kind = shm::Kind::LEVEL;
      tick.flags = static_cast<std::uint16_t>(tick.flags | flags);
      tick.a = price;
      tick.b = size;
      tick.c = static_cast<std::int64_t>(update_id);
      ++ticks_.level;
    });
    published.assign(after.begin(), after.end());
  };
  add(std::integral_constant<Side, Side::Bid>{}, book.bids, 0);
  add(std::integral_constant<Side, Side::Ask>{}, book.asks, bit(shm::Flag::SELL));
}

void FeedCore::publish_book(std::uint32_t symbol, const Follower &follower, const Receipt &receipt,
                            const BookChange &change, bool snapshot) {
  SymbolBook &book = books_[symbol];
  const std::uint64_t update_id = follower.sync.last_id;
  // What another leg's book differs in is not only what this message changed.
  const bool whole = book.leg != receipt.leg || leg_count_ > 1;
  book.leg = receipt.leg;
  book.state = follower.sync.state;
  ++book.messages;
  book.last_id = update_id;
  book.sequence = follower.sequence;
  stamp_publish(receipt.receive_ns);
  Tick like = tick_like(symbol, receipt, follower.venue_ns);
  if (snapshot)
    like.flags = with(like.flags, shm::Flag::SNAPSHOT);
  pending_.clear();
  if (whole || change.best_rank < ladder_depth_)
    add_ladder_ticks(book, follower.book, like, update_id);
  if (const Quote quote = follower.book.quote(); quote != book.quote) {
    book.quote = quote;
    Tick &tick = pending_.emplace_back(like);
    tick.kind = shm::Kind::BBO;
    tick.a = quote.bid_price;
    tick.b = quote.bid_size;
    tick.c = quote.ask_price;
    tick.d = quote.ask_size;
    ++ticks_.bbo;
  }
  emit_pending(1);

  const auto bid_levels = static_cast<std::uint32_t>(follower.book.bids().size());
  const auto ask_levels = static_cast<std::uint32_t>(follower.book.asks().size());
  if (ring_ != nullptr) {
    book.announced_tick = ring_->next();
    ring_->write_book(symbol,
                      {book.state, book.announced_tick, update_id, follower.sequence, receipt.receive_ns,
                       follower.venue_ns, follower.engine_ns, bid_levels, ask_levels, book.messages},
                      book.bids, book.asks);
  }
  Tick tick = like;
  tick.kind = shm::Kind::BOOK;
  tick.a = static_cast<std::int64_t>(update_id);
  tick.b = static_cast<std::int64_t>(follower.sequence);
  tick.c = static_cast<std::int64_t>(std::uint64_t{bid_levels} << 32U | ask_levels);
  tick.d = static_cast<std::int64_t>(book.state);
  ++ticks_.book;
  emit(tick, 0);
  if (observer_ != nullptr)
    observer_->on_applied({symbol, book.state, snapshot, update_id, follower.book, book.bids, book.asks});
}

void FeedCore::on_trades(const TradesMessage &message) {
  const std::uint32_t symbol = find(message.symbol, receipt_);
  if (symbol == SymbolIndex::kNone)
    return;
  RecentKeys &seen = books_[symbol].trades;
  const Instrument &instrument = instruments_[symbol];
  stamp_publish(receipt_.receive_ns);
  const Tick like = tick_like(symbol, receipt_, message.venue_ns);
  pending_.clear();
  for (const RawTrade &trade : message.trades) {
    if (const std::uint64_t key = trade.id != 0 ? trade.id : trade.key;
        key != 0 && seen.prepared() && !seen.add(key)) {
      ++statistics_.duplicates;
      continue;
    }
    ++statistics_.trades;
    std::int64_t price = 0;
    std::int64_t size = 0;
    if (!to_lots(trade.price, instrument.tick, "price", instrument, receipt_, price) ||
        !to_lots(trade.size, instrument.lot, "size", instrument, receipt_, size))
      continue;
    Tick &tick = pending_.emplace_back(like);
    tick.kind = shm::Kind::TRADE;
    if (trade.sell)
      tick.flags = with(tick.flags, shm::Flag::SELL);
    tick.a = price;
    tick.b = size;
    tick.c = static_cast<std::int64_t>(trade.id);
    ++ticks_.trade;
  }
  emit_pending(0);
}

void FeedCore::on_ticker(const TickerMessage &message) {
  const std::uint32_t symbol = find(message.symbol, receipt_);
  if (symbol == SymbolIndex::kNone)
    return;
  if (leg_count_ > 1 && message.update_id != 0 && message.update_id <= books_[symbol].ticker_id) {
    ++statistics_.duplicates;
    return;
  }
  ++statistics_.tickers;
  books_[symbol].ticker_id = message.update_id;
  if (!message.has_quote)
    return;
  const Instrument &instrument = instruments_[symbol];
  Quote quote;
  if (!to_lots(message.bid, instrument.tick, "price", instrument, receipt_, quote.bid_price) ||
      !to_lots(message.bid_size, instrument.lot, "size", instrument, receipt_, quote.bid_size) ||
      !to_lots(message.ask, instrument.tick, "price", instrument, receipt_, quote.ask_price) ||
      !to_lots(message.ask_size, instrument.lot, "size", instrument, receipt_, quote.ask_size))
    return;
  stamp_publish(receipt_.receive_ns);
  Tick tick = tick_like(symbol, receipt_, message.venue_ns);
  tick.flags = with(tick.flags, shm::Flag::FROM_TICKER);
  tick.kind = shm::Kind::BBO;
  tick.a = quote.bid_price;
  tick.b = quote.bid_size;
  tick.c = quote.ask_price;
  tick.d = quote.ask_size;
  ++ticks_.bbo;
  emit(tick, 0);
  if (observer_ != nullptr)
    observer_->on_ticker_quote({symbol, message.update_id, quote});
}

bool FeedCore::to_lots(Decimal value, Scale scale, const char *what, const Instrument &instrument,
                       const Receipt &receipt, std::int64_t &out) {
  const DecimalStatus status = to_units(value, scale, out);
  if (status == DecimalStatus::Ok)
    return true;
  ++statistics_.out_of_range;
  std::string digits = std::to_string(value.digits);
  if (value.places != 0)
    digits += "e-" + std::to_string(value.places);
  diagnostics_.report(Trouble::OutOfRange,
                      {.what = std::string(what) + " of " + instrument.name + " refused",
                       .where = receipt.origin.text(),
                       .found = digits,
                       .expected = status == DecimalStatus::NotMultiple
                                       ? "a multiple of " + std::to_string(scale.mantissa) + "e-" +
                                             std::to_string(scale.exponent)
                                       : "a number that fits 64 bits in these units",
                       .remedy = "restart the feed if the venue has changed the instrument"});
  return false;
}

bool FeedCore::to_levels(std::span<const RawLevel> raw, const Instrument &instrument,
                         std::vector<shm::Level> &out, const Receipt &receipt) {
  out.clear();
  for (const RawLevel &level : raw) {
    shm::Level units{};
    if (!to_lots(level.price, instrument.tick, "price", instrument, receipt, units.price) ||
        !to_lots(level.size, instrument.lot, "size", instrument, receipt, units.size))
      return false;
    out.push_back(units);
  }
  return true;
}

} // namespace quietcore
