#pragma once

#include "quietcore/market_message.hpp"

#include <memory>

namespace quietcore::bybit {

/// Bybit v5 public streams: orderbook.{depth}.{symbol}, publicTrade.{symbol}, tickers.{symbol}, and the
/// answers to subscribe and ping. Fields may come in any order, as they do between products. Other topics are
/// ignored, whatever they hold: orderbook.rpi.{symbol} is another book. Block trades (BT) are counted as left
/// out.
[[nodiscard]] std::unique_ptr<Parser> make_parser();

} // namespace quietcore::bybit
