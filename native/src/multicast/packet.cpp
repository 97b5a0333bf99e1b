#include "quietcore/multicast_packet.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

namespace quietcore::multicast {
namespace {

constexpr std::uint8_t kNone = 0;
constexpr std::size_t kMessageHead = 8;
constexpr std::size_t kBboSize = 48;
constexpr std::size_t kTradeSize = 40;
constexpr std::size_t kLostSize = 16;
constexpr std::size_t kNameSize = 32;
constexpr std::size_t kSymbolSize = 56;
constexpr std::size_t kHeartbeatSize = 8;

template <typename Number> Number swapped(Number number) noexcept {
  if constexpr (std::endian::native == std::endian::big && sizeof(Number) > 1) {
    std::array<std::byte, sizeof(Number)> bytes =
        std::bit_cast<std::array<std::byte, sizeof(Number)>>(number);
    std::reverse(bytes.begin(), bytes.end());
    return std::bit_cast<Number>(bytes);
  } else {
    return number;
  }
}

template <typename Number> Number get(std::span<const std::byte> bytes, std::size_t at) noexcept {
  Number number{};
  std::memcpy(&number, bytes.data() + at, sizeof(number));
  return swapped(number);
}

bool any_negative(std::span<const std::byte> body, std::size_t at, std::size_t count) noexcept {
  std::int64_t all = 0;
  for (std::size_t i = 0; i < count; ++i)
    all |= get<std::int64_t>(body, at + i * 8);
  return all < 0;
}

const char *book_problem(std::span<const std::byte> body) noexcept {
  if (body.size() < PacketWriter::kBookHead - kMessageHead)
    return "a book message that is too short";
  const BookHead head = read_book(body);
  const std::size_t levels = std::size_t{head.bids} + head.asks;
  if (body.size() != PacketWriter::kBookHead - kMessageHead + levels * PacketWriter::kLevel)
    return "a book message whose length does not fit its levels";
  if (head.parts == 0 || head.part >= head.parts || head.parts > kMaxParts)
    return "a book message whose part is none of its parts";
  if (head.venue_ns < 0 || any_negative(body, PacketWriter::kBookHead - kMessageHead, levels * 2))
    return "a negative price, size or time";
  return nullptr;
}

const char *symbol_problem(std::span<const std::byte> body) noexcept {
  if (body.size() != kSymbolSize - kMessageHead)
    return "a symbol message of another length";
  const SymbolMessage symbol = read_symbol(body);
  if (symbol.name.empty() || symbol.name.size() >= kNameSize)
    return "a symbol without a name, or one that does not end";
  if (symbol.tick.mantissa == 0 || symbol.lot.mantissa == 0 || symbol.tick.exponent > kMaxPlaces ||
      symbol.lot.exponent > kMaxPlaces)
    return "a symbol whose tick or lot is no decimal";
  return nullptr;
}

const char *message_problem(const PacketMessage &message) noexcept {
  const std::size_t size = message.body.size() + kMessageHead;
  switch (message.kind) {
  case Kind::Bbo:
    if (size != kBboSize)
      return "a bbo message of another length";
    return any_negative(message.body, 0, 5) ? "a negative price, size or time" : nullptr;
  case Kind::Trade:
    if (size != kTradeSize)
      return "a trade message of another length";
    return any_negative(message.body, 0, 3) ? "a negative price, size or time" : nullptr;
  case Kind::Book:
    return book_problem(message.body);
  case Kind::Lost:
    return size != kLostSize ? "a lost message of another length" : nullptr;
  case Kind::Symbol:
    return symbol_problem(message.body);
  case Kind::Heartbeat:
    return size != kHeartbeatSize ? "a heartbeat message of another length" : nullptr;
  }
  return nullptr;
}

bool known(Kind kind) noexcept { return kind >= Kind::Bbo && kind <= Kind::Heartbeat; }

} // namespace

const char *read_header(std::span<const std::byte> packet, PacketHeader &header) noexcept {
  if (packet.size() < kHeaderSize)
    return "a packet shorter than its header";
  if (get<std::uint32_t>(packet, 0) != kMagic)
    return "a packet of something else";
  if (get<std::uint8_t>(packet, 4) != kVersion)
    return "a packet of another version";
  const auto channel = get<std::uint8_t>(packet, 5);
  header.channel = static_cast<Channel>(channel);
  header.count = get<std::uint16_t>(packet, 6);
  header.length = get<std::uint16_t>(packet, 8);
  header.symbols = get<std::uint16_t>(packet, 10);
  header.feed = get<std::uint32_t>(packet, 12);
  header.epoch = get<std::uint64_t>(packet, 16);
  header.sequence = get<std::uint64_t>(packet, 24);
  header.send_ns = get<std::int64_t>(packet, 32);
  header.stream_next = get<std::uint64_t>(packet, 40);
  if (channel >= kChannels)
    return "a packet of an unknown channel";
  if (header.length != packet.size())
    return "a packet that is cut off, or longer than it says";
  if (header.count == 0)
    return "a packet without messages";
  if (header.send_ns < 0)
    return "a packet that was sent before 1970";
  if (header.sequence == 0 || header.sequence == UINT64_MAX || header.epoch == 0)
    return "a packet without sequence or epoch";
  if (header.channel == Channel::Snapshots && header.stream_next == 0)
    return "a packet of snapshots that does not say of when";
  return nullptr;
}

bool MessageReader::next(PacketMessage &message) noexcept {
  while (left_ != 0) {
    const auto length = rest_.size() >= kMessageHead ? get<std::uint16_t>(rest_, 2) : std::uint16_t{0};
    if (length < kMessageHead || length % 8 != 0 || length > rest_.size()) {
      problem_ = "a message that ends outside its packet";
      return false;
    }
    message.kind = static_cast<Kind>(get<std::uint8_t>(rest_, 0));
    message.flags = get<std::uint8_t>(rest_, 1);
    message.symbol = get<std::uint16_t>(rest_, 4);
    message.body = rest_.subspan(kMessageHead, length - kMessageHead);
    rest_ = rest_.subspan(length);
    --left_;
    if (!known(message.kind))
      continue;
    problem_ = message_problem(message);
    return problem_ == nullptr;
  }
  if (!rest_.empty())
    problem_ = "bytes behind the last message";
  return false;
}

BboMessage read_bbo(std::span<const std::byte> body) noexcept {
  return {get<std::int64_t>(body, 0), get<std::int64_t>(body, 8), get<std::int64_t>(body, 16),
          get<std::int64_t>(body, 24), get<std::int64_t>(body, 32)};
}

TradeMessage read_trade(std::span<const std::byte> body) noexcept {
  return {get<std::int64_t>(body, 0), get<std::int64_t>(body, 8), get<std::int64_t>(body, 16),
          get<std::uint64_t>(body, 24)};
}

BookHead read_book(std::span<const std::byte> body) noexcept {
  return {get<std::int64_t>(body, 0),   get<std::uint64_t>(body, 8),  get<std::uint64_t>(body, 16),
          get<std::uint16_t>(body, 24), get<std::uint16_t>(body, 26), get<std::uint16_t>(body, 28),
          get<std::uint16_t>(body, 30)};
}

shm::Level read_level(std::span<const std::byte> body, std::size_t index) noexcept {
  const std::size_t at = PacketWriter::kBookHead - kMessageHead + index * PacketWriter::kLevel;
  return {get<std::int64_t>(body, at), get<std::int64_t>(body, at + 8)};
}

std::uint64_t read_lost(std::span<const std::byte> body) noexcept { return get<std::uint64_t>(body, 0); }

SymbolMessage read_symbol(std::span<const std::byte> body) noexcept {
  const auto *name = reinterpret_cast<const char *>(body.data());
  const std::size_t size = strnlen(name, kNameSize);
  return {std::string_view(name, size),
          {get<std::uint32_t>(body, 32), get<std::uint8_t>(body, 40)},
          {get<std::uint32_t>(body, 36), get<std::uint8_t>(body, 41)}};
}

template <typename Number> void PacketWriter::put(Number number) noexcept {
  number = swapped(number);
  std::memcpy(bytes_.data() + size_, &number, sizeof(number));
  size_ += sizeof(number);
}

template <typename... Words>
bool PacketWriter::begin(Kind kind, std::uint8_t flags, std::uint16_t symbol, std::size_t length,
                         Words... words) noexcept {
  if (length > room())
    return false;
  put(static_cast<std::uint8_t>(kind));
  put(flags);
  put(static_cast<std::uint16_t>(length));
  put(symbol);
  put(std::uint16_t{0});
  (put(words), ...);
  ++count_;
  return true;
}

bool PacketWriter::add(std::uint16_t symbol, const BboMessage &bbo, bool from_book) noexcept {
  return begin(Kind::Bbo, from_book ? kFromBook : kNone, symbol, kBboSize, bbo.venue_ns, bbo.bid_price,
               bbo.bid_size, bbo.ask_price, bbo.ask_size);
}

bool PacketWriter::add(std::uint16_t symbol, const TradeMessage &trade, bool sell) noexcept {
  return begin(Kind::Trade, sell ? kSell : kNone, symbol, kTradeSize, trade.venue_ns, trade.price, trade.size,
               trade.id);
}

bool PacketWriter::add(std::uint16_t symbol, BookHead head, bool whole, std::span<const shm::Level> bids,
                       std::span<const shm::Level> asks) noexcept {
  const std::size_t length = kBookHead + (bids.size() + asks.size()) * kLevel;
  if (!begin(Kind::Book, whole ? kWhole : kNone, symbol, length, head.venue_ns, head.number, head.update_id,
             static_cast<std::uint16_t>(bids.size()), static_cast<std::uint16_t>(asks.size()), head.part,
             head.parts))
    return false;
  for (const auto side : {bids, asks}) {
    for (const shm::Level &level : side) {
      put(level.price);
      put(level.size);
    }
  }
  return true;
}

bool PacketWriter::add_lost(std::uint16_t symbol, std::uint64_t number) noexcept {
  return begin(Kind::Lost, 0, symbol, kLostSize, number);
}

bool PacketWriter::add(std::uint16_t symbol, const SymbolMessage &entry) noexcept {
  if (kSymbolSize > room())
    return false;
  std::array<char, kNameSize> name{};
  entry.name.copy(name.data(), name.size() - 1);
  // Before the rest, as it is no number.
  std::byte *at = bytes_.data() + size_ + kMessageHead;
  (void)begin(Kind::Symbol, 0, symbol, kSymbolSize);
  std::memcpy(at, name.data(), name.size());
  size_ += name.size();
  put(entry.tick.mantissa);
  put(entry.lot.mantissa);
  put(entry.tick.exponent);
  put(entry.lot.exponent);
  put(std::uint16_t{0});
  put(std::uint32_t{0});
  return true;
}

bool PacketWriter::add_heartbeat(bool down) noexcept {
  return begin(Kind::Heartbeat, down ? kDown : kNone, 0, kHeartbeatSize);
}

std::span<const std::byte> PacketWriter::finish(PacketHeader header) noexcept {
  const std::size_t length = size_;
  size_ = 0;
  put(kMagic);
  put(kVersion);
  put(static_cast<std::uint8_t>(header.channel));
  put(count_);
  put(static_cast<std::uint16_t>(length));
  put(header.symbols);
  put(header.feed);
  put(header.epoch);
  put(header.sequence);
  put(header.send_ns);
  put(header.stream_next);
  size_ = kHeaderSize;
  count_ = 0;
  return {bytes_.data(), length};
}

} // namespace quietcore::multicast
