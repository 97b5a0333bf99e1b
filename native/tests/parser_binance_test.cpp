#include "message_recorder.hpp"

#include "quietcore/venue.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace quietcore {
namespace {

using test::MessageRecorder;

class BinanceParser : public ::testing::Test {
protected:
  ParseResult parse(const std::string &text) { return test::parse(*parser_, text, seen_); }

  std::unique_ptr<Venue> venue_ = make_venue("binance-usdm");
  std::unique_ptr<Parser> parser_ = venue_->make_parser();
  MessageRecorder seen_;
};

const std::string kDepth =
    R"({"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT",)"
    R"("U":20,"u":30,"pu":19,"b":[["58710.20","0.014"]],"a":[["61652.80","0.000"],["61653.30","0.072"]]}})";

TEST_F(BinanceParser, ReadsADelta) {
  ASSERT_EQ(parse(kDepth).status, ParseStatus::Ok);
  const auto &depth = seen_.depths.at(0);
  EXPECT_EQ(depth.symbol, "BTCUSDT");
  EXPECT_FALSE(depth.message.snapshot);
  EXPECT_EQ(depth.message.window, 0U);
  EXPECT_EQ(depth.message.first_id, 20U);
  EXPECT_EQ(depth.message.last_id, 30U);
  EXPECT_EQ(depth.message.previous_id, 19U);
  EXPECT_EQ(depth.message.venue_ns, 1723161256299000000);
  EXPECT_EQ(depth.message.engine_ns, 1723161256298000000);
  EXPECT_EQ(depth.bids.at(0).price.digits, 587102);
  EXPECT_EQ(depth.asks.size(), 2U);
}

TEST_F(BinanceParser, FieldsMayComeInAnyOrder) {
  std::vector<std::string> parts{R"("e":"bookTicker")", R"("u":7)",     R"("s":"BTCUSDT")", R"("b":"1.5")",
                                 R"("B":"2")",          R"("a":"1.6")", R"("A":"3")"};
  std::sort(parts.begin(), parts.end());
  std::size_t count = 0;
  do {
    std::string data;
    for (const std::string &part : parts)
      data += (data.empty() ? "" : ",") + part;
    const std::string text =
        count % 2 == 0 ? R"({"data":{)" + data + R"(},"stream":"x@bookTicker"})" : "{" + data + "}";
    ASSERT_EQ(parse(text).status, ParseStatus::Ok) << text;
    const TickerMessage &ticker = seen_.tickers.back().message;
    ASSERT_EQ(seen_.tickers.back().symbol, "BTCUSDT");
    ASSERT_EQ(ticker.update_id, 7U);
    ASSERT_EQ(ticker.bid.digits, 15);
    ASSERT_EQ(ticker.bid_size.digits, 2);
    ASSERT_EQ(ticker.ask.digits, 16);
    ASSERT_EQ(ticker.ask_size.digits, 3);
    ++count;
  } while (std::next_permutation(parts.begin(), parts.end()));
  EXPECT_EQ(count, 5040U);
}

TEST_F(BinanceParser, ReadsATrade) {
  ASSERT_TRUE(
      parse(R"({"stream":"btcusdt@trade","data":{"e":"trade","E":9,"T":8,"s":"BTCUSDT","t":5266583935,)"
            R"("p":"61800.30","q":"0.006","X":"MARKET","m":true}})")
          .ok());
  const auto &trades = seen_.trades.at(0);
  EXPECT_EQ(trades.trades.at(0).id, 5266583935U);
  EXPECT_TRUE(trades.trades.at(0).sell) << "the buyer was the maker";
  EXPECT_EQ(trades.venue_ns, 9'000'000);
}

TEST_F(BinanceParser, ReadsASnapshotWithOrWithoutItsSymbol) {
  ASSERT_TRUE(parse(R"({"lastUpdateId":25,"E":1,"T":1,"bids":[["1","2"]],"asks":[["3","4"]]})").ok());
  EXPECT_TRUE(seen_.depths.at(0).message.snapshot);
  EXPECT_EQ(seen_.depths.at(0).message.last_id, 25U);
  EXPECT_EQ(seen_.depths.at(0).symbol, "");
  ASSERT_TRUE(
      parse(R"({"stream":"ethusdt@depthSnapshot","data":{"lastUpdateId":25,"bids":[],"asks":[]}})").ok());
  EXPECT_EQ(seen_.depths.at(1).symbol, "ETHUSDT");
  ASSERT_TRUE(parse(R"({"symbol":"BNBUSDT","lastUpdateId":25,"bids":[],"asks":[]})").ok());
  EXPECT_EQ(seen_.depths.at(2).symbol, "BNBUSDT");
}

TEST_F(BinanceParser, ReadsAnswersAndIgnoresTheRest) {
  ASSERT_TRUE(parse(R"({"result":null,"id":1})").ok());
  EXPECT_EQ(seen_.controls.at(0).kind, ControlMessage::Kind::Subscribed);
  ASSERT_TRUE(parse(R"({"code":-1121,"msg":"Invalid symbol."})").ok());
  EXPECT_EQ(seen_.controls.at(1).kind, ControlMessage::Kind::Refused);
  EXPECT_EQ(seen_.controls.at(1).text, "Invalid symbol.");
  EXPECT_EQ(
      parse(R"({"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1,"s":"BTCUSDT","a":26129,"p":"0.01",)"
            R"("q":"4","f":100,"l":105,"T":1,"m":true}})")
          .status,
      ParseStatus::Ignored);
  EXPECT_EQ(seen_.total(), 2U);
}

