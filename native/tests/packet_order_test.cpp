#include "quietcore/packet_order.hpp"

#include <gtest/gtest.h>
#include <random>
#include <set>
#include <vector>

namespace quietcore::multicast {
namespace {

constexpr std::uint64_t kPatience = 1000;

class PacketOrderTest : public ::testing::Test {
protected:
  void take(std::uint64_t sequence, bool heartbeat = false, std::uint64_t epoch = 1) {
    PacketWriter writer;
    EXPECT_TRUE(heartbeat ? writer.add_heartbeat(false)
                          : writer.add(0, TradeMessage{0, 0, 0, sequence}, false));
    ReceivedPacket packet;
    packet.header.epoch = epoch;
    packet.header.sequence = sequence;
    const auto bytes = writer.finish(packet.header);
    EXPECT_EQ(read_header(bytes, packet.header), nullptr);
    packet.bytes = bytes;
    order.take(packet, heartbeat, now);
  }

  std::uint64_t now = 1;
  std::vector<std::uint64_t> got{};
  std::vector<std::uint64_t> beats{};
  PacketOrder order{kPatience, [this](const ReceivedPacket &packet) {
                      if (is_heartbeat(packet.bytes)) {
                        beats.push_back(packet.header.sequence);
                        return;
                      }
                      // The bytes are those of this very packet.
                      MessageReader reader(packet.bytes, packet.header);
                      PacketMessage message;
                      ASSERT_TRUE(reader.next(message));
                      EXPECT_EQ(read_trade(message.body).id, packet.header.sequence);
                      got.push_back(packet.header.sequence);
                    }};
};

TEST_F(PacketOrderTest, WhatOvertakesWaits) {
  for (const std::uint64_t sequence : {7, 9, 10, 8, 11})
    take(sequence);
  EXPECT_EQ(got, (std::vector<std::uint64_t>{7, 8, 9, 10, 11}));
  EXPECT_EQ(order.counts().overtaken, 1U);
  EXPECT_EQ(order.counts().lost, 0U);
  EXPECT_EQ(order.due_ns(), 0U);
}

TEST_F(PacketOrderTest, WhatDoesNotComeInTimeIsLostAndThenLate) {
  take(1);
  take(3);
  take(3);
  EXPECT_EQ(order.due_ns(), now + kPatience);
  order.tend(now + kPatience - 1);
  EXPECT_EQ(got.size(), 1U);
  order.tend(now + kPatience);
  EXPECT_EQ(got, (std::vector<std::uint64_t>{1, 3}));
  take(2);
  take(2);
  take(1);
  EXPECT_EQ(order.counts().lost, 1U);
  EXPECT_EQ(order.counts().gaps, 1U);
  EXPECT_EQ(order.counts().late, 1U);
  EXPECT_EQ(order.counts().duplicates, 3U);
}

TEST_F(PacketOrderTest, AHeartbeatShowsThatTheLastAreMissing) {
  take(1);
  take(2, true);
  EXPECT_EQ(beats, (std::vector<std::uint64_t>{2}));
  take(4, true);
  EXPECT_EQ(beats.size(), 1U) << "the missing may still come";
  order.tend(now + kPatience);
  EXPECT_EQ(order.counts().lost, 2U);
  EXPECT_EQ(beats, (std::vector<std::uint64_t>{2, 4}));
  take(4);
  EXPECT_EQ(got, (std::vector<std::uint64_t>{1, 4}));
  EXPECT_EQ(order.due_ns(), 0U);
}

TEST_F(PacketOrderTest, FarAheadGivesUpAtOnce) {
  take(1);
  take(1 + PacketOrder::kWindow);
  EXPECT_EQ(got.size(), 1U);
  take(2 + PacketOrder::kWindow);
  EXPECT_EQ(got, (std::vector<std::uint64_t>{1, 1 + PacketOrder::kWindow, 2 + PacketOrder::kWindow}));
  EXPECT_EQ(order.counts().lost, PacketOrder::kWindow - 1);
  take(1'000'000'000'000);
  EXPECT_EQ(got.back(), 1'000'000'000'000U);
  take(UINT64_MAX - 1);
  EXPECT_EQ(got.back(), UINT64_MAX - 1);
}

TEST_F(PacketOrderTest, ANewEpochBeginsAnewAndTheOldOneIsOver) {
  take(1);
  take(3);
  take(50, false, 2);
  EXPECT_EQ(got, (std::vector<std::uint64_t>{1, 3, 50}));
  take(2);
  take(51, false, 2);
  EXPECT_EQ(order.counts().old, 1U);
  EXPECT_EQ(order.counts().restarts, 1U);
  EXPECT_EQ(order.counts().lost, 1U);
  order.forget();
  take(9, false, 1);
  EXPECT_EQ(got.back(), 9U);
}

// Every packet counts once, nothing comes out of order, and what is lost is just what did not come in time.
TEST_F(PacketOrderTest, AddsUpUnderRandomFaults) {
  std::mt19937_64 random(5);                                // NOLINT: the same each time
  std::vector<std::pair<std::uint64_t, std::uint64_t>> due; // when, sequence
  constexpr std::uint64_t kCount = 200'000;
  std::uint64_t dropped = 0;
  std::uint64_t doubled = 0;
  for (std::uint64_t sequence = 1; sequence <= kCount; ++sequence) {
    const std::uint64_t at = sequence * 100;
    const std::uint64_t dice = random() % 100;
    if (dice < 3 && sequence != 1 && sequence != kCount) {
      ++dropped;
      continue;
    }
    due.emplace_back(at + (dice < 10 ? random() % 900 : dice < 12 ? random() % 20'000 : 0), sequence);
    if (dice >= 90) {
      ++doubled;
      due.emplace_back(at + random() % 5'000, sequence);
    }
  }
  std::sort(due.begin(), due.end());
  std::set<std::uint64_t> arrived;
  for (const auto &[at, sequence] : due) {
    now = at;
    order.tend(now);
    take(sequence);
    arrived.insert(sequence);
  }
  order.tend(now + kPatience);
  const OrderCounts &counts = order.counts();
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  EXPECT_EQ(std::adjacent_find(got.begin(), got.end()), got.end());
  const std::uint64_t first = got.front();
  EXPECT_EQ(counts.delivered, got.size());
  EXPECT_EQ(counts.delivered + counts.duplicates + counts.late + counts.old, due.size());
  EXPECT_EQ(counts.delivered + counts.lost, kCount - first + 1);
  EXPECT_GE(counts.lost, dropped);
  EXPECT_EQ(counts.lost - counts.late, dropped) << "what is lost came late, or never";
  EXPECT_GE(counts.duplicates, doubled * 9 / 10);
  EXPECT_GT(counts.late, 200U);
  EXPECT_GT(counts.overtaken, 1000U);
}

} // namespace
} // namespace quietcore::multicast
