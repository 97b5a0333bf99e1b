#pragma once

#include "quietcore/venue.hpp"

#include <memory>

namespace quietcore::bybit {

/// Bybit v5, linear contracts.
[[nodiscard]] std::unique_ptr<Venue> make_linear();

} // namespace quietcore::bybit
