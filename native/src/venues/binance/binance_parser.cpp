#include "binance_parser.hpp"

#include "../json_fields.hpp"

#include <algorithm>
#include <array>

namespace quietcore::binance {
namespace {

using json::get_text;
namespace ondemand = simdjson::ondemand;

/// Bits of Fields::seen.
enum Seen : unsigned {
  kBids = 1U << 0U,
  kAsks = 1U << 1U,
  kFirst = 1U << 2U,
  kLast = 1U << 3U,
  kPrevious = 1U << 4U,
  kSnapshotId = 1U << 5U,
  kBid = 1U << 6U,
  kBidSize = 1U << 7U,
  kAsk = 1U << 8U,
  kAskSize = 1U << 9U,
  kPrice = 1U << 10U,
  kQuantity = 1U << 11U,
  kMaker = 1U << 12U,
  kResult = 1U << 13U,
  kError = 1U << 14U,
};

/// Everything an event may hold. One letter means different things in different events; the type of its value
/// tells which, so that "e" need not come first.
struct Fields {
  unsigned seen = 0;
  std::string_view stream{};
  std::string_view event{};
  std::string_view symbol{};
  std::string_view text{};
  std::string_view id{};
  std::string_view trade_kind{}; ///< of a trade on futures: MARKET, INSURANCE_FUND, ADL, NA
  std::int64_t code = 0;
  bool data_is_object = true; ///< or there is none
  std::int64_t event_ns = 0;
  std::int64_t engine_ns = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t previous = 0;
  std::uint64_t snapshot_id = 0;
  std::uint64_t trade_id = 0;
  bool maker = false;
  Decimal bid{};
  Decimal bid_size{};
  Decimal ask{};
  Decimal ask_size{};
  Decimal price{};
  Decimal quantity{};
  json::Problem problem{};

  [[nodiscard]] bool has(unsigned bits) const noexcept { return (seen & bits) == bits; }
};

/// What a stream carries, by its name. One event has the same name in several: depthUpdate is also what the
/// partial books (@depth20) and the book with the orders for private customers (@rpiDepth) send.
enum class StreamKind : std::uint8_t { Unnamed, Book, Ticker, Trade, Other };

StreamKind kind_of(std::string_view stream) noexcept {
  if (stream.empty())
    return StreamKind::Unnamed;
  const std::size_t at = stream.find('@');
  if (stream.front() == '!' || at == std::string_view::npos) // of all symbols, or of an account
    return StreamKind::Other;
  const std::string_view kind = stream.substr(at + 1);
  if (kind == "depth" || kind.starts_with("depth@") || kind == "depthSnapshot")
    return StreamKind::Book;
  if (kind == "bookTicker")
    return StreamKind::Ticker;
  return kind == "trade" ? StreamKind::Trade : StreamKind::Other;
}

StreamKind kind_of_event(std::string_view event) noexcept {
  if (event == "depthUpdate")
    return StreamKind::Book;
  if (event == "bookTicker")
    return StreamKind::Ticker;
  return event == "trade" ? StreamKind::Trade : StreamKind::Other;
}

class BinanceParser final : public Parser {
public:
  explicit BinanceParser(bool spot)
      : needed_ids_(spot ? kFirst | kLast : kFirst | kLast | kPrevious), texts_(parser_) {
    json::reserve(parser_);
    bids_.reserve(4096);
    asks_.reserve(4096);
  }

