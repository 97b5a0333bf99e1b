// Bybit's stream messages from a model: whatever the order, blanks, escapes and unknown members, the parser
// returns what was meant; what nobody asked for is ignored; what is damaged is refused whole.
#include "describing_sink.hpp"
#include "odd_json.hpp"
#include "reader_campaign.hpp"

#include "quietcore/venue.hpp"

#include <charconv>
#include <gtest/gtest.h>

namespace quietcore::test {
namespace {

enum class Break : std::uint8_t { None, BadNumber, NumberNoText, MissingMember, OtherSymbol, OtherData };

/// One message and its meaning.
class BybitModel {
public:
  explicit BybitModel(Random &random, Break how = Break::None) : random_(random), odd_(random), break_(how) {}

  Rendered any() {
    switch (below(random_, 10)) {
    case 0:
    case 1:
      return trades();
    case 2:
      return ticker();
    case 3:
      return answer();
    case 4:
      return unasked();
    default:
      return book();
    }
  }
  /// One of those that are asked for.
  Rendered asked() { return once_in(random_, 3) ? trades() : book(); }

private:
  struct Side {
    std::string json;
    std::string truth;
  };

  std::string quoted(const OddDecimal &number, bool breakable) {
    if (breakable && break_ == Break::BadNumber)
      return odd_.text(bad_decimal(random_));
    if (breakable && break_ == Break::NumberNoText)
      return number.text.starts_with("0") ? "1" : number.text;
    return odd_.text(number.text);
  }

  Side side(std::size_t count, bool wire) {
    Side out;
    std::vector<std::string> rows;
    for (std::size_t i = 0; i < count; ++i) {
      const OddDecimal price = odd_decimal(random_, false);
      const OddDecimal size = odd_decimal(random_, true);
      out.truth += " " + described(price.value) + "*" + described(size.value);
      if (wire) {
        rows.push_back("[\"" + price.text + "\",\"" + size.text + "\"]");
        continue;
      }
      std::vector<std::string> cells{quoted(price, i == 0), quoted(size, false)};
      if (once_in(random_, 10))
        cells.push_back(odd_.anything(1)); // a column that nobody knows
      rows.push_back(odd_.array(cells));
    }
    if (wire) {
      for (const std::string &row : rows)
        out.json += (out.json.empty() ? "" : ",") + row;
      out.json = "[" + out.json + "]";
    } else {
      out.json = odd_.array(rows);
    }
    return out;
  }

  Rendered book() {
    static constexpr std::array<std::uint32_t, 5> kWindows{1, 50, 200, 500, 1000};
    const bool wire = break_ == Break::None && once_in(random_, 2);
    const std::string symbol = symbol_name(random_);
    const std::uint32_t window = kWindows[below(random_, kWindows.size())];
    const bool snapshot = once_in(random_, 2);
    const std::size_t most = once_in(random_, 100) ? 1000 : 12;
    const std::uint64_t u = random_() >> (12 + below(random_, 50));
    const std::uint64_t seq = random_() >> (12 + below(random_, 50));
    const std::uint64_t ts = below(random_, 9'000'000'000'000ULL);
    const std::uint64_t cts = below(random_, 9'000'000'000'000ULL);
    const Side bids = side(break_ == Break::None ? below(random_, most) : 3, wire);
    const Side asks = side(below(random_, most), wire);
    const std::string topic = "orderbook." + std::to_string(window) + "." + symbol;
    const std::string type = snapshot ? "snapshot" : "delta";
    Rendered out;
    out.truth = "ok\ndepth of " + symbol + " " + type + " window " + std::to_string(window) + " ids 0 " +
                std::to_string(u) + " 0 " + std::to_string(seq) + " times " + std::to_string(ts) +
                (ts == 0 ? " " : "000000 ") + std::to_string(cts) + (cts == 0 ? "" : "000000") + "\n bids" +
                bids.truth + "\n asks" + asks.truth + "\n";
    if (wire) {
      out.input = R"({"topic":")" + topic + R"(","type":")" + type + R"(","ts":)" + std::to_string(ts) +
                  R"(,"data":{"s":")" + symbol + R"(","b":)" + bids.json + R"(,"a":)" + asks.json +
                  R"(,"u":)" + std::to_string(u) + R"(,"seq":)" + std::to_string(seq) + R"(},"cts":)" +
                  std::to_string(cts) + "}";
      return out;
    }
    OddJson::Members data{{"b", bids.json},
                          {"a", asks.json},
                          {"u", std::to_string(u)},
                          {"s", odd_.text(break_ == Break::OtherSymbol ? symbol + "X" : symbol)},
                          {"seq", std::to_string(seq)}};
    if (break_ == Break::MissingMember)
      data.erase(data.begin() + static_cast<std::ptrdiff_t>(below(random_, 3)));
    out.input = odd_.object(
        {{"topic", odd_.text(topic)},
         {"type", odd_.text(type)},
         {"ts", std::to_string(ts)},
         {"cts", std::to_string(cts)},
         {"data", break_ == Break::OtherData ? odd_.array({odd_.object(data)}) : odd_.object(data)}});
    return out;
  }

