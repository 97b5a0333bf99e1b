// The venues' lists of instruments from a model: one entry that is not as documented spoils none of the
// others, and an answer that is not as documented as a whole is never taken for a shorter list.
#include "odd_json.hpp"
#include "reader_campaign.hpp"

#include "quietcore/error.hpp"
#include "quietcore/refusal.hpp"
#include "quietcore/url.hpp"
#include "quietcore/venue.hpp"

#include <gtest/gtest.h>

namespace quietcore::test {
namespace {

constexpr char kNextPage = '\x1e';

/// A step as text, and its scale; steps of venues have few digits.
struct Step {
  std::string text;
  std::string truth;
};

Step step(Random &random) {
  static constexpr std::array<std::pair<const char *, const char *>, 9> kSteps{{{"0.10", "1/1"},
                                                                                {"0.1", "1/1"},
                                                                                {"0.00001", "1/5"},
                                                                                {"1", "1/0"},
                                                                                {"10", "10/0"},
                                                                                {"0.05", "5/2"},
                                                                                {"0.0000000100", "1/8"},
                                                                                {"2.5", "25/1"},
                                                                                {"1000.000", "1000/0"}}};
  const auto &[text, truth] = kSteps[below(random, kSteps.size())];
  return {text, truth};
}

std::string in_words(const InstrumentList &list) {
  std::string out;
  const auto scale = [](Scale s) { return std::to_string(s.mantissa) + "/" + std::to_string(s.exponent); };
  for (const Instrument &instrument : list.trading)
    out += instrument.name + " " + scale(instrument.tick) + " " + scale(instrument.lot) + "\n";
  out += "others\n";
  for (const InstrumentList::Other &other : list.others)
    out += other.name + (other.trades ? " not understood" : " not trading") + (other.why.empty() ? "!" : "") +
           "\n";
  return out;
}

std::string answer_of(const std::function<InstrumentList()> &fetch) {
  try {
    return in_words(fetch());
  } catch (const Refused &refused) {
    return refused.refusal().passing ? "refused for now" : "refused for good";
  } catch (const Error &error) {
    return error.code() == ExitCode::Usage ? "not understood" : error.what();
  }
}

/// Instruments of either venue.
class InstrumentModel {
public:
  InstrumentModel(Random &random, bool bybit) : random_(random), odd_(random), bybit_(bybit) {}

  Rendered any() {
    Rendered out;
    const std::uint64_t pages = bybit_ ? 1 + below(random_, 3) : 1;
    for (std::uint64_t page = 0; page < pages; ++page)
      out.input += (page == 0 ? "" : std::string(1, kNextPage)) + this->page(page + 1 < pages);
    out.truth = trading_ + "others\n" + others_;
    return out;
  }

private:
  std::string page(bool more) {
    std::vector<std::string> entries;
    for (std::uint64_t n = below(random_, 6); n-- > 0;)
      entries.push_back(entry());
    if (!bybit_)
      return odd_.object({{"symbols", odd_.array(entries)}, {"timezone", "\"UTC\""}});
    static constexpr std::array<const char *, 3> kCursors{"132766%3A2%2C132766%3A2", "page_args=a&b=%2F+c",
                                                          "50"};
    const std::string cursor =
        more ? kCursors[below(random_, 3)] + std::to_string(cursors_++) : std::string();
    OddJson::Members result{{"list", odd_.array(entries)}};
    if (more)
      result.emplace_back("nextPageCursor", odd_.text(cursor));
    else if (once_in(random_, 2))
      result.emplace_back("nextPageCursor", once_in(random_, 2) ? "\"\"" : "null");
    if (once_in(random_, 2))
      result.emplace_back("category", "\"linear\"");
    return odd_.object({{"retCode", "0"}, {"retMsg", "\"OK\""}, {"result", odd_.object(result)}});
  }

  std::string entry() {
    if (once_in(random_, 12)) {
      others_ += " not understood\n";
      return once_in(random_, 2) ? "\"no object\"" : odd_.object({{"status", "\"Trading\""}});
    }
    std::string name = symbol_name(random_) + std::to_string(number_++);
    if (once_in(random_, 12))
      name += "ANAMETHATISMUCHLONGERTHANTHEREISROOMFOR";
    const Step tick = step(random_);
    const Step lot = step(random_);
    const bool idle = once_in(random_, 5);
    std::string price = filter("tickSize", odd_.text(tick.text), "PRICE_FILTER");
    std::string size = filter(bybit_ ? "qtyStep" : "stepSize", odd_.text(lot.text), "LOT_SIZE");
    bool bad = name.size() > kMaxSymbolBytes;
    if (!bad && once_in(random_, 4)) {
      static constexpr std::array<const char *, 8> kBad{R"("")", R"("1e-7")", R"("0.00000000")", R"("-0.1")",
                                                        "0.1",   "null",      R"("abc")",        R"("0,1")"};
      bad = true;
      (once_in(random_, 2) ? price : size) =
          once_in(random_, 3) ? std::string("{}")
                              : filter("tickSize", kBad[below(random_, kBad.size())], "PRICE_FILTER");
    }
    if (bad && name.size() > kMaxSymbolBytes)
      others_ += name + " not understood\n";
    else if (idle)
      others_ += name + " not trading\n";
    else if (bad)
      others_ += name + " not understood\n";
    else
      trading_ += name + " " + tick.truth + " " + lot.truth + "\n";
    OddJson::Members members{{"symbol", odd_.text(name)}};
    if (idle || once_in(random_, 2))
      members.emplace_back("status", idle     ? once_in(random_, 2) ? "\"PreLaunch\"" : "\"BREAK\""
                                     : bybit_ ? "\"Trading\""
                                              : "\"TRADING\"");
    if (bybit_) {
      members.emplace_back("priceFilter", price);
      members.emplace_back("lotSizeFilter", size);
    } else {
      members.emplace_back("filters", odd_.array({price, odd_.object({{"filterType", "\"OTHER\""}}), size}));
    }
    return odd_.object(members);
  }

