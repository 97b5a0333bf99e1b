#include "quietcore.h"

#include "quietcore/ring_reader.hpp"
#include "quietcore/segment_file.hpp"

#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <unistd.h>
#include <vector>

namespace quietcore {
namespace {

class CInterface : public ::testing::Test {
protected:
  CInterface() {
    config_.feed = name_.c_str();
    config_.instruments = instruments_.data();
    config_.instrument_count = instruments_.size();
    config_.capacity = 1024;
    config_.ladder_depth = 3;
  }
  ~CInterface() override {
    unlink(SegmentPlace().segment(name_).c_str());
    unlink(SegmentPlace().lock(name_).c_str());
  }

  /// Every tick since the ring was made.
  std::vector<Tick> ticks() {
    const Mapping mapping = map_segment_for_reading(name_, {});
    RingReader reader(SegmentView(mapping.data()));
    reader.seek(0);
    std::vector<Tick> out;
    Tick tick;
    while (reader.poll(tick) == Poll::Got)
      out.push_back(tick);
    return out;
  }

  BookCopy book(std::size_t symbol) {
    const Mapping mapping = map_segment_for_reading(name_, {});
    return RingReader(SegmentView(mapping.data())).book(symbol).value();
  }

  std::string name_ = "c-test-" + std::to_string(getpid());
  std::array<quietcore_instrument, 2> instruments_{{{"ONE", 5, 2, 1, 3}, {"TWO", 1, 0, 10, 0}}};
  quietcore_config config_{};
};

TEST_F(CInterface, DoublesAreRoundedToTicks) {
  quietcore_feed *feed = feed_handler_init(&config_);
  ASSERT_NE(feed, nullptr) << feed_handler_error();
  // Steps of 0.05: 10.12 lies between 202 and 203 of them, nearer to 202.
  EXPECT_EQ(feed_handler_push_tick(feed, "ONE", 10.12, 10.0499999999, 10.18, 7), QUIETCORE_OK);
  const auto got = ticks();
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].kind, shm::Kind::TRADE);
  EXPECT_EQ(got[0].a, 202);
  EXPECT_EQ(got[1].kind, shm::Kind::BBO);
  EXPECT_EQ(got[1].a, 201);
  EXPECT_EQ(got[1].c, 204);
  feed_handler_close(feed);
}

TEST_F(CInterface, WhatIsNoPricePublishesNothing) {
  quietcore_feed *feed = feed_handler_init(&config_);
  ASSERT_NE(feed, nullptr);
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(feed_handler_push_tick(feed, "ONE", kNan, 1, 2, 0), QUIETCORE_NOT_FINITE);
  EXPECT_EQ(feed_handler_push_tick(feed, "ONE", 1, kNan, 2, 0), QUIETCORE_NOT_FINITE);
  EXPECT_EQ(feed_handler_push_tick(feed, "ONE", 1, 1, kInfinity, 0), QUIETCORE_NOT_FINITE);
  EXPECT_EQ(feed_handler_push_tick(feed, "ONE", -1, 1, 2, 0), QUIETCORE_RANGE);
  EXPECT_EQ(feed_handler_push_tick(feed, "ONE", 1e300, 1, 2, 0), QUIETCORE_RANGE);
  EXPECT_EQ(feed_handler_push_tick(feed, "ONE", 1, 2, 2, 0), QUIETCORE_CROSSED);
  EXPECT_EQ(feed_handler_push_tick(feed, "NONE", 1, 1, 2, 0), QUIETCORE_NO_SYMBOL);
  EXPECT_EQ(feed_handler_push_tick(feed, nullptr, 1, 1, 2, 0), QUIETCORE_NO_SYMBOL);
  EXPECT_EQ(feed_handler_push_tick(nullptr, "ONE", 1, 1, 2, 0), QUIETCORE_NO_FEED);
  EXPECT_EQ(feed_handler_push_trade(feed, 0, {-1, 1}, 0, 0, 0), QUIETCORE_RANGE);
  EXPECT_EQ(feed_handler_push_trade(feed, 0, {std::numeric_limits<std::int64_t>::max(), 1}, 0, 0, 0),
            QUIETCORE_RANGE);
  EXPECT_EQ(feed_handler_push_quote(feed, 2, {1, 1}, {2, 1}, 0), QUIETCORE_NO_SYMBOL);
  EXPECT_EQ(ticks().size(), 0U);
  feed_handler_close(feed);
}

