#include "quietcore/book_side.hpp"

#include <gtest/gtest.h>
#include <map>
#include <random>

namespace quietcore {
namespace {

template <Side kSide>
using Reference = std::conditional_t<kSide == Side::Bid, std::map<std::int64_t, std::int64_t, std::greater<>>,
                                     std::map<std::int64_t, std::int64_t>>;

/// Random changes, most of them near the top, against a std::map.
template <Side kSide> void compare_with_map(std::uint64_t seed, std::int64_t spread, int changes) {
  std::mt19937_64 random(seed);
  BookSide<kSide> side;
  Reference<kSide> reference;
  for (int i = 0; i < changes; ++i) {
    const std::int64_t distance =
        random() % 4 == 0 ? static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(spread))
                          : static_cast<std::int64_t>(random() % 12);
    const std::int64_t price = kSide == Side::Bid ? 1'000'000 - distance : 1'000'001 + distance;
    const std::int64_t size = random() % 3 == 0 ? 0 : static_cast<std::int64_t>(random() % 1000 + 1);
    const bool was = reference.contains(price);
    const auto rank =
        static_cast<std::size_t>(std::distance(reference.begin(), reference.lower_bound(price)));
    const Applied applied = side.apply(price, size);
    if (size == 0) {
      reference.erase(price);
      ASSERT_EQ(applied.change, was ? Change::Removed : Change::Absent);
    } else {
      reference[price] = size;
      ASSERT_EQ(applied.change, was ? Change::Updated : Change::Inserted);
    }
    ASSERT_EQ(applied.rank, rank);
    ASSERT_EQ(side.size(), reference.size());
    if (i % 64 == 0) {
      std::size_t at = 0;
      for (const auto &[wanted_price, wanted_size] : reference) {
        const shm::Level level = side.level(at++);
        ASSERT_EQ(level.price, wanted_price);
        ASSERT_EQ(level.size, wanted_size);
      }
    }
  }
}

TEST(BookSide, EqualsAMapOnBids) { compare_with_map<Side::Bid>(1, 400, 40'000); }
TEST(BookSide, EqualsAMapOnAsks) { compare_with_map<Side::Ask>(2, 400, 40'000); }
TEST(BookSide, EqualsAMapWhenDeep) {
  compare_with_map<Side::Bid>(3, 12'000, 60'000);
  compare_with_map<Side::Ask>(4, 12'000, 60'000);
}

TEST(BookSide, TrimsTheWorst) {
  BookSide<Side::Ask> side;
  for (std::int64_t price = 1; price <= 10; ++price)
    side.apply(price, price);
  EXPECT_EQ(side.trim(12), 0U);
  EXPECT_EQ(side.trim(4), 6U);
  EXPECT_EQ(side.size(), 4U);
  EXPECT_EQ(side.level(3).price, 4);
}

TEST(BookSide, IsEmptyAtFirst) {
  const BookSide<Side::Bid> side;
  EXPECT_TRUE(side.empty());
  EXPECT_EQ(side.best().price, 0);
  EXPECT_EQ(side.best().size, 0);
}

} // namespace
} // namespace quietcore
