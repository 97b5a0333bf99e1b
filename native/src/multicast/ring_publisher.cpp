#include "quietcore/ring_publisher.hpp"

#include "quietcore/clock.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace quietcore::multicast {
namespace {

bool has(const Tick &tick, shm::Flag flag) noexcept {
  return (tick.flags & static_cast<std::uint16_t>(flag)) != 0;
}

std::int64_t venue_time(const Tick &tick) noexcept {
  if (has(tick, shm::Flag::VENUE_TIME_FOREIGN) || has(tick, shm::Flag::VENUE_TIME_SATURATED))
    return 0;
  return tick.receive_ns - std::int64_t{tick.venue_delta_us} * 1000;
}

/// What one step is in 1e-8; 0 where that is no whole number.
std::int64_t factor_of(Scale step) noexcept {
  std::int64_t units = 0;
  constexpr Scale kUnit{1, kFixedPlaces};
  return to_units({step.mantissa, step.exponent}, kUnit, units) == DecimalStatus::Ok ? units : 0;
}

/// Both best first. Gone ones first, so that a receiver never holds more than the ladder.
template <Side kSide>
void changes_between(std::span<const shm::Level> before, std::span<const shm::Level> after,
                     std::vector<shm::Level> &out) {
  const auto better = [](std::int64_t a, std::int64_t b) { return kSide == Side::Bid ? a > b : a < b; };
  out.clear();
  std::size_t j = 0;
  for (const shm::Level &old : before) {
    while (j < after.size() && better(after[j].price, old.price))
      ++j;
    if (j == after.size() || after[j].price != old.price)
      out.push_back({old.price, 0});
  }
  std::size_t i = 0;
  for (const shm::Level &level : after) {
    while (i < before.size() && better(before[i].price, level.price))
      ++i;
    if (i == before.size() || before[i].price != level.price || before[i].size != level.size)
      out.push_back(level);
  }
}

} // namespace

RingPublisher::Symbol::Symbol(std::string its_name, Scale its_tick, Scale its_lot, std::size_t depth)
    : name(std::move(its_name)), tick(its_tick), lot(its_lot), price_factor(factor_of(its_tick)),
      size_factor(factor_of(its_lot)), ladder(depth, depth * 2) {}

RingPublisher::RingPublisher(SegmentView view, std::uint64_t epoch, Send send)
    : view_(view), reader_(view), send_(std::move(send)) {
  const shm::Header &header = view.header();
  const std::string_view feed(header.feed, strnlen(header.feed, sizeof(header.feed)));
  header_.feed = feed_id(feed);
  header_.epoch = epoch;
  header_.symbols = static_cast<std::uint16_t>(header.symbol_count);
  symbols_.reserve(header.symbol_count);
  for (std::uint32_t i = 0; i < header.symbol_count; ++i) {
    const shm::SymbolEntry &entry = view.directory()[i];
    symbols_.emplace_back(std::string(entry.name, strnlen(entry.name, sizeof(entry.name))),
                          Scale{entry.tick_mantissa, entry.tick_exponent},
                          Scale{entry.lot_mantissa, entry.lot_exponent}, header.ladder_depth);
    if (symbols_.back().price_factor == 0 || symbols_.back().size_factor == 0)
      unfit_.push_back(symbols_.back().name);
  }
  load_books();
}

void RingPublisher::load_books() {
  for (std::uint16_t index = 0; index < symbols_.size(); ++index) {
    symbols_[index].quoted = false;
    load_book(index);
    // The first tick to come may be in the middle of a message that the table does not have yet.
    symbols_[index].unsure = true;
  }
}

void RingPublisher::load_book(std::uint16_t index) {
  Symbol &symbol = symbols_[index];
  const std::optional<BookCopy> book = reader_.book(index);
  // Not read where its writer died within. Of one that is not LIVE, it is not told which ladder the next
  // changes are of: a new producer begins with an empty one.
  symbol.unsure = !book || book->entry.state != shm::State::LIVE;
  if (symbol.unsure) {
    lose(index);
    return;
  }
  symbol.table_tick = book->entry.tick;
  symbol.ladder.assign(book->bids, book->asks);
  symbol.update_id = book->entry.update_id;
  symbol.venue_ns = book->entry.venue_ns;
  send_book(index);
}

std::size_t RingPublisher::take(std::size_t limit) {
  std::size_t taken = 0;
  Tick tick;
  while (taken < limit) {
    const std::uint64_t dropped = reader_.dropped();
    const Poll got = reader_.poll(tick);
    if (got == Poll::Empty)
      break;
    ++taken;
    if (got == Poll::Overrun) {
      counts_.ticks_lost += reader_.dropped() - dropped;
      load_books();
      continue;
    }
    ++counts_.ticks;
    if (tick.symbol < symbols_.size())
      take(tick, reader_.next() - 1);
  }
  // A message that is not complete yet goes on waiting; what is complete goes out.
  flush(Channel::Stream);
  return taken;
}

