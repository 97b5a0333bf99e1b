// The fuzzers' harnesses over some thousands of inputs made by changing good ones: what `make fuzz` does for
// minutes with a compiler that sees which way they take, without one. A harness aborts where something is
// wrong.
#include "../fuzz/fuzz_parser.hpp"

#include "quietcore/multicast_packet.hpp"

#include <cstdint>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

// Of native/fuzz, renamed by the build.
extern "C" {
int fuzz_attach(const std::uint8_t *data, std::size_t size);
int fuzz_binance(const std::uint8_t *data, std::size_t size);
int fuzz_bybit(const std::uint8_t *data, std::size_t size);
int fuzz_control(const std::uint8_t *data, std::size_t size);
int fuzz_instruments(const std::uint8_t *data, std::size_t size);
int fuzz_multicast(const std::uint8_t *data, std::size_t size);
int fuzz_recording(const std::uint8_t *data, std::size_t size);
}

namespace quietcore {
namespace {

using Harness = int (*)(const std::uint8_t *, std::size_t);

/// Bytes flipped, cut out, doubled and put in, some of each, and the end of another input in place of its
/// own.
std::string changed(std::string input, const std::string &other, std::mt19937 &chance) {
  const auto below = [&](std::size_t limit) { return limit == 0 ? 0 : chance() % limit; };
  for (std::size_t changes = below(4) + 1; changes > 0; --changes) {
    const std::size_t at = below(input.size());
    switch (below(6)) {
    case 0:
      if (!input.empty())
        input[at] = static_cast<char>(static_cast<unsigned char>(input[at]) ^ (1U << below(8)));
      break;
    case 1:
      if (!input.empty())
        input[at] = static_cast<char>(chance());
      break;
    case 2:
      input.erase(at, below(20));
      break;
    case 3:
      input.insert(at, input.substr(at, below(40)));
      break;
    case 4: // what these formats are made of
      input.insert(at, 1, "\"[]{}:,.0123456789-+eE\\ "[below(24)]);
      break;
    default:
      input = input.substr(0, at) + other.substr(below(other.size()));
    }
  }
  return input;
}

void run(Harness harness, const std::vector<std::string> &seeds, std::size_t inputs) {
  std::mt19937 chance(7); // NOLINT: the same inputs each time
  std::vector<std::string> pool = seeds;
  for (std::size_t i = 0; i < inputs; ++i) {
    const std::string &seed = pool[chance() % pool.size()];
    const std::string input = changed(seed, pool[chance() % pool.size()], chance);
    harness(reinterpret_cast<const std::uint8_t *>(input.data()), input.size());
    if (pool.size() < 1000 && input.size() < 4000)
      pool.push_back(input); // changes of changes
  }
}

TEST(FuzzShort, Instruments) {
  run(fuzz_instruments,
      {R"({"retCode":0,"result":{"list":[{"symbol":"X","status":"Trading","priceFilter":{"tickSize":"0.1"},)"
       R"("lotSizeFilter":{"qtyStep":"1","basePrecision":"1"}}],"nextPageCursor":"a%3A2"}})",
       R"({"symbols":[{"symbol":"X","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.1"},)"
       R"({"filterType":"LOT_SIZE","stepSize":"1"}]}]})",
       R"({"retCode":10006,"retMsg":"Too many visits!"})"},
      10'000);
}

TEST(FuzzShort, ControlRequests) {
  run(fuzz_control, {"status", "switch a wss://host:1/x https://host", "switch b ws://[::1]:9\r"}, 20'000);
}

TEST(FuzzShort, Recordings) {
  run(fuzz_recording, {"1723161255319702566 {\"a\":1}\n# 5 messages are missing here: x\n\n{\"b\":2}\r\n{"},
      3'000);
}

TEST(FuzzShort, BybitMessages) {
  run(fuzz_bybit,
      {R"({"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1773386409407,"data":{"s":"BTCUSDT","b":[["71419.80","0"],)"
       R"(["71418.20","0.159"]],"a":[["71427.90","0.006"]],"u":10132541,"seq":546137962186},"cts":1773386409404})",
       R"({"topic":"orderbook.1.XRPUSDT","ts":1,"type":"snapshot","data":{"s":"XRPUSDT","b":[["1.5","2"]],"a":[],)"
       R"("u":1,"seq":8}})",
       R"({"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":7,"data":[{"T":6,"s":"BTCUSDT","S":"Sell","v":"0.001",)"
       R"("p":"16578.50","i":"20f43950-d8dd-5b31","seq":1}]})",
       R"({"success":true,"ret_msg":"","op":"subscribe","req_id":"3"})"},
      40'000);
}

TEST(FuzzShort, BinanceMessages) {
  run(fuzz_binance,
      {R"({"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT",)"
       R"("U":20,"u":30,"pu":19,"b":[["58710.20","0.014"]],"a":[["61652.80","0.000"],["61653.30","0.072"]]}})",
       R"({"e":"bookTicker","u":7,"s":"BTCUSDT","b":"1.5","B":"2","a":"1.6","A":"3","T":1,"E":2})",
       R"({"e":"trade","E":3,"T":2,"s":"BTCUSDT","t":9,"p":"58710.2","q":"0.1","X":"MARKET","m":true})",
       R"({"lastUpdateId":25,"E":1,"T":1,"bids":[["58710.20","0.014"]],"asks":[["61652.80","1.000"]]})"},
      40'000);
}

TEST(FuzzShort, MulticastPackets) {
  using namespace multicast;
  PacketWriter writer;
  std::string stream;
  const auto finish = [&](Channel channel, std::uint64_t sequence) {
    PacketHeader header;
    header.channel = channel;
    header.symbols = 2;
    header.feed = 7;
    header.epoch = 1;
    header.sequence = sequence;
    header.send_ns = 5;
    header.stream_next = 1;
    const auto packet = writer.finish(header);
    // Before each its length, the highest bit set: the harness then mends the header.
    stream += static_cast<char>(packet.size() & 255U);
    stream += static_cast<char>(packet.size() >> 8U | 128U);
    stream.append(reinterpret_cast<const char *>(packet.data()), packet.size());
  };
  const std::vector<shm::Level> bids{{10'000'000'000, 100'000'000}};
  const std::vector<shm::Level> asks{{20'000'000'000, 100'000'000}};
  ASSERT_TRUE(writer.add(0, SymbolMessage{"BTCUSDT", {1, 1}, {1, 3}}));
  ASSERT_TRUE(writer.add(0, BookHead{1, 1, 9, 1, 1, 0, 1}, true, bids, asks));
  finish(Channel::Snapshots, 1);
  ASSERT_TRUE(writer.add(0, BookHead{2, 2, 10, 1, 1, 0, 2}, false, bids, asks));
  finish(Channel::Stream, 1);
  ASSERT_TRUE(writer.add(0, BookHead{2, 2, 10, 1, 1, 1, 2}, false, bids, asks));
  ASSERT_TRUE(writer.add(0, TradeMessage{3, 10'000'000'000, 100'000'000, 3}, true));
  ASSERT_TRUE(writer.add(0, BboMessage{3, 10, 1, 20, 1}, false));
  ASSERT_TRUE(writer.add_lost(0, 3));
  finish(Channel::Stream, 2);
  ASSERT_TRUE(writer.add_heartbeat(true));
  finish(Channel::Stream, 3);
  run(fuzz_multicast, {stream}, 10'000);
}

TEST(FuzzShort, Segments) {
  // Two bytes say where the rest is laid over a good segment; the third and fourth whether it is cut.
  std::vector<std::string> seeds;
  for (const int at : {0, 8, 16, 128, 256, 384, 512, 768, 1024, 1152, 1536})
    seeds.push_back(
        {static_cast<char>(at & 255), static_cast<char>(at >> 8), 0, 4, 'Q', 'C', 1, 0, 0, 0, 0, 0});
  run(fuzz_attach, seeds, 5'000);
}

/// Says something else of a message with a blank behind the brace.
class TwoFaced final : public Parser {
public:
  ParseResult parse(const char *bytes, std::size_t size, MessageSink &) noexcept override {
    return size > 1 && bytes[1] == ' ' ? ParseResult{ParseStatus::NotJson, "a blank"} : ParseResult{};
  }
};

TEST(FuzzShortDeathTest, TheHarnessSeesTwoWaysThatDisagree) {
  TwoFaced parser;
  const std::string message = "{}";
  EXPECT_DEATH(fuzz::parse_both_ways(parser, reinterpret_cast<const std::uint8_t *>(message.data()), 2), "");
}

} // namespace
} // namespace quietcore
