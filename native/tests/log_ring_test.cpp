#include "quietcore/log_ring.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <thread>

namespace quietcore {
namespace {

struct Numbered {
  std::uint64_t number;
  std::uint64_t same;

  [[nodiscard]] static Trouble kind() noexcept { return Trouble::Gap; }
  [[nodiscard]] Finding finding(const Origin &origin) const {
    return {.what = std::to_string(number), .where = origin.text(), .found = number == same ? "" : "torn"};
  }
};

TEST(LogRing, RecordsComeOutInOrderAndInWords) {
  const auto ring = std::make_unique<LogRing>();
  ring->push({"here", 7}, Numbered{1, 1});
  ring->push({"there", 0}, Numbered{2, 2});
  std::string seen;
  ring->drain(ring->end(), [&](std::uint64_t number, const LogRecord &record) {
    seen += std::to_string(number) + " " + record.finding().message() + "\n";
    EXPECT_EQ(record.kind, Trouble::Gap);
  });
  EXPECT_EQ(seen, "0 1: here:7\n1 2: there\n");
}

TEST(LogRing, WhatFindsNoRoomIsCountedAndTheRestIsKept) {
  const auto ring = std::make_unique<LogRing>();
  for (std::uint64_t n = 0; n < LogRing::kRecords + 1234; ++n)
    ring->push({}, Numbered{n, n});
  EXPECT_EQ(ring->dropped(), 1234U);
  EXPECT_EQ(ring->end(), LogRing::kRecords);
  std::uint64_t next = 0;
  ring->drain(10, [&](std::uint64_t, const LogRecord &record) {
    EXPECT_EQ(record.finding().what, std::to_string(next++));
  });
  // There is room again, for ten.
  for (std::uint64_t n = 0; n < 11; ++n)
    ring->push({}, Numbered{n, n});
  EXPECT_EQ(ring->dropped(), 1235U);
}

TEST(LogRing, NothingIsLostOrTornBetweenTwoThreads) {
  const auto ring = std::make_unique<LogRing>();
  constexpr std::uint64_t kPushed = 400'000; // four times around
  std::thread producer([&] {
    for (std::uint64_t n = 0; n < kPushed; ++n)
      ring->push({"x", n}, Numbered{n, n});
  });
  std::uint64_t taken = 0;
  std::uint64_t last = 0;
  bool whole = true;
  const auto take = [&](std::uint64_t number, const LogRecord &record) {
    whole = whole && number == taken && (taken == 0 || record.origin.line > last);
    last = record.origin.line;
    if (number % 1000 == 0)
      whole = whole && record.finding().found.empty();
    ++taken;
  };
  while (taken + ring->dropped() < kPushed)
    ring->drain(ring->end(), take);
  producer.join();
  ring->drain(ring->end(), take);
  EXPECT_TRUE(whole);
  EXPECT_EQ(taken + ring->dropped(), kPushed);
  EXPECT_GE(taken, LogRing::kRecords);
}

} // namespace
} // namespace quietcore
