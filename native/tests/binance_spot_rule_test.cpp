#include "core_fixture.hpp"

namespace quietcore {
namespace {

using shm::State;

class BinanceSpotCore : public test::CoreFixture {
protected:
  BinanceSpotCore() : CoreFixture("binance-spot", 0) {}
  void snapshot(std::uint64_t id) {
    (void)feed(R"({"lastUpdateId":)" + std::to_string(id) +
               R"(,"bids":[["10.0","1"]],"asks":[["10.1","1"]]})");
  }
  void delta(std::uint64_t first, std::uint64_t last, const std::string &bids = "") {
    (void)feed(R"({"e":"depthUpdate","E":1,"s":"BTCUSDT","U":)" + std::to_string(first) + R"(,"u":)" +
               std::to_string(last) + R"(,"b":[)" + bids + R"(],"a":[]})");
  }
};

TEST_F(BinanceSpotCore, TheFirstDeltaHoldsTheSnapshotsIdOrFollowsIt) {
  delta(90, 100, R"(["9.0","1"])");
  EXPECT_EQ(asked_, 1);
  snapshot(100);
  EXPECT_EQ(state(), State::RESYNC) << "what the snapshot holds is dropped, and bridges nothing";
  EXPECT_EQ(core_.statistics().depth_dropped, 1U);
  delta(99, 104, R"(["9.5","1"])");
  EXPECT_EQ(state(), State::LIVE);
  delta(105, 105);
  EXPECT_EQ(core_.statistics().gaps, 0U);
  EXPECT_EQ(table().entry.bid_levels, 2U);
  expect_ladders_agree();
}

TEST_F(BinanceSpotCore, ASnapshotOlderThanTheStreamIsFetchedAgain) {
  delta(150, 160);
  snapshot(100);
  EXPECT_EQ(state(), State::RESYNC);
  EXPECT_EQ(asked_, 2);
  snapshot(149);
  EXPECT_EQ(state(), State::LIVE) << "the held delta begins right after it";
  EXPECT_EQ(table().entry.update_id, 160U);
}

TEST_F(BinanceSpotCore, EachBeginsWhereTheOneBeforeEnded) {
  snapshot(100);
  delta(101, 110);
  delta(101, 110);
  EXPECT_EQ(state(), State::LIVE) << "the same message again";
  delta(112, 115);
  EXPECT_EQ(state(), State::RESYNC);
  EXPECT_EQ(core_.statistics().gaps, 1U);
  snapshot(113);
  EXPECT_EQ(state(), State::LIVE);
  delta(115, 118);
  EXPECT_EQ(core_.statistics().gaps, 2U) << "it must not overlap either";
}

TEST_F(BinanceSpotCore, AQuoteDoesNotSayWhatItIs) {
  const auto ticks = feed(R"({"u":400900217,"s":"BTCUSDT","b":"10.0","B":"31.21","a":"10.1","A":"40.66"})");
  ASSERT_EQ(ticks.size(), 1U);
  EXPECT_EQ(ticks[0].kind, shm::Kind::BBO);
  EXPECT_EQ(ticks[0].b, 31210);
  EXPECT_EQ(core_.statistics().malformed, 0U);
}

} // namespace
} // namespace quietcore
