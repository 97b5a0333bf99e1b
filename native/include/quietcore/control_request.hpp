#pragma once

#include "quietcore/feed_config.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace quietcore {

/// Longest line that the control socket takes, the line feed included.
inline constexpr std::size_t kLongestControlRequest = 4096;

/// One line of the control socket: `status`, or `switch a|b WEBSOCKET [REST]`, words apart by blanks or tabs.
struct ControlRequest {
  enum class Kind : std::uint8_t { Status, Switch };
  Kind kind = Kind::Status;
  std::size_t leg = 0; ///< of a switch: 0 is a, 1 is b
  Endpoint endpoint{}; ///< of a switch: addresses that Url::parse takes; rest may be empty

  /// `line` without its end. Throws Error where it is anything else, a word too many included.
  [[nodiscard]] static ControlRequest parse(std::string_view line);
};

} // namespace quietcore