  std::string filter(const char *key, const std::string &value, const char *type) {
    OddJson::Members members{{key, value}};
    if (!bybit_)
      members.emplace_back("filterType", odd_.text(type));
    return odd_.object(members);
  }

  Random &random_;
  OddJson odd_;
  bool bybit_;
  int number_ = 0;
  int cursors_ = 0;
  std::string trading_;
  std::string others_;
};

/// Serves the pages in order, and sees that each is asked for by the cursor of the one before.
std::string read_pages(const Venue &venue, const std::string &input) {
  std::vector<std::string> pages;
  for (std::size_t begin = 0; begin <= input.size();) {
    const std::size_t end = std::min(input.find(kNextPage, begin), input.size());
    pages.push_back(input.substr(begin, end - begin));
    begin = end + 1;
  }
  std::size_t next = 0;
  return answer_of([&] {
    return venue.instruments([&](const std::string &target) {
      const bool first = target.find("cursor=") == std::string::npos;
      if (first != (next == 0) || next == pages.size() ||
          target.find_first_of(" \"<>+") != std::string::npos ||
          target.find("page_args=") != std::string::npos)
        throw Error({.what = "asked for " + target}, ExitCode::Unknown);
      return pages[next++];
    });
  });
}

Damage says(std::string text, std::string answer) {
  return {[text = std::move(text)](Random &, const std::string &) { return std::optional(text); },
          [answer = std::move(answer)](const std::string &found) { return found == answer; }};
}

const Damage kCut{[](Random &random, const std::string &input) -> std::optional<std::string> {
                    const std::size_t page = input.find(kNextPage);
                    return input.substr(0, below(random, input.substr(0, page).rfind('}') + 1));
                  },
                  [](const std::string &answer) { return answer == "not understood"; }};

void play(const std::string &name, const char *venue_name, bool bybit,
          std::map<std::string, Damage> damages) {
  const auto venue = std::shared_ptr<Venue>(make_venue(venue_name));
  ReaderModel model;
  model.name = name;
  model.render = [bybit](Random &random) { return InstrumentModel(random, bybit).any(); };
  model.read = [venue](const std::string &input) { return read_pages(*venue, input); };
  model.damages = std::move(damages);
  model.damages.emplace("cut", kCut);
  model.damages.emplace("a page instead", says("<html>502</html>", "not understood"));
  model.damages.emplace("a list instead", says("[]", "not understood"));
  model.damages.emplace("nothing", says("", "not understood"));
  model.planted = {{"the first bad entry ends the list",
                    [read = model.read](const std::string &input) {
                      const std::string answer = read(input);
                      return answer.find("not understood\n") == std::string::npos ? answer : "exit 2";
                    }},
                   {"other entries are not kept", [read = model.read](const std::string &input) {
                      const std::string answer = read(input);
                      return answer.substr(0, answer.find("others\n") + 7);
                    }}};
  run_campaign(model);
}

TEST(ReaderCampaign, BybitInstruments) {
  play("bybit-instruments", "bybit-linear", true,
       {{"too many visits",
         says(R"({"retCode":10006,"retMsg":"Too many visits!","result":{}})", "refused for now")},
        {"a refusal for good", says(R"({"retCode":10001,"retMsg":"params error"})", "refused for good")},
        {"no code", says(R"({"result":{"list":[]}})", "not understood")},
        {"no list", says(R"({"retCode":0,"result":{}})", "not understood")},
        {"another category",
         says(R"({"retCode":0,"result":{"category":"spot","list":[]}})", "not understood")},
        {"a cursor that is no text",
         says(R"({"retCode":0,"result":{"list":[],"nextPageCursor":5}})", "not understood")}});
}

TEST(ReaderCampaign, BinanceInstruments) {
  play("binance-exchange-info", "binance-usdm", false,
       {{"too many requests", says(R"({"code":-1003,"msg":"Way too many requests"})", "refused for now")},
        {"a refusal for good", says(R"({"code":-1121,"msg":"Invalid symbol."})", "refused for good")},
        {"no list", says(R"({"timezone":"UTC"})", "not understood")}});
}

} // namespace
} // namespace quietcore::test
