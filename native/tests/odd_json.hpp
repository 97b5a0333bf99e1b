#pragma once

#include "quietcore/decimal.hpp"

#include "reader_campaign.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace quietcore::test {

/// JSON as nobody writes it and everybody may: members in any order, blanks anywhere, members that nobody
/// knows, escapes where none is needed.
class OddJson {
public:
  using Members = std::vector<std::pair<std::string, std::string>>; ///< keys, and values as JSON

  explicit OddJson(Random &random) : random_(random), odd_(!once_in(random, 3)) {}

  /// Blanks, or none.
  std::string blank() {
    static constexpr std::array<const char *, 5> kBlanks{" ", "\t", "\n", "\r\n", "  \n "};
    return odd_ && once_in(random_, 6) ? kBlanks[below(random_, kBlanks.size())] : "";
  }

  /// A text, of which a character may be escaped.
  std::string text(const std::string &plain) {
    std::string out = "\"";
    const bool escape = odd_ && once_in(random_, 8);
    for (const char c : plain) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\')
        out.append(1, '\\').append(1, c);
      else if (byte < 0x20 || (byte < 0x80 && escape && once_in(random_, 4)))
        out += unicode(byte);
      else if (c == '/' && escape)
        out += "\\/";
      else
        out += c;
    }
    return out + '"';
  }

  std::string object(Members members, bool unknown = true) {
    if (odd_ && unknown) {
      for (std::uint64_t more = below(random_, 3); more > 0; --more)
        members.emplace_back(unknown_key(), anything(0));
      std::shuffle(members.begin(), members.end(), random_);
    }
    std::string out = "{" + blank();
    for (std::size_t i = 0; i < members.size(); ++i)
      out += (i == 0 ? "" : "," + blank()) + text(members[i].first) + blank() + ":" + blank() +
             members[i].second + blank();
    return out + "}";
  }

  std::string array(const std::vector<std::string> &items) {
    std::string out = "[" + blank();
    for (std::size_t i = 0; i < items.size(); ++i)
      out += (i == 0 ? "" : "," + blank()) + items[i] + blank();
    return out + "]";
  }

  /// Any value, not too deep.
  std::string anything(int depth) {
    switch (below(random_, depth > 2 ? 5 : 7)) {
    case 0:
      return "null";
    case 1:
      return once_in(random_, 2) ? "true" : "false";
    case 2:
      return "-1.5e-7";
    case 3:
      return text("\\ \"quoted\" \x01 {[,:");
    case 4:
      return std::to_string(random_());
    case 5:
      return array({anything(depth + 1), anything(depth + 1)});
    default:
      return object({{"e", anything(depth + 1)}, {"b", anything(depth + 1)}}, false);
    }
  }

private:
  static std::string unicode(unsigned byte) {
    constexpr const char *kHex = "0123456789abcdef";
    return std::string("\\u00") + kHex[byte >> 4U] + kHex[byte & 15U];
  }
  /// Longer than any key that the readers know, and not one of them.
  std::string unknown_key() { return "unknown" + std::to_string(below(random_, 1000)); }

  Random &random_;
  bool odd_;
};

/// A number as digits / 10^places, and one of the texts that mean it.
struct OddDecimal {
  Decimal value;
  std::string text;
};

/// Up to 15 digits; zeros may stand before and after it.
inline OddDecimal odd_decimal(Random &random, bool zero_allowed) {
  std::uint64_t digits = random() >> (10 + below(random, 50));
  digits %= 1'000'000'000'000'000ULL;
  if (digits == 0)
    digits = 1;
  if (zero_allowed && once_in(random, 4))
    digits = 0;
  auto places = static_cast<std::uint8_t>(below(random, 9));
  OddDecimal out;
  std::string text = std::to_string(digits);
  if (text.size() <= places)
    text.insert(0, places + 1 - text.size(), '0');
  if (places != 0)
    text.insert(text.size() - places, ".");
  if (once_in(random, 5) && places != 0)
    text.append(below(random, 4), '0');
  if (once_in(random, 20))
    text.insert(0, "00");
  while (places > 0 && digits % 10 == 0) {
    digits /= 10;
    --places;
  }
  out.value = {static_cast<std::int64_t>(digits), digits == 0 ? std::uint8_t{0} : places};
  out.text = std::move(text);
  return out;
}

/// What no price or size may look like.
inline std::string bad_decimal(Random &random) {
  static constexpr std::array<const char *, 12> kBad{
      "", "-1", "+1", "1e3", "1e-7", "NaN", "1,5", " 1", "1 ", "0x10", "1.2.3", "99999999999999999999"};
  return kBad[below(random, kBad.size())];
}

inline std::string symbol_name(Random &random) {
  static constexpr std::array<const char *, 8> kNames{
      "BTCUSDT", "ETHUSDT", "1000PEPEUSDT", "BTC-26DEC25", "X", "币安人生USDT", "ÄÖ&%=+USDT", "B_261225"};
  return kNames[below(random, kNames.size())];
}

} // namespace quietcore::test
