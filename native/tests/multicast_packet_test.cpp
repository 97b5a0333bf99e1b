#include "quietcore/multicast_packet.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace quietcore::multicast {
namespace {

using Bytes = std::vector<std::byte>;

PacketHeader some_header(Channel channel = Channel::Stream) {
  PacketHeader header;
  header.channel = channel;
  header.symbols = 3;
  header.feed = feed_id("demo");
  header.epoch = 77;
  header.sequence = 5;
  header.send_ns = 1'700'000'000'000'000'001;
  header.stream_next = channel == Channel::Snapshots ? 9 : 0;
  return header;
}

Bytes copy(std::span<const std::byte> packet) { return {packet.begin(), packet.end()}; }

/// One of each kind that may share a packet.
Bytes full_packet() {
  PacketWriter writer;
  const std::vector<shm::Level> bids{{100, 5}, {99, 0}};
  const std::vector<shm::Level> asks{{101, 7}};
  EXPECT_TRUE(writer.add(0, BboMessage{1, 100, 5, 101, 7}, true));
  EXPECT_TRUE(writer.add(1, TradeMessage{2, 100, 3, 42}, true));
  EXPECT_TRUE(writer.add(2, BookHead{3, 8, 1234, 0, 0, 0, 1}, true, bids, asks));
  EXPECT_TRUE(writer.add_lost(1, 9));
  EXPECT_TRUE(writer.add(2, SymbolMessage{"BTCUSDT", {5, 1}, {1, 3}}));
  return copy(writer.finish(some_header(Channel::Snapshots)));
}

/// nullptr: good.
const char *problem_of(const Bytes &packet) {
  PacketHeader header;
  if (const char *problem = read_header(packet, header))
    return problem;
  MessageReader reader(packet, header);
  PacketMessage message;
  while (reader.next(message)) {
  }
  return reader.problem();
}

TEST(MulticastPacket, EveryKindComesBackAsItWas) {
  const Bytes packet = full_packet();
  PacketHeader header;
  ASSERT_EQ(read_header(packet, header), nullptr);
  EXPECT_EQ(header.channel, Channel::Snapshots);
  EXPECT_EQ(header.count, 5);
  EXPECT_EQ(header.length, packet.size());
  EXPECT_EQ(header.symbols, 3);
  EXPECT_EQ(header.feed, feed_id("demo"));
  EXPECT_EQ(header.epoch, 77U);
  EXPECT_EQ(header.sequence, 5U);
  EXPECT_EQ(header.stream_next, 9U);
  EXPECT_EQ(header.send_ns, 1'700'000'000'000'000'001);
  MessageReader reader(packet, header);
  PacketMessage message;
  ASSERT_TRUE(reader.next(message));
  EXPECT_EQ(message.kind, Kind::Bbo);
  EXPECT_TRUE(message.has(kFromBook));
  const BboMessage bbo = read_bbo(message.body);
  EXPECT_EQ(bbo.venue_ns, 1);
  EXPECT_EQ(bbo.bid_price, 100);
  EXPECT_EQ(bbo.ask_size, 7);
  ASSERT_TRUE(reader.next(message));
  EXPECT_EQ(message.kind, Kind::Trade);
  EXPECT_EQ(message.symbol, 1);
  EXPECT_TRUE(message.has(kSell));
  EXPECT_EQ(read_trade(message.body).id, 42U);
  ASSERT_TRUE(reader.next(message));
  EXPECT_EQ(message.kind, Kind::Book);
  EXPECT_TRUE(message.has(kWhole));
  const BookHead head = read_book(message.body);
  EXPECT_EQ(head.number, 8U);
  EXPECT_EQ(head.update_id, 1234U);
  ASSERT_EQ(head.bids, 2);
  ASSERT_EQ(head.asks, 1);
  EXPECT_EQ(read_level(message.body, 1).price, 99);
  EXPECT_EQ(read_level(message.body, 2).size, 7);
  ASSERT_TRUE(reader.next(message));
  EXPECT_EQ(message.kind, Kind::Lost);
  EXPECT_EQ(read_lost(message.body), 9U);
  ASSERT_TRUE(reader.next(message));
  EXPECT_EQ(message.kind, Kind::Symbol);
  const SymbolMessage symbol = read_symbol(message.body);
  EXPECT_EQ(symbol.name, "BTCUSDT");
  EXPECT_EQ(symbol.tick, (Scale{5, 1}));
  EXPECT_EQ(symbol.lot, (Scale{1, 3}));
  EXPECT_FALSE(reader.next(message));
  EXPECT_EQ(reader.problem(), nullptr);
}

// The very bytes, so that the document, and not this code, is the format.
TEST(MulticastPacket, TradeIsLaidOutAsDocumented) {
  PacketWriter writer;
  ASSERT_TRUE(writer.add(0x0201, TradeMessage{0x0807060504030201, 7'141'980'000'000, 1, 2}, true));
  const Bytes packet = copy(writer.finish(some_header()));
  ASSERT_EQ(packet.size(), 88U);
  const auto at = [&](std::size_t i) { return std::to_integer<int>(packet[i]); };
  EXPECT_EQ(std::memcmp(packet.data(), "QCST\x01\x00\x01\x00\x58\x00\x03\x00", 12), 0);
  EXPECT_EQ(at(16), 77);
  EXPECT_EQ(at(24), 5);
  EXPECT_EQ(at(48), 2);
  EXPECT_EQ(at(49), 1);
  EXPECT_EQ(at(50), 40);
  EXPECT_EQ(at(52), 1);
  EXPECT_EQ(at(53), 2);
  EXPECT_EQ(at(56), 1);
  EXPECT_EQ(at(63), 8);
  EXPECT_EQ(at(64), 0x00); // 71,419.8 in 1e-8 is 0x067edfca8b00
  EXPECT_EQ(std::memcmp(packet.data() + 80, "\x02\0\0\0\0\0\0\0", 8), 0);
  std::int64_t price = 0;
  std::memcpy(&price, packet.data() + 64, 8);
  EXPECT_EQ(price, 7'141'980'000'000);
}

TEST(MulticastPacket, AnyCutIsRefused) {
  const Bytes packet = full_packet();
  EXPECT_EQ(problem_of(packet), nullptr);
  for (std::size_t size = 0; size < packet.size(); ++size) {
    Bytes cut(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(problem_of(cut), nullptr) << size;
    // Also where the length was made to fit.
    if (size < kHeaderSize)
      continue;
    cut[8] = static_cast<std::byte>(size & 255U);
    cut[9] = static_cast<std::byte>(size >> 8U);
    EXPECT_NE(problem_of(cut), nullptr) << size;
  }
  Bytes longer = packet;
  longer.push_back(std::byte{0});
  EXPECT_NE(problem_of(longer), nullptr);
}

TEST(MulticastPacket, WhatBreaksTheFormatIsRefusedAndNamed) {
  const Bytes good = full_packet();
  const auto with = [&](std::size_t at, int value) {
    Bytes packet = good;
    packet[at] = static_cast<std::byte>(value);
    const char *problem = problem_of(packet);
    return std::string(problem == nullptr ? "" : problem);
  };
  EXPECT_NE(with(0, 'X').find("something else"), std::string::npos);
  EXPECT_NE(with(4, 2).find("version"), std::string::npos);
  EXPECT_NE(with(5, 2).find("channel"), std::string::npos);
  EXPECT_NE(with(6, 0).find("without messages"), std::string::npos);
  EXPECT_NE(with(6, 4).find("behind the last"), std::string::npos);
  EXPECT_NE(with(6, 6).find("outside"), std::string::npos);
  EXPECT_NE(with(16, 0).find("epoch"), std::string::npos);
  EXPECT_NE(with(24, 0).find("sequence"), std::string::npos);
  EXPECT_NE(with(40, 0).find("of when"), std::string::npos);
  EXPECT_NE(with(50, 40).find("length"), std::string::npos);
  EXPECT_NE(with(50, 47).find("outside"), std::string::npos);
  EXPECT_NE(with(48 + 8 + 8 + 7, 0x80).find("negative"), std::string::npos);
  const std::size_t book = 48 + 48 + 40;
  EXPECT_NE(with(book + 32, 1).find("levels"), std::string::npos);
  EXPECT_NE(with(book + 36, 1).find("part"), std::string::npos);
  EXPECT_NE(with(book + 38, 0).find("part"), std::string::npos);
  const std::size_t symbol = book + 40 + 48 + 16;
  EXPECT_NE(with(symbol + 8, 0).find("name"), std::string::npos);
  EXPECT_NE(with(symbol + 40, 0).find("decimal"), std::string::npos);
  EXPECT_NE(with(symbol + 48, 19).find("decimal"), std::string::npos);
}

TEST(MulticastPacket, KindsThatAreNotKnownAreSkipped) {
  Bytes packet = full_packet();
  packet[48] = std::byte{200};
  PacketHeader header;
  ASSERT_EQ(read_header(packet, header), nullptr);
  MessageReader reader(packet, header);
  PacketMessage message;
  ASSERT_TRUE(reader.next(message));
  EXPECT_EQ(message.kind, Kind::Trade);
}

TEST(MulticastPacket, AFullPacketTakesNoMore) {
  PacketWriter writer;
  std::size_t count = 0;
  while (writer.add(0, TradeMessage{}, false))
    ++count;
  EXPECT_EQ(count, (kLargestSent - kHeaderSize) / 40);
  EXPECT_EQ(problem_of(copy(writer.finish(some_header()))), nullptr);
  const std::vector<shm::Level> levels(PacketWriter::kLevelsAlone + 1);
  EXPECT_FALSE(writer.add(0, BookHead{}, true, levels, {}));
  EXPECT_TRUE(writer.empty());
  EXPECT_TRUE(writer.add(0, BookHead{}, true, std::span(levels).subspan(1), {}));
  EXPECT_LE(writer.finish(some_header()).size(), kLargestSent);
}

} // namespace
} // namespace quietcore::multicast
