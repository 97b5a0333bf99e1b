#include "core_fixture.hpp"

namespace quietcore {
namespace {

using shm::Kind;
using shm::State;

std::string book(const char *type, std::uint64_t u, const std::string &bids, const std::string &asks,
                 int depth = 50) {
  return R"({"topic":"orderbook.)" + std::to_string(depth) + R"(.BTCUSDT","type":")" + type +
         R"(","ts":1699999999999,"data":{"s":"BTCUSDT","b":[)" + bids + R"(],"a":[)" + asks + R"(],"u":)" +
         std::to_string(u) + R"(,"seq":)" + std::to_string(u * 10) + R"(},"cts":1699999999990})";
}

class BybitCore : public test::CoreFixture {
protected:
  BybitCore() : CoreFixture("bybit-linear", 50) {}
  void snapshot(std::uint64_t u = 100) {
    (void)feed(book("snapshot", u, R"(["10.0","1"],["9.9","2"])", R"(["10.1","3"],["10.2","4"])"));
  }
};

class BybitLevelOne : public test::CoreFixture {
protected:
  BybitLevelOne() : CoreFixture("bybit-linear", 1) {}
};

TEST_F(BybitCore, ASnapshotMakesTheBookLive) {
  const auto ticks = feed(book("snapshot", 100, R"(["10.0","1"],["9.9","2"])", R"(["10.1","3"])"));
  EXPECT_EQ(kinds(ticks), (std::vector<Kind>{Kind::LEVEL, Kind::LEVEL, Kind::LEVEL, Kind::BBO, Kind::BOOK}));
  EXPECT_EQ(state(), State::LIVE);
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    EXPECT_EQ(ticks[i].remaining, ticks.size() - 1 - i);
    EXPECT_NE(ticks[i].flags & static_cast<unsigned>(shm::Flag::SNAPSHOT), 0U);
    EXPECT_EQ(ticks[i].time_source, shm::TimeSource::USER);
  }
  EXPECT_EQ(ticks[3].a, 100); // 10.0 in ticks of 0.1
  EXPECT_EQ(ticks[3].b, 1000);
  EXPECT_EQ(ticks[3].c, 101);
  EXPECT_EQ(ticks[3].d, 3000);
  const Tick &end = ticks.back();
  EXPECT_EQ(end.a, 100);
  EXPECT_EQ(end.b, 1000);
  EXPECT_EQ(end.c, (std::int64_t{2} << 32) | 1);
  EXPECT_EQ(end.d, static_cast<std::int64_t>(State::LIVE));
  const BookCopy copy = table();
  EXPECT_EQ(copy.entry.tick, reader_.next() - 1) << "the table names its BOOK tick";
  EXPECT_EQ(copy.entry.engine_ns, 1699999999990000000);
  EXPECT_EQ(copy.entry.messages, 1U);
  expect_ladders_agree();
}

TEST_F(BybitCore, TimesTellTheHopsApart) {
  const auto ticks = feed(book("snapshot", 100, R"(["10.0","1"])", R"(["10.1","3"])"));
  EXPECT_EQ(ticks[0].venue_delta_us, 1000);
  EXPECT_EQ(ticks[0].flags & static_cast<unsigned>(shm::Flag::VENUE_TIME_FOREIGN), 0U);
  EXPECT_NE(ticks[0].flags & static_cast<unsigned>(shm::Flag::PUBLISH_DELTA_SATURATED), 0U) << "years later";
  EXPECT_EQ(ticks[0].publish_delta_ns, UINT32_MAX);
}

TEST_F(BybitCore, DeltasFollowByOne) {
  snapshot();
  const auto ticks = feed(book("delta", 101, R"(["9.8","5"])", R"(["10.1","0"])"));
  EXPECT_EQ(kinds(ticks), (std::vector<Kind>{Kind::LEVEL, Kind::LEVEL, Kind::BBO, Kind::BOOK}));
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(core_.statistics().depth_applied, 1U);
  expect_ladders_agree();
}

