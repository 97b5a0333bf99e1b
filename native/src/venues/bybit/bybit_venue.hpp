#pragma once

#include "quietcore/venue.hpp"

#include <memory>

namespace quietcore::bybit {

/// Bybit v5: spot, linear and inverse contracts.
[[nodiscard]] std::unique_ptr<Venue> make_spot();
[[nodiscard]] std::unique_ptr<Venue> make_linear();
[[nodiscard]] std::unique_ptr<Venue> make_inverse();

} // namespace quietcore::bybit
