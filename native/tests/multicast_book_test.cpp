// The received book is the published one, after every packet and under every fault; and the comparison finds
// a receiver that goes wrong.
#include "multicast_faults.hpp"

#include "quietcore/unasked_venue.hpp"

#include <gtest/gtest.h>

namespace quietcore::test {
namespace {

constexpr std::uint32_t kSymbols = 6;
constexpr std::uint32_t kDepth = 8;
constexpr FaultRates kEveryFault{.drop = 15,
                                 .duplicate = 15,
                                 .overtake = 20,
                                 .cut = 8,
                                 .foreign = 8,
                                 .publisher_restart = 4,
                                 .source_restart = 4,
                                 .source_gap = 5,
                                 .ring_overrun = 4};

/// The venue, without its way to deal with one kind of message.
class Careless final : public SyncRule {
public:
  Careless(const SyncRule &rule, Verdict ignored) : rule_(rule), ignored_(ignored) {}
  Verdict judge(const DepthMessage &message, const BookSync &sync) const noexcept override {
    const Verdict verdict = rule_.judge(message, sync);
    if (verdict != ignored_)
      return verdict;
    return ignored_ == Verdict::Gap ? Verdict::Apply : Verdict::Drop;
  }
  bool live_at_snapshot() const noexcept override { return rule_.live_at_snapshot(); }
  bool holds_deltas() const noexcept override { return rule_.holds_deltas(); }

private:
  const SyncRule &rule_;
  Verdict ignored_;
};

class CarelessVenue final : public UnaskedVenue {
public:
  explicit CarelessVenue(Verdict ignored) : rule_(venue_->rule(), ignored) {}
  std::string_view name() const noexcept override { return venue_->name(); }
  std::unique_ptr<Parser> make_parser() const override { return venue_->make_parser(); }
  const SyncRule &rule() const noexcept override { return rule_; }
  bool absent_delete_is_wrong() const noexcept override { return false; }

private:
  std::unique_ptr<Venue> venue_ = quietcore::make_venue("multicast");
  Careless rule_;
};

TEST(MulticastBook, IsThePublishedOneAfterEveryPacket) {
  const auto venue = make_venue("multicast");
  MulticastFaults world(kSymbols, kDepth, *venue, {}, 1);
  world.run(3'000);
  world.settle();
  EXPECT_EQ(world.wrong, 0U) << world.first_wrong;
  EXPECT_EQ(world.unequal(), 0U);
  EXPECT_GT(world.compared, 10'000U);
  EXPECT_EQ(world.order().lost, 0U);
  EXPECT_EQ(world.received().statistics().gaps, 0U);
  EXPECT_EQ(world.received().counts().doubts, 0U);
  EXPECT_EQ(world.received().counts().absent_deletes, 0U);
  EXPECT_EQ(world.received().counts().overflow, 0U);
  EXPECT_EQ(world.received().statistics().malformed, 0U);
  EXPECT_EQ(world.received().statistics().trades, world.trades_sent());
  EXPECT_EQ(world.published().unrepresentable, 0U);
}

TEST(MulticastBook, IsLiveOnlyWhenRightUnderEveryFault) {
  const auto venue = make_venue("multicast");
  FaultCounts all;
  std::uint64_t compared = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    MulticastFaults world(kSymbols, kDepth, *venue, kEveryFault, seed);
    world.run(15'000);
    world.settle();
    EXPECT_EQ(world.wrong, 0U) << "seed " << seed << ": " << world.first_wrong;
    EXPECT_EQ(world.unequal(), 0U) << "seed " << seed << ": after a round of snapshots every book is back";
    EXPECT_GT(world.received().counts().doubts, 0U);
    // Mostly it is there: what is lost comes back within a round, which is some dozen packets here.
    EXPECT_GT(world.live * 100, world.looks * 50) << world.live << " of " << world.looks;
    compared += world.compared;
    const FaultCounts &faults = world.faults();
    all.drop += faults.drop;
    all.duplicate += faults.duplicate;
    all.overtake += faults.overtake;
    all.cut += faults.cut;
    all.foreign += faults.foreign;
    all.publisher_restart += faults.publisher_restart;
    all.source_restart += faults.source_restart;
    all.source_gap += faults.source_gap;
    all.ring_overrun += faults.ring_overrun;
  }
  EXPECT_GT(compared, 200'000U);
  for (const std::uint64_t count :
       {all.drop, all.duplicate, all.overtake, all.cut, all.foreign, all.publisher_restart,
        all.source_restart, all.source_gap, all.ring_overrun})
    EXPECT_GE(count, 150U);
}

TEST(MulticastBook, OfManyPacketsIsWholeOrNotLive) {
  const auto venue = make_venue("multicast");
  constexpr std::uint32_t kDeep = 300; // a whole book takes seven packets
  MulticastFaults world(2, kDeep, *venue, {.drop = 20, .duplicate = 20, .overtake = 30}, 7);
  world.run(800);
  world.settle();
  EXPECT_EQ(world.wrong, 0U) << world.first_wrong;
  EXPECT_EQ(world.unequal(), 0U);
  EXPECT_GT(world.live, 500U);
  EXPECT_GT(world.received().leg_book(0, 0).last_id, 0U);
  EXPECT_GT(world.faults().drop, 20U);
}

TEST(MulticastBook, TheComparisonFindsAReceiverThatOverlooksLoss) {
  for (const Verdict ignored : {Verdict::Doubt, Verdict::Gap, Verdict::Lose}) {
    const CarelessVenue venue(ignored);
    MulticastFaults world(kSymbols, kDepth, venue, kEveryFault, 1);
    world.run(5'000);
    EXPECT_GT(world.wrong, 0U) << static_cast<int>(ignored);
  }
}

} // namespace
} // namespace quietcore::test
