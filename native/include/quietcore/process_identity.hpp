#pragma once

#include <cstdint>

namespace quietcore {

/// A process told apart from a later one that got the same pid.
struct ProcessIdentity {
  std::uint32_t pid = 0;
  std::uint64_t start = 0; ///< field 22 of /proc/PID/stat

  [[nodiscard]] static ProcessIdentity current();
};

} // namespace quietcore
