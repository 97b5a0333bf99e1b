// How a changed book, a trade and a ticker become ticks.
#include "quietcore/feed_core.hpp"
#include "quietcore/feed_findings.hpp"
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
  const std::int64_t delta = publish_clock_.now_ns(receive_ns) - receive_ns;
  publish_delta_saturated_ = delta < 0 || delta > std::numeric_limits<std::uint32_t>::max();
  publish_delta_ns_ = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(delta, 0, std::numeric_limits<std::uint32_t>::max()));
}

void FeedCore::emit(Tick &tick, std::size_t remaining) noexcept {
  tick.remaining = static_cast<std::uint16_t>(std::min<std::size_t>(remaining, 65535));
  if (ring_ != nullptr)
    ring_->push(tick);
}

template <Side kSide>
void FeedCore::update_ladder(const BookSide<kSide> &side, std::size_t from, LadderLog<kSide> *log,
                             std::vector<shm::Level> &published) {
  if (from >= ladder_depth_)
    return;
  // What is better than the best rank touched is what it was.
  const std::size_t same = std::min(from, published.size());
  const std::size_t depth = ladder_depth_ - same;
  const std::size_t count = side.top(std::span(ladder_).first(depth), same);
  const std::span<const shm::Level> after(ladder_.data(), count);
  const std::uint16_t flags = kSide == Side::Ask ? bit(shm::Flag::SELL) : std::uint16_t{0};
  const auto note = [&](std::int64_t price, std::int64_t size) { changes_.push_back({price, size, flags}); };
  if (log == nullptr)
    ladder_diff<kSide>(std::span<const shm::Level>(published).subspan(same), after, depth, note);
  published.resize(same + count);
  std::copy(after.begin(), after.end(), published.begin() + static_cast<std::ptrdiff_t>(same));
  if (log != nullptr)
    log->changes(published, note);
}

void FeedCore::publish_book(std::uint32_t symbol, Follower &follower, const Receipt &receipt,
                            const LadderUpdate &update, bool snapshot) {
  SymbolBook &book = books_[symbol];
  const std::uint64_t update_id = follower.sync.last_id;
  follower.unpublished = false;
  book.leg = receipt.leg;
  book.state = follower.sync.state;
  ++book.messages;
  book.last_id = update_id;
  book.sequence = follower.sequence;
  stamp_publish(receipt.receive_ns);
  Tick tick = tick_like(symbol, receipt, follower.venue_ns);
  if (snapshot)
    tick.flags = with(tick.flags, shm::Flag::SNAPSHOT);
  const std::uint16_t flags = tick.flags;
  changes_.clear();
  update_ladder(follower.book.bids(), update.bids_from,
                update.logged && bid_log_.complete() ? &bid_log_ : nullptr, book.bids);
  update_ladder(follower.book.asks(), update.asks_from,
                update.logged && ask_log_.complete() ? &ask_log_ : nullptr, book.asks);
  const Quote quote = follower.book.quote();
  const bool quoted = quote != book.quote;
  std::size_t remaining = changes_.size() + (quoted ? 1 : 0);
  statistics_.ticks += remaining + 1; // for all at once: it is in memory, and so is the ring
  tick.kind = shm::Kind::LEVEL;
  tick.c = static_cast<std::int64_t>(update_id);
  for (const LadderChange &level : changes_) {
    tick.flags = static_cast<std::uint16_t>(flags | level.flags);
    tick.a = level.price;
    tick.b = level.size;
    emit(tick, remaining--);
  }
  ticks_.level += changes_.size();
  tick.flags = flags;
  if (quoted) {
    book.quote = quote;
    tick.kind = shm::Kind::BBO;
    tick.a = quote.bid_price;
    tick.b = quote.bid_size;
    tick.c = quote.ask_price;
    tick.d = quote.ask_size;
    ++ticks_.bbo;
    emit(tick, 1);
  }

  const auto bid_levels = static_cast<std::uint32_t>(follower.book.bids().size());
  const auto ask_levels = static_cast<std::uint32_t>(follower.book.asks().size());
  if (ring_ != nullptr) {
    book.announced_tick = ring_->next();
    ring_->write_book(symbol,
                      {book.state, book.announced_tick, update_id, follower.sequence, receipt.receive_ns,
                       follower.venue_ns, follower.engine_ns, bid_levels, ask_levels, book.messages},
                      book.bids, book.asks, update.bids_from, update.asks_from);
  }
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
  counts_.left_out += message.left_out;
  SymbolBook &book = books_[symbol];
  stamp_publish(receipt_.receive_ns);
  const Tick like = tick_like(symbol, receipt_, message.venue_ns);
  pending_.clear();
  for (const RawTrade &trade : message.trades) {
    if (const std::uint64_t key = trade.id != 0 ? trade.id : trade.key;
        key != 0 && book.trades.prepared() && !book.trades.add(key)) {
      ++statistics_.duplicates;
      continue;
    }
    ++statistics_.trades;
    std::int64_t price = 0;
    std::int64_t size = 0;
    if (!to_lots(trade.price, book.tick, "price", symbol, receipt_, price) ||
        !to_lots(trade.size, book.lot, "size", symbol, receipt_, size))
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
  statistics_.ticks += pending_.size();
  for (std::size_t i = 0; i < pending_.size(); ++i)
    emit(pending_[i], pending_.size() - 1 - i);
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
  const SymbolBook &book = books_[symbol];
  Quote quote;
  if (!to_lots(message.bid, book.tick, "price", symbol, receipt_, quote.bid_price) ||
      !to_lots(message.bid_size, book.lot, "size", symbol, receipt_, quote.bid_size) ||
      !to_lots(message.ask, book.tick, "price", symbol, receipt_, quote.ask_price) ||
      !to_lots(message.ask_size, book.lot, "size", symbol, receipt_, quote.ask_size))
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
  ++statistics_.ticks;
  emit(tick, 0);
  if (observer_ != nullptr)
    observer_->on_ticker_quote({symbol, message.update_id, quote});
}

bool FeedCore::to_lots(Decimal value, const UnitScale &scale, const char *what, std::uint32_t symbol,
                       const Receipt &receipt, std::int64_t &out) {
  const DecimalStatus status = scale.to_units(value, out);
  if (status == DecimalStatus::Ok) [[likely]]
    return true;
  report_out_of_range(value, scale.scale(), status, what, symbol, receipt);
  return false;
}

void FeedCore::report_out_of_range(Decimal value, Scale scale, DecimalStatus status, const char *what,
                                   std::uint32_t symbol, const Receipt &receipt) {
  ++statistics_.out_of_range;
  diagnostics_.report(receipt.origin,
                      ValueRefused{what, names_[symbol], value.digits, scale.mantissa, value.places,
                                   scale.exponent, status == DecimalStatus::NotMultiple});
}

bool FeedCore::to_levels(std::span<const RawLevel> raw, std::uint32_t symbol,
                         std::vector<shm::Level> &scratch, const Receipt &receipt) {
  const SymbolBook &book = books_[symbol];
  scratch.resize(raw.size());
  shm::Level *out = scratch.data();
  for (const RawLevel &level : raw) {
    if (!to_lots(level.price, book.tick, "price", symbol, receipt, out->price) ||
        !to_lots(level.size, book.lot, "size", symbol, receipt, out->size))
      return false;
    ++out;
  }
  return true;
}

} // namespace quietcore
