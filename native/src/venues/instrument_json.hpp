#pragma once

#include "quietcore/error.hpp"
#include "quietcore/venue.hpp"

#include <simdjson.h>
#include <string>
#include <string_view>

namespace quietcore {

/// What the venues' instrument readers share: an answer that does not look as documented ends the start with
/// one line.
[[noreturn]] inline void bad_instruments(const std::string &target, const std::string &found) {
  throw Error({.what = "instrument data not understood",
               .where = target,
               .found = found,
               .expected = "the venue's documented answer",
               .remedy = "check that `rest` is the address of this venue"});
}

[[nodiscard]] inline std::string_view text_of(simdjson::dom::element element, const char *key,
                                              const std::string &target) {
  std::string_view text;
  if (element[key].get(text) != simdjson::SUCCESS)
    bad_instruments(target, std::string("no text ") + key);
  return text;
}

[[nodiscard]] inline Scale scale_of(std::string_view step, std::string_view symbol,
                                    const std::string &target) {
  Decimal decimal;
  Scale scale;
  if (parse_decimal(step, decimal) != DecimalStatus::Ok || !to_scale(decimal, scale))
    bad_instruments(target, "step \"" + std::string(step) + "\" of " + std::string(symbol));
  return scale;
}

} // namespace quietcore
