#pragma once

#include "quietcore/decimal.hpp"

#include <array>
#include <cstdint>
#include <limits>

namespace quietcore {

/// to_units for one scale, with what can be known beforehand looked up.
class UnitScale {
public:
  explicit UnitScale(Scale scale) noexcept : scale_(scale) {
    limits_.fill(-1);
    if (scale.mantissa != 1)
      return;
    for (std::size_t places = 0; places <= scale.exponent && places <= kMaxPlaces; ++places) {
      const std::size_t shift = scale.exponent - places;
      if (shift > kMaxPlaces)
        continue;
      factors_[places] = kPowersOfTen[shift];
      limits_[places] = std::numeric_limits<std::int64_t>::max() / kPowersOfTen[shift];
    }
  }

  /// As to_units(value, scale, out).
  [[nodiscard]] DecimalStatus to_units(Decimal value, std::int64_t &out) const noexcept {
    if (value.digits > limits_[value.places]) [[unlikely]]
      return quietcore::to_units(value, scale_, out);
    out = value.digits * factors_[value.places];
    return DecimalStatus::Ok;
  }

  [[nodiscard]] Scale scale() const noexcept { return scale_; }

private:
  Scale scale_;
  std::array<std::int64_t, kMaxPlaces + 1> factors_{};
  std::array<std::int64_t, kMaxPlaces + 1> limits_{}; ///< most digits that the factor takes; -1: none
};

} // namespace quietcore
