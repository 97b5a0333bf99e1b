#include "message_recorder.hpp"

#include "quietcore/venue.hpp"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>

namespace quietcore {
namespace {

using test::MessageRecorder;

class BybitParser : public ::testing::Test {
protected:
  ParseResult parse(const std::string &text) { return test::parse(*parser_, text, seen_); }

  std::unique_ptr<Venue> venue_ = make_venue("bybit-linear");
  std::unique_ptr<Parser> parser_ = venue_->make_parser();
  MessageRecorder seen_;
};

const std::string kDelta =
    R"({"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1773386409407,"data":{"s":"BTCUSDT","b":[["71419.80","0"],)"
    R"(["71418.20","0.159"]],"a":[["71427.90","0.006"]],"u":10132541,"seq":546137962186},"cts":1773386409404})";

TEST_F(BybitParser, ReadsADelta) {
  ASSERT_EQ(parse(kDelta).status, ParseStatus::Ok);
  ASSERT_EQ(seen_.depths.size(), 1U);
  const auto &depth = seen_.depths[0];
  EXPECT_EQ(depth.symbol, "BTCUSDT");
  EXPECT_FALSE(depth.message.snapshot);
  EXPECT_EQ(depth.message.window, 50U);
  EXPECT_EQ(depth.message.last_id, 10132541U);
  EXPECT_EQ(depth.message.sequence, 546137962186U);
  EXPECT_EQ(depth.message.venue_ns, 1773386409407000000);
  EXPECT_EQ(depth.message.engine_ns, 1773386409404000000);
  ASSERT_EQ(depth.bids.size(), 2U);
  EXPECT_EQ(depth.bids[0].price.digits, 714198);
  EXPECT_EQ(depth.bids[0].size.digits, 0);
  EXPECT_EQ(depth.bids[1].size.digits, 159);
  EXPECT_EQ(depth.bids[1].size.places, 3);
  ASSERT_EQ(depth.asks.size(), 1U);
}

TEST_F(BybitParser, FieldsMayComeInAnyOrder) {
  std::array<std::string, 5> outer{R"("topic":"orderbook.1.XRPUSDT")", R"("type":"snapshot")", R"("ts":5)",
                                   R"("cts":4)", ""};
  std::array<std::string, 5> inner{R"("s":"XRPUSDT")", R"("b":[["1.5","2"]])", R"("a":[["1.6","3"]])",
                                   R"("u":9)", R"("seq":8)"};
  const auto join = [](const auto &parts) {
    std::string text;
    for (const auto &part : parts)
      text += (text.empty() ? "" : ",") + part;
    return "{" + text + "}";
  };
  std::sort(inner.begin(), inner.end());
  std::size_t count = 0;
  do {
    outer[4] = R"("data":)" + join(inner);
    auto order = outer;
    std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count % order.size()),
                order.end());
    ASSERT_EQ(parse(join(order)).status, ParseStatus::Ok) << join(order);
    ++count;
    const auto &depth = seen_.depths.back();
    ASSERT_EQ(depth.symbol, "XRPUSDT");
    ASSERT_TRUE(depth.message.snapshot);
    ASSERT_EQ(depth.message.last_id, 9U);
    ASSERT_EQ(depth.message.sequence, 8U);
    ASSERT_EQ(depth.message.engine_ns, 4'000'000);
    ASSERT_EQ(depth.asks.at(0).price.digits, 16);
  } while (std::next_permutation(inner.begin(), inner.end()));
  EXPECT_EQ(seen_.depths.size(), 120U);
}

TEST_F(BybitParser, ReadsTrades) {
  ASSERT_EQ(parse(R"({"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":7,"data":[
    {"T":6,"s":"BTCUSDT","S":"Sell","v":"0.001","p":"16578.50","L":"MinusTick","i":"20f43950-d8dd-5b31","BT":false,"seq":1},
    {"i":"2290000000012345678","p":"16578","v":"2","S":"Buy","s":"BTCUSDT","T":6}]})")
                .status,
            ParseStatus::Ok);
  ASSERT_EQ(seen_.trades.size(), 1U);
  const auto &trades = seen_.trades[0];
  EXPECT_EQ(trades.symbol, "BTCUSDT");
  EXPECT_EQ(trades.venue_ns, 7'000'000);
  ASSERT_EQ(trades.trades.size(), 2U);
  EXPECT_TRUE(trades.trades[0].sell);
  EXPECT_EQ(trades.trades[0].id, 0U) << "a UUID is no number";
  EXPECT_FALSE(trades.trades[1].sell);
  EXPECT_EQ(trades.trades[1].id, 2290000000012345678U);
}

