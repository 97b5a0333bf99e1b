#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace quietcore {

/// A decimal as it stood on the wire, exact: digits / 10^places. Never negative.
struct Decimal {
  std::int64_t digits = 0;
  std::uint8_t places = 0;
};

/// Size of one tick or lot: mantissa / 10^exponent.
struct Scale {
  std::uint32_t mantissa = 1;
  std::uint8_t exponent = 0;

  friend bool operator==(const Scale &, const Scale &) = default;
};

enum class DecimalStatus : std::uint8_t {
  Ok,
  NotADecimal, ///< not digits with at most one point
  TooLarge,    ///< does not fit 18 significant digits, or 64 bits once scaled
  NotMultiple, ///< no whole number of ticks or lots
};

inline constexpr std::uint8_t kMaxPlaces = 18;

inline constexpr std::array<std::int64_t, kMaxPlaces + 1> kPowersOfTen = [] {
  std::array<std::int64_t, kMaxPlaces + 1> powers{};
  std::int64_t power = 1;
  for (std::size_t i = 0; i < powers.size(); ++i) {
    powers[i] = power;
    if (i + 1 < powers.size())
      power *= 10;
  }
  return powers;
}();

/// Reads "123", "0.5", "71419.80". No sign, no exponent, no spaces: venues send none for prices and sizes.
[[nodiscard]] constexpr DecimalStatus parse_decimal(std::string_view text, Decimal &out) noexcept {
  std::int64_t digits = 0;
  unsigned places = 0;
  unsigned significant = 0;
  unsigned seen = 0;
  bool point = false;
  // Zeros at the end of the fraction are held back, so that "1.000000000000000000000" still fits.
  unsigned held_zeros = 0;
  for (const char c : text) {
    if (c == '.') {
      if (point)
        return DecimalStatus::NotADecimal;
      point = true;
      continue;
    }
    const auto digit = static_cast<unsigned>(static_cast<unsigned char>(c)) - '0';
    if (digit > 9)
      return DecimalStatus::NotADecimal;
    ++seen;
    if (digit == 0 && point) {
      ++held_zeros;
      continue;
    }
    const unsigned step = held_zeros + 1;
    if (significant != 0 || digit != 0) {
      if (step > kMaxPlaces || (significant += (significant != 0 ? step : 1U)) > kMaxPlaces)
        return DecimalStatus::TooLarge;
      digits = digits * kPowersOfTen[step] + static_cast<std::int64_t>(digit);
    }
    if (point) {
      places += step;
      if (places > kMaxPlaces)
        return DecimalStatus::TooLarge;
    }
    held_zeros = 0;
  }
  if (seen == 0)
    return DecimalStatus::NotADecimal;
  out.digits = digits;
  out.places = static_cast<std::uint8_t>(places);
  return DecimalStatus::Ok;
}

/// Turns a decimal into a whole number of ticks or lots; never rounds.
[[nodiscard]] constexpr DecimalStatus to_units(Decimal value, Scale scale, std::int64_t &out) noexcept {
  std::int64_t units = value.digits;
  if (value.places < scale.exponent) {
    const unsigned shift = static_cast<unsigned>(scale.exponent) - value.places;
    if (units != 0) {
      if (shift > kMaxPlaces || __builtin_mul_overflow(units, kPowersOfTen[shift], &units))
        return DecimalStatus::TooLarge;
    }
  } else if (value.places > scale.exponent) {
    const std::int64_t divisor = kPowersOfTen[static_cast<unsigned>(value.places) - scale.exponent];
    if (units % divisor != 0)
      return DecimalStatus::NotMultiple;
    units /= divisor;
  }
  if (scale.mantissa != 1) {
    if (units % scale.mantissa != 0)
      return DecimalStatus::NotMultiple;
    units /= scale.mantissa;
  }
  out = units;
  return DecimalStatus::Ok;
}

/// "0.10" is 1 / 10^1, "0.05" is 5 / 10^2, "10" is 10. False where it is zero or does not fit.
[[nodiscard]] constexpr bool to_scale(Decimal step, Scale &out) noexcept {
  while (step.places > 0 && step.digits % 10 == 0) {
    step.digits /= 10;
    --step.places;
  }
  if (step.digits <= 0 || step.digits > UINT32_MAX)
    return false;
  out = Scale{static_cast<std::uint32_t>(step.digits), step.places};
  return true;
}

} // namespace quietcore
