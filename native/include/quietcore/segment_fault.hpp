#pragma once

#include <cstdint>
#include <string_view>

namespace quietcore {

/// A segment is a file that others may cut short while it is mapped; the next access then ends the process by
/// SIGBUS. This says which segment it was before the process ends, in one line, and gives the exit status 3.
class SegmentFault {
public:
  /// For the executable alone: a library leaves its host's signal handlers as they are.
  static void install() noexcept;

  /// Knows a mapping by its path. Beyond 16 at a time they are not named.
  static void watch(const void *begin, std::uint64_t size, std::string_view path) noexcept;
  static void forget(const void *begin) noexcept;
};

} // namespace quietcore
