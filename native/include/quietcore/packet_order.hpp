#pragma once

#include "quietcore/multicast_packet.hpp"

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace quietcore::multicast {

/// What came over a channel. Every packet counts in exactly one of delivered, duplicates, late and old;
/// heartbeats in heartbeats alone.
struct OrderCounts {
  std::uint64_t delivered = 0;  ///< handed on, in order
  std::uint64_t lost = 0;       ///< sequence numbers given up
  std::uint64_t gaps = 0;       ///< runs of them
  std::uint64_t overtaken = 0;  ///< of the delivered: came after a later one, and in time
  std::uint64_t duplicates = 0; ///< had come before
  std::uint64_t late = 0;       ///< came after they were given up
  std::uint64_t old = 0;        ///< of an earlier epoch, or from before the first packet
  std::uint64_t heartbeats = 0;
  std::uint64_t restarts = 0; ///< the publisher began anew
};

/// A packet as it came.
struct ReceivedPacket {
  PacketHeader header{};
  std::span<const std::byte> bytes{};
  std::int64_t receive_ns = 0;
  bool kernel_time = false; ///< receive_ns is the kernel's
};

/// Hands on the packets of one channel in their order: one that came too early waits for those that it
/// overtook, for a bounded time and number; then they are given up as lost. No allocation once it is made.
class PacketOrder {
public:
  static constexpr std::size_t kWindow = 64; ///< packets that may wait

  /// Called with each packet in order, and with heartbeats. The bytes are followed by kMessagePadding
  /// readable ones.
  using Deliver = std::function<void(const ReceivedPacket &)>;

  /// `patience_ns`: how long a packet may wait for those that it overtook.
  PacketOrder(std::uint64_t patience_ns, Deliver deliver);

  /// A packet whose header is good. `heartbeat`: it has no number of its own.
  void take(const ReceivedPacket &packet, bool heartbeat, std::uint64_t now_ns);
  /// Gives up what has been waited for long enough.
  void tend(std::uint64_t now_ns);
  /// Forgets the publisher: whatever comes next begins anew, whatever its epoch is.
  void forget() noexcept;

  [[nodiscard]] const OrderCounts &counts() const noexcept { return counts_; }
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
  /// A packet waits: tend() is due by this time, 0: none does.
  [[nodiscard]] std::uint64_t due_ns() const noexcept { return waiting_ ? since_ns_ + patience_ns_ : 0; }

private:
  struct Held {
    bool filled = false;
    ReceivedPacket packet{};
    std::vector<std::byte> bytes{};
  };

  [[nodiscard]] Held &held(std::uint64_t sequence) { return held_[sequence % kWindow]; }
  void keep(Held &place, const ReceivedPacket &packet);
  void pass(const ReceivedPacket &packet);
  /// Delivers what waits for no one.
  void deliver_ready(std::uint64_t now_ns);
  /// Gives up all numbers before the first that waits, or before the end that a heartbeat told.
  void give_up(std::uint64_t now_ns);
  void skip_to(std::uint64_t sequence) noexcept;
  [[nodiscard]] bool seen(std::uint64_t sequence) const noexcept { return seen_[sequence % kSeen]; }
  void advance(bool came) noexcept;

  static constexpr std::size_t kSeen = 4096; ///< numbers back that are told apart as duplicate or late

  std::uint64_t patience_ns_;
  Deliver deliver_;
  std::uint64_t epoch_ = 0;
  std::uint64_t expected_ = 0; ///< 0: nothing has come
  std::uint64_t first_ = 0;    ///< number of the epoch's first packet here
  std::uint64_t newest_ = 0;   ///< highest number that has come
  std::uint64_t end_ = 0;      ///< a heartbeat said that this one comes next
  bool waiting_ = false;
  std::uint64_t since_ns_ = 0;
  std::array<Held, kWindow> held_{};
  Held last_heartbeat_{};
  std::bitset<kSeen> seen_{};
  OrderCounts counts_{};
};

} // namespace quietcore::multicast
