#pragma once

#include "quietcore/recording_scan.hpp"
#include "quietcore/venue.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace quietcore::bench {

/// One message of an input, followed by the padding that parsers may read.
struct InputMessage {
  std::string_view bytes;
  bool snapshot;
};

/// A whole recording of Bybit messages in memory.
struct Input {
  std::unique_ptr<Venue> venue;
  RecordingFacts facts;
  std::string storage; ///< the bytes that `messages` show
  std::vector<InputMessage> messages;
};

/// Loads an input once and keeps it. Throws Error.
[[nodiscard]] const Input &load_input(const std::string &path);

/// "1953.1" for 19531 at 10^-1.
[[nodiscard]] std::string decimal_text(std::int64_t digits, unsigned places);

} // namespace quietcore::bench
