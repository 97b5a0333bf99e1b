// Several legs of one feed against one leg: readers must not be able to tell which of them they read.
#include "core_fixture.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <random>

namespace quietcore {
namespace {

using shm::Kind;
using shm::State;
using test::CoreOnRing;

using Book = std::map<std::int64_t, std::int64_t>; ///< one side: lots by ticks

/// One side of a message in the venue's form; tick 0.1, lot 0.001.
std::string json(const std::vector<shm::Level> &levels) {
  std::string out;
  for (const shm::Level &level : levels) {
    const std::string lots = std::to_string(1000 + level.size % 1000);
    out.append(out.empty() ? "[\"" : ",[\"").append(std::to_string(level.price / 10)).append(".");
    out.append(std::to_string(level.price % 10)).append("\",\"").append(std::to_string(level.size / 1000));
    out.append(".").append(lots, 1).append("\"]");
  }
  return out;
}

/// A market that makes Binance's messages and knows the true ladder after each of its updates.
class Market {
public:
  explicit Market(std::uint64_t seed) : random_(seed) {
    for (std::int64_t i = 0; i < 12; ++i) {
      bids_[999 - i] = 1 + i;
      asks_[1001 + i] = 1 + i;
    }
    remember();
  }

  /// The next update, as a message.
  const std::string &move() {
    const std::vector<shm::Level> bids = change(bids_, true);
    const std::vector<shm::Level> asks = change(asks_, false);
    ++id_;
    remember();
    // Each also names the update before it, so that it bridges a snapshot of that one.
    const std::string previous = std::to_string(id_ - 1);
    messages_.push_back(R"({"e":"depthUpdate","E":1700000000001,"T":1,"s":"BTCUSDT","U":)" + previous +
                        R"(,"u":)" + std::to_string(id_) + R"(,"pu":)" + previous + R"(,"b":[)" + json(bids) +
                        R"(],"a":[)" + json(asks) + "]}");
    return messages_.back();
  }

  /// The whole book as it stands.
  [[nodiscard]] std::string snapshot() const {
    return R"({"lastUpdateId":)" + std::to_string(id_) + R"(,"E":1,"T":1,"bids":[)" +
           json(best(bids_, true, bids_.size())) + R"(],"asks":[)" + json(best(asks_, false, asks_.size())) +
           "]}";
  }

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] const std::string &message(std::uint64_t id) const { return messages_[id - kFirst - 1]; }

  struct Ladders {
    std::vector<shm::Level> bids;
    std::vector<shm::Level> asks;
  };
  [[nodiscard]] const Ladders &ladders(std::uint64_t id) const { return ladders_[id - kFirst]; }

private:
  static constexpr std::uint64_t kFirst = 100;

  static std::vector<shm::Level> best(const Book &side, bool bids, std::size_t most) {
    std::vector<shm::Level> out;
    for (const auto &[price, size] : side)
      out.push_back({price, size});
    if (bids)
      std::reverse(out.begin(), out.end());
    out.resize(std::min(out.size(), most));
    return out;
  }

  /// Up to five levels, mostly best first as venues send them; some deletes, some of what is not there.
  std::vector<shm::Level> change(Book &side, bool bids) {
    Book delta;
    for (std::size_t count = random_() % 6; count > 0; --count) {
      const auto distance = static_cast<std::int64_t>(1 + random_() % 14);
      delta[bids ? 1000 - distance : 1000 + distance] = static_cast<std::int64_t>(random_() % 4);
    }
    for (const auto &[price, size] : delta) {
      if (size == 0)
        side.erase(price);
      else
        side[price] = size;
    }
    std::vector<shm::Level> out = best(delta, bids, delta.size());
    if (random_() % 10 == 0)
      std::reverse(out.begin(), out.end());
    return out;
  }

  void remember() {
    ladders_.push_back({best(bids_, true, CoreOnRing::kDepth), best(asks_, false, CoreOnRing::kDepth)});
  }

  std::mt19937_64 random_;
  std::uint64_t id_ = kFirst;
  Book bids_;
  Book asks_;
  std::deque<std::string> messages_;
  std::deque<Ladders> ladders_;
};

void expect_same(const std::vector<shm::Level> &got, const std::vector<shm::Level> &wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].price, wanted[i].price) << "rank " << i;
    EXPECT_EQ(got[i].size, wanted[i].size) << "rank " << i;
  }
}

/// A core whose readers' ladders are compared with the market's after every message.
class Legs : public CoreOnRing {
public:
  Legs() : CoreOnRing("binance-usdm", 0) {}

  /// What readers have: table and ticks alike, and the market's where it is LIVE.
  void expect_right(const Market &market) const {
    expect_ladders_agree();
    const BookCopy book = table();
    if (book.entry.state != State::LIVE)
      return;
    const Market::Ladders &wanted = market.ladders(book.entry.update_id);
    expect_same(book.bids, wanted.bids);
    expect_same(book.asks, wanted.asks);
  }
};

struct Payload {
  Kind kind;
  unsigned flags;
  unsigned remaining;
  std::int64_t a, b, c, d;
  friend bool operator==(const Payload &, const Payload &) = default;
};

