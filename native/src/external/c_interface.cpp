// The C interface over the core: what is pushed goes the same way as a venue's messages.
#include "quietcore.h"

#include "external_venue.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/command_line.hpp"
#include "quietcore/error.hpp"
#include "quietcore/feed_core.hpp"
#include "quietcore/segment_file.hpp"

#include <bit>
#include <cmath>
#include <exception>
#include <limits>
#include <string>

namespace {

using namespace quietcore;

constexpr std::uint64_t kTendEveryNs = 20'000'000;
/// Ticks and lots times their mantissa must be decimals of at most 18 digits.
constexpr std::int64_t kMostUnits = 999'999'999'999'999'999;

thread_local std::string last_error; // NOLINT: what errno is to C

Error unusable(std::string where, std::string found, std::string expected) {
  return Error({.what = "configuration of the feed not usable",
                .where = std::move(where),
                .found = std::move(found),
                .expected = std::move(expected)});
}

std::vector<Instrument> instruments_of(const quietcore_config &config) {
  if (config.instruments == nullptr || config.instrument_count == 0 || config.instrument_count > kMaxSymbols)
    throw unusable("instruments", std::to_string(config.instrument_count), "1 to 65535 of them");
  std::vector<Instrument> out;
  for (std::size_t i = 0; i < config.instrument_count; ++i) {
    const quietcore_instrument &from = config.instruments[i];
    const std::string name = from.name == nullptr ? "" : from.name;
    const std::string where = "instruments[" + std::to_string(i) + "]";
    if (name.empty() || name.size() > 31)
      throw unusable(where + ".name", name, "1 to 31 characters");
    for (const Instrument &other : out) {
      if (other.name == name)
        throw unusable(where + ".name", name, "each symbol once");
    }
    if (from.tick_mantissa == 0 || from.lot_mantissa == 0)
      throw unusable(where, "a tick or lot of 0", "mantissas above 0");
    if (from.tick_exponent > kMaxPlaces || from.lot_exponent > kMaxPlaces)
      throw unusable(where, "an exponent above 18", "exponents up to 18");
    out.push_back({name, {from.tick_mantissa, from.tick_exponent}, {from.lot_mantissa, from.lot_exponent}});
  }
  return out;
}

SegmentSpec spec_of(const quietcore_config &config, const std::vector<Instrument> &instruments) {
  SegmentSpec spec;
  spec.feed = config.feed == nullptr ? "" : config.feed;
  check_feed_name(spec.feed, "feed");
  spec.venue = ExternalVenue().name();
  spec.capacity = config.capacity == 0 ? 65536 : config.capacity;
  spec.ladder_depth = config.ladder_depth == 0 ? 20 : config.ladder_depth;
  spec.instruments = instruments;
  if (spec.capacity < kMinCapacity || spec.capacity > kMaxCapacity || !std::has_single_bit(spec.capacity))
    throw unusable("capacity", std::to_string(spec.capacity), "a power of two from 1024");
  if (spec.ladder_depth > kMaxLadderDepth)
    throw unusable("ladder_depth", std::to_string(spec.ladder_depth), "at most 1024");
  return spec;
}

/// Whole units of a step as the decimal that they are.
bool decimal_of(std::int64_t units, Scale scale, Decimal &out) {
  std::int64_t digits = 0;
  if (units < 0 || __builtin_mul_overflow(units, std::int64_t{scale.mantissa}, &digits) ||
      digits > kMostUnits)
    return false;
  out = {digits, scale.exponent};
  return true;
}

} // namespace

struct quietcore_feed {
  explicit quietcore_feed(const quietcore_config &config)
      : instruments(instruments_of(config)), spec(spec_of(config, instruments)),
        segment(ProducerSegment::open(spec, {})), ring(segment.view()),
        core(venue, instruments, {spec.ladder_depth, {}}, diagnostics, &ring) {
    levels.reserve(2048);
    core.pause();
  }

