#pragma once

#include "quietcore/venue.hpp"

#include <string_view>
#include <vector>

namespace quietcore::bybit {

/// All trading instruments of a category, from /v5/market/instruments-info page by page. `lot` is the
/// field of lotSizeFilter that holds the step of sizes: the products differ in it. Throws Error.
[[nodiscard]] std::vector<Instrument> fetch_instruments(const Fetch &fetch, std::string_view category,
                                                        std::string_view lot);

} // namespace quietcore::bybit
