#pragma once

#include "quietcore/json_writer.hpp"

#include <string>
#include <string_view>

namespace quietcore {

/// A text as JSON writes it, quotes included.
[[nodiscard]] inline std::string json_text(std::string_view text) { return JsonWriter().value(text).text(); }

} // namespace quietcore
