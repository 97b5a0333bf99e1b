#pragma once

#include "quietcore/refusal.hpp"
#include "quietcore/url.hpp"

#include <chrono>
#include <functional>
#include <string>

namespace quietcore {

/// Which certificates are trusted beside the system's.
struct TlsTrust {
  std::string extra_ca{}; ///< a PEM file, empty: none
};

struct HttpPatience {
  std::chrono::milliseconds timeout{10'000};
  /// Looked at several times a second: true ends the wait.
  std::function<bool()> stopped = [] { return false; };
};

/// Fetches one target over HTTP or HTTPS and returns the body. Blocks; for start-up and for the thread that
/// fetches snapshots. Throws Refused where the server does not answer 200, Error (exit 3) where it cannot be
/// reached, is not trusted, or this process has no descriptor or memory left for it.
[[nodiscard]] std::string http_get(const Url &server, const std::string &target, const TlsTrust &trust,
                                   const HttpPatience &patience);

} // namespace quietcore
