#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// Capture files of the classic pcap format (pcap-savefile(5)), as far as UDP over IPv4 goes.
namespace quietcore::pcap {

inline constexpr std::size_t kFileHead = 24;
inline constexpr std::size_t kRecordHead = 16;
inline constexpr std::size_t kFrameHead = 28;        ///< of IPv4 and UDP
inline constexpr std::size_t kLargestFrame = 262144; ///< the largest that any capture holds

struct Endpoint {
  std::uint32_t address = 0; ///< in host byte order
  std::uint16_t port = 0;
};

/// Puts a datagram into `out` as it was on the wire, from its IPv4 header on; returns the bytes. `out` must
/// hold kFrameHead more than the payload, which is at most 65,507 bytes.
std::size_t frame(Endpoint from, Endpoint to, std::span<const std::byte> payload,
                  std::span<char> out) noexcept;

/// Begins a file whose records are such frames (link type RAW), with times in nanoseconds.
[[nodiscard]] std::string file_head();
/// Begins a record of `size` bytes.
[[nodiscard]] std::string record_head(std::int64_t time_ns, std::size_t size);
/// A whole record that is no packet of anyone: from nowhere to nowhere, with a remark.
[[nodiscard]] std::string remark(std::int64_t time_ns, std::string_view text);

/// How a file is written, from its first 24 bytes.
struct Format {
  bool swapped = false; ///< the other byte order
  bool nanoseconds = false;
  std::uint32_t link = 0;
};

/// Whether these first bytes are a capture's: of this format or the newer pcapng.
enum class Magic : std::uint8_t { None, Pcap, Pcapng };
[[nodiscard]] Magic magic_of(std::string_view first) noexcept;

/// Nothing where the bytes are too few, or the link type is none of Ethernet, RAW, IPV4, LINUX_SLL,
/// LINUX_SLL2.
[[nodiscard]] std::optional<Format> read_file_head(std::string_view bytes) noexcept;

struct Record {
  std::int64_t time_ns = 0;
  std::uint32_t size = 0; ///< bytes that follow
};
/// Of kRecordHead bytes.
[[nodiscard]] Record read_record_head(const Format &format, std::string_view bytes) noexcept;

/// A captured frame's UDP payload: nothing where it is no UDP over IPv4, a fragment, or cut off.
struct Udp {
  Endpoint from{};
  Endpoint to{};
  std::string_view payload{};

  [[nodiscard]] bool is_remark() const noexcept { return from.port == 0 && to.port == 0 && to.address == 0; }
};
[[nodiscard]] std::optional<Udp> read_udp(const Format &format, std::string_view captured) noexcept;

} // namespace quietcore::pcap
