#include "quietcore/feed_findings.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

const Origin kHere{"wss://venue", 0};

TEST(FeedFindings, ARefusedMessage) {
  EXPECT_EQ((MessageRefused{"u is missing", false}.finding(kHere).message()),
            "message refused: wss://venue; found u is missing; expected one whole message of the venue; "
            "remedy: the "
            "book waits for the next snapshot where this leaves a gap");
  EXPECT_EQ((MessageRefused{"p", true}.finding(kHere).expected), "at most 18 significant digits");
  EXPECT_EQ((MessageRefused{"", true}.kind()), Trouble::OutOfRange);
  EXPECT_EQ((MessageRefused{"", false}.kind()), Trouble::Malformed);
}

TEST(FeedFindings, AGap) {
  EXPECT_EQ(
      (BookGap{"BTCUSDT", 12, 10}.finding({"file", 3}).message()),
      "gap in the book of BTCUSDT: file:3; found update 12; expected one that follows 10; remedy: the book "
      "waits for a new snapshot");
}

TEST(FeedFindings, ACrossedBook) {
  EXPECT_EQ((BookCrossed{"BTCUSDT", 12}.finding(kHere).message()),
            "crossed book of BTCUSDT: wss://venue; found a bid at or above an ask after update 12; remedy: "
            "the book "
            "waits for a new snapshot");
}

TEST(FeedFindings, AnUnknownSymbolIsNamedUpToALength) {
  EXPECT_EQ(SymbolUnknown("NOSUCH", 2).finding(kHere).message(),
            "unknown symbol: wss://venue; found NOSUCH; expected one of the feed's 2 symbols; remedy: add it "
            "to the "
            "feed's symbols, or ignore this");
  EXPECT_EQ(SymbolUnknown(std::string(28, 'A'), 2).finding(kHere).found, std::string(28, 'A'));
  EXPECT_EQ(SymbolUnknown(std::string(29, 'A'), 2).finding(kHere).found, std::string(28, 'A') + "…");
  EXPECT_EQ(SymbolUnknown("不不不不不不不不不不不不", 2).finding(kHere).found, "不不不不不不不不不…")
      << "no part of one";
  EXPECT_EQ(SymbolUnknown("A\n\x1b[2J", 2).finding(kHere).found, "A [2J");
  EXPECT_EQ(SymbolUnknown("", 65'535).finding(kHere).expected, "one of the feed's 65535 symbols");
}

TEST(FeedFindings, AValueOfNoTickAndOneTooLarge) {
  EXPECT_EQ(
      (ValueRefused{"price", "BTCUSDT", 7100015, 5, 2, 1, true}.finding(kHere).message()),
      "price of BTCUSDT refused: wss://venue; found 7100015e-2; expected a multiple of 5e-1; remedy: restart "
      "the feed if the venue has changed the instrument");
  const Finding large = ValueRefused{"size", "BTCUSDT", 7, 1, 0, 18, false}.finding(kHere);
  EXPECT_EQ(large.found, "7");
  EXPECT_EQ(large.expected, "a number that fits 64 bits in these units");
}

} // namespace
} // namespace quietcore
