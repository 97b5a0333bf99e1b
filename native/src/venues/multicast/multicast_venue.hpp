#pragma once

#include "quietcore/venue.hpp"

#include <memory>

namespace quietcore::multicast {

/// A feed that another feed handler publishes: native/schema/multicast.md.
[[nodiscard]] std::unique_ptr<Venue> make_venue();

} // namespace quietcore::multicast
