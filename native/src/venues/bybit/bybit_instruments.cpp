#include "bybit_instruments.hpp"

#include "../instrument_json.hpp"

#include "quietcore/url.hpp"

#include <algorithm>
#include <array>

namespace quietcore::bybit {
namespace {

/// Codes of refusals that pass (v5 error codes): server time-out, too many visits, server error, address over
/// its limit, restarting, system overload.
constexpr std::array<std::int64_t, 6> kPassing{10000, 10006, 10016, 10018, 10019, 10429};

void take(InstrumentGatherer &gatherer, simdjson::dom::element item, const char *lot_field) {
  std::string_view name;
  if (!gatherer.take_name(item, name))
    return;
  if (const std::string_view status = text_of(item, "status"); !status.empty() && status != "Trading") {
    gatherer.not_trading(name, status);
    return;
  }
  simdjson::dom::element price;
  simdjson::dom::element lot;
  Scale tick_scale;
  Scale lot_scale;
  std::string why;
  if (item["priceFilter"].get(price) != simdjson::SUCCESS)
    why = "it has no priceFilter";
  else if (item["lotSizeFilter"].get(lot) != simdjson::SUCCESS)
    why = "it has no lotSizeFilter";
  else if (InstrumentGatherer::read_step(price, "tickSize", tick_scale, why) &&
           InstrumentGatherer::read_step(lot, lot_field, lot_scale, why))
    gatherer.take(name, tick_scale, lot_scale);
  if (!why.empty())
    gatherer.refuse(name, why);
}

} // namespace

InstrumentList fetch_instruments(const Fetch &fetch, std::string_view category, std::string_view lot_field) {
  constexpr int kMaxPages = 100;
  const std::string base = "/v5/market/instruments-info?category=" + std::string(category) + "&limit=1000";
  const std::string lot(lot_field);
  InstrumentGatherer gatherer;
  std::string cursor;
  for (int page = 0; page < kMaxPages; ++page) {
    // The venue's cursors hold % already, and sometimes = or &.
    const std::string target = cursor.empty() ? base : base + "&cursor=" + percent_encode(cursor);
    const std::string body = fetch(target);
    simdjson::dom::parser parser;
    const simdjson::dom::element root = parse_instruments(parser, body, target);
    std::int64_t code = 0;
    if (root["retCode"].get(code) != simdjson::SUCCESS)
      bad_instruments(target, "no retCode: " + printable_text(body, 80));
    if (code != 0)
      instruments_refused(target, "retCode", code, text_of(root, "retMsg"),
                          std::find(kPassing.begin(), kPassing.end(), code) != kPassing.end());
    std::string_view given;
    if (root["result"]["category"].get(given) == simdjson::SUCCESS && given != category)
      bad_instruments(target, "instruments of the category " + printable_text(given, 40));
    simdjson::dom::array list;
    if (root["result"]["list"].get(list) != simdjson::SUCCESS)
      bad_instruments(target, "no result.list");
    for (const simdjson::dom::element item : list)
      take(gatherer, item, lot.c_str());
    simdjson::dom::element next;
    std::string_view text;
    if (root["result"]["nextPageCursor"].get(next) != simdjson::SUCCESS || next.is_null())
      return std::move(gatherer).done();
    if (next.get(text) != simdjson::SUCCESS)
      bad_instruments(target, "a nextPageCursor that is no text"); // what follows would be left out
    if (text.empty())
      return std::move(gatherer).done();
    if (text == cursor)
      bad_instruments(target, "the same nextPageCursor again"); // for ever
    cursor = text;
  }
  bad_instruments(base, "more than 100 pages");
}

} // namespace quietcore::bybit
