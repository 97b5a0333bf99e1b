#pragma once

#include "quietcore/venue.hpp"

#include <string_view>

namespace quietcore::bybit {

/// All that a category lists, from /v5/market/instruments-info page by page. `lot` is the field of
/// lotSizeFilter that holds the step of sizes: the products differ in it. Throws Refused where retCode is not
/// 0, Error where an answer is not as documented.
[[nodiscard]] InstrumentList fetch_instruments(const Fetch &fetch, std::string_view category,
                                               std::string_view lot);

} // namespace quietcore::bybit
