#pragma once

#include "quietcore/latency_histogram.hpp"
#include "quietcore/packet_order.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace quietcore::multicast {

/// What came of one feed over one channel.
struct ChannelWatch {
  explicit ChannelWatch(std::uint64_t patience_ns)
      : order(patience_ns, [this](const ReceivedPacket &packet) { see(packet); }) {}

  PacketOrder order;
  std::uint64_t bytes = 0;
  std::uint64_t messages = 0;
  std::uint64_t malformed = 0; ///< whose header was good, and the rest was not
  std::uint64_t ahead = 0;     ///< sent later than received: the clocks differ, and latency means nothing
  LatencyHistogram latency{};  ///< nanoseconds from sending to the kernel's receipt

private:
  void see(const ReceivedPacket &packet);
};

/// Watches groups for loss: every feed that comes, each channel by itself. Bounded: feeds beyond the first
/// kMaxFeeds are counted together.
class PacketWatch {
public:
  static constexpr std::size_t kMaxFeeds = 64;
  using Key = std::pair<std::uint32_t, Channel>; ///< feed, channel

  explicit PacketWatch(std::uint64_t patience_ns) : patience_ns_(patience_ns) {}

  void take(std::span<const std::byte> bytes, std::int64_t receive_ns, std::uint64_t now_ns);
  void tend(std::uint64_t now_ns);
  /// Gives up what is still missing.
  void finish() { tend(UINT64_MAX); }

  [[nodiscard]] const std::map<Key, std::unique_ptr<ChannelWatch>> &channels() const noexcept {
    return channels_;
  }
  [[nodiscard]] std::uint64_t foreign() const noexcept { return foreign_; } ///< no packets of this format
  [[nodiscard]] std::uint64_t beyond() const noexcept {
    return beyond_;
  } ///< of feeds for which there is no room
  /// Anything lost, late or malformed.
  [[nodiscard]] bool any_loss() const noexcept;

private:
  std::uint64_t patience_ns_;
  std::map<Key, std::unique_ptr<ChannelWatch>> channels_{};
  std::uint64_t foreign_ = 0;
  std::uint64_t beyond_ = 0;
};

} // namespace quietcore::multicast
