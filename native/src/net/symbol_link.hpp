#pragma once

#include "connection.hpp"

#include "quietcore/backoff.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace quietcore {

/// What a leg knows of a symbol's book.
struct SymbolLink {
  SymbolLink(const ConnectionConfig &config, std::uint64_t seed)
      : patience(config.stale_after), backoff(config.resync_first, config.resync_limit, seed) {}

  /// A book that is quiet by nature: silence means less from here on. Up to a quarter of an hour.
  void silence_was_real() {
    patience = std::min<std::chrono::milliseconds>(2 * patience, std::chrono::minutes(15));
  }

  Connection *connection = nullptr;
  std::uint64_t generation = 0; ///< of the connection: answers to an older one are late
  std::uint64_t asked_ns = 0;
  bool asked = false; ///< an answer is on its way, or a try is waiting for its time
  bool listed = true;
  std::uint64_t heard = 0;    ///< messages, when last looked at
  std::uint64_t heard_ns = 0; ///< when there last was one
  std::uint64_t live_ns = 0;  ///< when it was last seen LIVE
  bool doubted = false;
  std::uint64_t doubted_id = 0;       ///< of the book then
  std::chrono::milliseconds patience; ///< silence that is not doubted yet
  Backoff backoff;
};

} // namespace quietcore
