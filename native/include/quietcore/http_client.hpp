#pragma once

#include "quietcore/url.hpp"

#include <chrono>
#include <string>

namespace quietcore {

/// Which certificates are trusted beside the system's.
struct TlsTrust {
  std::string extra_ca{}; ///< a PEM file, empty: none
};

/// Fetches one target over HTTP or HTTPS and returns the body. Blocks; for start-up and for the thread that
/// fetches snapshots. Throws Error (exit 3) where the server cannot be reached, is not trusted, or does not
/// answer 200.
[[nodiscard]] std::string http_get(const Url &server, const std::string &target, const TlsTrust &trust,
                                   std::chrono::milliseconds timeout);

} // namespace quietcore