  ParseResult parse(const char *bytes, std::size_t size, MessageSink &sink) noexcept override {
    texts_.begin();
    ondemand::document document;
    ondemand::object root;
    ondemand::json_type type{};
    if (const auto error = parser_.iterate(bytes, size, size + kMessagePadding).get(document))
      return json::refuse(error);
    if (const auto error = document.type().get(type))
      return json::refuse(error);
    if (type == ondemand::json_type::array)
      return parse_list(document);
    if (const auto error = document.get_object().get(root))
      return json::refuse(error);
    Fields fields;
    if (const auto error = read(root, fields, true))
      return json::refuse(error);
    if (!json::at_end(document))
      return {ParseStatus::NotJson, "more after the message's end"};
    return deliver(fields, sink);
  }

private:
  /// Streams of all symbols send lists of events, of which none is used: valid where each says what it is.
  ParseResult parse_list(ondemand::document &document) noexcept {
    ondemand::array list;
    if (const auto error = document.get_array().get(list))
      return json::refuse(error);
    std::size_t events = 0;
    json::Problem problem;
    for (auto item : list) {
      ondemand::object object;
      if (const auto error = item.get_object().get(object)) {
        if (json::broken(error, "an event is no object", problem))
          return json::refuse(error);
        continue;
      }
      std::string_view event;
      for (auto member : object) {
        ondemand::field field;
        if (const auto error = std::move(member).get(field))
          return json::refuse(error);
        if (texts_.key(field.key()) == "e")
          (void)get_text(field.value(), event, texts_);
      }
      ++events;
      if (event.empty() || kind_of_event(event) != StreamKind::Other)
        problem.set(ParseStatus::Incomplete, "no known kind of list");
      texts_.begin();
    }
    if (!json::at_end(document))
      return {ParseStatus::NotJson, "more after the message's end"};
    if (events == 0)
      problem.set(ParseStatus::Incomplete, "no known kind of message");
    if (problem.status != ParseStatus::Ok)
      return {problem.status, problem.detail};
    return {ParseStatus::Ignored, "events of all symbols"};
  }

  simdjson::error_code read(ondemand::object &object, Fields &fields, bool outer) noexcept {
    for (auto item : object) {
      ondemand::field field;
      if (const auto error = std::move(item).get(field))
        return error;
      const std::string_view key = texts_.key(field.key());
      ondemand::value &value = field.value();
      if (key.size() == 1) {
        if (const auto error = read_letter(key[0], value, fields))
          return error;
      } else if (key == "pu") {
        unsigned_field(value, fields.previous, kPrevious, "pu", fields);
      } else if (outer && key == "stream") {
        if (!get_text(value, fields.stream, texts_))
          fields.problem.set(ParseStatus::Incomplete, "stream");
      } else if (outer && key == "data") {
        ondemand::object data;
        const auto type_error = value.get_object().get(data);
        fields.data_is_object = type_error == simdjson::SUCCESS;
        if (!fields.data_is_object && type_error != simdjson::INCORRECT_TYPE)
          return type_error;
        if (fields.data_is_object) {
          if (const auto error = read(data, fields, false))
            return error;
        }
      } else if (key == "lastUpdateId") {
        unsigned_field(value, fields.snapshot_id, kSnapshotId, "lastUpdateId", fields);
      } else if (key == "bids") {
        fields.seen |= kBids;
        if (const auto error = json::get_levels(value, bids_, "bids", fields.problem, texts_))
          return error;
      } else if (key == "asks") {
        fields.seen |= kAsks;
        if (const auto error = json::get_levels(value, asks_, "asks", fields.problem, texts_))
          return error;
      } else if (key == "symbol") {
        (void)get_text(value, fields.symbol, texts_);
      } else if (key == "result") {
        fields.seen |= kResult;
      } else if (key == "code") {
        fields.seen |= kError;
        if (value.get_int64().get(fields.code) != simdjson::SUCCESS)
          fields.code = 0;
      } else if (key == "msg") {
        (void)get_text(value, fields.text, texts_);
      } else if (key == "id") {
        read_id(value, fields);
      } else if (outer && key == "error") {
        fields.seen |= kError; // {"code":2,"msg":"…"}
        ondemand::object inner;
        const auto type_error = value.get_object().get(inner);
        if (type_error == simdjson::SUCCESS) {
          if (const auto error = read(inner, fields, false))
            return error;
        } else if (type_error != simdjson::INCORRECT_TYPE) {
          return type_error;
        } else {
          (void)get_text(value, fields.text, texts_);
        }
      }
    }
    return simdjson::SUCCESS;
  }

  /// A number or a text: as it was sent.
  void read_id(ondemand::value &value, Fields &fields) noexcept {
    if (get_text(value, fields.id, texts_))
      return;
    fields.id = value.raw_json_token();
    fields.id = fields.id.substr(0, std::min(fields.id.find_last_not_of(" \t\r\n") + 1, fields.id.size()));
  }

