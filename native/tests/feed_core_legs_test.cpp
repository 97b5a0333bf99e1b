#include "core_fixture.hpp"

namespace quietcore {
namespace {

using shm::Kind;
using shm::State;

/// Bybit's book over two legs.
class TwoLegs : public test::CoreFixture {
protected:
  TwoLegs() : CoreFixture("bybit-linear", 50) { core_.open_leg(1); }

  std::vector<Tick> say(std::uint32_t leg, const char *type, std::uint64_t u, const std::string &bids,
                        const std::string &asks = "", std::uint64_t sequence = 0) {
    return feed(R"({"topic":"orderbook.50.BTCUSDT","type":")" + std::string(type) +
                    R"(","ts":1699999999999,"data":{"s":"BTCUSDT","b":[)" + bids + R"(],"a":[)" + asks +
                    R"(],"u":)" + std::to_string(u) + R"(,"seq":)" +
                    std::to_string(sequence != 0 ? sequence : u * 10) + "}}",
                leg);
  }
  std::vector<Tick> snapshot(std::uint32_t leg, std::uint64_t u, std::uint64_t sequence = 0) {
    return say(leg, "snapshot", u, R"(["10.0","1"],["9.9","2"])", R"(["10.1","3"])", sequence);
  }
  std::vector<Tick> delta(std::uint32_t leg, std::uint64_t u, const std::string &bids = R"(["9.8","1"])",
                          std::uint64_t sequence = 0) {
    return say(leg, "delta", u, bids, "", sequence);
  }
};

TEST_F(TwoLegs, WhatComesSecondIsADuplicate) {
  (void)snapshot(0, 100);
  EXPECT_TRUE(snapshot(1, 100).empty());
  EXPECT_FALSE(delta(1, 101).empty());
  EXPECT_TRUE(delta(0, 101).empty());
  EXPECT_FALSE(delta(0, 102, R"(["9.7","1"])").empty());
  EXPECT_TRUE(delta(1, 102, R"(["9.7","1"])").empty());
  EXPECT_EQ(core_.statistics().duplicates, 3U);
  EXPECT_EQ(core_.statistics().gaps, 0U);
  EXPECT_EQ(table().entry.update_id, 102U);
  expect_ladders_agree();
}

TEST_F(TwoLegs, HostsMayNumberTheirMessagesDifferently) {
  (void)snapshot(0, 100, 5000);
  (void)snapshot(1, 7, 5000);
  (void)delta(0, 101, R"(["9.8","1"])", 5003);
  // The other host has put both changes into one message.
  EXPECT_FALSE(delta(1, 8, R"(["9.8","1"],["9.7","4"])", 5004).empty());
  EXPECT_TRUE(delta(0, 102, R"(["9.7","4"])", 5004).empty());
  EXPECT_EQ(table().bids.size(), 4U);
  expect_ladders_agree();
}

TEST_F(TwoLegs, AGapOnOneIsNothingThatReadersSee) {
  (void)snapshot(0, 100);
  (void)snapshot(1, 100);
  (void)delta(0, 101);
  EXPECT_TRUE(delta(0, 103, R"(["9.6","1"])").empty()) << "102 is missing here";
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(asked_, 1);
  (void)delta(1, 101);
  EXPECT_FALSE(delta(1, 102, R"(["9.7","1"])").empty());
  EXPECT_FALSE(delta(1, 103, R"(["9.6","1"])").empty());
  EXPECT_EQ(core_.statistics().gaps, 1U);
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_EQ(core_.leg_book(0, 0).state, State::RESYNC);
  (void)snapshot(0, 104);
  EXPECT_EQ(core_.leg_book(0, 0).state, State::LIVE);
  expect_ladders_agree();
}

TEST_F(TwoLegs, ACrossedBookOfOneIsNotPublishedWhereTheOtherIsRight) {
  (void)snapshot(0, 100);
  (void)snapshot(1, 100);
  EXPECT_TRUE(delta(0, 101, R"(["10.1","9"])").empty());
  EXPECT_EQ(core_.statistics().crossed, 1U);
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_FALSE(delta(1, 101).empty());
  expect_ladders_agree();
}

TEST_F(TwoLegs, OnlyTheLossOfBothIsALoss) {
  (void)snapshot(0, 100);
  (void)snapshot(1, 100);
  core_.connection_lost(0, 0);
  EXPECT_TRUE(drain().empty());
  EXPECT_EQ(state(), State::LIVE);
  core_.connection_lost(0, 1);
  const auto ticks = drain();
  ASSERT_EQ(ticks.size(), 1U);
  EXPECT_EQ(ticks[0].d, static_cast<std::int64_t>(State::STALE));
  EXPECT_FALSE(snapshot(1, 50, 400).empty()) << "numbers do not matter to a book that is not LIVE";
  EXPECT_EQ(state(), State::LIVE);
}

TEST_F(TwoLegs, ALegThatIsBehindTakesOverWhereTheNewerIsLost) {
  (void)snapshot(0, 100);
  (void)snapshot(1, 100);
  (void)delta(0, 101);
  (void)delta(0, 102, R"(["9.7","1"])");
  core_.close_leg(0);
  EXPECT_TRUE(drain().empty()) << "what is published is right, and the other leg will come to it";
  EXPECT_EQ(state(), State::LIVE);
  EXPECT_TRUE(delta(1, 101).empty());
  EXPECT_TRUE(delta(1, 102, R"(["9.7","1"])").empty());
  EXPECT_FALSE(delta(1, 103, R"(["9.6","1"])").empty());
  EXPECT_EQ(table().entry.update_id, 103U);
  EXPECT_FALSE(core_.has_leg(0));
  expect_ladders_agree();
}

TEST_F(TwoLegs, ALegWhoseNumbersAreLowerTakesOverAfterAWhile) {
  (void)snapshot(0, 100, 9000);
  (void)snapshot(1, 100, 10);
  core_.close_leg(0);
  EXPECT_TRUE(delta(1, 101, R"(["9.5","5"])", 11).empty());
  core_.prefer_live_books();
  core_.prefer_live_books();
  EXPECT_FALSE(drain().empty());
  EXPECT_EQ(table().entry.update_id, 101U);
  EXPECT_EQ(state(), State::LIVE);
  expect_ladders_agree();
}

TEST_F(TwoLegs, TradesCountOnce) {
  const auto trade = [&](std::uint32_t leg, const std::string &id) {
    return feed(R"({"topic":"publicTrade.BTCUSDT","ts":1,"data":[{"p":"10","v":"1","S":"Buy","i":")" + id +
                    R"("}]})",
                leg)
        .size();
  };
  EXPECT_EQ(trade(0, "aaaa-1"), 1U);
  EXPECT_EQ(trade(1, "aaaa-1"), 0U);
  EXPECT_EQ(trade(1, "aaaa-2"), 1U);
  EXPECT_EQ(trade(0, "aaaa-2"), 0U);
  EXPECT_EQ(trade(0, "17"), 1U);
  EXPECT_EQ(trade(1, "17"), 0U);
  EXPECT_EQ(core_.statistics().trades, 3U);
}

