#include "quietcore/readiness.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

using Step = Readiness::Step;
constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(Readiness, WithEveryBookAtOnce) {
  Readiness readiness;
  EXPECT_EQ(readiness.look(kSecond, 3, 3), Step::Nothing);
  EXPECT_FALSE(readiness.announced());
  EXPECT_EQ(readiness.look(2 * kSecond, 3, 0), Step::Ready);
  EXPECT_TRUE(readiness.announced());
  EXPECT_TRUE(readiness.complete());
}

TEST(Readiness, WhatDoesNotComeIsNamedAfterAWhile) {
  Readiness readiness;
  EXPECT_EQ(readiness.look(kSecond, 3, 1), Step::Nothing);
  EXPECT_EQ(readiness.look(5 * kSecond, 3, 1), Step::Nothing);
  EXPECT_EQ(readiness.look(6 * kSecond, 3, 1), Step::ReadyWithout);
  EXPECT_EQ(readiness.look(60 * kSecond, 3, 1), Step::Nothing) << "said once";
  EXPECT_FALSE(readiness.complete());
  EXPECT_EQ(readiness.look(61 * kSecond, 3, 0), Step::Complete);
}

TEST(Readiness, NeverWithoutABook) {
  Readiness readiness;
  std::size_t told = 0;
  for (std::uint64_t second = 1; second < 600; ++second) {
    const Step step = readiness.look(second * kSecond, 2, 2);
    EXPECT_TRUE(step == Step::Nothing || step == Step::NotYet);
    told += step == Step::NotYet ? 1 : 0;
  }
  EXPECT_FALSE(readiness.announced());
  EXPECT_GE(told, 55U);
  EXPECT_LE(told, 61U);
  EXPECT_EQ(readiness.look(600 * kSecond, 2, 1), Step::ReadyWithout);
}

TEST(Readiness, AFewAreNamedTheRestCounted) {
  EXPECT_EQ(some_of({"A", "币安人生USDT"}), "A, 币安人生USDT");
  EXPECT_EQ(some_of(std::vector<std::string>(13, "X")), "X, X, X, X, X, X, X, X, X, X and 3 more");
}

} // namespace
} // namespace quietcore
