#pragma once

#include <atomic>

namespace quietcore {

/// Set by SIGTERM and SIGINT once installed.
class StopSignal {
public:
  /// Installs the handlers, without SA_RESTART: a sleep in progress ends.
  static void install();
  [[nodiscard]] static bool requested() noexcept;
};

} // namespace quietcore