TEST_F(BybitParser, TickersAreCountedWithoutAQuote) {
  ASSERT_EQ(
      parse(
          R"({"topic":"tickers.BTCUSDT","type":"delta","ts":1,"data":{"symbol":"BTCUSDT","bid1Price":"1"}})")
          .status,
      ParseStatus::Ok);
  ASSERT_EQ(seen_.tickers.size(), 1U);
  EXPECT_FALSE(seen_.tickers[0].message.has_quote);
}

TEST_F(BybitParser, ReadsAnswers) {
  ASSERT_TRUE(parse(R"({"success":true,"ret_msg":"","conn_id":"c","req_id":"3","op":"subscribe"})").ok());
  ASSERT_TRUE(parse(R"({"success":true,"ret_msg":"pong","conn_id":"c","req_id":"","op":"ping"})").ok());
  ASSERT_TRUE(parse(R"({"op":"pong","args":["1"]})").ok());
  ASSERT_TRUE(
      parse(R"({"success":false,"ret_msg":"error:handler not found","req_id":"4","op":"subscribe"})").ok());
  ASSERT_EQ(seen_.controls.size(), 4U);
  EXPECT_EQ(seen_.controls[0].kind, ControlMessage::Kind::Subscribed);
  EXPECT_EQ(seen_.controls[0].id, "3");
  EXPECT_EQ(seen_.controls[1].kind, ControlMessage::Kind::Pong);
  EXPECT_EQ(seen_.controls[2].kind, ControlMessage::Kind::Pong);
  EXPECT_EQ(seen_.controls[3].kind, ControlMessage::Kind::Refused);
  EXPECT_EQ(seen_.controls[3].text, "error:handler not found");
}

TEST_F(BybitParser, OtherTopicsAreIgnored) {
  EXPECT_EQ(parse(R"({"topic":"kline.1.BTCUSDT","data":[{"start":1}],"ts":1,"type":"snapshot"})").status,
            ParseStatus::Ignored);
  EXPECT_EQ(parse(R"({"data":[[1,"x"],2],"topic":"other.BTCUSDT"})").status, ParseStatus::Ignored);
  EXPECT_EQ(parse(R"({"data":[[1,"x"],2],"topic":"publicTrade.BTCUSDT"})").status, ParseStatus::Incomplete);
  EXPECT_EQ(parse(R"({"topic":"liquidation.BTCUSDT","data":{"x":1},"ts":1,"type":"snapshot"})").status,
            ParseStatus::Ignored);
}

TEST_F(BybitParser, AnotherBookIsNotTheBook) {
  EXPECT_EQ(parse(R"({"topic":"orderbook.rpi.XRPUSDT","ts":1,"type":"delta","data":{"s":"XRPUSDT",)"
                  R"("b":[["0.5","1","2"]],"a":[],"u":7,"seq":8},"cts":1})")
                .status,
            ParseStatus::Ignored);
  EXPECT_EQ(parse(R"({"topic":"kline.1.X","data":{"b":5,"a":[[1]],"u":"x"},"ts":"y"})").status,
            ParseStatus::Ignored);
  for (const char *text :
       {R"({"topic":"orderbook.50.XRPUSDT","type":"delta","data":[]})",
        R"({"topic":"orderbook.50.","type":"delta","data":{"b":[],"a":[],"u":7}})",
        R"({"topic":"orderbook.50.XRPUSDT","type":"delta","data":{"s":"BTCUSDT","b":[],"a":[],"u":7}})",
        R"({"topic":"publicTrade.XRPUSDT","data":[{"s":"BTCUSDT","p":"1","v":"1","S":"Buy"}]})"})
    EXPECT_EQ(parse(text).status, ParseStatus::Incomplete) << text;
  EXPECT_EQ(seen_.total(), 0U);
}

