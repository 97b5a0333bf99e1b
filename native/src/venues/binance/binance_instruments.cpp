#include "binance_instruments.hpp"

#include "../instrument_json.hpp"

#include <algorithm>
#include <array>

namespace quietcore::binance {
namespace {

/// Codes of refusals that pass: unknown error while processing, disconnected, too many requests, unexpected
/// answer and time-out within the venue, server busy, service shutting down.
constexpr std::array<std::int64_t, 7> kPassing{-1000, -1001, -1003, -1006, -1007, -1008, -1016};

void take(InstrumentGatherer &gatherer, simdjson::dom::element item) {
  std::string_view name;
  if (!gatherer.take_name(item, name))
    return;
  if (const std::string_view status = text_of(item, "status"); !status.empty() && status != "TRADING") {
    gatherer.not_trading(name, status);
    return;
  }
  simdjson::dom::array filters;
  if (item["filters"].get(filters) != simdjson::SUCCESS) {
    gatherer.refuse(name, "it has no filters");
    return;
  }
  Scale tick;
  Scale lot;
  bool has_tick = false;
  bool has_lot = false;
  std::string why;
  for (const simdjson::dom::element filter : filters) {
    const std::string_view type = text_of(filter, "filterType");
    if (type == "PRICE_FILTER")
      has_tick = InstrumentGatherer::read_step(filter, "tickSize", tick, why);
    else if (type == "LOT_SIZE")
      has_lot = InstrumentGatherer::read_step(filter, "stepSize", lot, why);
  }
  if (has_tick && has_lot)
    gatherer.take(name, tick, lot);
  else
    gatherer.refuse(name, why.empty() ? "it has no PRICE_FILTER or LOT_SIZE" : why);
}

} // namespace

InstrumentList fetch_instruments(const Fetch &fetch, const std::string &target) {
  const std::string body = fetch(target);
  simdjson::dom::parser parser;
  const simdjson::dom::element root = parse_instruments(parser, body, target);
  std::int64_t code = 0;
  if (root["code"].get(code) == simdjson::SUCCESS && code != 0 && code != 200)
    instruments_refused(target, "code", code, text_of(root, "msg"),
                        std::find(kPassing.begin(), kPassing.end(), code) != kPassing.end());
  simdjson::dom::array symbols;
  if (root["symbols"].get(symbols) != simdjson::SUCCESS)
    bad_instruments(target, "no symbols: " + printable_text(body, 80));
  InstrumentGatherer gatherer;
  for (const simdjson::dom::element item : symbols)
    take(gatherer, item);
  return std::move(gatherer).done();
}

} // namespace quietcore::binance
