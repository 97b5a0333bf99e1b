#include "quietcore/verification.hpp"

#include "quietcore/error.hpp"
#include "temporary_folder.hpp"
#include "temporary_log.hpp"

#include <algorithm>
#include <cstdio>
#include <gtest/gtest.h>

namespace quietcore {
namespace {

std::string depth(const std::string &symbol, int first, int last, int previous, const std::string &bids,
                  const std::string &asks) {
  return R"({"stream":"any@depth","data":{"e":"depthUpdate","E":1,"T":1,"s":")" + symbol + R"(","U":)" +
         std::to_string(first) + R"(,"u":)" + std::to_string(last) + R"(,"pu":)" + std::to_string(previous) +
         R"(,"b":[)" + bids + R"(],"a":[)" + asks + "]}}\n";
}

std::string ticker(const std::string &symbol, int id, const std::string &bid, const std::string &ask) {
  return R"({"e":"bookTicker","u":)" + std::to_string(id) + R"(,"s":")" + symbol + R"(","b":")" + bid +
         R"(","B":"1","a":")" + ask + R"(","A":"1","E":1,"T":1})" + "\n";
}

std::string snapshot(int id, const std::string &bids, const std::string &asks) {
  return R"({"lastUpdateId":)" + std::to_string(id) + R"(,"bids":[)" + bids + R"(],"asks":[)" + asks + "]}\n";
}

class VerifyRecording : public ::testing::Test {
protected:
  Verification verify(const std::string &venue, const std::string &content) {
    const auto rules = make_venue(venue);
    return verify_recording(*rules, folder_.write("recording", content), {20, folder_.path() + "/hashes"},
                            diagnostics_);
  }
  static bool has(const Verification &result, const std::string &part) {
    return result.json.find(part) != std::string::npos;
  }
  static void expect_problem(const Verification &result, const std::string &part) {
    EXPECT_TRUE(
        std::any_of(result.problems.begin(), result.problems.end(),
                    [&](const std::string &problem) { return problem.find(part) != std::string::npos; }))
        << part << " not among the problems of " << result.json;
    EXPECT_TRUE(has(result, "\"ok\": false"));
  }

  test::TemporaryLog log_{};
  Diagnostics diagnostics_{log_.file()};
  test::TemporaryFolder folder_;
};

const std::string kGood = depth("BTCUSDT", 10, 20, 9, R"(["100.0","1"])", "") +
                          snapshot(25, R"(["100.0","1"],["99.5","2"])", R"(["101.0","1"])") +
                          depth("BTCUSDT", 21, 30, 20, "", R"(["101.0","3"])");

TEST_F(VerifyRecording, TwoSymbolsEachWithASnapshotThatNamesNone) {
  // The ids of the second lie within the first one's range as well: the price decides.
  const std::string content = depth("BTCUSDT", 10, 40, 9, R"(["100","1"])", "") +
                              depth("ETHUSDT", 20, 30, 19, R"(["5.25","1"])", "") +
                              ticker("BTCUSDT", 11, "100", "101") + ticker("ETHUSDT", 12, "5.25", "5.5") +
                              snapshot(25, R"(["5.25","1"])", R"(["5.5","1"])") +
                              snapshot(26, R"(["100","1"])", R"(["101","1"])") +
                              ticker("ETHUSDT", 30, "5.25", "5.5") + ticker("BTCUSDT", 40, "100", "101");
  const Verification result = verify("binance-usdm", content);
  EXPECT_TRUE(result.problems.empty()) << result.json;
  EXPECT_TRUE(has(result, "\"snapshots\": 2"));
  EXPECT_TRUE(has(result, "\"bbo_compared\": 2, \"bbo_equal\": 2")) << result.json;
  EXPECT_TRUE(has(result, "\"ETHUSDT\": {\"tick_mantissa\": 1, \"tick_exponent\": 2")) << result.json;
}

TEST_F(VerifyRecording, AQuoteBeforeItsDepthIsComparedAsWell) {
  const Verification before =
      verify("binance-usdm", ticker("BTCUSDT", 40, "100", "101") + kGood +
                                 depth("BTCUSDT", 35, 40, 30, "", R"(["101.0","1"])"));
  EXPECT_TRUE(before.problems.empty()) << before.json;
  EXPECT_TRUE(has(before, "\"bbo_compared\": 1, \"bbo_equal\": 1")) << before.json;
}

TEST_F(VerifyRecording, AQuoteThatDiffersIsFound) {
  const Verification result = verify("binance-usdm", kGood + ticker("BTCUSDT", 30, "100", "101"));
  expect_problem(result, "1 best prices differ"); // the book has 3 at 101
}

TEST_F(VerifyRecording, AGapIsFound) {
  expect_problem(verify("binance-usdm", kGood + depth("BTCUSDT", 40, 50, 39, "", "")), "1 gaps");
}

TEST_F(VerifyRecording, ACrossedBookIsFound) {
  expect_problem(verify("binance-usdm", kGood + depth("BTCUSDT", 31, 40, 30, R"(["102.0","1"])", "")),
                 "1 crossed");
}

TEST_F(VerifyRecording, ABookThatNeverBecameLiveIsFound) {
  expect_problem(verify("binance-usdm", depth("BTCUSDT", 10, 20, 9, R"(["100.0","1"])", "")),
                 "never became live");
}

TEST_F(VerifyRecording, ACutLastLineIsFoundAndTheRestJudged) {
  const Verification result =
      verify("binance-usdm", kGood + depth("BTCUSDT", 31, 40, 30, "", "").substr(0, 50));
  expect_problem(result, "cut off");
  EXPECT_TRUE(has(result, "\"truncated\": true"));
  EXPECT_TRUE(has(result, "\"malformed\": 0"));
  EXPECT_TRUE(has(result, "\"depth_applied\": 1,")) << result.json;
}

TEST_F(VerifyRecording, ALineThatIsNoMessageIsFound) {
  expect_problem(verify("binance-usdm", kGood + "no JSON\n"), "refused by the parser");
}

TEST_F(VerifyRecording, AWindowThatOverflowsIsFound) {
  const auto book = [](const char *type, int u, const std::string &bids) {
    return std::string(R"({"topic":"orderbook.1.X","type":")") + type + R"(","ts":1,"data":{"s":"X","b":[)" +
           bids + R"(],"a":[["9","1"]],"u":)" + std::to_string(u) + R"(,"seq":1},"cts":1})" + "\n";
  };
  EXPECT_TRUE(
      verify("bybit-linear", book("snapshot", 5, R"(["1","1"])") + book("snapshot", 5, R"(["1","1"])"))
          .problems.empty());
  expect_problem(verify("bybit-linear", book("snapshot", 5, R"(["1","1"],["2","1"])")),
                 "beyond the venue's window");
  expect_problem(
      verify("bybit-linear", book("snapshot", 5, R"(["1","1"])") + book("delta", 6, R"(["3","0"])")),
      "not in the book");
}

TEST_F(VerifyRecording, AFileWithoutMarketDataIsRefused) {
  EXPECT_THROW((void)verify("bybit-linear", "hello\n"), Error);
  EXPECT_THROW((void)verify("bybit-linear", ""), Error);
  EXPECT_THROW((void)verify("bybit-linear", kGood), Error);
}

} // namespace
} // namespace quietcore
