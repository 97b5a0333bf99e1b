#include "quietcore/backoff.hpp"

#include <gtest/gtest.h>
#include <set>

namespace quietcore {
namespace {

using std::chrono::milliseconds;

TEST(Backoff, DoublesUpToItsLimitWithJitter) {
  Backoff backoff(milliseconds(100), milliseconds(1000), 1);
  for (const int whole : {100, 200, 400, 800, 1000, 1000, 1000}) {
    const auto wait = backoff.next().count();
    EXPECT_GE(wait, whole / 2);
    EXPECT_LE(wait, whole);
  }
  backoff.reset();
  EXPECT_LE(backoff.next().count(), 100);
}

TEST(Backoff, ClientsDoNotComeBackTogether) {
  std::set<std::int64_t> waits;
  for (std::uint64_t seed = 0; seed < 50; ++seed)
    waits.insert(Backoff(milliseconds(10'000), milliseconds(10'000), seed).next().count());
  EXPECT_GT(waits.size(), 25U);
}

TEST(Backoff, ManyTriesDoNotOverflow) {
  Backoff backoff(milliseconds(250), milliseconds(30'000), 1);
  for (int i = 0; i < 1000; ++i)
    ASSERT_LE(backoff.next().count(), 30'000);
}

} // namespace
} // namespace quietcore