TEST_F(BinanceParser, OnlyMarketTradesAreTrades) {
  const auto trade = [](const std::string &price, const std::string &size, const std::string &kind) {
    return R"({"stream":"btcusdt@trade","data":{"e":"trade","E":9,"T":8,"s":"BTCUSDT","t":5,"p":")" + price +
           R"(","q":")" + size + R"(","X":")" + kind + R"(","m":true}})";
  };
  for (const char *kind : {"NA", "INSURANCE_FUND", "ADL", "SOMETHING_NEW"}) {
    ASSERT_TRUE(parse(trade(kind == std::string("NA") ? "0" : "61800.30", "0.006", kind)).ok()) << kind;
    EXPECT_TRUE(seen_.trades.back().trades.empty()) << kind;
  }
  ASSERT_TRUE(parse(trade("0", "0", "MARKET")).ok());
  EXPECT_TRUE(seen_.trades.back().trades.empty()) << "a trade at 0 of nothing";
  ASSERT_TRUE(parse(trade("61800.30", "0.006", "MARKET")).ok());
  EXPECT_EQ(seen_.trades.back().trades.size(), 1U);
  EXPECT_FALSE(parse(trade("", "0.006", "NA")).ok()) << "damaged all the same";
}

TEST_F(BinanceParser, StreamsThatNobodyAskedForAreIgnoredWhateverTheyHold) {
  for (
      const char *text :
      {R"({"stream":"!markPrice@arr@1s","data":[{"e":"markPriceUpdate","s":"BTCUSDT"}]})",
       R"([{"e":"24hrMiniTicker","s":"BTCUSDT"},{"e":"24hrMiniTicker","s":"ETHUSDT"}])",
       R"({"stream":"btcusdt@depth20@100ms","data":{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"pu":0,"b":[],"a":[]}})",
       R"({"stream":"btcusdt@depth5","data":{"lastUpdateId":9,"bids":[["1","2"]],"asks":[]}})",
       R"({"stream":"btcusdt@rpiDepth@500ms","data":{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"pu":0,"b":[],"a":[]}})",
       R"({"stream":"!bookTicker","data":{"e":"bookTicker","s":"X","u":1,"b":"1","B":"1","a":"1","A":"1"}})",
       R"({"stream":"btcusdt@compositeIndex","data":null})",
       R"({"stream":"btcusdt@kline_1m","data":{"b":5,"a":{"x":[1]},"k":[[]]}})",
       R"({"e":"forceOrder","b":[1,{"x":2}],"o":{"p":"1"}})"})
    EXPECT_EQ(parse(text).status, ParseStatus::Ignored) << text;
  for (const char *text :
       {R"({"stream":"btcusdt@depth@0ms","data":[{"e":"depthUpdate"}]})",
        R"({"stream":"btcusdt@depth@0ms","data":{}})", R"({"stream":"btcusdt@trade","data":"x"})",
        R"({"stream":"btcusdt@bookTicker","data":{"e":"trade","s":"BTCUSDT","p":"1","q":"1","m":true}})",
        R"([{"e":"depthUpdate","s":"BTCUSDT"}])", R"([{"x":1}])", "[]", "[1]", R"([{"e":"a"})"})
    EXPECT_FALSE(parse(text).ok()) << text;
  EXPECT_EQ(seen_.total(), 0U);
}

