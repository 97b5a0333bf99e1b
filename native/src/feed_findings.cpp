#include "quietcore/feed_findings.hpp"

#include "quietcore/printable_text.hpp"

#include <string>

namespace quietcore {
namespace {

/// Without the part of a character that a cut has left at the end.
std::string_view whole_characters(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0 && text.size() - end < 3 && (static_cast<unsigned char>(text[end - 1]) & 0xc0U) == 0x80U)
    --end;
  return end > 0 && utf8_length(text.substr(end - 1)) == 0 ? text.substr(0, end - 1) : text;
}

} // namespace

Finding MessageRefused::finding(const Origin &origin) const {
  return {.what = "message refused",
          .where = origin.text(),
          .found = detail,
          .expected = too_large ? "at most 18 significant digits" : "one whole message of the venue",
          .remedy = "the book waits for the next snapshot where this leaves a gap"};
}

Finding BookGap::finding(const Origin &origin) const {
  return {.what = std::string("gap in the book of ") + symbol,
          .where = origin.text(),
          .found = "update " + std::to_string(update),
          .expected = "one that follows " + std::to_string(last),
          .remedy = "the book waits for a new snapshot"};
}

Finding BookCrossed::finding(const Origin &origin) const {
  return {.what = std::string("crossed book of ") + symbol,
          .where = origin.text(),
          .found = "a bid at or above an ask after update " + std::to_string(update),
          .remedy = "the book waits for a new snapshot"};
}

Finding SymbolUnknown::finding(const Origin &origin) const {
  return {.what = "unknown symbol",
          .where = origin.text(),
          .found = printable_text(whole_characters({name_.data(), size_})) + (cut_ ? "…" : ""),
          .expected = "one of the feed's " + std::to_string(symbols_) + " symbols",
          .remedy = "add it to the feed's symbols, or ignore this"};
}

Finding ValueRefused::finding(const Origin &origin) const {
  return {.what = std::string(what) + " of " + symbol + " refused",
          .where = origin.text(),
          .found = std::to_string(digits) + (places != 0 ? "e-" + std::to_string(places) : ""),
          .expected = not_multiple
                          ? "a multiple of " + std::to_string(mantissa) + "e-" + std::to_string(exponent)
                          : "a number that fits 64 bits in these units",
          .remedy = "restart the feed if the venue has changed the instrument"};
}

} // namespace quietcore
