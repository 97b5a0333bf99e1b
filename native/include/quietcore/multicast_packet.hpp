#pragma once

#include "quietcore/decimal.hpp"
#include "quietcore/shared_memory.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

/// The packets that carry a feed over UDP multicast, as native/schema/multicast.md describes them.
namespace quietcore::multicast {

inline constexpr std::uint32_t kMagic = 0x54534351; ///< the bytes "QCST"
inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::size_t kHeaderSize = 48;
inline constexpr std::size_t kLargestSent = 1472;   ///< fits an Ethernet frame of 1,500 bytes
inline constexpr std::size_t kLargestRead = 8972;   ///< fits a frame of 9,000
inline constexpr std::uint8_t kFixedPlaces = 8;     ///< prices and sizes are whole multiples of 1e-8
inline constexpr std::size_t kMaxSideLevels = 1024; ///< of a side of a book
inline constexpr std::size_t kMaxLevels = 4096; ///< of a book message, in all its parts: all gone, all new
inline constexpr std::size_t kMaxParts = 64;

enum class Channel : std::uint8_t { Stream = 0, Snapshots = 1 };
inline constexpr std::size_t kChannels = 2;

enum class Kind : std::uint8_t { Bbo = 1, Trade = 2, Book = 3, Lost = 4, Symbol = 5, Heartbeat = 6 };

// Bits of a message's flags.
inline constexpr std::uint8_t kSell = 1;     ///< trade: the taker sold
inline constexpr std::uint8_t kFromBook = 1; ///< bbo: follows from the book, and is not the venue's own
inline constexpr std::uint8_t kWhole = 1;    ///< book: replaces what was there
inline constexpr std::uint8_t kDown = 1;     ///< heartbeat: the feed that is published does not run

struct PacketHeader {
  Channel channel = Channel::Stream;
  std::uint16_t count = 0;   ///< messages
  std::uint16_t length = 0;  ///< bytes of the packet, this header included
  std::uint16_t symbols = 0; ///< in the feed's directory
  std::uint32_t feed = 0;    ///< feed_id() of its name
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;
  std::int64_t send_ns = 0;      ///< UTC
  std::uint64_t stream_next = 0; ///< snapshots: the stream's next sequence when they were made
};

struct BboMessage {
  std::int64_t venue_ns = 0;
  std::int64_t bid_price = 0;
  std::int64_t bid_size = 0;
  std::int64_t ask_price = 0;
  std::int64_t ask_size = 0;
};

struct TradeMessage {
  std::int64_t venue_ns = 0;
  std::int64_t price = 0;
  std::int64_t size = 0;
  std::uint64_t id = 0;
};

/// What stands before the levels of a book message.
struct BookHead {
  std::int64_t venue_ns = 0;
  std::uint64_t number = 0;
  std::uint64_t update_id = 0;
  std::uint16_t bids = 0;
  std::uint16_t asks = 0;
  std::uint16_t part = 0;
  std::uint16_t parts = 1;
};

struct SymbolMessage {
  std::string_view name{};
  Scale tick{};
  Scale lot{};
};

/// A feed's number in packets: FNV-1a of its name, 32 bits.
[[nodiscard]] constexpr std::uint32_t feed_id(std::string_view name) noexcept {
  std::uint32_t hash = 0x811c9dc5U;
  for (const char c : name)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193U;
  return hash;
}

/// What is wrong with a packet; nullptr: nothing. `header` is filled in as far as it could be read.
[[nodiscard]] const char *read_header(std::span<const std::byte> packet, PacketHeader &header) noexcept;

/// One message of a packet; its body stays where it is.
struct PacketMessage {
  Kind kind{};
  std::uint8_t flags = 0;
  std::uint16_t symbol = 0;
  std::span<const std::byte> body{};

  [[nodiscard]] bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
};

/// Whether a packet whose header is good is a heartbeat, which has no sequence number of its own.
[[nodiscard]] inline bool is_heartbeat(std::span<const std::byte> packet) noexcept {
  return packet.size() > kHeaderSize && packet[kHeaderSize] == static_cast<std::byte>(Kind::Heartbeat);
}

/// The messages of a packet whose header is good, in order. Kinds that are not known are left out.
class MessageReader {
public:
  MessageReader(std::span<const std::byte> packet, const PacketHeader &header) noexcept
      : rest_(packet.subspan(kHeaderSize)), left_(header.count) {}

  /// False at the end, or where a message breaks the format: problem() then says how.
  [[nodiscard]] bool next(PacketMessage &message) noexcept;
  [[nodiscard]] const char *problem() const noexcept { return problem_; }

private:
  std::span<const std::byte> rest_;
  std::size_t left_;
  const char *problem_ = nullptr;
};

// Bodies that MessageReader has let through have the right size and hold no negative price or size.
[[nodiscard]] BboMessage read_bbo(std::span<const std::byte> body) noexcept;
[[nodiscard]] TradeMessage read_trade(std::span<const std::byte> body) noexcept;
[[nodiscard]] BookHead read_book(std::span<const std::byte> body) noexcept;
/// A level of a book message, bids first.
[[nodiscard]] shm::Level read_level(std::span<const std::byte> body, std::size_t index) noexcept;
[[nodiscard]] std::uint64_t read_lost(std::span<const std::byte> body) noexcept;
[[nodiscard]] SymbolMessage read_symbol(std::span<const std::byte> body) noexcept;

/// Puts one packet together.
class PacketWriter {
public:
  static constexpr std::size_t kBookHead = 40; ///< bytes of a book message before its levels
  static constexpr std::size_t kLevel = 16;
  static constexpr std::size_t kLevelsAlone = (kLargestSent - kHeaderSize - kBookHead) / kLevel;

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t room() const noexcept { return kLargestSent - size_; }

  // Each returns false, and leaves the packet as it was, where there is no room.
  [[nodiscard]] bool add(std::uint16_t symbol, const BboMessage &bbo, bool from_book) noexcept;
  [[nodiscard]] bool add(std::uint16_t symbol, const TradeMessage &trade, bool sell) noexcept;
  /// `head.bids` and `head.asks` follow from the spans.
  [[nodiscard]] bool add(std::uint16_t symbol, BookHead head, bool whole, std::span<const shm::Level> bids,
                         std::span<const shm::Level> asks) noexcept;
  [[nodiscard]] bool add_lost(std::uint16_t symbol, std::uint64_t number) noexcept;
  [[nodiscard]] bool add(std::uint16_t symbol, const SymbolMessage &entry) noexcept;
  [[nodiscard]] bool add_heartbeat(bool down) noexcept;

  /// The finished packet, valid until the next add; the writer is empty again.
  [[nodiscard]] std::span<const std::byte> finish(PacketHeader header) noexcept;

private:
  template <typename... Words>
  [[nodiscard]] bool begin(Kind kind, std::uint8_t flags, std::uint16_t symbol, std::size_t length,
                           Words... words) noexcept;
  template <typename Number> void put(Number number) noexcept;

  std::array<std::byte, kLargestSent> bytes_{};
  std::size_t size_ = kHeaderSize;
  std::uint16_t count_ = 0;
};

} // namespace quietcore::multicast
