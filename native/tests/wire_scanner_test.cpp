// A message takes the fast way or the general one, and nobody can tell which: a message with a blank behind
// its first brace says the same and is never scanned.
#include "message_recorder.hpp"

#include "quietcore/venue.hpp"

#include "../src/venues/wire_scanner.hpp"

#include <gtest/gtest.h>
#include <random>
#include <string>

namespace quietcore {
namespace {

using test::MessageRecorder;

class TwoWays : public ::testing::Test {
protected:
  void expect_same(const std::string &text) {
    MessageRecorder fast;
    MessageRecorder general;
    const ParseResult one = test::parse(*parser_, text, fast);
    std::string spaced;
    if (!text.empty())
      spaced.append(1, text[0]).append(1, ' ').append(text, 1);
    const ParseResult other = test::parse(*parser_, spaced, general);
    ASSERT_EQ(one.status, other.status) << text << "\n" << one.detail << " / " << other.detail;
    ASSERT_EQ(fast.depths.size(), general.depths.size()) << text;
    for (std::size_t i = 0; i < fast.depths.size(); ++i)
      expect_same_depth(fast.depths[i], general.depths[i], text);
    accepted_ += fast.depths.size();
  }

  static void expect_same_depth(const MessageRecorder::Depth &a, const MessageRecorder::Depth &b,
                                const std::string &text) {
    EXPECT_EQ(a.symbol, b.symbol) << text;
    EXPECT_EQ(a.message.snapshot, b.message.snapshot);
    EXPECT_EQ(a.message.window, b.message.window);
    EXPECT_EQ(a.message.last_id, b.message.last_id);
    EXPECT_EQ(a.message.sequence, b.message.sequence);
    EXPECT_EQ(a.message.venue_ns, b.message.venue_ns);
    EXPECT_EQ(a.message.engine_ns, b.message.engine_ns);
    expect_same_levels(a.bids, b.bids, text);
    expect_same_levels(a.asks, b.asks, text);
  }

  static void expect_same_levels(const std::vector<RawLevel> &a, const std::vector<RawLevel> &b,
                                 const std::string &text) {
    ASSERT_EQ(a.size(), b.size()) << text;
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].price.digits, b[i].price.digits) << text;
      ASSERT_EQ(a[i].price.places, b[i].price.places) << text;
      ASSERT_EQ(a[i].size.digits, b[i].size.digits) << text;
      ASSERT_EQ(a[i].size.places, b[i].size.places) << text;
    }
  }

  static std::string book(const std::string &bids, const std::string &asks) {
    return R"({"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1773386409407,"data":{"s":"BTCUSDT","b":)" +
           bids + R"(,"a":)" + asks + R"(,"u":10132541,"seq":546137962186},"cts":1773386409404})";
  }

  std::unique_ptr<Parser> parser_ = make_venue("bybit-linear")->make_parser();
  std::size_t accepted_ = 0;
};