  /// Gives the prepared message to the core, and tends the ring when it is time.
  void publish() {
    Receipt receipt;
    receipt.receive_ns = realtime_ns();
    receipt.source = shm::TimeSource::USER;
    receipt.origin = {"libquietcore", 0};
    (void)core.receive(prepared, {}, receipt);
    core.publish_cursor();
    if (const std::uint64_t now = monotonic_ns(); now - tended_ns >= kTendEveryNs) {
      tended_ns = now;
      core.pause();
    }
  }

  [[nodiscard]] bool known(std::int32_t symbol) const {
    return symbol >= 0 && static_cast<std::size_t>(symbol) < instruments.size();
  }

  bool raw_level(const Instrument &instrument, quietcore_level level, RawLevel &out) const {
    return decimal_of(level.price, instrument.tick, out.price) &&
           decimal_of(level.size, instrument.lot, out.size);
  }

  std::vector<Instrument> instruments;
  SegmentSpec spec;
  ExternalVenue venue{};
  Diagnostics diagnostics{};
  ProducerSegment segment;
  RingWriter ring;
  FeedCore core;
  PreparedMessage prepared{};
  std::vector<RawLevel> levels{};
  std::uint64_t tended_ns = 0;
};

namespace {

/// Rounds to ticks. False: not a price that fits.
quietcore_status ticks_of(double price, Scale scale, std::int64_t &out) {
  if (!std::isfinite(price))
    return QUIETCORE_NOT_FINITE;
  const double ticks = std::round(price * std::pow(10.0, scale.exponent) / scale.mantissa);
  // 2^53: beyond it a double does not tell one tick from the next.
  if (ticks < 0 || ticks > 9007199254740992.0)
    return QUIETCORE_RANGE;
  out = static_cast<std::int64_t>(ticks);
  return QUIETCORE_OK;
}

bool sorted(std::span<const quietcore_level> side, bool descending) {
  for (std::size_t i = 0; i < side.size(); ++i) {
    if (i != 0 && (descending ? side[i].price >= side[i - 1].price : side[i].price <= side[i - 1].price))
      return false;
  }
  return true;
}

} // namespace

