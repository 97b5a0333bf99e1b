#include "quietcore/ladder_diff.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <vector>

namespace quietcore {
namespace {

using Levels = std::vector<shm::Level>;

bool same(const Levels &a, const Levels &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const shm::Level &x, const shm::Level &y) {
    return x.price == y.price && x.size == y.size;
  });
}

/// The reader's rule, written as it is documented and not as the producer does it.
template <Side kSide>
void read_tick(Levels &ladder, std::int64_t price, std::int64_t size, std::size_t depth) {
  std::erase_if(ladder, [&](const shm::Level &level) { return level.price == price; });
  if (size != 0)
    ladder.push_back({price, size});
  std::sort(ladder.begin(), ladder.end(), [](const shm::Level &a, const shm::Level &b) {
    return kSide == Side::Bid ? a.price > b.price : a.price < b.price;
  });
  if (ladder.size() > depth)
    ladder.resize(depth);
}

template <Side kSide> void random_books(std::uint64_t seed, std::size_t depth, int steps) {
  std::mt19937_64 random(seed);
  std::map<std::int64_t, std::int64_t> book;
  Levels reader;
  Levels before;
  for (int step = 0; step < steps; ++step) {
    const auto changes = random() % 12;
    for (std::uint64_t i = 0; i < changes; ++i) {
      const auto price = static_cast<std::int64_t>(random() % (depth * 3));
      if (random() % 2 == 0)
        book.erase(price);
      else
        book[price] = static_cast<std::int64_t>(random() % 5 + 1);
    }
    if (random() % 50 == 0)
      book.clear(); // what a snapshot may do
    Levels after;
    for (const auto &[price, size] : book)
      after.push_back({price, size});
    if (kSide == Side::Bid)
      std::reverse(after.begin(), after.end());
    if (after.size() > depth)
      after.resize(depth);
    bool upserting = false;
    std::size_t ticks = 0;
    ladder_diff<kSide>(before, after, depth, [&](std::int64_t price, std::int64_t size) {
      EXPECT_FALSE(upserting && size == 0) << "a delete after an upsert";
      upserting = upserting || size != 0;
      read_tick<kSide>(reader, price, size, depth);
      ++ticks;
    });
    ASSERT_TRUE(same(reader, after)) << "step " << step << ", seed " << seed;
    ASSERT_LE(ticks, 2 * depth);
    before = after;
  }
}

TEST(LadderDiff, AReaderEndsWithTheProducersLadder) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    random_books<Side::Bid>(seed, 5, 400);
    random_books<Side::Ask>(seed, 5, 400);
    random_books<Side::Bid>(seed, 1, 200);
    random_books<Side::Ask>(seed, 20, 200);
  }
}

TEST(LadderDiff, ALevelThatFallsOffTheEndNeedsNoTick) {
  const Levels before{{10, 1}, {9, 1}, {8, 1}};
  const Levels after{{11, 1}, {10, 1}, {9, 1}};
  std::vector<std::pair<std::int64_t, std::int64_t>> ticks;
  ladder_diff<Side::Bid>(before, after, 3, [&](std::int64_t p, std::int64_t s) { ticks.emplace_back(p, s); });
  EXPECT_EQ(ticks, (std::vector<std::pair<std::int64_t, std::int64_t>>{{11, 1}}));
}

TEST(LadderDiff, AShortLadderDeletesAllThatVanished) {
  const Levels before{{10, 1}, {9, 1}, {8, 1}};
  const Levels after{{10, 2}};
  std::vector<std::pair<std::int64_t, std::int64_t>> ticks;
  ladder_diff<Side::Bid>(before, after, 3, [&](std::int64_t p, std::int64_t s) { ticks.emplace_back(p, s); });
  EXPECT_EQ(ticks, (std::vector<std::pair<std::int64_t, std::int64_t>>{{9, 0}, {8, 0}, {10, 2}}));
}

TEST(LadderDiff, NothingChangedNothingSaid) {
  const Levels ladder{{10, 1}, {11, 1}};
  ladder_diff<Side::Ask>(ladder, ladder, 3, [](std::int64_t, std::int64_t) { ADD_FAILURE(); });
}

} // namespace
} // namespace quietcore