  simdjson::error_code read_letter(char key, ondemand::value &value, Fields &fields) noexcept {
    switch (key) {
    case 'e':
      if (!get_text(value, fields.event, texts_))
        fields.problem.set(ParseStatus::Incomplete, "e");
      break;
    case 's':
      if (!get_text(value, fields.symbol, texts_))
        fields.problem.set(ParseStatus::Incomplete, "s");
      break;
    case 'E':
      json::get_milliseconds(value, fields.event_ns, "E", fields.problem);
      break;
    case 'T':
      json::get_milliseconds(value, fields.engine_ns, "T", fields.problem);
      break;
    case 'U':
      unsigned_field(value, fields.first, kFirst, "U", fields);
      break;
    case 'u':
      unsigned_field(value, fields.last, kLast, "u", fields);
      break;
    case 'b':
      return levels_or_price(value, bids_, kBids, fields.bid, kBid, "b", fields);
    case 'a':
      return levels_or_price(value, asks_, kAsks, fields.ask, kAsk, "a", fields);
    case 'B':
      decimal_field(value, fields.bid_size, kBidSize, "B", fields);
      break;
    case 'A':
      decimal_field(value, fields.ask_size, kAskSize, "A", fields);
      break;
    case 'p':
      decimal_field(value, fields.price, kPrice, "p", fields);
      break;
    case 'q':
      decimal_field(value, fields.quantity, kQuantity, "q", fields);
      break;
    case 'X':
      (void)get_text(value, fields.trade_kind, texts_);
      break;
    case 't':
      if (value.get_uint64().get(fields.trade_id) != simdjson::SUCCESS)
        fields.trade_id = 0;
      break;
    case 'm':
      if (value.get_bool().get(fields.maker) == simdjson::SUCCESS)
        fields.seen |= kMaker;
      break;
    default:
      break;
    }
    return simdjson::SUCCESS;
  }

  /// In depthUpdate an array, in bookTicker a quoted price, in others a number of no interest.
  simdjson::error_code levels_or_price(ondemand::value &value, std::vector<RawLevel> &levels,
                                       unsigned levels_bit, Decimal &price, unsigned price_bit,
                                       const char *name, Fields &fields) noexcept {
    ondemand::json_type type{};
    if (const auto error = value.type().get(type))
      return error;
    if (type == ondemand::json_type::array) {
      fields.seen |= levels_bit;
      return json::get_levels(value, levels, name, fields.problem, texts_);
    }
    if (type == ondemand::json_type::string)
      decimal_field(value, price, price_bit, name, fields);
    return simdjson::SUCCESS;
  }

  static void unsigned_field(ondemand::value &value, std::uint64_t &out, unsigned bit, const char *name,
                             Fields &fields) noexcept {
    fields.seen |= bit;
    json::get_unsigned(value, out, name, fields.problem);
  }

  void decimal_field(ondemand::value &value, Decimal &out, unsigned bit, const char *name,
                     Fields &fields) noexcept {
    fields.seen |= bit;
    json::get_decimal(value, out, name, fields.problem, texts_);
  }

  ParseResult deliver(Fields &fields, MessageSink &sink) noexcept {
    const StreamKind stream = kind_of(fields.stream);
    if (stream == StreamKind::Other)
      return {ParseStatus::Ignored, "another stream"};
    if (!fields.data_is_object)
      return {ParseStatus::Incomplete, "data is no object"};
    if (fields.event.empty() && fields.has(kBid | kBidSize | kAsk | kAskSize | kLast))
      fields.event = "bookTicker"; // on spot it does not say so
    const bool snapshot = fields.has(kSnapshotId);
    const StreamKind event = snapshot ? StreamKind::Book : kind_of_event(fields.event);
    if (stream != StreamKind::Unnamed && event != stream)
      return {ParseStatus::Incomplete, "e is not of this stream"};
    if (event == StreamKind::Other)
      return deliver_other(fields, sink);
    if (fields.problem.status != ParseStatus::Ok)
      return {fields.problem.status, fields.problem.detail};
    if (fields.symbol.empty())
      fields.symbol = symbol_of_stream(fields.stream);
    if (fields.symbol.empty() && !snapshot)
      return {ParseStatus::Incomplete, "s is missing"};
    if (event == StreamKind::Book)
      return deliver_depth(fields, snapshot, sink);
    if (event == StreamKind::Ticker)
      return deliver_ticker(fields, sink);
    return deliver_trade(fields, sink);
  }

