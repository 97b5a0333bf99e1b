#include "quietcore/ladder_diff.hpp"
#include "quietcore/ladder_log.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace quietcore {
namespace {

using Levels = std::vector<shm::Level>;

template <Side kSide> Levels ladder_of(const BookSide<kSide> &side, std::size_t depth) {
  Levels out(depth);
  out.resize(side.top(out));
  return out;
}

/// A delta of distinct prices, best first, some of them of no level, some with the size that is there
/// already.
template <Side kSide> Levels random_delta(std::mt19937_64 &random, std::int64_t spread) {
  Levels delta;
  const std::size_t count = random() % 12;
  for (std::size_t i = 0; i < count; ++i) {
    const auto distance = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(spread));
    const std::int64_t price = kSide == Side::Bid ? 1000 - distance : 1000 + distance;
    delta.push_back({price, static_cast<std::int64_t>(random() % 3)});
  }
  std::sort(delta.begin(), delta.end(),
            [](auto a, auto b) { return kSide == Side::Bid ? a.price > b.price : a.price < b.price; });
  delta.erase(std::unique(delta.begin(), delta.end(), [](auto a, auto b) { return a.price == b.price; }),
              delta.end());
  return delta;
}

template <Side kSide> void equals_the_difference(std::uint64_t seed, std::int64_t spread, std::size_t depth) {
  std::mt19937_64 random(seed);
  BookSide<kSide> side(64);
  LadderLog<kSide> log;
  std::size_t seen = 0;
  for (int round = 0; round < 20'000; ++round) {
    const Levels before = ladder_of(side, depth);
    const Levels delta = random_delta<kSide>(random, spread);
    log.ladder_before(before, depth);
    (void)side.apply(delta, log);
    ASSERT_TRUE(log.complete());
    const Levels after = ladder_of(side, depth);
    std::vector<std::pair<std::int64_t, std::int64_t>> wanted;
    std::vector<std::pair<std::int64_t, std::int64_t>> got;
    ladder_diff<kSide>(before, after, depth,
                       [&](auto price, auto size) { wanted.emplace_back(price, size); });
    log.changes(after, [&](auto price, auto size) { got.emplace_back(price, size); });
    ASSERT_EQ(got, wanted) << "round " << round;
    seen += got.size();
  }
  EXPECT_GT(seen, 10'000U) << "too few changes to say anything";
}

TEST(LadderLog, EqualsTheDifferenceOfTheLadders) {
  equals_the_difference<Side::Bid>(1, 30, 5);
  equals_the_difference<Side::Ask>(2, 30, 5);
  equals_the_difference<Side::Bid>(3, 200, 20);
  equals_the_difference<Side::Ask>(4, 12, 20); // the ladder is never full
}

TEST(LadderLog, KnowsWhenItDoesNotKnow) {
  BookSide<Side::Bid> side(8);
  LadderLog<Side::Bid> log;
  log.ladder_before({}, 5);
  (void)side.apply(Levels{{10, 1}, {9, 1}}, log);
  EXPECT_TRUE(log.complete());
  (void)side.apply(Levels{{9, 1}, {10, 2}}, log);
  EXPECT_FALSE(log.complete()) << "not best first";
  (void)side.apply(Levels{{9, 1}, {9, 2}}, log);
  EXPECT_FALSE(log.complete()) << "one price twice";
}

} // namespace
} // namespace quietcore
