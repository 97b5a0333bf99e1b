#pragma once

#include "quietcore/error.hpp"
#include "quietcore/printable_text.hpp"
#include "quietcore/refusal.hpp"
#include "quietcore/venue.hpp"

#include <simdjson.h>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace quietcore {

/// What the venues' instrument readers share: an answer that as a whole does not look as documented ends the
/// start with one line.
[[noreturn]] inline void bad_instruments(const std::string &target, const std::string &found) {
  throw Error({.what = "instrument data not understood",
               .where = target,
               .found = found,
               .expected = "the venue's documented answer",
               .remedy = "check that `rest` is the address of this venue"});
}

/// The venue itself has declined, with a code and words of its own.
[[noreturn]] inline void instruments_refused(const std::string &target, std::string_view code_name,
                                             std::int64_t code, std::string_view words, bool passing) {
  Refusal refusal{passing, {}, std::string(code_name) + " " + std::to_string(code)};
  if (const std::string text = printable_text(words); !text.empty())
    refusal.text += " " + text;
  throw Refused({.what = "instruments refused by the venue",
                 .where = target,
                 .found = refusal.text,
                 .expected = "the list of instruments",
                 .remedy = passing ? "it passes: try again a little later"
                                   : "see what the venue documents of this code"},
                refusal);
}

/// Parses a whole answer, or throws Error with the beginning of what came.
[[nodiscard]] inline simdjson::dom::element
parse_instruments(simdjson::dom::parser &parser, const std::string &body, const std::string &target) {
  simdjson::dom::element root;
  if (const auto error = parser.parse(body).get(root))
    bad_instruments(target, std::string(simdjson::error_message(error)) + ": " + printable_text(body, 80));
  if (!root.is_object())
    bad_instruments(target, "JSON that is no object: " + printable_text(body, 80));
  return root;
}

/// Text of a member; empty where there is none, or it is no text.
[[nodiscard]] inline std::string_view text_of(simdjson::dom::element element, const char *key) {
  std::string_view text;
  return element[key].get(text) == simdjson::SUCCESS ? text : std::string_view{};
}

/// Gathers a list, entry by entry.
class InstrumentGatherer {
public:
  /// A step of prices or sizes, as text of one entry. Returns false, and says why, where it is none.
  [[nodiscard]] static bool read_step(simdjson::dom::element from, const char *key, Scale &out,
                                      std::string &why) {
    simdjson::dom::element value;
    std::string_view text;
    Decimal decimal;
    if (from[key].get(value) != simdjson::SUCCESS)
      why = std::string("it has no ") + key;
    else if (value.get(text) != simdjson::SUCCESS)
      why = std::string(key) + " is " + printable_text(simdjson::to_string(value), 40) + ", no text";
    else if (parse_decimal(text, decimal) != DecimalStatus::Ok || !to_scale(decimal, out))
      why = std::string(key) + " is \"" + printable_text(text, 40) + "\", no plain decimal above 0";
    else
      return true;
    return false;
  }

  /// Its name, where it can be one of a feed's symbols; else it is kept among the others.
  [[nodiscard]] bool take_name(simdjson::dom::element entry, std::string_view &name) {
    name = text_of(entry, "symbol");
    if (name.empty())
      list_.others.push_back({"", "an entry without the text `symbol`", true});
    else if (name.size() > kMaxSymbolBytes)
      refuse(name, "its name has " + std::to_string(name.size()) + " bytes, more than " +
                       std::to_string(kMaxSymbolBytes));
    else if (printable_text(name, kMaxSymbolBytes) != name)
      refuse(name, "its name has control characters");
    else if (!seen_.emplace(name).second)
      return false; // on two pages, as the list grew between them
    else
      return true;
    return false;
  }

  void refuse(std::string_view name, std::string why) {
    list_.others.push_back({std::string(name), std::move(why), true});
  }
  void not_trading(std::string_view name, std::string_view status) {
    list_.others.push_back({std::string(name), "its status is " + printable_text(status, 40), false});
  }
  void take(std::string_view name, Scale tick, Scale lot) {
    list_.trading.push_back({std::string(name), tick, lot});
  }

  [[nodiscard]] InstrumentList done() && { return std::move(list_); }

private:
  InstrumentList list_;
  std::unordered_set<std::string> seen_;
};

} // namespace quietcore