  ParseResult deliver_depth(const Fields &fields, bool snapshot, MessageSink &sink) noexcept {
    if (!fields.has(kBids | kAsks))
      return {ParseStatus::Incomplete, "bids or asks are missing"};
    if (!snapshot && !fields.has(needed_ids_))
      return {ParseStatus::Incomplete, needed_ids_ != (kFirst | kLast) && fields.has(kFirst | kLast)
                                           ? "pu is missing (on spot there is none: venue binance-spot)"
                                           : "U, u or pu is missing"};
    DepthMessage message;
    message.symbol = fields.symbol;
    message.snapshot = snapshot;
    message.first_id = fields.first;
    message.last_id = snapshot ? fields.snapshot_id : fields.last;
    message.previous_id = fields.previous;
    message.venue_ns = fields.event_ns;
    message.engine_ns = fields.engine_ns;
    message.bids = bids_;
    message.asks = asks_;
    sink.on_depth(message);
    return {};
  }

  static ParseResult deliver_ticker(const Fields &fields, MessageSink &sink) noexcept {
    if (!fields.has(kBid | kBidSize | kAsk | kAskSize | kLast))
      return {ParseStatus::Incomplete, "b, B, a, A or u is missing"};
    sink.on_ticker({.symbol = fields.symbol,
                    .has_quote = true,
                    .update_id = fields.last,
                    .venue_ns = fields.event_ns,
                    .bid = fields.bid,
                    .bid_size = fields.bid_size,
                    .ask = fields.ask,
                    .ask_size = fields.ask_size});
    return {};
  }

  static ParseResult deliver_trade(const Fields &fields, MessageSink &sink) noexcept {
    if (!fields.has(kPrice | kQuantity | kMaker))
      return {ParseStatus::Incomplete, "p, q or m is missing"};
    // Payments of the insurance fund and deleveraging are no trades on the book: the venue itself leaves them
    // out of its aggregated trades. NA has price and quantity 0. Spot has no kinds.
    const bool market = fields.trade_kind.empty() || fields.trade_kind == "MARKET";
    if (!market || fields.price.digits == 0 || fields.quantity.digits == 0) {
      sink.on_trades({fields.symbol, fields.event_ns, {}, 1});
      return {};
    }
    // The buyer was the maker: the taker sold.
    const std::array<RawTrade, 1> trade{
        {{.price = fields.price, .size = fields.quantity, .id = fields.trade_id, .sell = fields.maker}}};
    sink.on_trades({fields.symbol, fields.event_ns, trade, 0});
    return {};
  }

  static ParseResult deliver_other(const Fields &fields, MessageSink &sink) noexcept {
    if (!fields.event.empty())
      return {ParseStatus::Ignored, "another event"};
    if ((fields.seen & (kResult | kError)) == 0)
      return {ParseStatus::Incomplete, "no known kind of message"};
    ControlMessage message;
    message.kind = fields.has(kError) ? ControlMessage::Kind::Refused : ControlMessage::Kind::Subscribed;
    message.id = fields.id;
    message.text = fields.text;
    message.code = fields.code;
    sink.on_control(message);
    return {};
  }

  /// Streams are named in lower case: "btcusdt@depth@0ms" is of BTCUSDT.
  std::string_view symbol_of_stream(std::string_view stream) noexcept {
    const std::size_t at = stream.find('@');
    if (at == std::string_view::npos || at > upper_.size())
      return {};
    for (std::size_t i = 0; i < at; ++i) {
      const char c = stream[i];
      upper_[i] = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return {upper_.data(), at};
  }

  unsigned needed_ids_; ///< of a delta
  ondemand::parser parser_;
  json::Texts texts_;
  std::vector<RawLevel> bids_;
  std::vector<RawLevel> asks_;
  std::array<char, 64> upper_{};
};

} // namespace

std::unique_ptr<Parser> make_spot_parser() { return std::make_unique<BinanceParser>(true); }
std::unique_ptr<Parser> make_usdm_parser() { return std::make_unique<BinanceParser>(false); }

} // namespace quietcore::binance