  Rendered trades() {
    const std::string symbol = symbol_name(random_);
    const std::uint64_t ts = 1 + below(random_, 9'000'000'000'000ULL);
    std::uint64_t left_out = 0;
    std::string told;
    std::vector<std::string> rows;
    for (std::uint64_t n = break_ == Break::None ? below(random_, 6) : 1; n-- > 0;) {
      const OddDecimal price = odd_decimal(random_, break_ == Break::None && once_in(random_, 20));
      const OddDecimal size = odd_decimal(random_, false);
      const bool sell = once_in(random_, 2);
      const bool block = once_in(random_, 6);
      const bool numeric = once_in(random_, 2);
      const std::uint64_t id = 1 + (random_() >> 2U);
      OddJson::Members row{{"p", quoted(price, true)},
                           {"v", odd_.text(size.text)},
                           {"S", odd_.text(sell ? "Sell" : "Buy")},
                           {"i", odd_.text(numeric ? std::to_string(id) : "20f43950-d8dd-5b31-9112")},
                           {"T", std::to_string(ts)},
                           {"s", odd_.text(break_ == Break::OtherSymbol ? symbol + "X" : symbol)},
                           {"L", "\"PlusTick\""}};
      if (block || once_in(random_, 2))
        row.emplace_back("BT", block ? "true" : "false");
      if (break_ == Break::MissingMember)
        row.erase(row.begin() + static_cast<std::ptrdiff_t>(below(random_, 3)));
      rows.push_back(odd_.object(row));
      if (block || price.value.digits == 0)
        ++left_out;
      else
        told += " " + described(price.value) + "*" + described(size.value) + (sell ? "-" : "+") +
                std::to_string(numeric ? id : 0);
    }
    const std::string data = odd_.array(rows);
    return {odd_.object({{"topic", odd_.text("publicTrade." + symbol)},
                         {"type", "\"snapshot\""},
                         {"ts", std::to_string(ts)},
                         {"data", break_ == Break::OtherData ? odd_.object({{"list", data}}) : data}}),
            "ok\ntrades of " + symbol + " time " + std::to_string(ts) + "000000 left out " +
                std::to_string(left_out) + told + "\n"};
  }

  Rendered ticker() {
    const std::string symbol = symbol_name(random_);
    const std::uint64_t ts = 1 + below(random_, 9'000'000'000'000ULL);
    return {odd_.object({{"topic", odd_.text("tickers." + symbol)},
                         {"ts", std::to_string(ts)},
                         {"type", "\"delta\""},
                         {"data", odd_.object({{"symbol", odd_.text(symbol)}, {"bid1Price", "\"1\""}})}}),
            "ok\nticker of " + symbol + " time " + std::to_string(ts) + "000000\n"};
  }

