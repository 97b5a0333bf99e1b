#include "multicast_parser.hpp"

#include "quietcore/multicast_packet.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace quietcore::multicast {
namespace {

/// A price or size as it was before it became fixed point: with the places of its tick or lot.
class Unfixed {
public:
  explicit Unfixed(Scale step) noexcept
      : places_(std::min(step.exponent, kFixedPlaces)),
        divisor_(kPowersOfTen[static_cast<std::size_t>(kFixedPlaces - places_)]) {}

  [[nodiscard]] Decimal decimal(std::int64_t fixed) const noexcept {
    const std::int64_t digits = fixed / divisor_;
    // No whole number of steps: handed on as it is, for the core to refuse.
    return digits * divisor_ == fixed ? Decimal{digits, places_} : Decimal{fixed, kFixedPlaces};
  }

private:
  std::uint8_t places_;
  std::int64_t divisor_;
};

/// What the directory says of a symbol.
struct Listing {
  std::string name{}; ///< empty: not heard of yet
  Unfixed price{Scale{}};
  Unfixed size{Scale{}};
};

/// A book message of several parts, as far as it has come.
struct Assembly {
  std::uint16_t symbol = 0;
  std::uint16_t next_part = 0; ///< 0: none is under way
  std::uint64_t number = 0;
  bool whole = false;
  bool current = false; ///< knows of all that the stream has shown
  std::vector<RawLevel> bids{};
  std::vector<RawLevel> asks{};
};

class PacketParser final : public Parser {
public:
  [[nodiscard]] ParseResult parse(const char *bytes, std::size_t size, MessageSink &sink) noexcept override {
    const std::span packet(reinterpret_cast<const std::byte *>(bytes), size);
    PacketHeader header;
    if (const char *problem = read_header(packet, header))
      return {ParseStatus::BadPacket, problem};
    if (feed_ != 0 && (header.feed != feed_ || header.epoch < epoch_))
      return {ParseStatus::Ignored, ""};
    // Nothing may reach the sink of a packet that is refused.
    MessageReader first(packet, header);
    PacketMessage message;
    bool heartbeat = false;
    std::size_t known = 0;
    while (first.next(message)) {
      heartbeat = heartbeat || message.kind == Kind::Heartbeat;
      ++known;
    }
    if (first.problem() != nullptr)
      return {ParseStatus::BadPacket, first.problem()};
    if (heartbeat && (known != 1 || header.count != 1))
      return {ParseStatus::BadPacket, "a heartbeat that is not alone in its packet"};
    if (header.epoch != epoch_ || header.symbols != directory_.size())
      begin_epoch(header, sink);
    if (!in_order(header, heartbeat, sink))
      return {ParseStatus::Ignored, ""};
    // Another stream packet may be missing since a snapshot was made: then it says nothing of now.
    std::uint64_t &stream = expected_[static_cast<std::size_t>(Channel::Stream)];
    if (header.channel == Channel::Snapshots && stream == 0)
      stream = header.stream_next;
    const bool current = header.channel == Channel::Stream || header.stream_next >= stream;
    MessageReader reader(packet, header);
    while (reader.next(message))
      deliver(header, current, message, sink);
    return {};
  }

private:
  void begin_epoch(const PacketHeader &header, MessageSink &sink) {
    say_all(Standing::Lost, sink);
    feed_ = header.feed;
    epoch_ = header.epoch;
    directory_.assign(header.symbols, {});
    expected_.fill(0);
    for (Assembly &assembly : assemblies_)
      assembly.next_part = 0;
  }

  /// False for packets of the past. A gap in the stream puts every book in doubt.
  bool in_order(const PacketHeader &header, bool heartbeat, MessageSink &sink) {
    std::uint64_t &expected = expected_[static_cast<std::size_t>(header.channel)];
    if (header.sequence < expected)
      return false;
    if (expected != 0 && header.sequence > expected) {
      assemblies_[static_cast<std::size_t>(header.channel)].next_part = 0;
      if (header.channel == Channel::Stream)
        say_all(Standing::Doubtful, sink);
    }
    expected = header.sequence + (heartbeat ? 0 : 1);
    return true;
  }

  void say_all(Standing standing, MessageSink &sink) {
    for (const Listing &listing : directory_) {
      if (!listing.name.empty())
        say(listing, standing, sink);
    }
  }

