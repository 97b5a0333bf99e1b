#pragma once

#include "quietcore/feed_core.hpp"
#include "quietcore/packet_order.hpp"
#include "quietcore/ring_publisher.hpp"
#include "quietcore/venue.hpp"

#include "temporary_log.hpp"
#include "test_segment.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace quietcore::test {

/// Hands on the message that was put into it.
class ReadyMessage final : public Parser {
public:
  std::variant<DepthMessage, TradesMessage, TickerMessage> message;

  [[nodiscard]] ParseResult parse(const char *, std::size_t, MessageSink &sink) noexcept override {
    if (const auto *depth = std::get_if<DepthMessage>(&message))
      sink.on_depth(*depth);
    else if (const auto *trades = std::get_if<TradesMessage>(&message))
      sink.on_trades(*trades);
    else
      sink.on_ticker(*std::get_if<TickerMessage>(&message));
    return {};
  }
};

/// How often each kind of fault shall happen, in thousandths of the packets, and what happens to the
/// publisher and its source, in thousandths of the messages.
struct FaultRates {
  unsigned drop = 0;
  unsigned duplicate = 0;
  unsigned overtake = 0;
  unsigned cut = 0;
  unsigned foreign = 0;
  unsigned publisher_restart = 0;
  unsigned source_restart = 0;
  unsigned source_gap = 0;
  unsigned ring_overrun = 0;
};

struct FaultCounts {
  std::uint64_t drop = 0;
  std::uint64_t duplicate = 0;
  std::uint64_t overtake = 0;
  std::uint64_t cut = 0;
  std::uint64_t foreign = 0;
  std::uint64_t publisher_restart = 0;
  std::uint64_t source_restart = 0;
  std::uint64_t source_gap = 0;
  std::uint64_t ring_overrun = 0;
};

/// A random market in a ring, published, sent through a network that does what the rates say, received into
/// another ring; and the comparison of both after every packet.
class MulticastFaults {
public:
  /// `depth`: levels a side that are published. `receiving`: the venue whose rule keeps the received books.
  MulticastFaults(std::uint32_t symbols, std::uint32_t depth, const Venue &receiving, FaultRates rates,
                  std::uint64_t seed);
  MulticastFaults(const MulticastFaults &) = delete;
  MulticastFaults &operator=(const MulticastFaults &) = delete;

  /// So many messages of the market.
  void run(std::size_t messages);
  /// Without faults from here on: what is still missing is given up, and a whole round of snapshots goes by.
  void settle();

  [[nodiscard]] const FaultCounts &faults() const noexcept { return faults_; }
  /// LIVE books compared, and those of them that were not what had been published.
  std::uint64_t compared = 0;
  std::uint64_t wrong = 0;
  /// Looks at a book that is right at the source, and those at which the receiver had it LIVE.
  std::uint64_t looks = 0;
  std::uint64_t live = 0;
  std::string first_wrong{};

  [[nodiscard]] FeedCore &received() noexcept { return *receiver_; }
  [[nodiscard]] const multicast::OrderCounts &order() const noexcept { return order_.counts(); }
  [[nodiscard]] const multicast::PublishCounts &published() const noexcept { return publisher_->counts(); }
  /// Books that are LIVE at the source and not, or not the same, at the receiver.
  [[nodiscard]] std::size_t unequal();
  [[nodiscard]] std::uint64_t trades_sent() const noexcept { return trades_; }

private:
  using Ladder = std::pair<std::vector<shm::Level>, std::vector<shm::Level>>;
  struct Truth {
    bool live = false;
    std::uint64_t update_id = 0;
  };
  struct Market {
    std::map<std::int64_t, std::int64_t> bids{};
    std::map<std::int64_t, std::int64_t> asks{};
    std::uint64_t update_id = 0;
    bool broken = false; ///< the source waits for a snapshot
  };
  struct OnTheWay {
    multicast::Channel channel;
    std::vector<std::byte> bytes;
  };

  [[nodiscard]] bool dice(unsigned thousandths) { return random_() % 1000 < thousandths; }
  void open_source();
  void open_publisher();
  void step();
  void change(std::uint32_t symbol, bool whole);
  void feed_source();
  /// Books of the source as they are now: what may be received under their update ids.
  void note_truth();
  /// Lets the publisher take all there is.
  void take();
  void send(multicast::Channel channel, std::span<const std::byte> packet);
  void arrive(const OnTheWay &packet);
  void hand_on(std::span<const std::byte> bytes);
  void compare();

  std::mt19937_64 random_;
  std::uint32_t depth_;
  std::uint32_t spread_; ///< prices a side at which the market has levels
  std::uint32_t window_;
  FaultRates rates_;
  FaultCounts faults_{};
  TemporaryLog log_{};
  Diagnostics diagnostics_{log_.file()};
  std::vector<Instrument> instruments_;
  std::unique_ptr<Venue> source_venue_ = make_venue("bybit-linear");
  MemorySegment source_segment_;
  std::unique_ptr<RingWriter> source_ring_{};
  std::unique_ptr<FeedCore> source_{};
  ReadyMessage message_{};
  std::vector<Market> markets_;
  std::vector<RawLevel> raw_bids_{};
  std::vector<RawLevel> raw_asks_{};
  RingReader source_reader_;
  std::uint64_t next_update_ = 0;
  std::uint64_t trades_ = 0;

  std::unique_ptr<multicast::RingPublisher> publisher_{};
  std::uint64_t epoch_ = 0;
  std::deque<OnTheWay> network_{};
  std::vector<OnTheWay> delayed_{};
  std::vector<std::map<std::uint64_t, Ladder>> ladders_; ///< by symbol, update id
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<Truth>>
      positions_{};             ///< after a stream packet
  std::vector<Truth> now_{};    ///< by symbol
  std::vector<Truth> before_{}; ///< when the publisher last took all there was
  std::pair<std::uint64_t, std::uint64_t> last_sent_{};

  const Venue &receiving_;
  MemorySegment receiver_segment_;
  RingWriter receiver_ring_;
  std::unique_ptr<FeedCore> receiver_{};
  std::unique_ptr<Parser> parser_;
  RingReader receiver_reader_;
  std::uint64_t clock_ = 1;
  std::uint64_t received_epoch_ = 0;
  std::uint64_t received_next_ = 0;
  multicast::PacketOrder order_;
};

} // namespace quietcore::test
