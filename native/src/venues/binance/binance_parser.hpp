#pragma once

#include "quietcore/market_message.hpp"

#include <memory>

namespace quietcore::binance {

/// Binance USD-M: combined streams {"stream":…,"data":{…}} or raw events (depthUpdate, bookTicker, trade),
/// the REST depth snapshot, and answers to requests. Fields may come in any order.
[[nodiscard]] std::unique_ptr<Parser> make_usdm_parser();

} // namespace quietcore::binance
