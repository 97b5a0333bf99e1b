#include "quietcore/counted_clock.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <gtest/gtest.h>

namespace quietcore {
namespace {

/// Three steps of the counter are one nanosecond; both go on only when told to.
struct Told {
  std::uint64_t *steps;
  std::int64_t *utc;
  int *asked;
  [[nodiscard]] std::uint64_t stamp() const noexcept { return *steps; }
  [[nodiscard]] std::int64_t utc_ns() const noexcept {
    ++*asked;
    return *utc;
  }
};

class CountedClockTest : public testing::Test {
protected:
  void pass(std::int64_t ns) {
    steps_ += static_cast<std::uint64_t>(3 * ns);
    utc_ += ns;
  }
  /// Asks often enough for a scale.
  void settle() {
    for (int i = 0; i < 300; ++i) {
      pass(1'000'000);
      (void)clock_.now_ns();
    }
  }
  std::int64_t off() { return std::abs(clock_.now_ns() - utc_); }

  std::uint64_t steps_ = 77;
  std::int64_t utc_ = 1'790'000'000'000'000'000;
  int asked_ = 0;
  CountedClock<Told> clock_{true, Told{&steps_, &utc_, &asked_}};
};

TEST_F(CountedClockTest, CountsOnWithoutAskingForAMillisecond) {
  settle();
  pass(2'000'000);
  EXPECT_EQ(off(), 0);
  const int asked = asked_;
  for (int i = 0; i < 99; ++i) {
    pass(10'000);
    EXPECT_LE(off(), 1);
  }
  EXPECT_EQ(asked_, asked);
  pass(20'000);
  EXPECT_EQ(off(), 0);
  EXPECT_GT(asked_, asked);
}

TEST_F(CountedClockTest, IsRightBeforeItHasAScale) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(off(), 0);
    pass(10'000);
  }
}

TEST_F(CountedClockTest, FollowsAClockThatIsSet) {
  for (const std::int64_t step :
       std::to_array<std::int64_t>({3'600'000'000'000, -7'200'000'000'000, 5'000'000, -300'000})) {
    settle();
    utc_ += step;
    pass(1'000'000);
    EXPECT_EQ(off(), 0) << step;
    pass(500'000);
    EXPECT_LE(off(), 1) << "the counter's pace has not changed, step " << step;
  }
}

TEST_F(CountedClockTest, FollowsAClockThatIsSlewed) {
  settle();
  for (int i = 0; i < 2000; ++i) {
    pass(900'000);
    utc_ += 90; // 100 ppm
    EXPECT_LE(off(), 180);
  }
}

TEST_F(CountedClockTest, AsksEachTimeWhereTheCounterIsNotTrusted) {
  CountedClock<Told> clock(false, Told{&steps_, &utc_, &asked_});
  for (int i = 1; i <= 10; ++i) {
    pass(10);
    EXPECT_EQ(clock.now_ns(), utc_);
    EXPECT_EQ(asked_, i);
  }
}

TEST(CountedClock, IsTheKernelsOnThisMachine) {
  CountedClock<> clock(counter_is_trusted());
  std::int64_t closest = INT64_MAX;
  for (const std::int64_t end = realtime_ns() + 20'000'000; realtime_ns() < end;) {
    const std::int64_t before = realtime_ns();
    const std::int64_t now = clock.now_ns();
    const std::int64_t after = realtime_ns();
    // Interrupted in between says nothing: the closest of them all is judged.
    closest = std::min(closest, std::abs(now - before) + std::abs(after - now));
  }
  EXPECT_LT(closest, 5'000);
}

} // namespace
} // namespace quietcore