TEST_F(TwoWays, EveryDecimal) {
  for (const char *number : {"0",
                             "1",
                             "0.0",
                             "0.000",
                             "000",
                             "007.5",
                             "100",
                             "100.0",
                             "100.10",
                             "1.",
                             ".5",
                             ".",
                             "",
                             "1.2.3",
                             "1..2",
                             "12345678.12345678",
                             "1234567890123456",
                             "12345678901234567",
                             "0.1234567890123456",
                             "-1",
                             "+1",
                             "1e5",
                             "1 ",
                             " 1",
                             "1a",
                             "a",
                             "71419.80",
                             "0.00000001",
                             "9999999999999999",
                             "99999999.99999999",
                             "1.5.",
                             "0000000000000000.1",
                             "18446744073709551616.5",
                             "1\\u0030",
                             "\\\"",
                             "1.000000000000000000000"}) {
    expect_same(book(std::string(R"([[")") + number + R"(","1"]])", "[]"));
    expect_same(book("[]", std::string(R"([["1",")") + number + R"("],["2","0"]])"));
  }
  EXPECT_GT(accepted_, 30U);
}

TEST_F(TwoWays, EveryCutAndEveryOtherByte) {
  const std::string whole = book(R"([["71419.80","0"],["71418.20","0.159"]])", R"([["71427.90","0.006"]])");
  expect_same(whole);
  EXPECT_EQ(accepted_, 1U);
  for (std::size_t size = 0; size < whole.size(); ++size)
    expect_same(whole.substr(0, size));
  for (std::size_t at = 1; at < whole.size(); ++at) {
    for (const char c : {'"', ',', ']', '0', '.', ' ', '\\', '\0', 'x', '\x80', '-'}) {
      std::string changed = whole;
      changed[at] = c;
      if (c == '\x80' || c == '\\' || c == '\0' || whole[at] == '{' || c == ' ')
        continue; // a blank may stand between tokens; the rest is refused or read alike only where it is read
                  // at all
      expect_same(changed);
    }
  }
}

TEST_F(TwoWays, OtherShapes) {
  for (
      const char *text : {
          R"({"topic":"orderbook.50.BTCUSDT","ts":5,"type":"snapshot","data":{"s":"BTCUSDT","b":[],"a":[],"u":1,"seq":2},"cts":3})",
          R"({"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":5,"data":{"s":"BTCUSDT","b":[],"a":[],"u":1,"seq":2}})",
          R"({"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":5,"data":{"s":"ETHUSDT","b":[],"a":[],"u":1,"seq":2}})",
          R"({"topic":"orderbook.050.BTCUSDT","type":"snapshot","ts":5,"data":{"s":"BTCUSDT","b":[],"a":[],"u":1,"seq":2}})",
          R"({"topic":"orderbook.99999999999.BTCUSDT","type":"snapshot","ts":5,"data":{"s":"BTCUSDT","b":[],"a":[],"u":1,"seq":2}})",
          R"({"topic":"orderbook.50.","type":"snapshot","ts":5,"data":{"s":"","b":[],"a":[],"u":1,"seq":2}})",
          R"({"topic":"orderbook.50.BTCUSDT","type":"delta","ts":05,"data":{"s":"BTCUSDT","b":[],"a":[],"u":1,"seq":2}})",
          R"({"topic":"orderbook.50.BTCUSDT","type":"delta","ts":5,"data":{"s":"BTCUSDT","b":[],"a":[],"u":12345678901234567890,"seq":2}})",
          R"({"topic":"orderbook.50.BTCUSDT","type":"delta","ts":9999999999999999,"data":{"s":"BTCUSDT","b":[],"a":[],"u":1,"seq":2}})",
          R"({"topic":"orderbook.50.BTCUSDT","type":"delta","ts":5,"data":{"s":"BTCUSDT","b":[],"a":[],"u":1,"seq":2},"cts":3}})",
          R"({"topic":"orderbook.50.BTCUSDT","type":"delta","ts":5,"data":{"s":"BTCUSDT","b":[["1"]],"a":[],"u":1,"seq":2},"cts":3})",
          R"({"topic":"orderbook.50.BTCUSDT","type":"delta","ts":5,"data":{"s":"BTCUSDT","b":[["1","2","3"]],"a":[],"u":1,"seq":2},"cts":3})",
      })
    expect_same(text);
}

TEST_F(TwoWays, RandomBooks) {
  std::mt19937_64 random(11);
  const auto number = [&] {
    std::string text = std::to_string(random() % 1'000'000);
    if (random() % 3 != 0)
      text.append(1, '.').append(std::to_string(random() % 100'000'000), 0, random() % 9 + 1);
    return text;
  };
  for (int i = 0; i < 2000; ++i) {
    std::string levels;
    for (std::size_t n = random() % 40; n > 0; --n)
      levels.append(levels.empty() ? "[\"" : ",[\"")
          .append(number())
          .append("\",\"")
          .append(number())
          .append("\"]");
    expect_same(book("[" + levels + "]", "[]"));
  }
  EXPECT_EQ(accepted_, 2000U);
}

TEST(WireScanner, IsThereWhereTheCpuHasIt) {
#if defined(__x86_64__)
  EXPECT_TRUE(WireScanner::kAvailable);
#else
  EXPECT_FALSE(WireScanner::kAvailable);
#endif
}

} // namespace
} // namespace quietcore
