#include "bybit_parser.hpp"

#include "../json_fields.hpp"
#include "../wire_scanner.hpp"

#include <charconv>

namespace quietcore::bybit {
namespace {

using json::get_text;
namespace ondemand = simdjson::ondemand;

constexpr std::size_t kMaxTrades = 1024; // the venue's limit for one message
constexpr std::size_t kMaxLevels = 2048; // a side, in a message read the fast way

/// Everything a message may hold, whatever its kind; the topic decides in the end what is used.
struct Fields {
  std::string_view topic{};
  std::string_view type{};
  std::int64_t ts_ns = 0;
  std::int64_t cts_ns = 0;
  bool has_object = false; ///< data is an object
  bool has_array = false;  ///< data is an array
  bool mixed = false;      ///< and its entries are of several symbols
  std::uint32_t blocks = 0;
  std::string_view symbol{}; ///< as data has it
  bool has_bids = false;
  bool has_asks = false;
  bool has_u = false;
  std::uint64_t u = 0;
  std::uint64_t seq = 0;
  // answers
  std::string_view op{};
  std::string_view ret_msg{};
  std::string_view req_id{};
  std::int64_t code = 0;
  bool has_success = false;
  bool success = false;
  json::Problem problem{};
};

/// "orderbook.50.BTCUSDT" without its first part is "50.BTCUSDT".
bool take_prefix(std::string_view &topic, std::string_view prefix) noexcept {
  if (!topic.starts_with(prefix))
    return false;
  topic.remove_prefix(prefix.size());
  return true;
}

/// The venue's trade id is a number on spot and a UUID elsewhere.
std::uint64_t numeric_id(std::string_view id) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), value);
  return error == std::errc() && end == id.data() + id.size() ? value : 0;
}

/// Tells trades apart, whatever their ids look like; never 0.
std::uint64_t trade_key(std::string_view id) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : id)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash | 1U;
}

class BybitParser final : public Parser {
public:
  BybitParser() : texts_(parser_) {
    json::reserve(parser_);
    bids_.reserve(kMaxLevels);
    asks_.reserve(kMaxLevels);
    trades_.reserve(kMaxTrades);
    if constexpr (WireScanner::kAvailable)
      scanned_.resize(2 * kMaxLevels);
  }

  ParseResult parse(const char *bytes, std::size_t size, MessageSink &sink) noexcept override {
    if constexpr (WireScanner::kAvailable) {
      DepthMessage message;
      if (scan_book(bytes, size, message)) {
        sink.on_depth(message);
        return {};
      }
    }
    return parse_any(bytes, size, sink);
  }

private:
  /// Reads a book message in the very form in which the venue sends it; false for anything else.
  bool scan_book(const char *bytes, std::size_t size, DepthMessage &message) noexcept {
    WireScanner scan(bytes, size);
    std::uint64_t window = 0;
    if (!scan.literal("{\"topic\":\"orderbook.") || !scan.number(window) || window > UINT32_MAX ||
        !scan.literal(".") || !scan.name('"', message.symbol))
      return false;
    // Spot has "ts" before "type", the others after it.
    bool timed = false;
    if (scan.literal(",\"ts\":")) {
      if (!scan.milliseconds(message.venue_ns))
        return false;
      timed = true;
    }
    if (scan.literal(",\"type\":\"snapshot\""))
      message.snapshot = true;
    else if (!scan.literal(",\"type\":\"delta\""))
      return false;
    if (!timed && (!scan.literal(",\"ts\":") || !scan.milliseconds(message.venue_ns)))
      return false;
    std::size_t bids = 0;
    std::size_t asks = 0;
    RawLevel *const ask_levels = scanned_.data() + kMaxLevels;
    if (!scan.literal(",\"data\":{\"s\":\"") || !scan.same(message.symbol) || !scan.literal("\",\"b\":") ||
        !scan.levels(scanned_.data(), kMaxLevels, bids) || !scan.literal(",\"a\":") ||
        !scan.levels(ask_levels, kMaxLevels, asks) || !scan.literal(",\"u\":") ||
        !scan.number(message.last_id) || !scan.literal(",\"seq\":") || !scan.number(message.sequence) ||
        !scan.literal("}"))
      return false;
    if (scan.literal(",\"cts\":") && !scan.milliseconds(message.engine_ns))
      return false;
    if (!scan.literal("}") || !scan.finished())
      return false;
    message.window = static_cast<std::uint32_t>(window);
    message.bids = {scanned_.data(), bids};
    message.asks = {ask_levels, asks};
    return true;
  }

  /// Any message, of any form that JSON allows.
  ParseResult parse_any(const char *bytes, std::size_t size, MessageSink &sink) noexcept {
    texts_.begin();
    ondemand::document document;
    ondemand::object root;
    if (const auto error = parser_.iterate(bytes, size, size + kMessagePadding).get(document))
      return json::refuse(error);
    if (const auto error = document.get_object().get(root))
      return json::refuse(error);
    Fields fields;
    if (const auto error = read_root(root, fields))
      return json::refuse(error);
    if (!json::at_end(document))
      return {ParseStatus::NotJson, "more after the message's end"};
    return deliver(fields, sink);
  }

