#pragma once

#include "quietcore/decimal.hpp"

#include <cstdint>
#include <span>
#include <string_view>

namespace quietcore {

/// What the venues' parsers make of a message, before scales are known. Views live until the next parse.

struct RawLevel {
  Decimal price;
  Decimal size;
};

/// Whether a message brings levels, or only what to think of those that are there.
enum class Standing : std::uint8_t {
  Given,    ///< it brings levels
  Doubtful, ///< messages are missing, perhaps of this book
  Lost,     ///< whoever sends this book does not hold it for right
};

/// A book snapshot or delta.
struct DepthMessage {
  std::string_view symbol{}; ///< empty: the message does not say (Binance's REST snapshot)
  Standing standing = Standing::Given;
  bool snapshot = false;
  std::uint32_t window = 0;      ///< levels a side that the venue keeps, 0: no window
  std::uint64_t first_id = 0;    ///< first update id in the message, where the venue gives one
  std::uint64_t last_id = 0;     ///< update id of the book after the message
  std::uint64_t previous_id = 0; ///< last_id of the message before, where the venue gives one
  std::uint64_t sequence = 0;    ///< the venue's cross sequence, 0: none
  std::int64_t venue_ns = 0;     ///< UTC, when the venue sent it
  std::int64_t engine_ns = 0;    ///< UTC, the matching engine's time, 0: not given
  std::span<const RawLevel> bids{};
  std::span<const RawLevel> asks{};
};

struct RawTrade {
  Decimal price;
  Decimal size;
  std::uint64_t id = 0;  ///< 0 where the venue's is no number
  std::uint64_t key = 0; ///< the same for the same trade on every connection, 0: nothing tells
  bool sell = false;     ///< the taker sold
};

struct TradesMessage {
  std::string_view symbol{};
  std::int64_t venue_ns = 0;
  std::span<const RawTrade> trades{};
  std::uint32_t left_out = 0; ///< entries that are no trades on the book, as the venue says
};

/// The venue's own best bid and offer, or any other ticker (then without a quote).
struct TickerMessage {
  std::string_view symbol{};
  bool has_quote = false;
  std::uint64_t update_id = 0;
  std::int64_t venue_ns = 0;
  Decimal bid{};
  Decimal bid_size{};
  Decimal ask{};
  Decimal ask_size{};
};

/// Anything about the connection itself.
struct ControlMessage {
  enum class Kind : std::uint8_t { Subscribed, Refused, Pong, Other };
  Kind kind = Kind::Other;
  std::string_view id{};   ///< the request it answers
  std::string_view text{}; ///< the venue's words
  std::int64_t code = 0;   ///< the venue's number for them, 0: none
};

/// Receives what a parser found.
class MessageSink {
public:
  MessageSink() = default;
  MessageSink(const MessageSink &) = delete;
  MessageSink &operator=(const MessageSink &) = delete;
  virtual ~MessageSink() = default;

  virtual void on_depth(const DepthMessage &message) = 0;
  virtual void on_trades(const TradesMessage &message) = 0;
  virtual void on_ticker(const TickerMessage &message) = 0;
  virtual void on_control(const ControlMessage &message) = 0;
};

enum class ParseStatus : std::uint8_t {
  Ok,
  Ignored,    ///< valid, and nothing this handler uses
  NotJson,    ///< not one complete JSON object
  Incomplete, ///< a field that its kind of message needs is missing or of another type
  BadNumber,  ///< a price or size that is no plain decimal
  TooLarge,   ///< a price or size beyond 18 significant digits
  BadPacket,  ///< a packet that breaks its format
};

struct ParseResult {
  ParseStatus status = ParseStatus::Ok;
  const char *detail = ""; ///< static text: the field, or the JSON error

  [[nodiscard]] bool ok() const noexcept {
    return status == ParseStatus::Ok || status == ParseStatus::Ignored;
  }
};

/// Zero bytes that must follow a message in its buffer, readable by the parser.
inline constexpr std::size_t kMessagePadding = 64;

/// One venue's wire format. Not thread-safe; one per thread.
class Parser {
public:
  Parser() = default;
  Parser(const Parser &) = delete;
  Parser &operator=(const Parser &) = delete;
  virtual ~Parser() = default;

  /// Parses one message of `size` bytes, followed by kMessagePadding readable ones, and hands its content to
  /// the sink; nothing reaches the sink of a message that is refused.
  [[nodiscard]] virtual ParseResult parse(const char *bytes, std::size_t size,
                                          MessageSink &sink) noexcept = 0;
};

} // namespace quietcore
