#include "quietcore/error.hpp"
#include "quietcore/venue.hpp"

#include <gtest/gtest.h>
#include <set>

namespace quietcore {
namespace {

Subscription many(std::size_t count) {
  Subscription subscription;
  for (std::size_t i = 0; i < count; ++i)
    subscription.symbols.push_back("SYM" + std::to_string(i) + "USDT");
  return subscription;
}

std::size_t occurrences(const std::string &text, const std::string &part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

TEST(VenuePlan, BybitSplitsByItsLimits) {
  struct Product {
    const char *name;
    const char *target;
    std::size_t topics_per_request;
  };
  for (const Product product :
       {Product{"bybit-linear", "/v5/public/linear", 50}, Product{"bybit-inverse", "/v5/public/inverse", 50},
        Product{"bybit-spot", "/v5/public/spot", 10}}) {
    const auto venue = make_venue(product.name);
    const auto plans = venue->plan(many(700), "stream.bybit.com");
    std::set<std::string> symbols;
    std::size_t topics = 0;
    EXPECT_GT(plans.size(), 1U);
    for (const ConnectionPlan &plan : plans) {
      EXPECT_EQ(plan.target, product.target);
      std::size_t characters = 0;
      for (const auto &batch : plan.batches) {
        EXPECT_LE(batch.size(), product.topics_per_request);
        topics += batch.size();
        for (const std::string &topic : batch)
          characters += topic.size() + 3;
      }
      EXPECT_LE(characters, 21'000U);
      symbols.insert(plan.symbols.begin(), plan.symbols.end());
    }
    EXPECT_EQ(symbols.size(), 700U);
    EXPECT_EQ(topics, 2100U);
    EXPECT_EQ(venue->limits().connections, 500U);
    EXPECT_EQ(venue->subscribe({"a.b", "c.d"}, 7), R"({"req_id":"7","op":"subscribe","args":["a.b","c.d"]})");
  }
}

TEST(VenuePlan, BybitResubscribesOneBook) {
  const auto venue = make_venue("bybit-linear");
  Subscription subscription = many(1);
  subscription.depth = 200;
  EXPECT_EQ(venue->resubscribe("BTCUSDT", subscription),
            (std::vector<std::string>{R"({"op":"unsubscribe","args":["orderbook.200.BTCUSDT"]})",
                                      R"({"op":"subscribe","args":["orderbook.200.BTCUSDT"]})"}));
  EXPECT_EQ(venue->snapshot_target("BTCUSDT"), "");
  EXPECT_EQ(venue->keep_alive()->every, std::chrono::seconds(20));
}

TEST(VenuePlan, BinanceRoutesAtTheVenueAndNotElsewhere) {
  const auto venue = make_venue("binance-usdm");
  const auto local = venue->plan(many(1), "127.0.0.1");
  ASSERT_EQ(local.size(), 1U);
  EXPECT_EQ(local[0].target, "/stream?streams=sym0usdt@depth@0ms/sym0usdt@bookTicker/sym0usdt@trade");
  EXPECT_TRUE(local[0].batches.empty());
  const auto routed = venue->plan(many(1), "fstream.binance.com");
  ASSERT_EQ(routed.size(), 2U);
  EXPECT_EQ(routed[0].target, "/public/stream?streams=sym0usdt@depth@0ms/sym0usdt@bookTicker");
  EXPECT_EQ(routed[1].target, "/market/stream?streams=sym0usdt@trade");
  EXPECT_TRUE(routed[1].symbols.empty()) << "no book depends on the trades";
  EXPECT_EQ(venue->snapshot_target("BTCUSDT"), "/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
}

TEST(VenuePlan, BinanceSpotHasOnePathAndSlowerDepth) {
  const auto venue = make_venue("binance-spot");
  const auto plans = venue->plan(many(1), "stream.binance.com");
  ASSERT_EQ(plans.size(), 1U);
  EXPECT_EQ(plans[0].target, "/stream?streams=sym0usdt@depth@100ms/sym0usdt@bookTicker/sym0usdt@trade");
  EXPECT_EQ(venue->snapshot_target("BTCUSDT"), "/api/v3/depth?symbol=BTCUSDT&limit=1000");
  EXPECT_EQ(venue->revive("BTCUSDT", many(1))[1],
            R"({"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":2})");
  EXPECT_EQ(venue->limits().lifetime, std::chrono::hours(23));
}

TEST(VenuePlan, NamesAreEncodedWhereTheyStandInARequestLine) {
  const std::string name = "币安/人&生%USDT";
  Subscription subscription = many(0);
  subscription.symbols = {name};
  const auto binance = make_venue("binance-usdm");
  EXPECT_EQ(binance->snapshot_target(name),
            "/fapi/v1/depth?symbol=%E5%B8%81%E5%AE%89%2F%E4%BA%BA%26%E7%94%9F%25USDT&limit=1000");
  const std::string target = binance->plan(subscription, "127.0.0.1")[0].target;
  EXPECT_NE(target.find("=%E5%B8%81%E5%AE%89%2F%E4%BA%BA%26%E7%94%9F%25usdt@depth@0ms/"), std::string::npos);
  EXPECT_EQ(occurrences(target, "/"), 3U) << "the path's and those between the streams";
  EXPECT_EQ(make_venue("bybit-linear")->subscribe({"a\"b\\c币"}, 7),
            R"({"req_id":"7","op":"subscribe","args":["a\"b\\c币"]})");
}

TEST(VenuePlan, BinanceKeepsToStreamsPerConnection) {
  const auto venue = make_venue("binance-usdm");
  std::size_t streams = 0;
  for (const ConnectionPlan &plan : venue->plan(many(300), "127.0.0.1")) {
    const std::size_t here = occurrences(plan.target, "@depth@0ms") +
                             occurrences(plan.target, "@bookTicker") + occurrences(plan.target, "@trade");
    EXPECT_LE(here, 200U);
    streams += here;
  }
  EXPECT_EQ(streams, 900U);
}

TEST(VenueInstruments, BybitReadsAllPages) {
  const auto venue = make_venue("bybit-linear");
  std::vector<std::string> targets;
  const InstrumentList list = venue->instruments([&](const std::string &target) -> std::string {
    targets.push_back(target);
    const auto page = [](const std::string &symbol, const std::string &status, const std::string &next) {
      return R"({"retCode":0,"result":{"category":"linear","list":[{"symbol":")" + symbol +
             R"(","status":")" + status +
             R"(","priceFilter":{"tickSize":"0.10"},"lotSizeFilter":{"qtyStep":"0.001"}}],"nextPageCursor":")" +
             next + R"("}})";
    };
    return targets.size() == 1 ? page("BTCUSDT", "Trading", "a%3D=b") : page("OLDUSDT", "Closed", "");
  });
  ASSERT_EQ(targets.size(), 2U);
  EXPECT_EQ(targets[0], "/v5/market/instruments-info?category=linear&limit=1000");
  EXPECT_EQ(targets[1], targets[0] + "&cursor=a%253D%3Db");
  const std::vector<Instrument> &instruments = list.trading;
  ASSERT_EQ(instruments.size(), 1U);
  EXPECT_EQ(list.other("OLDUSDT")->why, "its status is Closed");
  EXPECT_FALSE(list.other("OLDUSDT")->trades);
  EXPECT_EQ(instruments[0].name, "BTCUSDT");
  EXPECT_EQ(instruments[0].tick, (Scale{1, 1}));
  EXPECT_EQ(instruments[0].lot, (Scale{1, 3}));
}