TEST_F(BybitParser, TradesOfTheMessageBeforeAreNotSentAgain) {
  ASSERT_TRUE(parse(R"({"topic":"publicTrade.X","ts":7,"data":[{"p":"1","v":"1","S":"Buy"}]})").ok());
  for (const char *data : {"{}", "\"x\"", "null", "5"})
    EXPECT_EQ(parse(std::string(R"({"topic":"publicTrade.X","ts":8,"data":)") + data + "}").status,
              ParseStatus::Incomplete);
  EXPECT_EQ(seen_.trades.size(), 1U);
}

TEST_F(BybitParser, BlockTradesAreNotOnTheBook) {
  ASSERT_TRUE(parse(R"({"topic":"publicTrade.X","ts":7,"data":[{"p":"1","v":"1","S":"Buy","BT":true},)"
                    R"({"p":"2","v":"1","S":"Buy","BT":false},{"p":"0","v":"1","S":"Buy"}]})")
                  .ok());
  ASSERT_EQ(seen_.trades.at(0).trades.size(), 1U);
  EXPECT_EQ(seen_.trades.at(0).trades.at(0).price.digits, 2);
}

TEST_F(BybitParser, ACutMessageIsNeverTaken) {
  for (std::size_t length = 0; length < kDelta.size(); ++length)
    EXPECT_FALSE(parse(kDelta.substr(0, length)).ok()) << length;
  EXPECT_EQ(seen_.total(), 0U);
}

TEST_F(BybitParser, RefusesWhatIsNoMessage) {
  for (const char *text :
       {"", " ", "nonsense", "[]", "1", "null", "\"x\"", "{}", "{\"a\":1}", "{\"topic\":5}",
        "{\"topic\":\"orderbook.50.X\"}", "{\"topic\":\"orderbook.X\",\"data\":{}}",
        "{\"topic\":\"publicTrade.X\",\"data\":[{\"p\":\"1\"}]}", "<html>"})
    EXPECT_FALSE(parse(text).ok()) << text;
  EXPECT_EQ(parse(kDelta + "x").status, ParseStatus::NotJson);
  EXPECT_EQ(parse(kDelta + kDelta).status, ParseStatus::NotJson);
  EXPECT_EQ(seen_.total(), 0U);
}

TEST_F(BybitParser, RefusesBadNumbers) {
  const auto with = [](const std::string &price, const std::string &size) {
    return R"({"topic":"orderbook.50.X","type":"delta","ts":1,"data":{"s":"X","b":[[)" + price + "," + size +
           R"(]],"a":[],"u":2,"seq":3},"cts":1})";
  };
  EXPECT_EQ(parse(with(R"("1")", R"("2")")).status, ParseStatus::Ok);
  EXPECT_EQ(parse(with(R"("-1")", R"("2")")).status, ParseStatus::BadNumber);
  EXPECT_EQ(parse(with(R"("1e3")", R"("2")")).status, ParseStatus::BadNumber);
  EXPECT_EQ(parse(with(R"("")", R"("2")")).status, ParseStatus::BadNumber);
  EXPECT_EQ(parse(with(R"("1")", R"("99999999999999999999")")).status, ParseStatus::TooLarge);
  EXPECT_FALSE(parse(with("1", R"("2")")).ok());
  EXPECT_FALSE(parse(with(R"("1")", "null")).ok());
  EXPECT_EQ(seen_.depths.size(), 1U);
}

} // namespace
} // namespace quietcore
