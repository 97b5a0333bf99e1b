#pragma once

#include "quietcore/venue.hpp"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace quietcore {

/// What a recording needs known before it can be replayed: it carries no instrument data, its snapshots may
/// not name their symbol, and the depth of its book stream shows only in its messages.
struct RecordingFacts {
  std::vector<Instrument> instruments; ///< in order of first appearance; scale: the finest decimal seen
  std::vector<std::uint32_t> windows;  ///< by symbol: the deepest book stream, 0: without a window
  std::vector<bool> has_book;          ///< by symbol: there are depth messages
  std::unordered_map<std::uint64_t, std::uint32_t>
      snapshot_symbols; ///< by line: of snapshots without a symbol
  std::uint64_t lines = 0;
  std::uint64_t cut_line = 0; ///< the last line where it stops in the middle of a message, 0: it does not
  bool cut_gzip = false;      ///< the compressed data stop or are damaged
};

/// Reads a whole recording once. Throws Error where it cannot be opened or holds nothing of the venue.
[[nodiscard]] RecordingFacts scan_recording(const Venue &venue, const std::string &path);

} // namespace quietcore