TEST_F(TwoLegs, ASilentBookIsDoubtedAndConfirmed) {
  (void)snapshot(0, 100);
  core_.doubt(0, 0);
  EXPECT_EQ(drain().size(), 1U);
  EXPECT_EQ(state(), State::STALE);
  EXPECT_EQ(core_.statistics().silences, 1U);
  (void)delta(0, 101);
  EXPECT_EQ(state(), State::LIVE) << "it spoke, and nothing was missing";
  core_.doubt(0, 0);
  (void)snapshot(0, 101);
  EXPECT_EQ(state(), State::LIVE);
}

/// Binance's book on one leg, doubted.
class DoubtedBinance : public test::CoreFixture {
protected:
  DoubtedBinance() : CoreFixture("binance-usdm", 0) {
    (void)feed(R"({"lastUpdateId":100,"bids":[["10.0","1"]],"asks":[["10.1","1"]]})");
    (void)feed(R"({"e":"depthUpdate","E":1,"s":"BTCUSDT","U":100,"u":110,"pu":99,"b":[],"a":[]})");
    core_.doubt(0, 0);
    (void)drain();
  }
};

TEST_F(DoubtedBinance, ASnapshotOfTheSameUpdateConfirms) {
  EXPECT_EQ(state(), State::STALE);
  const auto ticks = feed(R"({"lastUpdateId":110,"bids":[["10.0","1"]],"asks":[["10.1","1"]]})");
  ASSERT_EQ(ticks.size(), 1U);
  EXPECT_EQ(ticks[0].d, static_cast<std::int64_t>(State::LIVE));
  EXPECT_EQ(state(), State::LIVE);
}

TEST_F(DoubtedBinance, ANewerSnapshotProvesItWrong) {
  (void)feed(R"({"lastUpdateId":200,"bids":[["11.0","1"]],"asks":[["11.1","1"]]})");
  EXPECT_EQ(state(), State::RESYNC);
  EXPECT_EQ(asked_, 1);
}

} // namespace
} // namespace quietcore
