#include "quietcore/verification.hpp"

#include "quietcore/error.hpp"
#include "quietcore/json_writer.hpp"
#include "quietcore/ladder_hash.hpp"
#include "quietcore/recording.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>

namespace quietcore {
namespace {

std::string hex(std::uint64_t value) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
  return text.data();
}

/// A best bid and offer that belongs to an update id.
struct Known {
  std::uint64_t update_id;
  Quote quote;
};

/// Compares the venue's own quotes with the book's wherever both have the same update id, whichever comes
/// first.
class QuoteComparison {
public:
  void book(std::uint64_t update_id, const Quote &quote) {
    remember(books_, {update_id, quote});
    for (const Known &ticker : tickers_) {
      if (ticker.update_id == update_id)
        compare(ticker.quote, quote);
    }
    // Ids only rise: older quotes will meet no later book.
    while (!tickers_.empty() && tickers_.front().update_id <= update_id)
      tickers_.pop_front();
  }
  void ticker(std::uint64_t update_id, const Quote &quote) {
    const auto at = std::find_if(books_.rbegin(), books_.rend(),
                                 [&](const Known &known) { return known.update_id <= update_id; });
    if (at != books_.rend() && at->update_id == update_id)
      compare(quote, at->quote);
    else if (books_.empty() || update_id > books_.back().update_id)
      remember(tickers_, {update_id, quote});
  }

  std::uint64_t compared = 0;
  std::uint64_t equal = 0;

private:
  static constexpr std::size_t kKept = 65536;

  static void remember(std::deque<Known> &list, const Known &known) {
    if (list.size() == kKept)
      list.pop_front();
    list.push_back(known);
  }
  void compare(const Quote &ticker, const Quote &book) {
    ++compared;
    equal += ticker == book ? 1U : 0U;
  }

