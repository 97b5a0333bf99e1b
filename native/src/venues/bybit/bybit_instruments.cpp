#include "bybit_instruments.hpp"

#include "../instrument_json.hpp"

namespace quietcore::bybit {
namespace {

/// For a query: the venue's cursors hold % already, and sometimes = or &.
std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
        c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

} // namespace

std::vector<Instrument> fetch_instruments(const Fetch &fetch, std::string_view category,
                                          std::string_view lot_field) {
  constexpr int kMaxPages = 100;
  const std::string base = "/v5/market/instruments-info?category=" + std::string(category) + "&limit=1000";
  std::vector<Instrument> out;
  std::string cursor;
  for (int page = 0; page < kMaxPages; ++page) {
    const std::string target = cursor.empty() ? base : base + "&cursor=" + percent_encode(cursor);
    const std::string body = fetch(target);
    simdjson::dom::parser parser;
    simdjson::dom::element root;
    if (const auto error = parser.parse(body).get(root))
      bad_instruments(target, simdjson::error_message(error));
    std::int64_t code = 0;
    if (root["retCode"].get(code) != simdjson::SUCCESS || code != 0)
      bad_instruments(target, "retCode " + std::to_string(code));
    simdjson::dom::array list;
    if (root["result"]["list"].get(list) != simdjson::SUCCESS)
      bad_instruments(target, "no result.list");
    for (const simdjson::dom::element item : list) {
      const std::string_view symbol = text_of(item, "symbol", target);
      std::string_view status;
      if (item["status"].get(status) == simdjson::SUCCESS && status != "Trading")
        continue;
      simdjson::dom::element price;
      simdjson::dom::element lot;
      if (item["priceFilter"].get(price) != simdjson::SUCCESS ||
          item["lotSizeFilter"].get(lot) != simdjson::SUCCESS)
        bad_instruments(target, "no priceFilter or lotSizeFilter of " + std::string(symbol));
      out.push_back({std::string(symbol), scale_of(text_of(price, "tickSize", target), symbol, target),
                     scale_of(text_of(lot, std::string(lot_field).c_str(), target), symbol, target)});
    }
    std::string_view next;
    if (root["result"]["nextPageCursor"].get(next) != simdjson::SUCCESS || next.empty())
      return out;
    cursor = next;
  }
  bad_instruments(base, "more than 100 pages");
}

} // namespace quietcore::bybit