  Rendered answer() {
    const std::string id = std::to_string(below(random_, 1000));
    const std::string words = "error:handler not found, topic:\"orderbook.25.X\" \\ 不";
    const bool success = once_in(random_, 2);
    return {odd_.object({{"success", success ? "true" : "false"},
                         {"ret_msg", odd_.text(success ? "" : words)},
                         {"conn_id", "\"c\""},
                         {"req_id", odd_.text(id)},
                         {"op", "\"subscribe\""}}),
            "ok\ncontrol " +
                std::to_string(static_cast<int>(success ? ControlMessage::Kind::Subscribed
                                                        : ControlMessage::Kind::Refused)) +
                " id " + id + " code 0 " + (success ? "" : words) + "\n"};
  }

  /// Valid, and nobody asked for it.
  Rendered unasked() {
    static constexpr std::array<const char *, 7> kTopics{
        "orderbook.rpi.XRPUSDT", "kline.1.BTCUSDT", "allLiquidation.BTCUSDT",
        "liquidation.BTCUSDT",   "adl.USDT",        "price_limit.XRP",
        "insurance.USDT"};
    const std::string topic = kTopics[below(random_, kTopics.size())];
    std::string data = odd_.anything(0);
    if (topic.starts_with("orderbook.rpi"))
      data = odd_.object({{"s", "\"XRPUSDT\""},
                          {"b", R"([["0.5","1","2"]])"},
                          {"a", once_in(random_, 2) ? "[]" : R"([[0.6,1]])"},
                          {"u", "7"},
                          {"seq", "-1"}});
    return {odd_.object({{"topic", odd_.text(topic)}, {"type", "\"delta\""}, {"ts", "1"}, {"data", data}}),
            "ignored\n"};
  }

  Random &random_;
  OddJson odd_;
  Break break_;
};

bool is_refused(const std::string &answer) { return answer == "refused"; }

Damage rendered_broken(Break how) {
  return {[how](Random &random, const std::string &) -> std::optional<std::string> {
            return BybitModel(random, how).asked().input;
          },
          is_refused};
}

TEST(ReaderCampaign, BybitParser) {
  const auto parser = std::shared_ptr<Parser>(make_venue("bybit-linear")->make_parser());
  const auto read = [parser](const std::string &input) {
    DescribingSink sink;
    return read_with(*parser, input, sink);
  };
  ReaderModel model;
  model.name = "bybit-parser";
  model.render = [](Random &random) { return BybitModel(random).any(); };
  model.read = read;
  model.damages = {
      {"cut",
       {[](Random &random, const std::string &input) -> std::optional<std::string> {
          return input.substr(0, below(random, input.rfind('}') + 1));
        },
        is_refused}},
      {"twice",
       {[](Random &, const std::string &input) { return std::optional(input + input); }, is_refused}},
      {"no UTF-8",
       {[](Random &random, const std::string &input) -> std::optional<std::string> {
          std::string broken = input;
          broken.insert(broken.find('"') + 1, once_in(random, 2) ? "\xff" : "\xed\xa0\x80");
          return broken;
        },
        is_refused}},
      {"a number that is none", rendered_broken(Break::BadNumber)},
      {"a price that is no text", rendered_broken(Break::NumberNoText)},
      {"a member is missing", rendered_broken(Break::MissingMember)},
      {"of two symbols", rendered_broken(Break::OtherSymbol)},
      {"data of another kind", rendered_broken(Break::OtherData)},
  };
  model.planted = {
      {"the last level is forgotten",
       [parser](const std::string &input) {
         DescribingSink sink;
         sink.forgets_last_level = true;
         return read_with(*parser, input, sink);
       }},
      {"block trades are not counted",
       [parser](const std::string &input) {
         DescribingSink sink;
         sink.forgets_what_is_left = true;
         return read_with(*parser, input, sink);
       }},
      {"another book is taken for the book",
       [read](const std::string &input) {
         std::string other = input;
         if (const std::size_t at = other.find("orderbook.rpi."); at != std::string::npos)
           other.replace(at, 14, "orderbook.50.");
         return read(other);
       }},
      {"a refusal is passed over",
       [read](const std::string &input) {
         const std::string answer = read(input);
         return answer == "refused" ? "ignored\n" : answer;
       }},
  };
  run_campaign(model);
}

} // namespace
} // namespace quietcore::test