void note(const std::vector<Tick> &ticks, std::vector<Payload> &out) {
  for (const Tick &tick : ticks)
    out.push_back({tick.kind, tick.flags, tick.remaining, tick.a, tick.b, tick.c, tick.d});
}

TEST(LegsAgreement, TwoLegsPublishTickForTickWhatOneDoes) {
  Market market(1);
  Legs one;
  Legs two;
  two.core_.open_leg(1);
  std::vector<Payload> of_one;
  std::vector<Payload> of_two;
  const std::string snapshot = market.snapshot();
  const std::string first = market.move();
  for (const std::string &message : {snapshot, first}) {
    note(one.feed(message), of_one);
    note(two.feed(message, 0), of_two);
  }
  for (const std::string &message : {snapshot, first})
    EXPECT_TRUE(two.feed(message, 1).empty()) << "no news to readers";
  std::mt19937_64 random(2);
  std::array<std::uint64_t, 2> next{market.id() + 1, market.id() + 1};
  for (int round = 0; round < 4'000; ++round) {
    note(one.feed(market.move()), of_one);
    // Either may lag the other by some messages, then catch up.
    for (std::uint32_t leg = 0; leg < 2; ++leg) {
      while (next[leg] <= market.id() && (random() % 3 != 0 || market.id() - next[leg] > 4)) {
        note(two.feed(market.message(next[leg]++), leg), of_two);
        ASSERT_NO_FATAL_FAILURE(two.expect_right(market));
      }
    }
    ASSERT_NO_FATAL_FAILURE(one.expect_right(market));
  }
  for (std::uint32_t leg = 0; leg < 2; ++leg) {
    while (next[leg] <= market.id())
      note(two.feed(market.message(next[leg]++), leg), of_two);
  }
  EXPECT_EQ(of_one, of_two);
  EXPECT_EQ(two.bids_, one.bids_);
  EXPECT_EQ(two.asks_, one.asks_);
  EXPECT_GT(one.core_.ticks().level, 4'000U) << "too few changes to say anything";
  EXPECT_EQ(one.core_.statistics().duplicates, 0U);
  EXPECT_GT(two.core_.statistics().duplicates, 3'000U);
  EXPECT_EQ(two.core_.statistics().gaps, 0U);
}

TEST(LegsAgreement, LaddersStayRightWhileLegsComeBreakAndGo) {
  Market market(3);
  Legs core;
  std::mt19937_64 random(4);
  std::array<std::uint64_t, kMaxLegs> next{};
  next.fill(market.id() + 1);
  unsigned live = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto leg = static_cast<std::uint32_t>(random() % kMaxLegs);
    const bool open = core.core_.has_leg(leg);
    switch (random() % 40) {
    case 0: // a leg opens, its messages begin with the next
      core.core_.open_leg(leg);
      next[leg] = open ? next[leg] : market.id() + 1;
      break;
    case 1:
      core.core_.close_leg(leg);
      break;
    case 2: // a gap
      if (next[leg] <= market.id())
        ++next[leg];
      break;
    case 3:
      if (open)
        core.core_.connection_lost(0, leg);
      next[leg] = market.id() + 1;
      break;
    case 4:
      if (open)
        core.core_.doubt(0, leg);
      break;
    case 5:
    case 6:
    case 7:
      if (open)
        (void)core.feed(market.snapshot(), leg);
      break;
    case 8:
      core.core_.prefer_live_books();
      break;
    default:
      (void)market.move();
      while (open && next[leg] <= market.id())
        (void)core.feed(market.message(next[leg]++), leg);
    }
    (void)core.drain();
    ASSERT_NO_FATAL_FAILURE(core.expect_right(market)) << "round " << round;
    live += core.state() == State::LIVE ? 1U : 0U;
  }
  EXPECT_GT(live, 5'000U);
  EXPECT_GT(core.core_.statistics().gaps, 10U);
  EXPECT_GT(core.core_.statistics().duplicates, 1'000U);
}

TEST(LegsAgreement, ABookThatChangedUnseenIsPublishedWhole) {
  Market market(5);
  Legs core;
  (void)core.feed(market.snapshot());
  (void)core.feed(market.move());
  core.core_.open_leg(1);
  (void)core.feed(market.snapshot(), 1);
  const std::string both = market.move();
  (void)core.feed(both, 1);
  (void)core.feed(both, 0);
  (void)core.feed(market.move(), 0);
  (void)core.feed(market.message(market.id()), 1);
  // Leg 0, whose book is published, breaks, and begins anew beside the other.
  core.core_.connection_lost(0, 0);
  for (int i = 0; i < 20; ++i)
    (void)market.move();
  EXPECT_TRUE(core.feed(market.snapshot(), 0).empty()) << "not LIVE, and another leg is";
  // Then it is alone with what nobody has seen of it.
  core.core_.close_leg(1);
  EXPECT_EQ(core.drain().size(), 1U);
  EXPECT_EQ(core.state(), State::STALE);
  (void)core.feed(market.move(), 0);
  EXPECT_EQ(core.state(), State::LIVE);
  core.expect_right(market);
}

} // namespace
} // namespace quietcore
