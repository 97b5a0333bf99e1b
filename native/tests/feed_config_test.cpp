#include "quietcore/feed_config.hpp"

#include "quietcore/error.hpp"
#include "temporary_folder.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

const std::string kWhole = R"(venue = "bybit-linear"
websocket = "ws://127.0.0.1:8760"
rest = "http://127.0.0.1:8760"
symbols = ["BTCUSDT", "ETHUSDT"]
depth = 200
streams = ["book", "trade"]
tls_ca = "/etc/quietcore/ca.pem"
cpu = 3
plan = "/tmp/plan.json"
wait = "spin"
[ring]
capacity = 131072
ladder_depth = 30
group = "traders"
)";

class Config : public ::testing::Test {
protected:
  FeedConfig read(const std::string &text) {
    FeedConfig config;
    config.read_file(folder_.write("demo.toml", text));
    return config;
  }
  std::string refusal(const std::string &text) {
    try {
      const FeedConfig config = read(text);
      config.check(*make_venue(config.venue), "demo.toml");
    } catch (const Error &error) {
      EXPECT_EQ(error.code(), ExitCode::Usage);
      return error.what();
    }
    return "";
  }
  static std::string replaced(const std::string &line, const std::string &with) {
    std::string text = kWhole;
    const std::size_t at = text.find(line);
    EXPECT_NE(at, std::string::npos) << line;
    return text.replace(at, line.size(), with);
  }
  void expect_refused(const std::string &line, const std::string &with, std::vector<std::string> parts) {
    const std::string message = refusal(replaced(line, with));
    for (const std::string &part : parts)
      EXPECT_NE(message.find(part), std::string::npos) << "\"" << part << "\" is not in: " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << "one line";
  }

  test::TemporaryFolder folder_;
};

TEST_F(Config, ReadsAWholeFile) {
  const FeedConfig config = read(kWhole);
  EXPECT_EQ(config.feed, "demo");
  EXPECT_EQ(config.venue, "bybit-linear");
  EXPECT_EQ(config.subscription.symbols, (std::vector<std::string>{"BTCUSDT", "ETHUSDT"}));
  EXPECT_EQ(config.subscription.depth, 200U);
  EXPECT_TRUE(config.subscription.book);
  EXPECT_TRUE(config.subscription.trade);
  EXPECT_FALSE(config.subscription.ticker);
  EXPECT_EQ(config.tls_ca, "/etc/quietcore/ca.pem");
  EXPECT_EQ(config.cpu.kind, CpuWish::Kind::Number);
  EXPECT_EQ(config.cpu.number, 3);
  EXPECT_EQ(config.wait, Wait::Spin);
  EXPECT_EQ(config.capacity, 131072U);
  EXPECT_EQ(config.ladder_depth, 30U);
  EXPECT_EQ(config.group, "traders");
  EXPECT_EQ(refusal(kWhole), "");
}

TEST_F(Config, TimeStampsAreOfTheBestUnlessItSaysOtherwise) {
  EXPECT_EQ(read(kWhole).socket.time_stamps, TimeStamps::Best);
  EXPECT_EQ(read(kWhole + "[socket]\ntime_stamps = \"kernel\"\n").socket.time_stamps, TimeStamps::Kernel);
  EXPECT_EQ(read(kWhole + "[socket]\ntime_stamps = \"none\"\n").socket.time_stamps, TimeStamps::None);
  EXPECT_NE(refusal(kWhole + "[socket]\ntime_stamps = \"exact\"\n").find("socket.time_stamps"),
            std::string::npos);
}

TEST_F(Config, NamesFileKeyAndExpectation) {
  expect_refused("depth = 200", "dept = 200",
                 {"unknown key", "demo.toml:5: dept", "one of venue, websocket"});
  expect_refused("capacity = 131072", "size = 131072", {"unknown key", "ring.size", "capacity"});
  expect_refused("depth = 200", "depth = \"200\"",
                 {"wrong type", "demo.toml:5: depth", "a string", "whole number"});
  expect_refused("venue = \"bybit-linear\"", "venue = 5", {"wrong type", "demo.toml:1: venue", "a string"});
  expect_refused(R"(symbols = ["BTCUSDT", "ETHUSDT"])", "symbols = \"BTCUSDT\"",
                 {"symbols", "a list of strings"});
  expect_refused(R"("ETHUSDT"])", "7]", {"symbols", "a list of strings"});
  expect_refused("[ring]", "ring = 5\n[rung]", {"ring", "a table"});
  expect_refused("depth = 200", "depth = 25", {"depth not offered", "25", "1, 50, 200, 1000"});
  expect_refused("depth = 200", "depth = 500", {"depth not offered", "offered once", "1, 50, 200, 1000"});
  expect_refused("capacity = 131072", "capacity = 100000", {"ring capacity", "100000", "power of two"});
  expect_refused("capacity = 131072", "capacity = 512", {"ring.capacity", "512", "1024"});
  expect_refused("cpu = 3", "cpu = \"fast\"", {"demo.toml:8: cpu", "fast", "plan"});
  expect_refused("cpu = 3", "cpu = -2", {"cpu", "-2"});
  expect_refused("wait = \"spin\"", "wait = \"sleep\"", {"wait", "sleep", "nap or spin"});
  expect_refused(R"(streams = ["book", "trade"])", R"(streams = ["books"])",
                 {"streams", "books", "book, trade, ticker"});
  expect_refused("ws://127.0.0.1:8760", "http://127.0.0.1:8760", {"websocket", "ws://"});
  expect_refused("http://127.0.0.1:8760", "127.0.0.1", {"rest", "http://"});
  expect_refused("\"ETHUSDT\"", "\"BTCUSDT\"", {"symbol named twice", "BTCUSDT"});
  expect_refused("depth = 200", "depth 200", {"not readable", "demo.toml:5"});
  expect_refused("venue = \"bybit-linear\"", "venue = \"nyse\"",
                 {"unknown venue", "nyse", "bybit-linear, bybit-inverse"});
  expect_refused("venue = \"bybit-linear\"", "receive = \"dpdk\"", {"not built", "dpdk", "huge pages"});
}

TEST_F(Config, AMissingFileIsSaid) {
  FeedConfig config;
  try {
    config.read_file(folder_.path() + "/none.toml");
    FAIL();
  } catch (const Error &error) {
    EXPECT_NE(std::string(error.what()).find("none.toml"), std::string::npos);
  }
}

TEST_F(Config, CpuIsPlanNumberOrNone) {
  EXPECT_EQ(CpuWish::parse("plan", "").kind, CpuWish::Kind::Plan);
  EXPECT_EQ(CpuWish::parse("-1", "").kind, CpuWish::Kind::Unpinned);
  EXPECT_EQ(CpuWish::parse("0", "").number, 0);
  EXPECT_THROW((void)CpuWish::parse("", ""), Error);
  EXPECT_THROW((void)CpuWish::parse("1x", ""), Error);
}

} // namespace
} // namespace quietcore
