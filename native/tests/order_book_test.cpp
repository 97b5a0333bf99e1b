#include "quietcore/order_book.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace quietcore {
namespace {

using Levels = std::vector<shm::Level>;

TEST(OrderBook, AWindowIsKeptAfterTheWholeMessage) {
  OrderBook book(3, 8);
  (void)book.assign(Levels{{10, 1}, {9, 1}, {8, 1}}, Levels{{11, 1}, {12, 1}, {13, 1}});
  // Inserts before it deletes: never more than three in the end.
  const BookChange change = book.apply(Levels{}, Levels{{14, 5}, {11, 0}});
  EXPECT_EQ(change.overflow, 0U);
  EXPECT_EQ(book.asks().size(), 3U);
  EXPECT_EQ(book.asks().best().price, 12);
  EXPECT_EQ(book.asks().level(2).price, 14);
}

TEST(OrderBook, LevelsBeyondTheWindowAreCountedAndDropped) {
  OrderBook book(2, 8);
  (void)book.assign(Levels{{10, 1}, {9, 1}}, Levels{});
  const BookChange change = book.apply(Levels{{11, 1}}, Levels{});
  EXPECT_EQ(change.overflow, 1U);
  EXPECT_EQ(book.bids().size(), 2U);
  EXPECT_EQ(book.bids().level(1).price, 10);
}

TEST(OrderBook, WithoutAWindowItKeepsEverything) {
  OrderBook book(0, 16);
  Levels bids;
  for (std::int64_t price = 10'000; price > 0; --price)
    bids.push_back({price, price});
  (void)book.assign(bids, Levels{});
  EXPECT_EQ(book.bids().size(), 10'000U);
  EXPECT_EQ(book.bids().level(9'999).price, 1);
}

TEST(OrderBook, CountsDeletesOfWhatIsNotThere) {
  OrderBook book(0, 8);
  (void)book.assign(Levels{{10, 1}}, Levels{{11, 1}});
  const BookChange change = book.apply(Levels{{9, 0}}, Levels{{12, 0}, {11, 0}});
  EXPECT_EQ(change.absent, 2U);
  EXPECT_EQ(change.best_ask_rank, 0U);
  EXPECT_GT(change.best_bid_rank, 1000U) << "nothing was touched there";
}

TEST(OrderBook, CrossedMeansABidAtOrAboveAnAsk) {
  OrderBook book(0, 8);
  EXPECT_FALSE(book.crossed());
  (void)book.assign(Levels{{10, 1}}, Levels{{11, 1}});
  EXPECT_FALSE(book.crossed());
  (void)book.apply(Levels{{11, 1}}, Levels{});
  EXPECT_TRUE(book.crossed());
  (void)book.assign(Levels{{10, 1}}, Levels{});
  EXPECT_FALSE(book.crossed());
}

TEST(OrderBook, ASnapshotReplacesEverything) {
  OrderBook book(0, 8);
  (void)book.assign(Levels{{10, 1}, {8, 2}}, Levels{{11, 1}});
  (void)book.assign(Levels{{20, 3}}, Levels{{21, 4}, {25, 0}});
  EXPECT_EQ(book.quote(), (Quote{20, 3, 21, 4}));
  EXPECT_EQ(book.bids().size(), 1U);
  EXPECT_EQ(book.asks().size(), 1U); // a snapshot's zero size is no level
}

} // namespace
} // namespace quietcore
