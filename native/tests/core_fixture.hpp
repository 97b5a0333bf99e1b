#pragma once

#include "quietcore/feed_core.hpp"
#include "quietcore/ring_reader.hpp"

#include "temporary_log.hpp"
#include "test_segment.hpp"

#include <cstdio>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace quietcore::test {

/// A core on a ring in memory, and a reader that rebuilds the ladder from LEVEL ticks alone.
class CoreOnRing {
public:
  static constexpr std::uint32_t kDepth = 5;

  CoreOnRing(const char *venue, std::uint32_t window)
      : venue_(make_venue(venue)), segment_(4096, kDepth, {kInstrument}), ring_(segment_.view()),
        core_(*venue_, {kInstrument}, {kDepth, {window}}, diagnostics_, &ring_),
        parser_(venue_->make_parser()), reader_(segment_.view()) {
    core_.on_snapshot_needed([this](std::uint32_t, std::uint32_t) { ++asked_; });
  }

  CoreOnRing(const CoreOnRing &) = delete;
  CoreOnRing &operator=(const CoreOnRing &) = delete;
  ~CoreOnRing() = default;

  /// Feeds one message; returns the ticks that came of it.
  std::vector<Tick> feed(const std::string &text, std::uint32_t leg = 0) {
    const Padded padded(text);
    Receipt receipt;
    receipt.receive_ns = 1'700'000'000'000'000'000;
    receipt.source = shm::TimeSource::USER;
    receipt.origin = {"test", 1};
    receipt.symbol_hint = 0;
    receipt.leg = leg;
    (void)core_.receive(*parser_, padded.view(), receipt);
    return drain();
  }

  std::vector<Tick> drain() {
    std::vector<Tick> ticks;
    Tick tick;
    while (reader_.poll(tick) == Poll::Got) {
      ticks.push_back(tick);
      if (tick.kind != shm::Kind::LEVEL)
        continue;
      auto &side = (tick.flags & static_cast<unsigned>(shm::Flag::SELL)) != 0 ? asks_ : bids_;
      if (tick.b == 0)
        side.erase(tick.a);
      else
        side[tick.a] = tick.b;
      // Beyond the depth the worst goes: the lowest bid, the highest ask.
      while (side.size() > kDepth)
        side.erase(&side == &bids_ ? side.begin() : std::prev(side.end()));
    }
    return ticks;
  }

  [[nodiscard]] BookCopy table() const { return reader_.book(0).value(); }
  [[nodiscard]] shm::State state() const { return table().entry.state; }

  /// The table's ladder and the one a reader made of the ticks are the same.
  void expect_ladders_agree() const {
    const BookCopy book = table();
    ASSERT_EQ(book.bids.size(), bids_.size());
    auto bid = bids_.rbegin();
    for (const shm::Level &level : book.bids) {
      EXPECT_EQ(level.price, bid->first);
      EXPECT_EQ(level.size, bid->second);
      ++bid;
    }
    ASSERT_EQ(book.asks.size(), asks_.size());
    auto ask = asks_.begin();
    for (const shm::Level &level : book.asks) {
      EXPECT_EQ(level.price, ask->first);
      EXPECT_EQ(level.size, ask->second);
      ++ask;
    }
  }

  static std::vector<shm::Kind> kinds(const std::vector<Tick> &ticks) {
    std::vector<shm::Kind> out;
    for (const Tick &tick : ticks)
      out.push_back(tick.kind);
    return out;
  }

  const Instrument kInstrument{"BTCUSDT", {1, 1}, {1, 3}};
  TemporaryLog log_{};
  Diagnostics diagnostics_{log_.file()};
  std::unique_ptr<Venue> venue_;
  MemorySegment segment_;
  RingWriter ring_;
  FeedCore core_;
  std::unique_ptr<Parser> parser_;
  RingReader reader_;
  std::map<std::int64_t, std::int64_t> bids_;
  std::map<std::int64_t, std::int64_t> asks_;
  int asked_ = 0;
};

class CoreFixture : public ::testing::Test, protected CoreOnRing {
protected:
  using CoreOnRing::CoreOnRing;
};

} // namespace quietcore::test