TEST_F(CInterface, IntegerFormsComeOutAsTheyWentIn) {
  quietcore_feed *feed = feed_handler_init(&config_);
  ASSERT_NE(feed, nullptr);
  const std::int32_t two = feed_handler_symbol(feed, "TWO");
  ASSERT_EQ(two, 1);
  EXPECT_EQ(feed_handler_push_trade(feed, two, {1234, 56}, 1, 99, 5), QUIETCORE_OK);
  EXPECT_EQ(feed_handler_push_quote(feed, two, {10, 3}, {12, 4}, 5), QUIETCORE_OK);
  const auto got = ticks();
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].symbol, 1U);
  EXPECT_EQ(std::tuple(got[0].a, got[0].b, got[0].c), std::tuple(1234, 56, 99));
  EXPECT_NE(got[0].flags & static_cast<unsigned>(shm::Flag::SELL), 0U);
  EXPECT_EQ(std::tuple(got[1].a, got[1].b, got[1].c, got[1].d), std::tuple(10, 3, 12, 4));
  feed_handler_close(feed);
}

TEST_F(CInterface, BooksBecomeChangesAndAreLiveUntilItCloses) {
  quietcore_feed *feed = feed_handler_init(&config_);
  ASSERT_NE(feed, nullptr);
  const std::array<quietcore_level, 4> bids{{{10, 1}, {9, 2}, {8, 3}, {7, 4}}};
  const std::array<quietcore_level, 2> asks{{{11, 1}, {12, 2}}};
  EXPECT_EQ(feed_handler_push_book(feed, 0, bids.data(), 4, asks.data(), 2, 1, 5), QUIETCORE_OK);
  EXPECT_EQ(book(0).entry.state, shm::State::LIVE);
  EXPECT_EQ(book(0).bids.size(), 3U);
  const std::size_t before = ticks().size();
  const std::array<quietcore_level, 2> fewer{{{11, 1}, {12, 5}}};
  EXPECT_EQ(feed_handler_push_book(feed, 0, bids.data(), 4, fewer.data(), 2, 2, 6), QUIETCORE_OK);
  const auto got = ticks();
  ASSERT_EQ(got.size(), before + 2) << "one LEVEL tick for the size that changed, and BOOK";
  EXPECT_EQ(got[before].a, 12);
  EXPECT_EQ(got[before].b, 5);
  EXPECT_EQ(feed_handler_push_book(feed, 0, asks.data(), 2, nullptr, 0, 3, 6), QUIETCORE_CROSSED)
      << "not sorted";
  EXPECT_EQ(feed_handler_push_book(feed, 0, asks.data(), 1, bids.data(), 1, 3, 6), QUIETCORE_CROSSED);
  EXPECT_EQ(ticks().size(), got.size());
  feed_handler_close(feed);
  EXPECT_EQ(book(0).entry.state, shm::State::STALE);
}

TEST_F(CInterface, AConfigurationThatCannotBeIsExplained) {
  const auto why = [&](auto change) {
    quietcore_config config = config_;
    change(config);
    EXPECT_EQ(feed_handler_init(&config), nullptr);
    return std::string(feed_handler_error());
  };
  EXPECT_NE(why([](auto &c) { c.capacity = 1000; }).find("a power of two"), std::string::npos);
  EXPECT_NE(why([](auto &c) { c.feed = "../etc"; }).find("feed"), std::string::npos);
  EXPECT_NE(why([](auto &c) { c.instrument_count = 0; }).find("1 to 65535"), std::string::npos);
  EXPECT_EQ(feed_handler_init(nullptr), nullptr);
  quietcore_feed *feed = feed_handler_init(&config_);
  ASSERT_NE(feed, nullptr);
  EXPECT_NE(why([](auto &) {}).find("has a producer already"), std::string::npos);
  feed_handler_close(feed);
  feed_handler_close(nullptr);
}

} // namespace
} // namespace quietcore
