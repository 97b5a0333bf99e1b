#include "quietcore/ladder_hash.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace quietcore {
namespace {

using Levels = std::vector<shm::Level>;

TEST(LadderHash, MixIsAsWritten) {
  EXPECT_EQ(mix(kHashStart, 0), 0xaf63bd4c29620a93ULL);
  EXPECT_EQ(mix(0, 1), 0x100000001b3ULL ^ 0x100ULL);
}

TEST(LadderHash, AbsentLevelsAreZeros) {
  Levels padded(20, shm::Level{0, 0});
  padded[0] = {5, 6};
  EXPECT_EQ(ladder_hash(Levels{{5, 6}}, Levels{}), ladder_hash(padded, Levels(20, shm::Level{0, 0})));
}

TEST(LadderHash, EveryPlaceCounts) {
  const Levels bids{{10, 1}, {9, 2}};
  const Levels asks{{11, 3}};
  const std::uint64_t hash = ladder_hash(bids, asks);
  EXPECT_NE(hash, ladder_hash(asks, bids));
  EXPECT_NE(hash, ladder_hash(Levels{{10, 2}, {9, 1}}, asks));
  EXPECT_NE(hash, ladder_hash(bids, Levels{{11, 4}}));
  Levels deep(20, shm::Level{1, 1});
  Levels deeper = deep;
  deeper.push_back({7, 7});
  EXPECT_EQ(ladder_hash(deep, asks), ladder_hash(deeper, asks)) << "beyond twenty nothing counts";
}

} // namespace
} // namespace quietcore