TEST_F(BybitCore, ADeltaThatChangesNoBestPriceGivesNoBbo) {
  snapshot();
  EXPECT_EQ(kinds(feed(book("delta", 101, R"(["9.8","5"])", ""))),
            (std::vector<Kind>{Kind::LEVEL, Kind::BOOK}));
  EXPECT_EQ(kinds(feed(book("delta", 102, "", ""))), (std::vector<Kind>{Kind::BOOK}));
}

TEST_F(BybitCore, AGapEndsLiveUntilTheNextSnapshot) {
  snapshot();
  const auto ticks = feed(book("delta", 102, R"(["9.8","5"])", ""));
  EXPECT_EQ(kinds(ticks), (std::vector<Kind>{Kind::BOOK}));
  EXPECT_EQ(ticks[0].d, static_cast<std::int64_t>(State::RESYNC));
  EXPECT_EQ(state(), State::RESYNC);
  EXPECT_EQ(core_.statistics().gaps, 1U);
  EXPECT_EQ(core_.statistics().resyncs, 1U);
  EXPECT_EQ(asked_, 1);
  EXPECT_TRUE(feed(book("delta", 103, R"(["9.7","5"])", "")).empty())
      << "nothing of a book that is known wrong";
  EXPECT_EQ(core_.statistics().depth_dropped, 1U);
  (void)feed(book("snapshot", 200, R"(["11.0","1"])", R"(["11.1","3"])"));
  EXPECT_EQ(state(), State::LIVE);
  expect_ladders_agree();
}

TEST_F(BybitCore, TheSameMessageAgainIsDropped) {
  snapshot();
  (void)feed(book("delta", 101, R"(["9.8","5"])", ""));
  EXPECT_TRUE(feed(book("delta", 101, R"(["9.8","5"])", "")).empty());
  EXPECT_EQ(core_.statistics().depth_dropped, 1U);
  EXPECT_EQ(core_.statistics().gaps, 0U);
  EXPECT_EQ(state(), State::LIVE);
}

TEST_F(BybitCore, AnOlderMessageIsAGap) {
  snapshot();
  (void)feed(book("delta", 101, R"(["9.8","5"])", ""));
  (void)feed(book("delta", 100, R"(["9.7","5"])", ""));
  EXPECT_EQ(core_.statistics().gaps, 1U);
  EXPECT_EQ(state(), State::RESYNC);
}

TEST_F(BybitCore, ASnapshotInMidStreamResets) {
  snapshot();
  (void)feed(book("snapshot", 900, R"(["20.0","1"])", R"(["20.1","3"])"));
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(table().entry.bid_levels, 1U);
  expect_ladders_agree();
  (void)feed(book("delta", 901, R"(["19.9","1"])", ""));
  EXPECT_EQ(core_.statistics().gaps, 0U);
}

TEST_F(BybitCore, UpdateIdOneOverwrites) {
  snapshot();
  (void)feed(book("delta", 1, R"(["20.0","1"])", R"(["20.1","3"])"));
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(table().entry.bid_levels, 1U);
  EXPECT_EQ(core_.statistics().snapshots, 2U);
  (void)feed(book("delta", 2, R"(["19.9","1"])", ""));
  EXPECT_EQ(core_.statistics().gaps, 0U);
}

TEST_F(BybitCore, ADeltaBeforeAnySnapshotIsOfNoUse) {
  EXPECT_TRUE(feed(book("delta", 100, R"(["9.8","5"])", "")).empty());
  EXPECT_EQ(state(), State::EMPTY);
}

TEST_F(BybitCore, ACrossedBookIsNotLive) {
  snapshot();
  const auto ticks = feed(book("delta", 101, R"(["10.1","5"])", ""));
  EXPECT_EQ(ticks.back().d, static_cast<std::int64_t>(State::RESYNC));
  EXPECT_EQ(core_.statistics().crossed, 1U);
  EXPECT_EQ(asked_, 1);
  expect_ladders_agree();
}

