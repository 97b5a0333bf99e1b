#pragma once

#include "quietcore/feed_core.hpp"
#include "quietcore/recording_scan.hpp"
#include "quietcore/venue.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace quietcore {

/// What a recording showed of the books made from it.
struct Verification {
  std::string json;                  ///< the result as one JSON object
  std::vector<std::string> problems; ///< why it does not hold; empty where it does
};

struct VerifyOptions {
  std::uint32_t ladder_depth = 20;
  std::string hashes{}; ///< file for one "symbol update_id hash" line per LIVE book message, empty: none
};

/// Runs a recording through parser, rules and books, and checks what can be checked without the venue:
/// continuous update ids, no crossed book, the venue's window kept, and the venue's own best prices equal to
/// the book's. Throws Error where the file cannot be read at all.
[[nodiscard]] Verification verify_recording(const Venue &venue, const std::string &path,
                                            const VerifyOptions &options, Diagnostics &diagnostics);

} // namespace quietcore