  simdjson::error_code read_root(ondemand::object &root, Fields &fields) noexcept {
    for (auto item : root) {
      ondemand::field field;
      if (const auto error = std::move(item).get(field))
        return error;
      const std::string_view key = texts_.key(field.key());
      ondemand::value &value = field.value();
      if (key == "topic") {
        if (!get_text(value, fields.topic, texts_))
          fields.problem.set(ParseStatus::Incomplete, "topic");
      } else if (key == "type") {
        if (!get_text(value, fields.type, texts_))
          fields.problem.set(ParseStatus::Incomplete, "type");
      } else if (key == "ts") {
        json::get_milliseconds(value, fields.ts_ns, "ts", fields.problem);
      } else if (key == "cts") {
        json::get_milliseconds(value, fields.cts_ns, "cts", fields.problem);
      } else if (key == "data") {
        if (const auto error = read_data(value, fields))
          return error;
      } else if (key == "op") {
        (void)get_text(value, fields.op, texts_);
      } else if (key == "ret_msg") {
        (void)get_text(value, fields.ret_msg, texts_);
      } else if (key == "req_id") {
        (void)get_text(value, fields.req_id, texts_);
      } else if (key == "success") {
        fields.has_success = value.get_bool().get(fields.success) == simdjson::SUCCESS;
      } else if (key == "ret_code" || key == "retCode") {
        if (value.get_int64().get(fields.code) != simdjson::SUCCESS)
          fields.code = 0;
      }
    }
    return simdjson::SUCCESS;
  }

  simdjson::error_code read_data(ondemand::value &value, Fields &fields) noexcept {
    ondemand::json_type type{};
    if (const auto error = value.type().get(type))
      return error;
    if (type == ondemand::json_type::array)
      return read_trades(value, fields);
    fields.has_array = false;
    fields.has_object = type == ondemand::json_type::object;
    if (!fields.has_object)
      return simdjson::SUCCESS;
    ondemand::object data;
    if (const auto error = value.get_object().get(data))
      return error;
    for (auto item : data) {
      ondemand::field field;
      if (const auto error = std::move(item).get(field))
        return error;
      const std::string_view key = texts_.key(field.key());
      ondemand::value &inner = field.value();
      if (key == "b") {
        fields.has_bids = true;
        if (const auto error = json::get_levels(inner, bids_, "b", fields.problem, texts_))
          return error;
      } else if (key == "a") {
        fields.has_asks = true;
        if (const auto error = json::get_levels(inner, asks_, "a", fields.problem, texts_))
          return error;
      } else if (key == "u") {
        fields.has_u = true;
        json::get_unsigned(inner, fields.u, "u", fields.problem);
      } else if (key == "seq") {
        json::get_unsigned(inner, fields.seq, "seq", fields.problem);
      } else if (key == "s") {
        see_symbol(inner, fields);
      }
    }
    return simdjson::SUCCESS;
  }

  /// Of data, or of an entry of it.
  void see_symbol(ondemand::value &value, Fields &fields) noexcept {
    std::string_view symbol;
    if (!get_text(value, symbol, texts_))
      fields.problem.set(ParseStatus::Incomplete, "s");
    else if (fields.symbol.empty())
      fields.symbol = symbol;
    else
      fields.mixed = fields.mixed || symbol != fields.symbol;
  }

  simdjson::error_code read_trades(ondemand::value &value, Fields &fields) noexcept {
    trades_.clear();
    fields.has_array = true;
    fields.has_object = false;
    ondemand::array rows;
    if (const auto error = value.get_array().get(rows))
      return error;
    for (auto row : rows) {
      ondemand::object object;
      if (const auto error = row.get_object().get(object)) {
        if (error != simdjson::INCORRECT_TYPE)
          return error;
        fields.problem.set(ParseStatus::Incomplete, "a trade is no object");
        continue;
      }
      const std::size_t mark = texts_.mark();
      const bool has_symbol = !fields.symbol.empty();
      RawTrade trade;
      bool block = false;
      unsigned seen = 0;
      for (auto item : object) {
        ondemand::field field;
        if (const auto error = std::move(item).get(field))
          return error;
        const std::string_view key = texts_.key(field.key());
        ondemand::value &inner = field.value();
        if (key == "p") {
          ++seen;
          json::get_decimal(inner, trade.price, "p", fields.problem, texts_);
        } else if (key == "v") {
          ++seen;
          json::get_decimal(inner, trade.size, "v", fields.problem, texts_);
        } else if (key == "S") {
          std::string_view taker;
          if (!get_text(inner, taker, texts_) || (taker != "Buy" && taker != "Sell"))
            fields.problem.set(ParseStatus::Incomplete, "S");
          trade.sell = taker == "Sell";
          ++seen;
        } else if (key == "i") {
          std::string_view id;
          if (get_text(inner, id, texts_)) {
            trade.id = numeric_id(id);
            trade.key = trade_key(id);
          }
        } else if (key == "s") {
          see_symbol(inner, fields);
        } else if (key == "BT") {
          block = inner.get_bool().get(block) == simdjson::SUCCESS && block;
        }
      }
      if (has_symbol)
        texts_.release(mark);
      if (seen != 3)
        fields.problem.set(ParseStatus::Incomplete, "p, v or S of a trade");
      // A block trade was agreed on beside the book; a price or size of 0 is no trade at all.
      if (block || trade.price.digits == 0 || trade.size.digits == 0)
        ++fields.blocks;
      else
        trades_.push_back(trade);
    }
    return simdjson::SUCCESS;
  }

