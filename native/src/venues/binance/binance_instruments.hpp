#pragma once

#include "quietcore/venue.hpp"

#include <string>

namespace quietcore::binance {

/// All that /api/v3/exchangeInfo or /fapi/v1/exchangeInfo lists; `target` is which. Throws Refused where the
/// answer is an error of the venue's, Error where it is not as documented.
[[nodiscard]] InstrumentList fetch_instruments(const Fetch &fetch, const std::string &target);

} // namespace quietcore::binance
