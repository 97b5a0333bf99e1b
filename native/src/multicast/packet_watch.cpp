#include "quietcore/packet_watch.hpp"

#include <algorithm>

namespace quietcore::multicast {

void ChannelWatch::see(const ReceivedPacket &packet) {
  if (is_heartbeat(packet.bytes))
    return;
  MessageReader reader(packet.bytes, packet.header);
  PacketMessage message;
  while (reader.next(message)) {
  }
  messages += packet.header.count;
  malformed += reader.problem() != nullptr ? 1U : 0U;
  bytes += packet.bytes.size();
}

void PacketWatch::take(std::span<const std::byte> bytes, std::int64_t receive_ns, std::uint64_t now_ns) {
  ReceivedPacket packet;
  packet.bytes = bytes;
  packet.receive_ns = receive_ns;
  if (read_header(bytes, packet.header) != nullptr) {
    ++foreign_;
    return;
  }
  auto at = channels_.find({packet.header.feed, packet.header.channel});
  if (at == channels_.end()) {
    if (channels_.size() == kMaxFeeds * kChannels) {
      ++beyond_;
      return;
    }
    at = channels_
             .emplace(Key{packet.header.feed, packet.header.channel},
                      std::make_unique<ChannelWatch>(patience_ns_))
             .first;
  }
  ChannelWatch &channel = *at->second;
  const std::int64_t taken = receive_ns - packet.header.send_ns;
  if (taken < 0)
    ++channel.ahead;
  else
    channel.latency.add(static_cast<std::uint64_t>(taken));
  channel.order.take(packet, is_heartbeat(bytes), now_ns);
}

void PacketWatch::tend(std::uint64_t now_ns) {
  for (const auto &[key, channel] : channels_)
    channel->order.tend(now_ns);
}

bool PacketWatch::any_loss() const noexcept {
  return std::any_of(channels_.begin(), channels_.end(), [](const auto &each) {
    return each.second->order.counts().lost != 0 || each.second->malformed != 0;
  });
}

} // namespace quietcore::multicast
