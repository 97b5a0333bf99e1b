#include "quietcore/decimal.hpp"

#include <gtest/gtest.h>
#include <random>
#include <string>

namespace quietcore {
namespace {

DecimalStatus units(std::string_view text, Scale scale, std::int64_t &out) {
  Decimal decimal;
  if (const auto status = parse_decimal(text, decimal); status != DecimalStatus::Ok)
    return status;
  return to_units(decimal, scale, out);
}

std::int64_t units(std::string_view text, Scale scale) {
  std::int64_t out = -1;
  EXPECT_EQ(units(text, scale, out), DecimalStatus::Ok) << text;
  return out;
}

DecimalStatus status(std::string_view text, Scale scale = {}) {
  std::int64_t out = 0;
  return units(text, scale, out);
}

TEST(Decimal, ReadsWhatVenuesSend) {
  EXPECT_EQ(units("71419.80", {1, 1}), 714198);
  EXPECT_EQ(units("0.159", {1, 3}), 159);
  EXPECT_EQ(units("0", {1, 3}), 0);
  EXPECT_EQ(units("0.000", {1, 3}), 0);
  EXPECT_EQ(units("6203", {1, 0}), 6203);
  EXPECT_EQ(units("1000.00", {1, 1}), 10000);
  EXPECT_EQ(units("0.00000001", {1, 8}), 1);
}

TEST(Decimal, DividesBySteps) {
  EXPECT_EQ(units("0.15", {5, 2}), 3);
  EXPECT_EQ(units("120", {10, 0}), 12);
  EXPECT_EQ(status("0.16", {5, 2}), DecimalStatus::NotMultiple);
  EXPECT_EQ(status("125", {10, 0}), DecimalStatus::NotMultiple);
  EXPECT_EQ(status("1.25", {1, 1}), DecimalStatus::NotMultiple);
}

TEST(Decimal, ZerosAtTheEndCostNothing) {
  Decimal decimal;
  ASSERT_EQ(parse_decimal("1.500000000000000000000000", decimal), DecimalStatus::Ok);
  EXPECT_EQ(decimal.digits, 15);
  EXPECT_EQ(decimal.places, 1);
  ASSERT_EQ(parse_decimal("100", decimal), DecimalStatus::Ok);
  EXPECT_EQ(decimal.digits, 100);
  EXPECT_EQ(decimal.places, 0);
  ASSERT_EQ(parse_decimal("0.0000000000000000000000", decimal), DecimalStatus::Ok);
  EXPECT_EQ(decimal.digits, 0);
  ASSERT_EQ(parse_decimal("000123", decimal), DecimalStatus::Ok);
  EXPECT_EQ(decimal.digits, 123);
}

TEST(Decimal, RefusesWhatIsNone) {
  for (const char *text :
       {"", ".", "-1", "+1", "1e5", " 1", "1 ", "1.2.3", "abc", "0x1", "1,5", "NaN", "Infinity"})
    EXPECT_EQ(status(text), DecimalStatus::NotADecimal) << text;
}

TEST(Decimal, RefusesWhatIsTooLarge) {
  EXPECT_EQ(status("999999999999999999"), DecimalStatus::Ok);
  EXPECT_EQ(status("1000000000000000000"), DecimalStatus::TooLarge);
  EXPECT_EQ(status("99999999999999999999999999"), DecimalStatus::TooLarge);
  EXPECT_EQ(status("0.1234567890123456789"), DecimalStatus::TooLarge);
  EXPECT_EQ(status("0.0000000000000000001"), DecimalStatus::TooLarge);
  EXPECT_EQ(status("100000000000", {1, 8}), DecimalStatus::TooLarge); // 1e19 in units
  EXPECT_EQ(status("0", {1, 30}), DecimalStatus::Ok);
  EXPECT_EQ(status("1", {1, 30}), DecimalStatus::TooLarge);
}

TEST(Decimal, StepsBecomeScales) {
  const auto scale = [](std::string_view text) {
    Decimal decimal;
    Scale out{0, 0};
    EXPECT_EQ(parse_decimal(text, decimal), DecimalStatus::Ok);
    EXPECT_TRUE(to_scale(decimal, out)) << text;
    return out;
  };
  EXPECT_EQ(scale("0.10"), (Scale{1, 1}));
  EXPECT_EQ(scale("0.05"), (Scale{5, 2}));
  EXPECT_EQ(scale("10"), (Scale{10, 0}));
  EXPECT_EQ(scale("0.0000001"), (Scale{1, 7}));
  Scale out;
  EXPECT_FALSE(to_scale({0, 0}, out));
  EXPECT_FALSE(to_scale({5'000'000'000, 0}, out));
}

TEST(Decimal, RoundTripsRandomNumbers) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200'000; ++i) {
    const auto places = static_cast<std::uint8_t>(random() % 9);
    const auto value = static_cast<std::int64_t>(random() % 1'000'000'000'000);
    std::string text = std::to_string(value);
    if (places != 0) {
      if (text.size() <= places)
        text.insert(0, places + 1 - text.size(), '0');
      text.insert(text.size() - places, ".");
    }
    ASSERT_EQ(units(text, {1, places}), value) << text;
  }
}

} // namespace
} // namespace quietcore