void RingPublisher::take(const Tick &tick, std::uint64_t number) {
  if (tick.kind == shm::Kind::RESTART) {
    for (std::uint16_t index = 0; index < symbols_.size(); ++index) {
      if (number <= symbols_[index].table_tick)
        continue; // the table was read after it
      symbols_[index].ladder.clear();
      symbols_[index].unsure = false;
      symbols_[index].quoted = false;
      lose(index);
    }
    return;
  }
  Symbol &symbol = symbols_[tick.symbol];
  if (tick.kind == shm::Kind::TRADE)
    return take_trade(tick.symbol, tick);
  if (tick.kind == shm::Kind::BBO && has(tick, shm::Flag::FROM_TICKER))
    return send_quote(tick.symbol, tick, false);
  if (number <= symbol.table_tick && symbol.table_tick != 0)
    return; // the table had it
  if (tick.kind == shm::Kind::LEVEL) {
    take_level(symbol, tick);
  } else if (tick.kind == shm::Kind::BBO) {
    symbol.quoted = true;
    symbol.quote = tick;
  } else if (tick.kind == shm::Kind::BOOK) {
    take_book(tick.symbol, tick);
  }
}

void RingPublisher::take_level(Symbol &symbol, const Tick &tick) {
  const shm::Level level{tick.a, tick.b};
  const std::span<const shm::Level> one(&level, 1);
  if (has(tick, shm::Flag::SELL))
    (void)symbol.ladder.apply({}, one);
  else
    (void)symbol.ladder.apply(one, {});
}

void RingPublisher::take_book(std::uint16_t index, const Tick &tick) {
  Symbol &symbol = symbols_[index];
  const bool quoted = std::exchange(symbol.quoted, false);
  if (symbol.unsure) {
    load_book(index);
    return;
  }
  if (static_cast<shm::State>(tick.d) != shm::State::LIVE) {
    lose(index);
    return;
  }
  symbol.update_id = static_cast<std::uint64_t>(tick.a);
  symbol.venue_ns = venue_time(tick);
  send_book(index);
  if (quoted && symbol.right)
    send_quote(index, symbol.quote, true);
}

void RingPublisher::take_trade(std::uint16_t index, const Tick &tick) {
  const Symbol &symbol = symbols_[index];
  TradeMessage trade{venue_time(tick), 0, 0, static_cast<std::uint64_t>(tick.c)};
  if (!fixed(tick.a, symbol.price_factor, trade.price) || !fixed(tick.b, symbol.size_factor, trade.size))
    return;
  put(Channel::Stream,
      [&](PacketWriter &packet) { return packet.add(index, trade, has(tick, shm::Flag::SELL)); });
}

void RingPublisher::send_quote(std::uint16_t index, const Tick &tick, bool from_book) {
  const Symbol &symbol = symbols_[index];
  BboMessage bbo;
  bbo.venue_ns = venue_time(tick);
  if (!fixed(tick.a, symbol.price_factor, bbo.bid_price) ||
      !fixed(tick.b, symbol.size_factor, bbo.bid_size) ||
      !fixed(tick.c, symbol.price_factor, bbo.ask_price) || !fixed(tick.d, symbol.size_factor, bbo.ask_size))
    return;
  put(Channel::Stream, [&](PacketWriter &packet) { return packet.add(index, bbo, from_book); });
}

void RingPublisher::send_book(std::uint16_t index) {
  Symbol &symbol = symbols_[index];
  if (!fixed(symbol.ladder.bids(), symbol, bids_) || !fixed(symbol.ladder.asks(), symbol, asks_)) {
    lose(index);
    return;
  }
  ++symbol.number;
  if (symbol.right) {
    changes_between<Side::Bid>(symbol.bids, bids_, bid_changes_);
    changes_between<Side::Ask>(symbol.asks, asks_, ask_changes_);
    send_levels(index, Channel::Stream, false, bid_changes_, ask_changes_);
  } else {
    send_levels(index, Channel::Stream, true, bids_, asks_);
  }
  symbol.right = true;
  symbol.bids.swap(bids_);
  symbol.asks.swap(asks_);
}

