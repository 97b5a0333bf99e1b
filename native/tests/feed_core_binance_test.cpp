#include "core_fixture.hpp"

#include <random>

namespace quietcore {
namespace {

using shm::Kind;
using shm::State;

std::string delta(std::uint64_t first, std::uint64_t last, std::uint64_t previous,
                  const std::string &bids = "", const std::string &asks = "") {
  return R"({"e":"depthUpdate","E":1700000000001,"T":1,"s":"BTCUSDT","U":)" + std::to_string(first) +
         R"(,"u":)" + std::to_string(last) + R"(,"pu":)" + std::to_string(previous) + R"(,"b":[)" + bids +
         R"(],"a":[)" + asks + "]}";
}

std::string snapshot(std::uint64_t id, const std::string &bids = R"(["10.0","1"])",
                     const std::string &asks = R"(["10.1","3"])") {
  return R"({"lastUpdateId":)" + std::to_string(id) + R"(,"E":1,"T":1,"bids":[)" + bids + R"(],"asks":[)" +
         asks + "]}";
}

class BinanceCore : public test::CoreFixture {
protected:
  BinanceCore() : CoreFixture("binance-usdm", 0) {}
  void go_live() {
    (void)feed(snapshot(100));
    (void)feed(delta(90, 110, 89));
  }
};

TEST_F(BinanceCore, DeltasWaitForTheSnapshotAndAreJudgedByIt) {
  EXPECT_TRUE(feed(delta(80, 89, 79, R"(["9.0","1"])")).empty());
  EXPECT_EQ(state(), State::RESYNC);
  EXPECT_EQ(asked_, 1);
  EXPECT_TRUE(feed(delta(91, 99, 89, R"(["9.1","1"])")).empty());
  EXPECT_TRUE(feed(delta(100, 105, 99, R"(["9.2","1"])")).empty());
  EXPECT_TRUE(feed(delta(108, 109, 105, R"(["9.3","1"])")).empty());
  EXPECT_EQ(core_.counts().held, 4U);
  const auto ticks = feed(snapshot(100));
  EXPECT_EQ(core_.statistics().depth_dropped, 2U);
  EXPECT_EQ(core_.statistics().depth_applied, 2U);
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(table().entry.update_id, 109U);
  EXPECT_EQ(table().entry.bid_levels, 3U);
  std::vector<std::int64_t> states;
  for (const Tick &tick : ticks) {
    if (tick.kind == Kind::BOOK)
      states.push_back(tick.d);
  }
  EXPECT_EQ(states, (std::vector<std::int64_t>{1, 3, 3})) << "the snapshot alone is not yet LIVE";
  expect_ladders_agree();
}

TEST_F(BinanceCore, ASnapshotBeforeTheDeltasWorksAsWell) {
  (void)feed(snapshot(100));
  EXPECT_EQ(state(), State::RESYNC);
  EXPECT_TRUE(feed(delta(91, 99, 90)).empty());
  (void)feed(delta(100, 100, 99));
  EXPECT_EQ(state(), State::LIVE);
}

TEST_F(BinanceCore, ASnapshotOlderThanTheStreamIsFetchedAgain) {
  (void)feed(delta(105, 110, 104));
  asked_ = 0;
  (void)feed(snapshot(100));
  EXPECT_EQ(state(), State::RESYNC);
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(core_.statistics().gaps, 0U);
  (void)feed(delta(111, 120, 110));
  (void)feed(snapshot(115));
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(core_.statistics().depth_dropped, 1U);
  EXPECT_EQ(table().entry.update_id, 120U);
}

TEST_F(BinanceCore, EachDeltaNamesItsPredecessor) {
  go_live();
  (void)feed(delta(115, 120, 110));
  EXPECT_EQ(state(), State::LIVE);
  const auto ticks = feed(delta(125, 130, 121, R"(["9.0","1"])"));
  EXPECT_EQ(kinds(ticks), (std::vector<Kind>{Kind::BOOK}));
  EXPECT_EQ(state(), State::RESYNC);
  EXPECT_EQ(core_.statistics().gaps, 1U);
  asked_ = 0;
  (void)feed(delta(131, 140, 130));
  EXPECT_EQ(asked_, 1) << "asked again until it comes; who fetches limits the rate";
  (void)feed(snapshot(135));
  EXPECT_EQ(state(), State::LIVE) << "the delta that broke was held and is dropped, the next bridges";
  EXPECT_EQ(core_.statistics().gaps, 1U);
  expect_ladders_agree();
}

TEST_F(BinanceCore, ASnapshotThatALiveBookHasPassedIsSkipped) {
  go_live();
  EXPECT_TRUE(feed(snapshot(105, R"(["1.0","1"])", R"(["99.0","3"])")).empty());
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(core_.statistics().snapshots, 2U);
  (void)feed(delta(111, 112, 110));
  EXPECT_EQ(state(), State::LIVE);
}

TEST_F(BinanceCore, ASnapshotAheadOfALiveBookIsNotNeededWhileDeltasFollow) {
  go_live();
  EXPECT_TRUE(feed(snapshot(500, R"(["20.0","1"])", R"(["20.1","3"])")).empty());
  EXPECT_EQ(state(), State::LIVE);
  (void)feed(delta(490, 510, 110, R"(["9.5","1"])"));
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(table().entry.bid_levels, 2U) << "the deltas went on, the deeper book stayed";
  (void)feed(delta(600, 610, 599));
  EXPECT_EQ(core_.statistics().gaps, 1U) << "a snapshot that was passed mends nothing";
  EXPECT_EQ(state(), State::RESYNC);
}

TEST_F(BinanceCore, ASnapshotAheadMendsAStreamThatWasInterrupted) {
  go_live();
  (void)feed(snapshot(500, R"(["20.0","1"])", R"(["20.1","3"])"));
  (void)feed(delta(300, 310, 299));
  EXPECT_EQ(state(), State::RESYNC) << "older than the snapshot: dropped, and the book is the snapshot's";
  EXPECT_EQ(core_.statistics().depth_dropped, 1U);
  (void)feed(delta(490, 510, 480));
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(core_.statistics().gaps, 0U);
  EXPECT_EQ(core_.statistics().snapshots, 2U);
  expect_ladders_agree();
}

TEST_F(BinanceCore, ASnapshotAheadThatDoesNotReachIsAGap) {
  go_live();
  (void)feed(snapshot(500, R"(["20.0","1"])", R"(["20.1","3"])"));
  (void)feed(delta(501, 510, 480));
  EXPECT_EQ(state(), State::RESYNC);
  EXPECT_EQ(core_.statistics().gaps, 1U);
}

TEST_F(BinanceCore, TheSameMessageAgainIsDropped) {
  go_live();
  EXPECT_TRUE(feed(delta(90, 110, 89)).empty());
  EXPECT_EQ(core_.statistics().gaps, 0U);
  EXPECT_EQ(state(), State::LIVE);
}

TEST_F(BinanceCore, EveryBookTickerIsATick) {
  const std::string ticker =
      R"({"e":"bookTicker","u":1,"s":"BTCUSDT","b":"10.0","B":"1","a":"10.1","A":"2","T":1,)"
      R"("E":1700000000001})";
  for (int i = 0; i < 2; ++i) {
    const auto ticks = feed(ticker);
    ASSERT_EQ(kinds(ticks), (std::vector<Kind>{Kind::BBO}));
    EXPECT_NE(ticks[0].flags & static_cast<unsigned>(shm::Flag::FROM_TICKER), 0U);
    EXPECT_NE(ticks[0].flags & static_cast<unsigned>(shm::Flag::VENUE_TIME_FOREIGN), 0U)
        << "sent after it came";
    EXPECT_EQ(ticks[0].venue_delta_us, -1000);
  }
  EXPECT_EQ(core_.statistics().tickers, 2U);
}

TEST_F(BinanceCore, ALostConnectionForgetsWhatWasHeld) {
  (void)feed(delta(80, 89, 79));
  core_.connection_lost(0);
  EXPECT_EQ(state(), State::STALE);
  (void)feed(snapshot(85));
  EXPECT_EQ(state(), State::RESYNC) << "the held delta would have bridged it";
}

TEST_F(BinanceCore, ReadersLaddersFollowRandomBooks) {
  go_live();
  std::mt19937_64 random(11);
  std::uint64_t id = 110;
  for (int i = 0; i < 5000; ++i) {
    const auto changes = [&](std::int64_t from) {
      std::string text;
      for (auto n = random() % 4; n > 0; --n) {
        const std::int64_t price = from + static_cast<std::int64_t>(random() % 15);
        text += (text.empty() ? "[\"" : ",[\"") + std::to_string(price) + "\",\"" +
                std::to_string(random() % 3) + "\"]";
      }
      return text;
    };
    // Bids from 10 to 24, asks from 30 on: never crossed once the first levels are gone.
    std::string asks = changes(30);
    if (i == 0)
      asks = R"(["10.1","0"],["30","1"])";
    (void)feed(delta(id + 1, id + 1, id, changes(10), asks));
    ++id;
    ASSERT_EQ(state(), State::LIVE);
    expect_ladders_agree();
    if (HasFailure())
      return;
  }
}

TEST_F(BinanceCore, ADeepBookStaysWhole) {
  std::string bids;
  for (int i = 0; i < 6000; ++i)
    bids += (i == 0 ? "[\"" : ",[\"") + std::to_string(7000 - i) + "\",\"1\"]";
  (void)feed(snapshot(100, bids, R"(["8000","1"])"));
  (void)feed(delta(90, 110, 89));
  EXPECT_EQ(table().entry.bid_levels, 6000U);
  std::string deletes;
  for (int i = 0; i < 5999; ++i)
    deletes += (i == 0 ? "[\"" : ",[\"") + std::to_string(7000 - i) + "\",\"0\"]";
  (void)feed(delta(111, 120, 110, deletes));
  EXPECT_EQ(table().entry.bid_levels, 1U);
  EXPECT_EQ(table().bids.at(0).price, 10010) << "the deepest has come to the top";
  expect_ladders_agree();
}

} // namespace
} // namespace quietcore
