// What books take in memory, and whether what the feed handler holds grows as messages come.
#include "cases.hpp"
#include "messages.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/feed_core.hpp"
#include "quietcore/ring_reader.hpp"
#include "quietcore/segment_file.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <malloc.h>
#include <stdexcept>
#include <unistd.h>

namespace quietcore::bench {
namespace {

constexpr std::size_t kSymbols = 2048;
constexpr std::uint32_t kDepth = 200;
constexpr std::size_t kDeepLevels = 5000;
/// The resident size is looked at first when so many messages of each symbol have come.
constexpr std::uint64_t kSettled = 100;
constexpr std::int64_t kBestBid = 100'000;
constexpr std::uint64_t kFirstId = 100'000'000; ///< nine digits, as are all that follow

std::size_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

double resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:"))
      return std::stod(line.substr(6));
  }
  throw std::runtime_error("/proc/self/status has no VmRSS");
}

std::string symbol_name(std::size_t symbol) { return "SYMBOL" + std::to_string(symbol) + "USDT"; }

/// "[["10000.0","1.000"],…]" of ticks of 0.1.
std::string levels_text(std::initializer_list<shm::Level> levels) {
  std::string text = "[";
  for (const shm::Level &level : levels)
    text += (text.size() > 1 ? ",[\"" : "[\"") + decimal_text(level.price, 1) + "\",\"" +
            (level.size == 0 ? "0" : decimal_text(level.size, 3)) + "\"]";
  return text + "]";
}

/// A Bybit message whose update id can be set in place.
class Message {
public:
  Message(std::size_t symbol, bool snapshot, const std::string &bids, const std::string &asks) {
    const std::string name = symbol_name(symbol);
    text_ = R"({"topic":"orderbook.)" + std::to_string(kDepth) + "." + name + R"(","type":")" +
            (snapshot ? "snapshot" : "delta") + R"(","ts":1700000000000,"data":{"s":")" + name + R"(","b":)" +
            bids + R"(,"a":)" + asks + R"(,"u":)";
    id_ = text_.size();
    text_ += std::to_string(kFirstId) + R"(,"seq":1},"cts":1700000000000})";
    size_ = text_.size();
    text_.append(kMessagePadding, '\0');
  }
  [[nodiscard]] std::string_view numbered(std::uint64_t id) {
    std::to_chars(text_.data() + id_, text_.data() + id_ + 9, id);
    return std::string_view(text_).substr(0, size_);
  }

private:
  std::string text_;
  std::size_t id_;
  std::size_t size_;
};

Message snapshot_of(std::size_t symbol) {
  std::string bids = "[";
  std::string asks = "[";
  for (std::int64_t rank = 0; rank < kDepth; ++rank) {
    const std::string end = rank + 1 == kDepth ? "\",\"1.000\"]]" : "\",\"1.000\"],";
    bids += "[\"" + decimal_text(kBestBid - rank, 1) + end;
    asks += "[\"" + decimal_text(kBestBid + 1 + rank, 1) + end;
  }
  return {symbol, true, bids, asks};
}

/// Two deltas in turns: a level near the top goes and one enters below, and back again.
std::array<Message, 2> deltas_of(std::size_t symbol) {
  const std::int64_t bid = kBestBid;
  const std::int64_t ask = kBestBid + 1;
  return {Message(symbol, false, levels_text({{bid, 2000}, {bid - 3, 0}, {bid - kDepth, 1000}}),
                  levels_text({{ask, 3000}, {ask + 3, 0}, {ask + kDepth, 1000}})),
          Message(symbol, false, levels_text({{bid, 1000}, {bid - 3, 1000}, {bid - kDepth, 0}}),
                  levels_text({{ask, 1000}, {ask + 3, 1000}, {ask + kDepth, 0}}))};
}

double deep_book_bytes() {
  const std::size_t before = heap_bytes();
  OrderBook book(0, 0);
  for (std::size_t rank = 0; rank < kDeepLevels; ++rank) {
    const auto away = static_cast<std::int64_t>(rank);
    const shm::Level bid{kBestBid - away, 1};
    const shm::Level ask{kBestBid + 1 + away, 1};
    (void)book.apply({&bid, 1}, {&ask, 1});
  }
  return static_cast<double>(heap_bytes() - before);
}

} // namespace

Outcome memory(const std::string &messages, double) {
  const std::uint64_t rounds = std::max<std::uint64_t>(2 * kSettled, std::stoull(messages) / kSymbols);
  Outcome out;
  out.more["deep_book_bytes"] = deep_book_bytes();
  const auto venue = make_venue("bybit-linear");
  std::vector<Instrument> instruments;
  std::vector<std::array<Message, 2>> deltas;
  for (std::size_t symbol = 0; symbol < kSymbols; ++symbol) {
    instruments.push_back({symbol_name(symbol), Scale{1, 1}, Scale{1, 3}});
    deltas.push_back(deltas_of(symbol));
  }
  SegmentSpec spec;
  spec.feed = "bench-memory-" + std::to_string(getpid());
  spec.venue = venue->name();
  spec.ladder_depth = kDepth;
  spec.instruments = instruments;
  const SegmentPlace place;
  const ProducerSegment segment = ProducerSegment::open(spec, place);
  std::filesystem::remove(place.segment(spec.feed)); // nobody else needs to find it
  std::filesystem::remove(place.lock(spec.feed));
  RingWriter ring(segment.view());
  Diagnostics diagnostics;
  const std::unique_ptr<Parser> parser = venue->make_parser();

  const std::size_t before = heap_bytes();
  FeedCore core(*venue, instruments, {kDepth, std::vector<std::uint32_t>(kSymbols, kDepth)}, diagnostics,
                &ring);
  Receipt receipt;
  receipt.source = shm::TimeSource::USER;
  for (std::size_t symbol = 0; symbol < kSymbols; ++symbol) {
    receipt.receive_ns = realtime_ns();
    (void)core.receive(*parser, snapshot_of(symbol).numbered(kFirstId), receipt);
  }
  const auto heap = static_cast<double>(heap_bytes() - before);
  out.more["book_bytes"] = heap / kSymbols + static_cast<double>(segment.view().header().table_stride);

  const Stopwatch watch;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    if (round == kSettled)
      out.more["settled_kib"] = resident_kib();
    receipt.receive_ns = realtime_ns();
    for (std::array<Message, 2> &pair : deltas)
      (void)core.receive(*parser, pair[round % 2].numbered(kFirstId + 1 + round), receipt);
    core.pause();
  }
  out.seconds = watch.seconds();
  out.operations = rounds * kSymbols;
  out.more["resident_kib"] = resident_kib();
  const RingReader reader(segment.view());
  for (std::size_t symbol = 0; symbol < kSymbols; ++symbol) {
    const auto book = reader.book(symbol);
    if (!book || book->entry.update_id != kFirstId + rounds || book->bids.size() != kDepth)
      throw std::runtime_error("the product did not take the input without trouble");
  }
  return out;
}

} // namespace quietcore::bench
