#pragma once

#include "quietcore/multicast_packet.hpp"
#include "quietcore/venue.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quietcore::multicast {

/// Collects a feed's symbols from its snapshot channel; begins anew with each epoch.
class PacketDirectory {
public:
  /// A packet whose header is good. One of a smaller epoch, or that breaks the format, is left out.
  void take(const PacketHeader &header, std::span<const std::byte> packet);
  void forget();

  [[nodiscard]] bool complete() const noexcept { return !symbols_.empty() && known_ == symbols_.size(); }
  [[nodiscard]] std::size_t known() const noexcept { return known_; }
  [[nodiscard]] std::size_t size() const noexcept { return symbols_.size(); }
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
  /// In the directory's order; without a name where an entry has not come.
  [[nodiscard]] const std::vector<Instrument> &instruments() const noexcept { return symbols_; }

private:
  std::uint64_t epoch_ = 0;
  std::size_t known_ = 0;
  std::vector<Instrument> symbols_{};
};

} // namespace quietcore::multicast
