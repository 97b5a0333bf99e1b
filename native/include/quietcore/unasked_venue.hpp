#pragma once

#include "quietcore/venue.hpp"

namespace quietcore {

/// A venue whose messages come by themselves: nothing is subscribed to, and nothing asked for.
class UnaskedVenue : public Venue {
public:
  [[nodiscard]] std::span<const std::uint32_t> depths() const noexcept final { return {}; }
  [[nodiscard]] InstrumentList instruments(const Fetch &) const final { return {}; }
  [[nodiscard]] std::vector<ConnectionPlan> plan(const Subscription &, std::string_view) const final {
    return {};
  }
  [[nodiscard]] std::optional<KeepAlive> keep_alive() const final { return std::nullopt; }
  [[nodiscard]] VenueLimits limits() const noexcept final { return {}; }
  [[nodiscard]] std::string subscribe(const std::vector<std::string> &, std::uint64_t) const final {
    return {};
  }
  [[nodiscard]] std::string snapshot_target(std::string_view) const final { return {}; }
  [[nodiscard]] std::vector<std::string> resubscribe(std::string_view, const Subscription &) const final {
    return {};
  }
  [[nodiscard]] std::vector<std::string> revive(std::string_view, const Subscription &) const final {
    return {};
  }
};

} // namespace quietcore
