#pragma once

#include "quietcore/market_message.hpp"

#include "test_segment.hpp"

#include <string>

namespace quietcore::test {

inline std::string described(Decimal value) {
  return std::to_string(value.digits) + "e-" + std::to_string(value.places);
}

/// Puts all that a parser found into words.
class DescribingSink : public MessageSink {
public:
  std::string text;
  bool forgets_last_level = false;   ///< a planted bug
  bool forgets_what_is_left = false; ///< another

  void on_depth(const DepthMessage &m) override {
    text += "depth of " + std::string(m.symbol) + (m.snapshot ? " snapshot" : " delta") + " window " +
            std::to_string(m.window) + " ids " + std::to_string(m.first_id) + " " +
            std::to_string(m.last_id) + " " + std::to_string(m.previous_id) + " " +
            std::to_string(m.sequence) + " times " + std::to_string(m.venue_ns) + " " +
            std::to_string(m.engine_ns) + "\n bids" + levels(m.bids) + "\n asks" + levels(m.asks) + "\n";
  }
  void on_trades(const TradesMessage &m) override {
    text += "trades of " + std::string(m.symbol) + " time " + std::to_string(m.venue_ns) + " left out " +
            std::to_string(forgets_what_is_left ? 0 : m.left_out);
    for (const RawTrade &trade : m.trades)
      text += " " + described(trade.price) + "*" + described(trade.size) + (trade.sell ? "-" : "+") +
              std::to_string(trade.id);
    text += "\n";
  }
  void on_ticker(const TickerMessage &m) override {
    text += "ticker of " + std::string(m.symbol) + " time " + std::to_string(m.venue_ns);
    if (m.has_quote)
      text += " id " + std::to_string(m.update_id) + " " + described(m.bid) + "*" + described(m.bid_size) +
              " " + described(m.ask) + "*" + described(m.ask_size);
    text += "\n";
  }
  void on_control(const ControlMessage &m) override {
    text += "control " + std::to_string(static_cast<int>(m.kind)) + " id " + std::string(m.id) + " code " +
            std::to_string(m.code) + " " + std::string(m.text) + "\n";
  }

private:
  [[nodiscard]] std::string levels(std::span<const RawLevel> side) const {
    std::string out;
    for (std::size_t i = 0; i + (forgets_last_level ? 1 : 0) < side.size(); ++i)
      out += " " + described(side[i].price) + "*" + described(side[i].size);
    return out;
  }
};

/// The status of a message and all that was found in it; of a refused one nothing may be.
inline std::string read_with(Parser &parser, const std::string &input, DescribingSink &sink) {
  const Padded padded(input);
  const ParseResult result = parser.parse(padded.view().data(), padded.view().size(), sink);
  if (!result.ok())
    return "refused" + (sink.text.empty() ? "" : ", and yet " + sink.text);
  return (result.status == ParseStatus::Ignored ? "ignored\n" : "ok\n") + sink.text;
}

} // namespace quietcore::test
