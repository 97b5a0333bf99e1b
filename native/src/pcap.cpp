#include "quietcore/pcap.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace quietcore::pcap {
namespace {

constexpr std::uint32_t kMicroMagic = 0xa1b2c3d4;
constexpr std::uint32_t kNanoMagic = 0xa1b23c4d;
constexpr std::uint32_t kNextGeneration = 0x0a0d0d0a; ///< the same in either byte order

// Link types, as registered for capture files.
constexpr std::uint32_t kEthernet = 1;
constexpr std::uint32_t kRaw = 101;
constexpr std::uint32_t kLinuxCooked = 113;
constexpr std::uint32_t kIpv4 = 228;
constexpr std::uint32_t kLinuxCooked2 = 276;

constexpr std::uint8_t kUdp = 17;
constexpr std::uint16_t kEtherIpv4 = 0x0800;
constexpr std::uint16_t kVlan = 0x8100;
constexpr std::uint16_t kServiceVlan = 0x88a8;

std::uint8_t byte_at(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<std::uint8_t>(bytes[at]);
}
std::uint16_t network16(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<std::uint16_t>(byte_at(bytes, at) << 8U | byte_at(bytes, at + 1));
}
std::uint32_t network32(std::string_view bytes, std::size_t at) noexcept {
  return std::uint32_t{network16(bytes, at)} << 16U | network16(bytes, at + 2);
}
std::uint32_t file32(std::string_view bytes, std::size_t at, bool swapped) noexcept {
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof(number));
  return swapped ? __builtin_bswap32(number) : number;
}
void put16(std::span<char> out, std::size_t at, std::uint32_t number) noexcept {
  out[at] = static_cast<char>(number >> 8U & 0xffU);
  out[at + 1] = static_cast<char>(number & 0xffU);
}
void append16(std::string &out, std::uint16_t number) {
  out.append(reinterpret_cast<const char *>(&number), sizeof(number));
}
void append32(std::string &out, std::uint32_t number) {
  out.append(reinterpret_cast<const char *>(&number), sizeof(number));
}

/// What is left from the IPv4 header on; empty where something else is carried.
std::string_view ip_of(std::uint32_t link, std::string_view captured) noexcept {
  std::size_t type_at = 0;
  std::size_t body = 0;
  if (link == kEthernet) {
    type_at = 12;
    body = 14;
    while (captured.size() >= body + 4 &&
           (network16(captured, type_at) == kVlan || network16(captured, type_at) == kServiceVlan)) {
      type_at += 4;
      body += 4;
    }
  } else if (link == kLinuxCooked) {
    type_at = 14;
    body = 16;
  } else if (link == kLinuxCooked2) {
    type_at = 0;
    body = 20;
  } else {
    return captured;
  }
  if (captured.size() < body || network16(captured, type_at) != kEtherIpv4)
    return {};
  return captured.substr(body);
}

} // namespace

std::size_t frame(Endpoint from, Endpoint to, std::span<const std::byte> payload,
                  std::span<char> out) noexcept {
  const std::size_t size = std::min(payload.size(), out.size() - kFrameHead);
  std::fill_n(out.begin(), kFrameHead, '\0');
  out[0] = 0x45; // IPv4, five words of header
  put16(out, 2, static_cast<std::uint32_t>(size + kFrameHead));
  out[8] = 1; // hops
  out[9] = static_cast<char>(kUdp);
  put16(out, 12, from.address >> 16U);
  put16(out, 14, from.address);
  put16(out, 16, to.address >> 16U);
  put16(out, 18, to.address);
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at < 20; at += 2)
    sum += network16({out.data(), out.size()}, at);
  sum = (sum & 0xffffU) + (sum >> 16U);
  put16(out, 10, ~(sum + (sum >> 16U)));
  put16(out, 20, from.port);
  put16(out, 22, to.port);
  put16(out, 24, static_cast<std::uint32_t>(size + 8)); // no checksum: 0 says so
  if (size != 0)                                        // an empty payload need not lie anywhere
    std::memcpy(out.data() + kFrameHead, payload.data(), size);
  return size + kFrameHead;
}

std::string file_head() {
  std::string out;
  append32(out, kNanoMagic);
  append16(out, 2); // version 2.4
  append16(out, 4);
  append32(out, 0);
  append32(out, 0);
  append32(out, static_cast<std::uint32_t>(kLargestFrame));
  append32(out, kRaw);
  return out;
}

std::string record_head(std::int64_t time_ns, std::size_t size) {
  std::string out;
  append32(out, static_cast<std::uint32_t>(time_ns / 1'000'000'000));
  append32(out, static_cast<std::uint32_t>(time_ns % 1'000'000'000));
  append32(out, static_cast<std::uint32_t>(size));
  append32(out, static_cast<std::uint32_t>(size));
  return out;
}

std::string remark(std::int64_t time_ns, std::string_view text) {
  std::vector<char> bytes(text.size() + kFrameHead);
  const std::size_t size = frame({}, {}, std::as_bytes(std::span(text)), bytes);
  return record_head(time_ns, size) + std::string(bytes.data(), size);
}

Magic magic_of(std::string_view first) noexcept {
  if (first.size() < 4)
    return Magic::None;
  const std::uint32_t number = file32(first, 0, false);
  for (const std::uint32_t known : {kMicroMagic, kNanoMagic}) {
    if (number == known || number == __builtin_bswap32(known))
      return Magic::Pcap;
  }
  return number == kNextGeneration ? Magic::Pcapng : Magic::None;
}

std::optional<Format> read_file_head(std::string_view bytes) noexcept {
  if (bytes.size() < kFileHead || magic_of(bytes) != Magic::Pcap)
    return std::nullopt;
  Format format;
  const std::uint32_t number = file32(bytes, 0, false);
  format.swapped = number != kMicroMagic && number != kNanoMagic;
  format.nanoseconds = file32(bytes, 0, format.swapped) == kNanoMagic;
  format.link = file32(bytes, 20, format.swapped) & 0x0fffffffU; // the rest tells of checksums
  for (const std::uint32_t known : {kEthernet, kRaw, kIpv4, kLinuxCooked, kLinuxCooked2}) {
    if (format.link == known)
      return format;
  }
  return std::nullopt;
}

Record read_record_head(const Format &format, std::string_view bytes) noexcept {
  const std::int64_t seconds = file32(bytes, 0, format.swapped);
  const std::int64_t fraction = file32(bytes, 4, format.swapped);
  return {seconds * 1'000'000'000 + fraction * (format.nanoseconds ? 1 : 1000),
          file32(bytes, 8, format.swapped)};
}

std::optional<Udp> read_udp(const Format &format, std::string_view captured) noexcept {
  std::string_view ip = ip_of(format.link, captured);
  if (ip.size() < kFrameHead || byte_at(ip, 0) >> 4U != 4)
    return std::nullopt;
  const std::size_t head = (byte_at(ip, 0) & 15U) * std::size_t{4};
  const std::size_t total = network16(ip, 2);
  const bool fragment = (network16(ip, 6) & 0x3fffU) != 0;
  if (head < 20 || total < head + 8 || total > ip.size() || fragment || byte_at(ip, 9) != kUdp)
    return std::nullopt;
  ip = ip.substr(0, total); // Ethernet pads short frames
  const std::size_t length = network16(ip, head + 4);
  if (length < 8 || length > total - head)
    return std::nullopt;
  return Udp{{network32(ip, 12), network16(ip, head)},
             {network32(ip, 16), network16(ip, head + 2)},
             ip.substr(head + 8, length - 8)};
}

} // namespace quietcore::pcap
