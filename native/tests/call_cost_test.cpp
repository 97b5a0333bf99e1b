#include "quietcore/call_cost.hpp"

#include "quietcore/json_writer.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

/// Keeps the CPU busy for a multiple of the same work.
void work(unsigned times) {
  for (unsigned i = 0; i < times * 20; ++i)
    asm volatile("" : "+r"(i));
}

TEST(CallCost, TellsDearCallsFromCheapOnes) {
  CallCost cheap;
  CallCost dear;
  for (int i = 0; i < 100; ++i) {
    cheap.block([](std::uint64_t) { work(1); });
    dear.block([](std::uint64_t) { work(8); });
  }
  const CallCost::Figure one = cheap.figure();
  const CallCost::Figure other = dear.figure();
  EXPECT_GT(one.low, 0);
  EXPECT_LE(one.low, one.median);
  EXPECT_LE(one.median, one.high);
  EXPECT_GT(other.median, 2 * one.median);
  EXPECT_EQ(dear.blocks(), 100U);
}

TEST(CallCost, NumbersTheCallsOfABlock) {
  CallCost cost;
  std::uint64_t sum = 0;
  cost.block([&](std::uint64_t n) { sum += n; });
  EXPECT_EQ(sum, CallCost::kBlock * (CallCost::kBlock - 1) / 2);
}

TEST(JsonWriter, WritesFractionsAsTheyReadBack) {
  JsonWriter json;
  json.open().member("a", 4.25).member("b", 0.1).member("c", 3.0).close();
  EXPECT_EQ(json.text(), R"({"a": 4.25, "b": 0.1, "c": 3})");
}

} // namespace
} // namespace quietcore
