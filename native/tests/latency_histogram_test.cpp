#include "quietcore/latency_histogram.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

TEST(LatencyHistogram, QuantilesAreWithinASixteenth) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0U);
  for (std::uint64_t value = 1; value <= 100'000; ++value)
    histogram.add(value);
  for (const double share : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const double wanted = share * 100'000;
    EXPECT_GE(static_cast<double>(histogram.quantile(share)), wanted) << share;
    EXPECT_LE(static_cast<double>(histogram.quantile(share)), wanted * 17 / 16 + 1) << share;
  }
  EXPECT_EQ(histogram.quantile(1), 100'000U);
  EXPECT_EQ(histogram.largest(), 100'000U);
  EXPECT_EQ(histogram.count(), 100'000U);
}

TEST(LatencyHistogram, TakesAnything) {
  LatencyHistogram histogram;
  histogram.add(0);
  EXPECT_EQ(histogram.quantile(1), 0U);
  histogram.add(UINT64_MAX);
  EXPECT_EQ(histogram.quantile(1), UINT64_MAX);
  EXPECT_EQ(histogram.quantile(0.5), 0U);
}

} // namespace
} // namespace quietcore
