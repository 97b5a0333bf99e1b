#include "quietcore/try_budget.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

using std::chrono::seconds;

TEST(TryBudget, AllowsSoManyWithinAWindowAndThenSpreadsThem) {
  TryBudget budget(3, seconds(300));
  const TryBudget::Clock::time_point start{};
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(budget.take(start + seconds(i)).count(), 0);
  EXPECT_EQ(budget.take(start + seconds(10)), seconds(290)) << "when the first is forgotten";
  EXPECT_EQ(budget.take(start + seconds(10)), seconds(291)) << "those that wait count too";
  EXPECT_EQ(budget.take(start + seconds(400)).count(), 0);
}

TEST(TryBudget, NoLimit) {
  TryBudget budget(0, seconds(1));
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(budget.take({}).count(), 0);
}

} // namespace
} // namespace quietcore