extern "C" {

quietcore_feed *feed_handler_init(const quietcore_config *config) {
  try {
    if (config == nullptr)
      throw unusable("config", "NULL", "a quietcore_config");
    return new quietcore_feed(*config);
  } catch (const std::exception &error) {
    last_error = error.what();
    return nullptr;
  }
}

const char *feed_handler_error(void) { return last_error.c_str(); }

int32_t feed_handler_symbol(const quietcore_feed *feed, const char *symbol) {
  if (feed == nullptr || symbol == nullptr)
    return -1;
  const std::uint32_t index = feed->core.index().find(symbol);
  return index == SymbolIndex::kNone ? -1 : static_cast<std::int32_t>(index);
}

quietcore_status feed_handler_push_tick(quietcore_feed *feed, const char *symbol, double price, double bid,
                                        double ask, int64_t timestamp_ns) {
  if (feed == nullptr)
    return QUIETCORE_NO_FEED;
  const std::int32_t index = feed_handler_symbol(feed, symbol);
  if (index < 0)
    return QUIETCORE_NO_SYMBOL;
  const Scale tick = feed->instruments[static_cast<std::size_t>(index)].tick;
  quietcore_level trade{0, 1};
  quietcore_level best_bid{0, 1};
  quietcore_level best_ask{0, 1};
  // All three are looked at before the first is published.
  for (const auto &[from, to] : {std::pair{price, &trade}, {bid, &best_bid}, {ask, &best_ask}}) {
    if (const quietcore_status status = ticks_of(from, tick, to->price); status != QUIETCORE_OK)
      return status;
  }
  const bool quoted = bid != 0 || ask != 0;
  best_bid.size = best_bid.price != 0 ? 1 : 0;
  best_ask.size = best_ask.price != 0 ? 1 : 0;
  if (quoted && best_bid.size != 0 && best_ask.size != 0 && best_bid.price >= best_ask.price)
    return QUIETCORE_CROSSED;
  quietcore_status status = QUIETCORE_OK;
  if (trade.price != 0)
    status = feed_handler_push_trade(feed, index, trade, 0, 0, timestamp_ns);
  if (status == QUIETCORE_OK && quoted)
    status = feed_handler_push_quote(feed, index, best_bid, best_ask, timestamp_ns);
  return status;
}

quietcore_status feed_handler_push_quote(quietcore_feed *feed, int32_t symbol, quietcore_level bid,
                                         quietcore_level ask, int64_t timestamp_ns) {
  if (feed == nullptr)
    return QUIETCORE_NO_FEED;
  if (!feed->known(symbol))
    return QUIETCORE_NO_SYMBOL;
  const Instrument &instrument = feed->instruments[static_cast<std::size_t>(symbol)];
  RawLevel raw_bid;
  RawLevel raw_ask;
  if (!feed->raw_level(instrument, bid, raw_bid) || !feed->raw_level(instrument, ask, raw_ask))
    return QUIETCORE_RANGE;
  if (bid.size != 0 && ask.size != 0 && bid.price >= ask.price)
    return QUIETCORE_CROSSED;
  TickerMessage message;
  message.symbol = instrument.name;
  message.has_quote = true;
  message.venue_ns = timestamp_ns;
  message.bid = raw_bid.price;
  message.bid_size = raw_bid.size;
  message.ask = raw_ask.price;
  message.ask_size = raw_ask.size;
  feed->prepared.message = message;
  feed->publish();
  return QUIETCORE_OK;
}

quietcore_status feed_handler_push_trade(quietcore_feed *feed, int32_t symbol, quietcore_level trade,
                                         int taker_sold, uint64_t trade_id, int64_t timestamp_ns) {
  if (feed == nullptr)
    return QUIETCORE_NO_FEED;
  if (!feed->known(symbol))
    return QUIETCORE_NO_SYMBOL;
  const Instrument &instrument = feed->instruments[static_cast<std::size_t>(symbol)];
  RawLevel raw;
  if (!feed->raw_level(instrument, trade, raw))
    return QUIETCORE_RANGE;
  const RawTrade one{.price = raw.price, .size = raw.size, .id = trade_id, .sell = taker_sold != 0};
  feed->prepared.message = TradesMessage{instrument.name, timestamp_ns, std::span(&one, 1)};
  feed->publish();
  return QUIETCORE_OK;
}

quietcore_status feed_handler_push_book(quietcore_feed *feed, int32_t symbol, const quietcore_level *bids,
                                        size_t bid_count, const quietcore_level *asks, size_t ask_count,
                                        uint64_t update_id, int64_t timestamp_ns) {
  if (feed == nullptr)
    return QUIETCORE_NO_FEED;
  if (!feed->known(symbol))
    return QUIETCORE_NO_SYMBOL;
  const std::span<const quietcore_level> bid_side(bids, bids == nullptr ? 0 : bid_count);
  const std::span<const quietcore_level> ask_side(asks, asks == nullptr ? 0 : ask_count);
  if (!sorted(bid_side, true) || !sorted(ask_side, false) ||
      (!bid_side.empty() && !ask_side.empty() && bid_side.front().price >= ask_side.front().price))
    return QUIETCORE_CROSSED;
  const Instrument &instrument = feed->instruments[static_cast<std::size_t>(symbol)];
  feed->levels.clear();
  for (const auto side : {bid_side, ask_side}) {
    for (const quietcore_level &level : side) {
      if (level.size <= 0 || !feed->raw_level(instrument, level, feed->levels.emplace_back()))
        return QUIETCORE_RANGE;
    }
  }
  DepthMessage message;
  message.symbol = instrument.name;
  message.snapshot = true;
  message.last_id = update_id;
  message.venue_ns = timestamp_ns;
  message.bids = std::span(feed->levels).first(bid_side.size());
  message.asks = std::span(feed->levels).subspan(bid_side.size());
  feed->prepared.message = message;
  feed->publish();
  return QUIETCORE_OK;
}

quietcore_status feed_handler_heartbeat(quietcore_feed *feed) {
  if (feed == nullptr)
    return QUIETCORE_NO_FEED;
  feed->core.pause();
  return QUIETCORE_OK;
}

void feed_handler_close(quietcore_feed *feed) {
  if (feed == nullptr)
    return;
  feed->core.all_connections_lost();
  feed->core.pause();
  delete feed;
}
}