  ParseResult deliver(const Fields &fields, MessageSink &sink) noexcept {
    std::string_view rest = fields.topic;
    if (rest.empty())
      return deliver_answer(fields, sink);
    std::uint32_t window = 0;
    const bool book = take_prefix(rest, "orderbook.");
    const bool trades = !book && take_prefix(rest, "publicTrade.");
    if (!book && !trades && !take_prefix(rest, "tickers."))
      return {ParseStatus::Ignored, "another topic"};
    if (book) {
      // "50.BTCUSDT", or "rpi.BTCUSDT": another book, of the orders for private customers too.
      const std::size_t point = rest.find('.');
      if (point == std::string_view::npos)
        return {ParseStatus::Incomplete, "topic has no depth"};
      const std::string_view depth = rest.substr(0, point);
      rest.remove_prefix(point + 1);
      const auto [at, error] = std::from_chars(depth.data(), depth.data() + depth.size(), window);
      if (error == std::errc::result_out_of_range || depth.empty())
        return {ParseStatus::Incomplete, "topic has no depth"};
      if (at != depth.data() + depth.size() && !rest.empty())
        return {ParseStatus::Ignored, "another topic"};
    }
    if (rest.empty())
      return {ParseStatus::Incomplete, "topic has no symbol"};
    if (!(trades ? fields.has_array : fields.has_object))
      return {ParseStatus::Incomplete, "data is missing, or of another kind"};
    if (fields.problem.status != ParseStatus::Ok)
      return {fields.problem.status, fields.problem.detail};
    if (fields.mixed || (!fields.symbol.empty() && fields.symbol != rest))
      return {ParseStatus::Incomplete, "s is another symbol than the topic's"};
    if (book)
      return deliver_book(fields, window, rest, sink);
    if (trades)
      sink.on_trades({rest, fields.ts_ns, trades_, fields.blocks});
    else
      sink.on_ticker({.symbol = rest, .venue_ns = fields.ts_ns});
    return {};
  }

  ParseResult deliver_book(const Fields &fields, std::uint32_t window, std::string_view symbol,
                           MessageSink &sink) noexcept {
    if (!fields.has_bids || !fields.has_asks || !fields.has_u)
      return {ParseStatus::Incomplete, "b, a or u is missing"};
    DepthMessage message;
    if (fields.type == "snapshot")
      message.snapshot = true;
    else if (fields.type != "delta")
      return {ParseStatus::Incomplete, "type is neither snapshot nor delta"};
    message.window = window;
    message.symbol = symbol;
    message.last_id = fields.u;
    message.sequence = fields.seq;
    message.venue_ns = fields.ts_ns;
    message.engine_ns = fields.cts_ns;
    message.bids = bids_;
    message.asks = asks_;
    sink.on_depth(message);
    return {};
  }

  static ParseResult deliver_answer(const Fields &fields, MessageSink &sink) noexcept {
    ControlMessage message;
    message.id = fields.req_id;
    message.text = fields.ret_msg;
    message.code = fields.code;
    if (fields.op == "pong" || fields.ret_msg == "pong")
      message.kind = ControlMessage::Kind::Pong;
    else if (fields.has_success && !fields.success)
      message.kind = ControlMessage::Kind::Refused;
    else if (fields.op == "subscribe" && fields.success)
      message.kind = ControlMessage::Kind::Subscribed;
    else if (fields.op.empty())
      return {ParseStatus::Incomplete, "neither topic nor op"};
    sink.on_control(message);
    return {};
  }

  ondemand::parser parser_;
  json::Texts texts_;
  std::vector<RawLevel> bids_;
  std::vector<RawLevel> asks_;
  std::vector<RawTrade> trades_;
  std::vector<RawLevel> scanned_; ///< bids, then asks from kMaxLevels on
};

} // namespace

std::unique_ptr<Parser> make_parser() { return std::make_unique<BybitParser>(); }

} // namespace quietcore::bybit
