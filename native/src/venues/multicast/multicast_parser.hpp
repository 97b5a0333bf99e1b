#pragma once

#include "quietcore/market_message.hpp"

#include <memory>

namespace quietcore::multicast {

/// Reads the packets of one feed, the first that comes: the directory, messages, and what is missing between
/// packets, which puts every book in doubt. Packets must come in order; those of the past are ignored.
[[nodiscard]] std::unique_ptr<Parser> make_parser();

} // namespace quietcore::multicast
