// Binance's stream messages and REST snapshots from a model, spot and futures, wrapped and raw.
#include "describing_sink.hpp"
#include "odd_json.hpp"
#include "reader_campaign.hpp"

#include "quietcore/venue.hpp"

#include <gtest/gtest.h>

namespace quietcore::test {
namespace {

enum class Break : std::uint8_t { None, BadNumber, NumberNoText, MissingMember, OtherEvent, OtherData };

std::string lower(std::string text) {
  for (char &c : text)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

class BinanceModel {
public:
  BinanceModel(Random &random, bool spot, Break how = Break::None)
      : random_(random), odd_(random), spot_(spot), break_(how), symbol_(symbol_name(random)) {}

  Rendered any() {
    switch (below(random_, 10)) {
    case 0:
      return trade();
    case 1:
    case 2:
      return quote();
    case 3:
      return answer();
    case 4:
    case 5:
      return unasked();
    default:
      return delta();
    }
  }
  Rendered asked() {
    switch (below(random_, 3)) {
    case 0:
      return trade();
    case 1:
      return quote();
    default:
      return delta();
    }
  }

  /// The answer to /depth.
  Rendered snapshot() {
    const std::uint64_t id = random_() >> (10 + below(random_, 50));
    const Side bids = side();
    const Side asks = side();
    OddJson::Members members{{"lastUpdateId", std::to_string(id)}, {"bids", bids.json}, {"asks", asks.json}};
    std::string time = "0 0";
    if (once_in(random_, 2)) {
      members.emplace_back("E", "1723161256501");
      members.emplace_back("T", "1723161256493");
      time = "1723161256501000000 1723161256493000000";
    }
    if (break_ == Break::MissingMember)
      members.erase(members.begin() + static_cast<std::ptrdiff_t>(below(random_, 3)));
    return {odd_.object(members), "ok\ndepth of  snapshot window 0 ids 0 " + std::to_string(id) +
                                      " 0 0 times " + time + "\n bids" + bids.truth + "\n asks" + asks.truth +
                                      "\n"};
  }

private:
  struct Side {
    std::string json;
    std::string truth;
  };

  std::string quoted(const OddDecimal &number) {
    if (break_ == Break::BadNumber)
      return odd_.text(bad_decimal(random_));
    if (break_ == Break::NumberNoText)
      return number.text.starts_with("0") ? "1" : number.text;
    return odd_.text(number.text);
  }

  Side side() {
    Side out;
    std::vector<std::string> rows;
    std::uint64_t count = below(random_, once_in(random_, 100) ? 500 : 10);
    if (break_ != Break::None)
      count = 2;
    for (std::uint64_t n = count; n-- > 0;) {
      const OddDecimal price = odd_decimal(random_, false);
      const OddDecimal size = odd_decimal(random_, true);
      out.truth += " " + described(price.value) + "*" + described(size.value);
      rows.push_back(odd_.array({quoted(price), odd_.text(size.text)}));
    }
    out.json = odd_.array(rows);
    return out;
  }

  /// With the stream's name around it, or as it is.
  std::string wrapped(const std::string &stream, OddJson::Members data) {
    if (break_ == Break::MissingMember)
      data.erase(data.begin() + 1); // the first is e
    const std::string event = odd_.object(data);
    const std::string name = lower(symbol_) + (break_ == Break::OtherEvent ? "@bookTicker" : stream);
    if (break_ == Break::OtherData)
      return odd_.object({{"stream", odd_.text(name)}, {"data", odd_.array({event})}});
    if (break_ == Break::None && once_in(random_, 3))
      return event;
    return odd_.object({{"stream", odd_.text(name)}, {"data", event}});
  }

  Rendered delta() {
    const std::uint64_t first = 1 + (random_() >> (10 + below(random_, 50)));
    const std::uint64_t last = first + below(random_, 100);
    const Side bids = side();
    const Side asks = side();
    OddJson::Members data{
        {"e", "\"depthUpdate\""}, {"U", std::to_string(first)}, {"u", std::to_string(last)}, {"b", bids.json},
        {"a", asks.json},         {"s", odd_.text(symbol_)},    {"E", "1723161256299"}};
    if (!spot_) {
      data.emplace_back("pu", std::to_string(first - 1));
      data.emplace_back("T", "1723161256298");
    }
    static constexpr std::array<const char *, 3> kStreams{"@depth", "@depth@0ms", "@depth@100ms"};
    const std::string stream = kStreams[below(random_, kStreams.size())];
    return {wrapped(stream, data),
            "ok\ndepth of " + symbol_ + " delta window 0 ids " + std::to_string(first) + " " +
                std::to_string(last) + " " + std::to_string(spot_ ? 0 : first - 1) +
                " 0 times 1723161256299000000 " + (spot_ ? "0" : "1723161256298000000") + "\n bids" +
                bids.truth + "\n asks" + asks.truth + "\n"};
  }

  Rendered quote() {
    const std::uint64_t id = random_() >> 12U;
    std::array<OddDecimal, 4> numbers;
    for (OddDecimal &number : numbers)
      number = odd_decimal(random_, true);
    OddJson::Members data{{"u", std::to_string(id)},         {"b", quoted(numbers[0])},
                          {"B", odd_.text(numbers[1].text)}, {"a", odd_.text(numbers[2].text)},
                          {"A", odd_.text(numbers[3].text)}, {"s", odd_.text(symbol_)}};
    if (!spot_)
      data.insert(data.begin(), {"e", "\"bookTicker\""});
    else
      data.insert(data.begin(), {"unknown", "1"});
    const std::string truth = "ok\nticker of " + symbol_ + " time 0 id " + std::to_string(id) + " " +
                              described(numbers[0].value) + "*" + described(numbers[1].value) + " " +
                              described(numbers[2].value) + "*" + described(numbers[3].value) + "\n";
    if (break_ == Break::OtherEvent) // the name of that stream is this event's own
      return delta();
    return {wrapped("@bookTicker", data), truth};
  }

  Rendered trade() {
    static constexpr std::array<const char *, 4> kKinds{"NA", "INSURANCE_FUND", "ADL", "A_NEW_KIND"};
    const OddDecimal price = odd_decimal(random_, break_ == Break::None && once_in(random_, 10));
    const OddDecimal size = odd_decimal(random_, break_ == Break::None && once_in(random_, 10));
    const bool maker = once_in(random_, 2);
    const bool other = !spot_ && once_in(random_, 3);
    const std::uint64_t id = 1 + (random_() >> 12U);
    OddJson::Members data{{"e", "\"trade\""},          {"p", quoted(price)},
                          {"q", odd_.text(size.text)}, {"m", maker ? "true" : "false"},
                          {"t", std::to_string(id)},   {"s", odd_.text(symbol_)},
                          {"E", "1723161256299"},      {"T", "1723161256298"}};
    if (!spot_)
      data.emplace_back("X", odd_.text(other ? kKinds[below(random_, kKinds.size())] : "MARKET"));
    const bool left_out = other || price.value.digits == 0 || size.value.digits == 0;
    std::string truth =
        "ok\ntrades of " + symbol_ + " time 1723161256299000000 left out " + (left_out ? "1" : "0");
    if (!left_out)
      truth += " " + described(price.value) + "*" + described(size.value) + (maker ? "-" : "+") +
               std::to_string(id);
    return {wrapped("@trade", data), truth + "\n"};
  }

  Rendered answer() {
    const std::string words = "Invalid request: unknown \"variant\" \\ 不";
    const std::string id = once_in(random_, 2) ? std::to_string(below(random_, 1000)) : odd_.text("a7");
    const std::string told_id = id.front() == '"' ? "a7" : id;
    switch (below(random_, 3)) {
    case 0:
      return {odd_.object({{"result", "null"}, {"id", id}}), "ok\ncontrol 0 id " + told_id + " code 0 \n"};
    case 1:
      return {odd_.object({{"error", odd_.object({{"code", "2"}, {"msg", odd_.text(words)}})}, {"id", id}}),
              "ok\ncontrol 1 id " + told_id + " code 2 " + words + "\n"};
    default:
      return {odd_.object({{"code", "-1121"}, {"msg", odd_.text(words)}}),
              "ok\ncontrol 1 id  code -1121 " + words + "\n"};
    }
  }

  /// Valid, and nobody asked for it.
  Rendered unasked() {
    static constexpr std::array<const char *, 8> kStreams{
        "!markPrice@arr@1s",      "!miniTicker@arr",   "!bookTicker",
        "btcusdt@depth20@100ms",  "btcusdt@aggTrade",  "btcusdt@kline_1m",
        "btcusdt@rpiDepth@500ms", "btcusdt@forceOrder"};
    const std::string stream = kStreams[below(random_, kStreams.size())];
    const std::string event = odd_.object({{"e", R"("markPriceUpdate")"}, {"s", R"("BTCUSDT")"}, {"p", "1"}});
    if (once_in(random_, 4))
      return {odd_.array({event, event}), "ignored\n"}; // as /ws/!markPrice@arr sends it
    std::string data = event;
    if (stream.find("@arr") != std::string::npos)
      data = odd_.array({event, event});
    else if (stream.find("epth") != std::string::npos)
      data = odd_.object({{"e", R"("depthUpdate")"},
                          {"U", "5"},
                          {"u", "6"},
                          {"pu", "4"},
                          {"s", R"("BTCUSDT")"},
                          {"b", R"([["1","2"]])"},
                          {"a", "[]"}});
    else if (once_in(random_, 3))
      data = odd_.anything(0);
    return {odd_.object({{"stream", odd_.text(stream)}, {"data", data}}), "ignored\n"};
  }

  Random &random_;
  OddJson odd_;
  bool spot_;
  Break break_;
  std::string symbol_;
};

bool is_refused(const std::string &answer) { return answer == "refused"; }

Damage broken(bool spot, Break how) {
  return {[=](Random &random, const std::string &) -> std::optional<std::string> {
            return BinanceModel(random, spot, how).asked().input;
          },
          is_refused};
}

const Damage kCut{[](Random &random, const std::string &input) -> std::optional<std::string> {
                    return input.substr(0, below(random, input.find_last_of("}]") + 1));
                  },
                  is_refused};

void play(const std::string &name, bool spot) {
  const auto parser =
      std::shared_ptr<Parser>(make_venue(spot ? "binance-spot" : "binance-usdm")->make_parser());
  const auto read = [parser](const std::string &input) {
    DescribingSink sink;
    return read_with(*parser, input, sink);
  };
  ReaderModel model;
  model.name = name;
  model.render = [spot](Random &random) { return BinanceModel(random, spot).any(); };
  model.read = read;
  model.damages = {
      {"cut", kCut},
      {"twice",
       {[](Random &, const std::string &input) { return std::optional(input + input); }, is_refused}},
      {"a number that is none", broken(spot, Break::BadNumber)},
      {"a price that is no text", broken(spot, Break::NumberNoText)},
      {"a member is missing", broken(spot, Break::MissingMember)},
      {"an event of another stream", broken(spot, Break::OtherEvent)},
      {"data of another kind", broken(spot, Break::OtherData)},
  };
  model.planted = {
      {"left-out trades are not counted",
       [parser](const std::string &input) {
         DescribingSink sink;
         sink.forgets_what_is_left = true;
         return read_with(*parser, input, sink);
       }},
      {"a part of the book is taken for the book",
       [read](const std::string &input) {
         std::string other = input;
         if (const std::size_t at = other.find("@depth20@"); at != std::string::npos)
           other.replace(at, 9, "@depth@");
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

TEST(ReaderCampaign, BinanceFuturesParser) { play("binance-usdm-parser", false); }
TEST(ReaderCampaign, BinanceSpotParser) { play("binance-spot-parser", true); }

TEST(ReaderCampaign, BinanceDepthSnapshot) {
  const auto parser = std::shared_ptr<Parser>(make_venue("binance-usdm")->make_parser());
  const auto read = [parser](const std::string &input) {
    DescribingSink sink;
    return read_with(*parser, input, sink);
  };
  const auto rendered_broken = [](Break how) {
    return Damage{[how](Random &random, const std::string &) -> std::optional<std::string> {
                    return BinanceModel(random, false, how).snapshot().input;
                  },
                  is_refused};
  };
  ReaderModel model;
  model.name = "binance-depth-snapshot";
  model.render = [](Random &random) { return BinanceModel(random, false).snapshot(); };
  model.read = read;
  model.damages = {
      {"cut", kCut},
      {"a number that is none", rendered_broken(Break::BadNumber)},
      {"a price that is no text", rendered_broken(Break::NumberNoText)},
      {"a member is missing", rendered_broken(Break::MissingMember)},
      {"an error instead, never a book",
       {[](Random &random, const std::string &) -> std::optional<std::string> {
          return OddJson(random).object({{"code", "-1003"}, {"msg", "\"Too many requests\""}});
        },
        [](const std::string &answer) {
          return answer == "ok\ncontrol 1 id  code -1003 Too many requests\n";
        }}},
      {"a page instead",
       {[](Random &, const std::string &) -> std::optional<std::string> {
          return "<html>502 Bad Gateway</html>";
        },
        is_refused}},
  };
  model.planted = {{"the last level is forgotten", [parser](const std::string &input) {
                      DescribingSink sink;
                      sink.forgets_last_level = true;
                      return read_with(*parser, input, sink);
                    }}};
  run_campaign(model);
}

} // namespace
} // namespace quietcore::test
