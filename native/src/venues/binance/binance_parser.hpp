#pragma once

#include "quietcore/market_message.hpp"

#include <memory>

namespace quietcore::binance {

/// Binance spot and USD-M: combined streams {"stream":…,"data":{…}} or raw events (depthUpdate, bookTicker,
/// trade), the REST depth snapshot, and answers to requests. Fields may come in any order. Spot differs in
/// that a delta does not name its predecessor (pu) and that a bookTicker does not say what it is (e). What
/// other streams send is ignored, whatever it holds; trades that are none on the book (X) are counted as left
/// out.
[[nodiscard]] std::unique_ptr<Parser> make_spot_parser();
[[nodiscard]] std::unique_ptr<Parser> make_usdm_parser();

} // namespace quietcore::binance
