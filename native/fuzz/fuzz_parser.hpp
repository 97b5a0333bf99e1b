#pragma once

#include "quietcore/venue.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace quietcore::fuzz {

/// Folds everything that reaches it into one number, reading every byte that it is shown.
class Digest final : public MessageSink {
public:
  std::uint64_t value = 0;

  void on_depth(const DepthMessage &message) override {
    add(message.symbol);
    add(message.snapshot ? 1U : 0U);
    for (const std::uint64_t word :
         {std::uint64_t{message.window}, message.first_id, message.last_id, message.previous_id,
          message.sequence, static_cast<std::uint64_t>(message.venue_ns),
          static_cast<std::uint64_t>(message.engine_ns)})
      add(word);
    for (const auto side : {message.bids, message.asks}) {
      add(side.size());
      for (const RawLevel &level : side) {
        add(level.price);
        add(level.size);
      }
    }
  }
  void on_trades(const TradesMessage &message) override {
    add(message.symbol);
    for (const RawTrade &trade : message.trades) {
      add(trade.price);
      add(trade.size);
      add(trade.id + (trade.sell ? 1U : 0U));
    }
  }
  void on_ticker(const TickerMessage &message) override {
    add(message.symbol);
    add(message.update_id);
    for (const Decimal decimal : {message.bid, message.bid_size, message.ask, message.ask_size})
      add(decimal);
  }
  void on_control(const ControlMessage &message) override {
    add(message.id);
    add(message.text);
  }

private:
  void add(std::uint64_t word) { value = (value ^ word) * 0x100000001b3ULL + 1; }
  void add(Decimal decimal) {
    if (decimal.digits < 0 || decimal.places > kMaxPlaces)
      std::abort(); // no wire holds such a number
    add(static_cast<std::uint64_t>(decimal.digits));
    add(decimal.places);
  }
  void add(std::string_view text) {
    for (const char c : text)
      add(static_cast<unsigned char>(c));
  }
};

/// Parses the bytes twice: as they are, where a fast way may take them, and with a blank behind the brace,
/// where only the general one does. Both must say the same.
inline void parse_both_ways(Parser &parser, const std::uint8_t *data, std::size_t size) {
  // In memory of just the promised size: one byte too many is seen.
  const std::unique_ptr<char[]> bytes(new char[size + 1 + kMessagePadding]());
  std::copy(data, data + size, bytes.get());
  Digest plain;
  const ParseResult one = parser.parse(bytes.get(), size, plain);
  if (size == 0 || data[0] != '{')
    return;
  bytes[1] = ' ';
  std::copy(data + 1, data + size, bytes.get() + 2);
  Digest spaced;
  const ParseResult other = parser.parse(bytes.get(), size + 1, spaced);
  if (one.status != other.status || plain.value != spaced.value)
    std::abort();
}

} // namespace quietcore::fuzz
