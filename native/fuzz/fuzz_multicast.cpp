// Packets of a multicast feed that hold anything: they are refused whole, or read within their bounds, by
// everything that reads them, whatever came before.
#include "../src/venues/multicast/multicast_parser.hpp"
#include "fuzz_parser.hpp"

#include "quietcore/multicast_packet.hpp"
#include "quietcore/packet_directory.hpp"
#include "quietcore/packet_watch.hpp"
#include "quietcore/pcap.hpp"

#include <cstring>
#include <span>
#include <vector>

namespace {

using namespace quietcore;

/// Makes the header good, so that what lies behind it is read: magic, version and length.
void mend(std::vector<std::byte> &packet) {
  if (packet.size() < multicast::kHeaderSize)
    return;
  std::memcpy(packet.data(), &multicast::kMagic, sizeof(multicast::kMagic));
  packet[4] = std::byte{multicast::kVersion};
  packet[8] = static_cast<std::byte>(packet.size() & 255U);
  packet[9] = static_cast<std::byte>(packet.size() >> 8U);
}

/// Memory of just the promised size: one byte too many is seen.
struct Exact {
  explicit Exact(std::span<const std::byte> packet)
      : size(packet.size()), bytes(new char[packet.size() + kMessagePadding]()) {
    std::copy(packet.begin(), packet.end(), reinterpret_cast<std::byte *>(bytes.get()));
  }
  std::size_t size;
  std::unique_ptr<char[]> bytes;
};

} // namespace

/// Input: packets, each behind two bytes: its length, and in the highest bit whether its header is mended.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::unique_ptr<Parser> parser = multicast::make_parser();
  static multicast::PacketWatch watch(1000); // made once: it holds what it waits for
  multicast::PacketDirectory directory;
  fuzz::Digest digest;
  std::uint64_t now = 1;
  while (size >= 2) {
    const std::size_t head = std::size_t{data[0]} | std::size_t{data[1]} << 8U;
    const std::size_t length = std::min<std::size_t>(head & 0x7fffU, size - 2);
    const auto *begin = reinterpret_cast<const std::byte *>(data + 2);
    std::vector<std::byte> packet(begin, begin + length);
    data += 2 + length;
    size -= 2 + length;
    if ((head & 0x8000U) != 0)
      mend(packet);
    const Exact exact(packet);
    const ParseResult result = parser->parse(exact.bytes.get(), exact.size, digest);
    if (!result.ok() && result.status != ParseStatus::BadPacket)
      std::abort();
    multicast::PacketHeader header;
    if (multicast::read_header(packet, header) == nullptr)
      directory.take(header, packet);
    watch.take(packet, 1, now += 100);
    watch.tend(now);
    for (const std::uint32_t link : {1U, 101U, 113U, 276U}) {
      if (const auto udp = pcap::read_udp({false, true, link}, {exact.bytes.get(), exact.size})) {
        if (udp->payload.data() + udp->payload.size() > exact.bytes.get() + exact.size)
          std::abort();
      }
    }
  }
  return 0;
}
