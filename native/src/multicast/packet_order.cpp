#include "quietcore/packet_order.hpp"

#include "quietcore/market_message.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace quietcore::multicast {

PacketOrder::PacketOrder(std::uint64_t patience_ns, Deliver deliver)
    : patience_ns_(patience_ns), deliver_(std::move(deliver)) {
  for (Held &place : held_)
    place.bytes.resize(kLargestRead + kMessagePadding);
  last_heartbeat_.bytes.resize(kLargestRead + kMessagePadding);
}

void PacketOrder::keep(Held &place, const ReceivedPacket &packet) {
  const std::size_t size = std::min(packet.bytes.size(), kLargestRead);
  std::memcpy(place.bytes.data(), packet.bytes.data(), size);
  std::memset(place.bytes.data() + size, 0, kMessagePadding);
  place.packet = packet;
  place.packet.bytes = std::span(place.bytes).first(size);
  place.filled = true;
}

void PacketOrder::pass(const ReceivedPacket &packet) {
  ++counts_.delivered;
  deliver_(packet);
}

void PacketOrder::advance(bool came) noexcept {
  seen_[expected_ % kSeen] = came;
  ++expected_;
}

void PacketOrder::forget() noexcept {
  expected_ = 0;
  epoch_ = 0;
  newest_ = 0;
  end_ = 0;
  waiting_ = false;
  last_heartbeat_.filled = false;
  for (Held &place : held_)
    place.filled = false;
}

void PacketOrder::take(const ReceivedPacket &packet, bool heartbeat, std::uint64_t now_ns) {
  const PacketHeader &header = packet.header;
  if (expected_ != 0 && header.epoch < epoch_) {
    ++(heartbeat ? counts_.heartbeats : counts_.old);
    return;
  }
  if (expected_ == 0 || header.epoch > epoch_) {
    if (expected_ != 0) {
      while (waiting_)
        give_up(now_ns);
      ++counts_.restarts;
    }
    forget();
    epoch_ = header.epoch;
    expected_ = first_ = header.sequence;
    newest_ = header.sequence - 1;
    seen_.reset();
  }
  if (heartbeat) {
    ++counts_.heartbeats;
    if (header.sequence == expected_) {
      deliver_(packet);
    } else if (header.sequence > expected_ && header.sequence > end_) {
      end_ = header.sequence;
      keep(last_heartbeat_, packet);
      if (!std::exchange(waiting_, true))
        since_ns_ = now_ns;
    }
    return;
  }
  const std::uint64_t sequence = header.sequence;
  if (sequence < expected_) {
    if (sequence < first_ || expected_ - sequence > kSeen)
      ++counts_.old;
    else if (seen(sequence))
      ++counts_.duplicates;
    else {
      ++counts_.late;
      seen_[sequence % kSeen] = true;
    }
    return;
  }
  if (sequence == expected_) {
    counts_.overtaken += sequence < newest_ ? 1U : 0U;
    newest_ = std::max(newest_, sequence);
    advance(true);
    pass(packet);
    deliver_ready(now_ns);
    return;
  }
  // So far ahead that the window does not reach: what is missing is given up until it does.
  while (waiting_ && sequence >= expected_ && sequence - expected_ >= kWindow)
    give_up(now_ns);
  if (sequence < expected_ || sequence - expected_ >= kWindow) {
    if (sequence > expected_)
      skip_to(sequence);
    take(packet, false, now_ns);
    return;
  }
  if (sequence == expected_) {
    take(packet, false, now_ns);
    return;
  }
  Held &place = held(sequence);
  if (place.filled) {
    ++counts_.duplicates;
    return;
  }
  counts_.overtaken += sequence < newest_ ? 1U : 0U;
  newest_ = std::max(newest_, sequence);
  keep(place, packet);
  if (!std::exchange(waiting_, true))
    since_ns_ = now_ns;
}

void PacketOrder::deliver_ready(std::uint64_t now_ns) {
  while (held(expected_).filled) {
    Held &place = held(expected_);
    place.filled = false;
    advance(true);
    pass(place.packet);
  }
  const bool more = std::any_of(held_.begin(), held_.end(), [](const Held &place) { return place.filled; });
  if (end_ <= expected_) {
    end_ = 0;
    last_heartbeat_.filled = false;
  }
  waiting_ = more || end_ != 0;
  since_ns_ = now_ns; // what is waited for now is another packet
}

void PacketOrder::skip_to(std::uint64_t sequence) noexcept {
  counts_.lost += sequence - expected_;
  ++counts_.gaps;
  if (sequence - expected_ >= kSeen) {
    seen_.reset();
    expected_ = sequence;
  }
  while (expected_ < sequence)
    advance(false);
}

void PacketOrder::give_up(std::uint64_t now_ns) {
  std::uint64_t until = end_;
  for (const Held &place : held_) {
    if (place.filled && (until == 0 || place.packet.header.sequence < until))
      until = place.packet.header.sequence;
  }
  skip_to(until);
  // It alone tells the parser that the last packets are missing.
  if (end_ == expected_ && last_heartbeat_.filled)
    deliver_(last_heartbeat_.packet);
  deliver_ready(now_ns);
}

void PacketOrder::tend(std::uint64_t now_ns) {
  while (waiting_ && now_ns - since_ns_ >= patience_ns_)
    give_up(now_ns);
}

} // namespace quietcore::multicast
