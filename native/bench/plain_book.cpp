// The plain approach, kept as the baseline: what one writes first with simdjson.
#include "cases.hpp"
#include "messages.hpp"

#include <algorithm>
#include <charconv>
#include <simdjson.h>
#include <stdexcept>

namespace quietcore::bench {
namespace {

struct Level {
  std::int64_t price;
  std::int64_t size;
};

/// Digits without the point; the inputs give each price and each size with the same number of decimals, but
/// for the "0" that deletes.
std::int64_t digits_of(std::string_view text) {
  std::int64_t value = 0;
  for (const char c : text) {
    if (c != '.')
      value = value * 10 + (c - '0');
  }
  return value;
}

template <typename Better> void set_level(std::vector<Level> &side, Level level, Better better) {
  const auto at = std::lower_bound(side.begin(), side.end(), level,
                                   [&](const Level &a, const Level &b) { return better(a.price, b.price); });
  const bool found = at != side.end() && at->price == level.price;
  if (level.size == 0) {
    if (found)
      side.erase(at);
  } else if (found) {
    at->size = level.size;
  } else {
    side.insert(at, level);
  }
}

class PlainBook {
public:
  void take(std::string_view bytes) {
    auto document = parser_.iterate(bytes.data(), bytes.size(), bytes.size() + simdjson::SIMDJSON_PADDING);
    auto root = document.get_object();
    const std::string_view type = root["type"].get_string();
    if (type == "snapshot") {
      bids_.clear();
      asks_.clear();
    }
    auto data = root["data"].get_object();
    for (auto row : data["b"].get_array())
      set_level(bids_, level_of(row.get_array()), std::greater<>());
    for (auto row : data["a"].get_array())
      set_level(asks_, level_of(row.get_array()), std::less<>());
    const std::uint64_t update = data["u"].get_uint64();
    last_update_ = update;
  }

  [[nodiscard]] std::int64_t best_bid() const { return bids_.empty() ? 0 : bids_.front().price; }
  [[nodiscard]] std::int64_t best_ask() const { return asks_.empty() ? 0 : asks_.front().price; }

private:
  template <typename Row> static Level level_of(Row row) {
    Level level{};
    std::int64_t *out = &level.price;
    for (auto cell : row) {
      const std::string_view text = cell.get_string();
      *out = digits_of(text);
      out = &level.size;
    }
    return level;
  }

  simdjson::ondemand::parser parser_;
  std::vector<Level> bids_;
  std::vector<Level> asks_;
  std::uint64_t last_update_ = 0;
};

unsigned decimals_of_prices(std::string_view message) {
  const std::size_t at = message.find("[[\"");
  const std::size_t end = message.find('"', at + 3);
  const std::string_view price = message.substr(at + 3, end - at - 3);
  const std::size_t point = price.find('.');
  return point == std::string_view::npos ? 0 : static_cast<unsigned>(price.size() - point - 1);
}

} // namespace

Outcome plain_book(const std::string &input, double seconds) {
  const Input &in = load_input(input);
  PlainBook book;
  std::int64_t sum = 0;
  Outcome out = run_for(seconds, [&] {
    for (const InputMessage &message : in.messages) {
      book.take(message.bytes);
      sum += book.best_bid() + book.best_ask();
    }
    return in.messages.size();
  });
  const unsigned places = decimals_of_prices(in.messages.front().bytes);
  out.bid = decimal_text(book.best_bid(), places);
  out.ask = decimal_text(book.best_ask(), places);
  out.more["checksum"] = static_cast<double>(sum & 0xffff);
  return out;
}

} // namespace quietcore::bench
