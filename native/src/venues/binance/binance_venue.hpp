#pragma once

#include "quietcore/venue.hpp"

#include <memory>

namespace quietcore::binance {

/// Binance spot and USD-M futures.
[[nodiscard]] std::unique_ptr<Venue> make_spot();
[[nodiscard]] std::unique_ptr<Venue> make_usdm();

} // namespace quietcore::binance