  static void say(const Listing &listing, Standing standing, MessageSink &sink) {
    DepthMessage message;
    message.symbol = listing.name;
    message.standing = standing;
    message.window = kMaxSideLevels;
    sink.on_depth(message);
  }

  void deliver(const PacketHeader &header, bool current, const PacketMessage &message, MessageSink &sink) {
    if (message.kind == Kind::Heartbeat)
      return;
    if (message.symbol >= directory_.size())
      return; // no such symbol: nothing can be said of it
    Listing &listing = directory_[message.symbol];
    if (message.kind == Kind::Symbol) {
      list(listing, read_symbol(message.body));
      return;
    }
    if (message.kind == Kind::Lost) {
      if (current && !listing.name.empty())
        say(listing, Standing::Lost, sink);
      return;
    }
    if (message.kind == Kind::Book) {
      take_book(assemblies_[static_cast<std::size_t>(header.channel)], current, message, listing, sink);
      return;
    }
    if (listing.name.empty())
      return; // its entry in the directory is still to come
    if (message.kind == Kind::Trade) {
      const TradeMessage from = read_trade(message.body);
      const RawTrade trade{listing.price.decimal(from.price), listing.size.decimal(from.size), from.id, 0,
                           message.has(kSell)};
      sink.on_trades({listing.name, from.venue_ns, {&trade, 1}});
    } else if (!message.has(kFromBook)) {
      const BboMessage from = read_bbo(message.body);
      TickerMessage ticker;
      ticker.symbol = listing.name;
      ticker.has_quote = true;
      ticker.venue_ns = from.venue_ns;
      ticker.bid = listing.price.decimal(from.bid_price);
      ticker.bid_size = listing.size.decimal(from.bid_size);
      ticker.ask = listing.price.decimal(from.ask_price);
      ticker.ask_size = listing.size.decimal(from.ask_size);
      sink.on_ticker(ticker);
    }
  }

  static void list(Listing &listing, const SymbolMessage &entry) {
    if (listing.name == entry.name)
      return;
    listing.name = entry.name;
    listing.price = Unfixed(entry.tick);
    listing.size = Unfixed(entry.lot);
  }

  static void take_book(Assembly &assembly, bool current, const PacketMessage &message,
                        const Listing &listing, MessageSink &sink) {
    const BookHead head = read_book(message.body);
    const bool whole = message.has(kWhole);
    if (head.part == 0) {
      assembly.symbol = message.symbol;
      assembly.number = head.number;
      assembly.whole = whole;
      assembly.current = current;
      assembly.bids.clear();
      assembly.asks.clear();
    } else if (head.part != assembly.next_part || assembly.symbol != message.symbol ||
               assembly.number != head.number || assembly.whole != whole) {
      assembly.next_part = 0;
      return;
    }
    const std::size_t levels = std::size_t{head.bids} + head.asks;
    if (assembly.bids.size() + assembly.asks.size() + levels > kMaxLevels) {
      assembly.next_part = 0;
      return;
    }
    assembly.next_part = static_cast<std::uint16_t>(head.part + 1);
    for (std::size_t i = 0; i < levels; ++i) {
      const shm::Level level = read_level(message.body, i);
      (i < head.bids ? assembly.bids : assembly.asks)
          .push_back({listing.price.decimal(level.price), listing.size.decimal(level.size)});
    }
    if (assembly.next_part != head.parts)
      return;
    assembly.next_part = 0;
    if (listing.name.empty() || !assembly.current || !current)
      return;
    DepthMessage depth;
    depth.symbol = listing.name;
    depth.snapshot = whole;
    depth.window = kMaxSideLevels;
    depth.last_id = head.number;
    depth.previous_id = head.number - 1;
    depth.sequence = head.update_id;
    depth.venue_ns = head.venue_ns;
    depth.bids = assembly.bids;
    depth.asks = assembly.asks;
    sink.on_depth(depth);
  }

  std::uint32_t feed_ = 0; ///< 0: no packet has come
  std::uint64_t epoch_ = 0;
  std::array<std::uint64_t, kChannels> expected_{}; ///< sequence of the next packet, 0: any
  std::vector<Listing> directory_{};
  std::array<Assembly, kChannels> assemblies_{};
};

} // namespace

std::unique_ptr<Parser> make_parser() { return std::make_unique<PacketParser>(); }

} // namespace quietcore::multicast