TEST_F(BybitCore, OtherDepthsOfTheSymbolAreAnotherBook) {
  snapshot();
  EXPECT_TRUE(feed(book("snapshot", 7, R"(["1.0","1"])", "", 200)).empty());
  EXPECT_EQ(core_.counts().ignored, 1U);
}

TEST_F(BybitCore, ASizeThatDoesNotFitEndsLive) {
  snapshot();
  (void)feed(book("delta", 101, R"(["9.8","123456789012345678"])", "")); // fits, but not in lots of 0.001
  EXPECT_EQ(core_.statistics().out_of_range, 1U);
  EXPECT_EQ(state(), State::RESYNC);
  snapshot(200);
  (void)feed(book("delta", 201, R"(["9.85","1"])", "")); // no multiple of the tick
  EXPECT_EQ(core_.statistics().out_of_range, 2U);
  EXPECT_EQ(state(), State::RESYNC);
  snapshot(300);
  (void)feed(book("delta", 301, R"(["9.8","99999999999999999999999"])", ""));
  EXPECT_EQ(core_.statistics().out_of_range, 3U);
  (void)feed(book("delta", 302, R"(["9.8","1"])", ""));
  EXPECT_EQ(state(), State::RESYNC) << "the refused one is missing now";
}

TEST_F(BybitCore, WhatIsNotForUsIsCounted) {
  EXPECT_TRUE(feed("nonsense").empty());
  EXPECT_EQ(core_.statistics().malformed, 1U);
  EXPECT_TRUE(
      feed(R"({"topic":"publicTrade.DOGEUSDT","ts":1,"data":[{"p":"1","v":"1","S":"Buy"}]})").empty());
  EXPECT_EQ(core_.statistics().unknown_symbol, 1U);
}

TEST_F(BybitCore, EveryTradeIsATick) {
  const auto ticks = feed(R"({"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1699999999000,"data":[
    {"S":"Sell","v":"0.001","p":"9.9","i":"12"},{"S":"Buy","v":"2","p":"10","i":"x"}]})");
  ASSERT_EQ(ticks.size(), 2U);
  EXPECT_EQ(ticks[0].kind, Kind::TRADE);
  EXPECT_EQ(ticks[0].a, 99);
  EXPECT_EQ(ticks[0].b, 1);
  EXPECT_EQ(ticks[0].c, 12);
  EXPECT_EQ(ticks[0].flags & 1U, 1U);
  EXPECT_EQ(ticks[0].remaining, 1);
  EXPECT_EQ(ticks[1].remaining, 0);
  EXPECT_EQ(ticks[1].c, 0);
}

TEST_F(BybitCore, ALostConnectionMakesTheBookStaleOnce) {
  snapshot();
  core_.connection_lost(0);
  const auto ticks = drain();
  ASSERT_EQ(ticks.size(), 1U);
  EXPECT_EQ(ticks[0].kind, Kind::BOOK);
  EXPECT_EQ(ticks[0].d, static_cast<std::int64_t>(State::STALE));
  EXPECT_EQ(ticks[0].remaining, 0);
  EXPECT_EQ(table().entry.tick, reader_.next() - 1);
  core_.connection_lost(0);
  EXPECT_TRUE(drain().empty());
  EXPECT_TRUE(feed(book("delta", 101, R"(["9.8","5"])", "")).empty());
  EXPECT_EQ(state(), State::STALE);
  snapshot(500);
  EXPECT_EQ(state(), State::LIVE);
}

TEST_F(BybitLevelOne, RepeatsItselfWithoutAGap) {
  (void)feed(book("snapshot", 100, R"(["10.0","1"])", R"(["10.1","3"])", 1));
  (void)feed(book("snapshot", 100, R"(["10.0","1"])", R"(["10.1","3"])", 1));
  (void)feed(book("snapshot", 107, R"(["10.2","1"])", R"(["10.3","3"])", 1));
  (void)feed(book("delta", 119, R"(["10.2","2"])", "", 1));
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(core_.statistics().gaps, 0U);
  EXPECT_EQ(table().entry.messages, 4U);
}

} // namespace
} // namespace quietcore
