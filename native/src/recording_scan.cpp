#include "quietcore/recording_scan.hpp"

#include "quietcore/error.hpp"
#include "quietcore/recording.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quietcore {
namespace {

/// Most decimal places seen of prices and of sizes.
struct Finest {
  std::uint8_t price = 0;
  std::uint8_t size = 0;

  void see(Decimal a_price, Decimal a_size) noexcept {
    price = std::max(price, a_price.places);
    size = std::max(size, a_size.places);
  }
  void see(std::span<const RawLevel> levels) noexcept {
    for (const RawLevel &level : levels)
      see(level.price, level.size);
  }
};

/// Only to tell symbols apart, never for a book.
double about(Decimal value) noexcept {
  return static_cast<double>(value.digits) / static_cast<double>(kPowersOfTen[value.places]);
}

struct SeenSymbol {
  std::string name;
  Finest finest;
  std::uint32_t window = 0;
  bool has_book = false;
  double price = 0;                                            ///< of its first trade or ticker
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges; ///< update ids of its deltas
};

/// A snapshot that does not say whose it is.
struct Orphan {
  std::uint64_t line;
  std::uint64_t id;
  double price;
  Finest finest;
};

class Scan final : public MessageSink {
public:
  std::uint64_t line = 0;
  std::vector<SeenSymbol> symbols;
  std::vector<Orphan> orphans;

  void on_depth(const DepthMessage &message) override {
    if (message.symbol.empty()) {
      Orphan orphan{line, message.last_id, 0, {}};
      orphan.finest.see(message.bids);
      orphan.finest.see(message.asks);
      if (!message.bids.empty())
        orphan.price = about(message.bids.front().price);
      orphans.push_back(orphan);
      return;
    }
    SeenSymbol &symbol = seen(message.symbol);
    symbol.has_book = true;
    symbol.window = std::max(symbol.window, message.window);
    symbol.finest.see(message.bids);
    symbol.finest.see(message.asks);
    if (!message.snapshot && message.first_id != 0)
      symbol.ranges.emplace_back(message.first_id, message.last_id);
  }

  void on_trades(const TradesMessage &message) override {
    SeenSymbol &symbol = seen(message.symbol);
    for (const RawTrade &trade : message.trades) {
      symbol.finest.see(trade.price, trade.size);
      if (symbol.price == 0)
        symbol.price = about(trade.price);
    }
  }

  void on_ticker(const TickerMessage &message) override {
    SeenSymbol &symbol = seen(message.symbol);
    symbol.finest.see(message.bid, message.bid_size);
    symbol.finest.see(message.ask, message.ask_size);
    if (symbol.price == 0)
      symbol.price = about(message.bid);
  }

  void on_control(const ControlMessage &) override {}

  /// The symbol an orphan fits: its id lies within a delta's; of several such, the one priced nearest.
  [[nodiscard]] std::size_t parent(const Orphan &orphan) const {
    std::size_t best = symbols.size();
    double best_distance = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const SeenSymbol &symbol = symbols[i];
      const bool bridges = std::any_of(symbol.ranges.begin(), symbol.ranges.end(), [&](const auto &range) {
        return range.first <= orphan.id && orphan.id <= range.second;
      });
      double distance = bridges ? 0 : 1000;
      if (symbol.price > 0 && orphan.price > 0)
        distance += std::min(100.0, std::abs(std::log(symbol.price / orphan.price)));
      else
        distance += 100;
      if (symbol.has_book && distance < best_distance) {
        best = i;
        best_distance = distance;
      }
    }
    return best;
  }

private:
  SeenSymbol &seen(std::string_view name) {
    const auto [at, fresh] = by_name_.try_emplace(std::string(name), symbols.size());
    if (fresh)
      symbols.push_back({.name = std::string(name), .finest = {}, .ranges = {}});
    return symbols[at->second];
  }

  std::unordered_map<std::string, std::size_t> by_name_;
};

} // namespace

RecordingFacts scan_recording(const Venue &venue, const std::string &path) {
  RecordingReader reader(path);
  const std::unique_ptr<Parser> parser = venue.make_parser();
  Scan scan;
  RecordingFacts facts;
  RecordedLine line;
  while (reader.next(line)) {
    scan.line = line.number;
    facts.lines = line.number;
    const ParseResult result = parser->parse(line.message.data(), line.message.size(), scan);
    if (!line.ended && result.status == ParseStatus::NotJson)
      facts.cut_line = line.number;
  }
  facts.cut_gzip = reader.end() == RecordingEnd::Truncated;
  for (const Orphan &orphan : scan.orphans) {
    const std::size_t parent = scan.parent(orphan);
    if (parent == scan.symbols.size())
      continue;
    facts.snapshot_symbols[orphan.line] = static_cast<std::uint32_t>(parent);
    Finest &finest = scan.symbols[parent].finest;
    finest.price = std::max(finest.price, orphan.finest.price);
    finest.size = std::max(finest.size, orphan.finest.size);
  }
  if (scan.symbols.empty())
    throw Error({.what = "nothing to replay",
                 .where = path,
                 .found = std::to_string(facts.lines) + " lines, none of them market data of " +
                          std::string(venue.name()),
                 .expected = "`receive_ns raw_json` or `raw_json` lines of that venue",
                 .remedy = "name the recording's venue with --venue"});
  if (scan.symbols.size() > 65535)
    throw Error({.what = "too many symbols",
                 .where = path,
                 .found = std::to_string(scan.symbols.size()),
                 .expected = "at most 65535"});
  for (const SeenSymbol &symbol : scan.symbols) {
    if (symbol.name.size() > 31)
      throw Error({.what = "symbol name too long",
                   .where = path,
                   .found = symbol.name,
                   .expected = "at most 31 characters"});
    facts.instruments.push_back({symbol.name, Scale{1, symbol.finest.price}, Scale{1, symbol.finest.size}});
    facts.windows.push_back(symbol.window);
    facts.has_book.push_back(symbol.has_book);
  }
  return facts;
}

} // namespace quietcore