TEST(VenueInstruments, BinanceReadsFilters) {
  const auto venue = make_venue("binance-usdm");
  const InstrumentList list = venue->instruments([](const std::string &target) -> std::string {
    EXPECT_EQ(target, "/fapi/v1/exchangeInfo");
    return R"({"symbols":[
      {"symbol":"BTCUSDT","status":"TRADING","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.10"},
        {"filterType":"LOT_SIZE","stepSize":"0.001"},{"filterType":"MAX_NUM_ORDERS","limit":200}]},
      {"symbol":"GONE","status":"SETTLING","filters":[]}]})";
  });
  ASSERT_EQ(list.trading.size(), 1U);
  EXPECT_EQ(list.trading[0].tick, (Scale{1, 1}));
}

TEST(VenueInstruments, OneThatIsOddSpoilsNoOther) {
  const auto bybit = make_venue("bybit-linear")->instruments([](const std::string &) -> std::string {
    const auto row = [](const std::string &name, const std::string &step) {
      return R"({"symbol":")" + name + R"(","status":"Trading","priceFilter":{"tickSize":)" + step +
             R"(},"lotSizeFilter":{"qtyStep":"1"}})";
    };
    return R"({"retCode":0,"result":{"list":[)" + row("A", R"("")") + "," + row("B", R"("1e-7")") + "," +
           row("C", R"("0.00000000")") + "," + row("D", "0.1") + R"(,7,{"symbol":"E"},)" +
           row("BTCUSDT", R"("0.10")") + "," + row("BTCUSDT", R"("0.10")") + "]}}";
  });
  ASSERT_EQ(bybit.trading.size(), 1U) << "and each once";
  EXPECT_EQ(bybit.others.size(), 6U);
  EXPECT_EQ(bybit.other("B")->why, "tickSize is \"1e-7\", no plain decimal above 0");
  EXPECT_EQ(bybit.other("D")->why, "tickSize is 0.1, no text");
  EXPECT_EQ(bybit.other("E")->why, "it has no priceFilter");
  EXPECT_TRUE(bybit.other("E")->trades);
}

TEST(VenueInstruments, WhatIsNotUnderstoodIsRefused) {
  for (const char *name : {"bybit-linear", "bybit-spot", "binance-usdm", "binance-spot"}) {
    const auto venue = make_venue(name);
    for (const char *body : {"", "x", "{}", "[]", R"({"retCode":10001,"result":{"list":[]}})",
                             R"({"retCode":0,"result":{}})", R"({"code":-1003,"msg":"x"})", "<html>"})
      EXPECT_THROW((void)venue->instruments([&](const std::string &) { return body; }), Error)
          << name << " " << body;
  }
}

} // namespace
} // namespace quietcore