void RingPublisher::send_levels(std::uint16_t index, Channel channel, bool whole,
                                std::span<const shm::Level> bids, std::span<const shm::Level> asks) {
  const Symbol &symbol = symbols_[index];
  BookHead head;
  head.venue_ns = symbol.venue_ns;
  head.number = symbol.number;
  head.update_id = symbol.update_id;
  const std::size_t levels = bids.size() + asks.size();
  if (levels <= PacketWriter::kLevelsAlone) {
    put(channel, [&](PacketWriter &packet) { return packet.add(index, head, whole, bids, asks); });
    return;
  }
  constexpr std::size_t kPart = PacketWriter::kLevelsAlone;
  head.parts = static_cast<std::uint16_t>((levels + kPart - 1) / kPart);
  flush(channel); // its parts fill packets of their own
  for (head.part = 0; head.part < head.parts; ++head.part) {
    const auto some_bids = bids.first(std::min(bids.size(), kPart));
    const auto some_asks = asks.first(std::min(asks.size(), kPart - some_bids.size()));
    put(channel, [&](PacketWriter &packet) { return packet.add(index, head, whole, some_bids, some_asks); });
    bids = bids.subspan(some_bids.size());
    asks = asks.subspan(some_asks.size());
  }
}

void RingPublisher::lose(std::uint16_t index) {
  Symbol &symbol = symbols_[index];
  if (!std::exchange(symbol.right, false))
    return;
  ++symbol.number;
  put(Channel::Stream, [&](PacketWriter &packet) { return packet.add_lost(index, symbol.number); });
}

void RingPublisher::lose_all() {
  for (std::uint16_t index = 0; index < symbols_.size(); ++index)
    lose(index);
  flush(Channel::Stream);
}

void RingPublisher::heartbeat(bool down) {
  flush(Channel::Stream);
  PacketWriter packet;
  (void)packet.add_heartbeat(down);
  header_.channel = Channel::Stream;
  header_.sequence = sequence_[0]; // of the next packet: not used up
  header_.send_ns = realtime_ns();
  header_.stream_next = 0;
  ++counts_.heartbeats;
  const auto bytes = packet.finish(header_);
  counts_.bytes += bytes.size();
  send_(Channel::Stream, bytes);
}

bool RingPublisher::snapshots(std::size_t count) {
  flush(Channel::Stream); // a snapshot knows of what has been sent, and of nothing else
  bool round = symbols_.empty();
  for (std::size_t i = 0; i < count && !symbols_.empty(); ++i) {
    const auto index = static_cast<std::uint16_t>(next_snapshot_);
    const Symbol &symbol = symbols_[index];
    put(Channel::Snapshots, [&](PacketWriter &packet) {
      return packet.add(index, SymbolMessage{symbol.name, symbol.tick, symbol.lot});
    });
    if (symbol.right)
      send_levels(index, Channel::Snapshots, true, symbol.bids, symbol.asks);
    else
      put(Channel::Snapshots, [&](PacketWriter &packet) { return packet.add_lost(index, symbol.number); });
    next_snapshot_ = (next_snapshot_ + 1) % symbols_.size();
    round = round || next_snapshot_ == 0;
  }
  flush(Channel::Snapshots);
  return round;
}

bool RingPublisher::fixed(std::int64_t units, std::int64_t factor, std::int64_t &out) noexcept {
  if (factor != 0 && units >= 0 && !__builtin_mul_overflow(units, factor, &out))
    return true;
  ++counts_.unrepresentable;
  return false;
}

template <Side kSide>
bool RingPublisher::fixed(const BookSide<kSide> &side, const Symbol &symbol, std::vector<shm::Level> &out) {
  out.resize(side.size());
  for (std::size_t rank = 0; rank < side.size(); ++rank) {
    const shm::Level level = side.level(rank);
    if (!fixed(level.price, symbol.price_factor, out[rank].price) ||
        !fixed(level.size, symbol.size_factor, out[rank].size))
      return false;
  }
  return true;
}

template <typename Add> void RingPublisher::put(Channel channel, Add add) {
  PacketWriter &packet = packets_[static_cast<std::size_t>(channel)];
  ++counts_.messages;
  if (add(packet))
    return;
  flush(channel);
  (void)add(packet); // everything fits an empty one
}

void RingPublisher::flush(Channel channel) {
  const auto which = static_cast<std::size_t>(channel);
  PacketWriter &packet = packets_[which];
  if (packet.empty())
    return;
  header_.channel = channel;
  header_.sequence = sequence_[which]++;
  header_.send_ns = realtime_ns();
  header_.stream_next = channel == Channel::Snapshots ? sequence_[0] : 0;
  ++counts_.packets[which];
  const auto bytes = packet.finish(header_);
  counts_.bytes += bytes.size();
  send_(channel, bytes);
}

} // namespace quietcore::multicast