  std::deque<Known> books_;
  std::deque<Known> tickers_;
};

struct SymbolResult {
  std::uint64_t running_hash = kHashStart;
  std::uint64_t books = 0;
  QuoteComparison quotes{};
  std::vector<shm::Level> bids{};
  std::vector<shm::Level> asks{};
};

struct CloseFile {
  void operator()(std::FILE *file) const noexcept { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

class Collector final : public CoreObserver {
public:
  Collector(const std::vector<Instrument> &instruments, std::FILE *hashes)
      : results(instruments.size()), instruments_(instruments), hashes_(hashes) {}

  void on_applied(const AppliedBook &applied) override {
    SymbolResult &result = results[applied.symbol];
    result.bids.assign(applied.bids.begin(), applied.bids.end());
    result.asks.assign(applied.asks.begin(), applied.asks.end());
    if (applied.state != shm::State::LIVE)
      return;
    const std::uint64_t hash = ladder_hash(applied.bids, applied.asks);
    result.running_hash = mix(result.running_hash, hash);
    ++result.books;
    for (const std::size_t levels : {applied.book.bids().size(), applied.book.asks().size()}) {
      levels_min = std::min(levels_min, levels);
      levels_max = std::max(levels_max, levels);
    }
    if (!applied.snapshot)
      result.quotes.book(applied.update_id, applied.book.quote());
    if (hashes_ != nullptr)
      std::fprintf(hashes_, "%s %llu %s\n", instruments_[applied.symbol].name.c_str(),
                   static_cast<unsigned long long>(applied.update_id), hex(hash).c_str());
  }

  void on_ticker_quote(const TickerQuote &ticker) override {
    results[ticker.symbol].quotes.ticker(ticker.update_id, ticker.quote);
  }

  std::vector<SymbolResult> results;
  std::size_t levels_min = std::numeric_limits<std::size_t>::max();
  std::size_t levels_max = 0;

private:
  const std::vector<Instrument> &instruments_;
  std::FILE *hashes_;
};

void write_ladder(JsonWriter &json, std::string_view name, const std::vector<shm::Level> &levels) {
  json.key(name).open('[');
  for (const shm::Level &level : levels)
    json.open('[').value(level.price).value(level.size).close(']');
  json.close(']');
}

} // namespace

Verification verify_recording(const Venue &venue, const std::string &path, const VerifyOptions &options,
                              Diagnostics &diagnostics) {
  const RecordingFacts facts = scan_recording(venue, path);
  File hashes;
  if (!options.hashes.empty()) {
    hashes.reset(std::fopen(options.hashes.c_str(), "w"));
    if (!hashes)
      throw Error(
          {.what = "the hashes cannot be written", .where = options.hashes, .found = std::strerror(errno)});
  }
  FeedCore core(venue, facts.instruments, {options.ladder_depth, facts.windows}, diagnostics, nullptr);
  Collector collector(core.instruments(), hashes.get());
  core.observe(&collector);
  const std::unique_ptr<Parser> parser = venue.make_parser();
  const char *const origin = diagnostics.keep(path);
  RecordingReader reader(path);
  RecordedLine line;
  while (reader.next(line) && line.number != facts.cut_line) {
    Receipt receipt;
    receipt.receive_ns = line.receive_ns;
    receipt.source = line.receive_ns != 0 ? shm::TimeSource::RECORDED : shm::TimeSource::NONE;
    receipt.replayed = true;
    receipt.origin = {origin, line.number};
    if (const auto at = facts.snapshot_symbols.find(line.number); at != facts.snapshot_symbols.end())
      receipt.symbol_hint = at->second;
    (void)core.receive(*parser, line.message, receipt);
  }
  const bool truncated = facts.cut_line != 0 || facts.cut_gzip;
  if (truncated)
    diagnostics.say(
        Finding{.what = "the recording is cut off",
                .where = path + ":" + std::to_string(facts.cut_line != 0 ? facts.cut_line : facts.lines),
                .found = facts.cut_gzip ? "data that stop before their end"
                                        : "a last line that is no complete message",
                .remedy = "copy or record it again; what comes before was judged"}
            .message());
  if (hashes && (std::fflush(hashes.get()) != 0 || std::ferror(hashes.get()) != 0))
    throw Error(
        {.what = "the hashes cannot be written", .where = options.hashes, .found = std::strerror(errno)},
        ExitCode::Unknown);

  const shm::Statistics &statistics = core.statistics();
  const CoreCounts &counts = core.counts();
  std::uint64_t compared = 0;
  std::uint64_t equal = 0;
  Verification out;
  const auto must = [&](bool holds, const std::string &problem) {
    if (!holds)
      out.problems.push_back(problem);
  };
  const auto none = [&](std::uint64_t count, const char *what) {
    must(count == 0, std::to_string(count) + " " + what);
  };
  must(!truncated, "the recording is cut off");
  none(statistics.malformed, "messages refused by the parser");
  none(statistics.out_of_range, "prices or sizes out of range");
  none(statistics.unknown_symbol, "messages whose symbol could not be told");
  none(statistics.gaps, "gaps");
  none(statistics.crossed, "crossed books");
  none(reader.missing(), "messages that the recorder had no room for");
  none(counts.doubts, "times a book was doubted because packets are missing");
  none(counts.overflow, "levels beyond the venue's window");
  if (venue.absent_delete_is_wrong())
    none(counts.absent_deletes, "deletes of levels that were not in the book");
  for (std::uint32_t i = 0; i < collector.results.size(); ++i) {
    const SymbolResult &result = collector.results[i];
    compared += result.quotes.compared;
    equal += result.quotes.equal;
    if (facts.has_book[i]) {
      const std::string &name = facts.instruments[i].name;
      must(result.books != 0, "the book of " + name + " never became live");
      must(result.books == 0 || core.state(i) == shm::State::LIVE,
           "the book of " + name + " did not end live");
    }
  }
  must(equal == compared, std::to_string(compared - equal) + " best prices differ from the venue's own");
  const bool any_book = std::find(facts.has_book.begin(), facts.has_book.end(), true) != facts.has_book.end();
  must(any_book, "no book messages");

  JsonWriter json;
  json.open();
  json.member("file", path).member("venue", venue.name()).member("messages", statistics.messages);
  json.member("depth_applied", statistics.depth_applied).member("depth_dropped", statistics.depth_dropped);
  json.member("depth_buffered", counts.held).member("snapshots", statistics.snapshots);
  json.member("gaps", statistics.gaps).member("crossed", statistics.crossed);
  json.member("bbo_compared", compared).member("bbo_equal", equal);
  json.member("levels_min", collector.levels_max == 0 ? 0 : collector.levels_min);
  json.member("levels_max", collector.levels_max);
  json.member("trades", statistics.trades).member("tickers", statistics.tickers);
  json.member("malformed", statistics.malformed).member("truncated", truncated);
  json.member("not_recorded", reader.missing());
  json.member("out_of_range", statistics.out_of_range).member("ignored", counts.ignored);
  json.member("trades_left_out", counts.left_out);
  json.member("absent_deletes", counts.absent_deletes).member("window_overflow", counts.overflow);
  json.key("ticks").open();
  json.member("bbo", core.ticks().bbo).member("trade", core.ticks().trade);
  json.member("level", core.ticks().level).member("book", core.ticks().book).close();
  json.key("symbols").open();
  for (std::size_t i = 0; i < collector.results.size(); ++i) {
    const SymbolResult &result = collector.results[i];
    const Instrument &instrument = facts.instruments[i];
    json.key(instrument.name).open();
    json.member("tick_mantissa", instrument.tick.mantissa).member("tick_exponent", instrument.tick.exponent);
    json.member("lot_mantissa", instrument.lot.mantissa).member("lot_exponent", instrument.lot.exponent);
    json.member("books", result.books).member("ladder_hash", hex(result.running_hash));
    write_ladder(json, "bids", result.bids);
    write_ladder(json, "asks", result.asks);
    json.close();
  }
  json.close();
  json.key("problems").open('[');
  for (const std::string &problem : out.problems)
    json.value(problem);
  json.close(']');
  json.member("ok", out.problems.empty()).close();
  out.json = json.text();
  return out;
}

} // namespace quietcore