TEST_F(BinanceParser, EscapesAreReadAsTheyAreMeant) {
  ASSERT_TRUE(
      parse(
          R"({"\u0073tream":"btcusdt\u0040trade","data":{"\u0065":"tr\u0061de","E":9,"s":"\u5e01\u5b89USDT",)"
          R"("t":5,"p":"6\u0031.3","q":"1","m":true}})")
          .ok());
  EXPECT_EQ(seen_.trades.at(0).symbol, "币安USDT");
  EXPECT_EQ(seen_.trades.at(0).trades.at(0).price.digits, 613);
}

TEST_F(BinanceParser, TheWordsOfAnErrorAreHandedOn) {
  ASSERT_TRUE(parse(R"({"error":{"code":2,"msg":"Invalid request: \"x\""},"id":7})").ok());
  EXPECT_EQ(seen_.controls.at(0).kind, ControlMessage::Kind::Refused);
  EXPECT_EQ(seen_.controls.at(0).text, "Invalid request: \"x\"");
  ASSERT_TRUE(parse(R"({"id":"a","status":400,"error":{"msg":"no","code":-1000}})").ok());
  EXPECT_EQ(seen_.controls.at(1).text, "no");
  ASSERT_TRUE(parse(R"({"error":"closing","id":null})").ok());
  EXPECT_EQ(seen_.controls.at(2).text, "closing");
}

TEST_F(BinanceParser, SpotDataSayThatTheyAreSpot) {
  const ParseResult result =
      parse(R"({"e":"depthUpdate","E":1,"s":"BTCUSDT","U":157,"u":160,"b":[["0.0024","10"]],"a":[]})");
  EXPECT_EQ(result.status, ParseStatus::Incomplete);
  EXPECT_NE(std::string(result.detail).find("binance-spot"), std::string::npos);
  const auto spot = make_venue("binance-spot")->make_parser();
  EXPECT_TRUE(
      test::parse(*spot, R"({"e":"depthUpdate","E":1,"s":"BTCUSDT","U":157,"u":160,"b":[],"a":[]})", seen_)
          .ok());
}

TEST_F(BinanceParser, ACutMessageIsNeverTaken) {
  for (std::size_t length = 0; length < kDepth.size(); ++length)
    EXPECT_FALSE(parse(kDepth.substr(0, length)).ok()) << length;
  EXPECT_EQ(seen_.total(), 0U);
}

TEST_F(BinanceParser, RefusesWhatLacksAField) {
  for (const std::string field : {"\"U\":20,", "\"pu\":19,", "\"u\":30,", "\"s\":\"BTCUSDT\","}) {
    std::string text = kDepth;
    text.erase(text.find(field), field.size());
    if (field.starts_with("\"s\"")) {
      ASSERT_TRUE(parse(text).ok()) << "the stream's name tells the symbol";
      EXPECT_EQ(seen_.depths.at(0).symbol, "BTCUSDT");
    } else {
      EXPECT_EQ(parse(text).status, ParseStatus::Incomplete) << field;
    }
  }
  EXPECT_EQ(parse(R"({"e":"trade","s":"X","p":"1","q":"1"})").status, ParseStatus::Incomplete);
  EXPECT_EQ(parse(R"({"e":"bookTicker","s":"X","u":1,"b":"1","B":"1","a":"1"})").status,
            ParseStatus::Incomplete);
  EXPECT_EQ(
      parse(R"({"e":"bookTicker","s":"X","u":1,"b":"1","B":"1","a":"1","A":"184467440737095516160"})").status,
      ParseStatus::TooLarge);
  EXPECT_EQ(parse(R"({"x":1})").status, ParseStatus::Incomplete);
  EXPECT_EQ(seen_.total(), 1U);
}

} // namespace
} // namespace quietcore
