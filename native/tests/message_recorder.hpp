#pragma once

#include "quietcore/market_message.hpp"

#include "test_segment.hpp"

#include <memory>
#include <string>
#include <vector>

namespace quietcore::test {

/// Keeps what a parser found.
class MessageRecorder final : public MessageSink {
public:
  struct Depth {
    std::string symbol;
    DepthMessage message;
    std::vector<RawLevel> bids;
    std::vector<RawLevel> asks;
  };
  struct Trades {
    std::string symbol;
    std::int64_t venue_ns;
    std::vector<RawTrade> trades;
  };
  struct Ticker {
    std::string symbol;
    TickerMessage message;
  };
  struct Control {
    ControlMessage::Kind kind;
    std::string id;
    std::string text;
  };

  std::vector<Depth> depths;
  std::vector<Trades> trades;
  std::vector<Ticker> tickers;
  std::vector<Control> controls;

  void on_depth(const DepthMessage &m) override {
    depths.push_back(
        {std::string(m.symbol), m, {m.bids.begin(), m.bids.end()}, {m.asks.begin(), m.asks.end()}});
  }
  void on_trades(const TradesMessage &m) override {
    trades.push_back({std::string(m.symbol), m.venue_ns, {m.trades.begin(), m.trades.end()}});
  }
  void on_ticker(const TickerMessage &m) override { tickers.push_back({std::string(m.symbol), m}); }
  void on_control(const ControlMessage &m) override {
    controls.push_back({m.kind, std::string(m.id), std::string(m.text)});
  }
  [[nodiscard]] std::size_t total() const {
    return depths.size() + trades.size() + tickers.size() + controls.size();
  }
};

inline ParseResult parse(Parser &parser, const std::string &text, MessageSink &sink) {
  const Padded padded(text);
  return parser.parse(padded.view().data(), padded.view().size(), sink);
}

} // namespace quietcore::test
