#pragma once

#include "quietcore/diagnostics.hpp"
#include "quietcore/ladder_log.hpp"
#include "quietcore/market_message.hpp"
#include "quietcore/order_book.hpp"
#include "quietcore/recent_keys.hpp"
#include "quietcore/ring_writer.hpp"
#include "quietcore/self_measurement.hpp"
#include "quietcore/symbol_index.hpp"
#include "quietcore/unit_scale.hpp"
#include "quietcore/venue.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quietcore {

/// How a message came in.
struct Receipt {
  std::int64_t receive_ns = 0;
  shm::TimeSource source = shm::TimeSource::NONE;
  bool replayed = false; ///< venue times are then never comparable
  Origin origin{};
  std::uint32_t symbol_hint = SymbolIndex::kNone; ///< for messages that do not name their symbol
  std::uint32_t leg = 0; ///< which of several connections to the same streams brought it
};

/// Ticks by kind, as published.
struct TickCounts {
  Count bbo{};
  Count trade{};
  Count level{};
  Count book{};
};

/// Counters that the statistics page has no place for.
struct CoreCounts {
  Count held{};           ///< deltas that waited for a snapshot
  Count ignored{};        ///< valid messages of no use here
  Count left_out{};       ///< entries of trade messages that are no trades on the book
  Count absent_deletes{}; ///< deletes of levels that were not in the book
  Count overflow{};       ///< levels beyond the venue's window
  Count doubts{};         ///< LIVE books doubted because messages are missing
};

/// A book right after a message was applied to it.
struct AppliedBook {
  std::uint32_t symbol;
  shm::State state;
  bool snapshot;
  std::uint64_t update_id;
  const OrderBook &book;
  std::span<const shm::Level> bids; ///< the published ladder
  std::span<const shm::Level> asks;
};

/// A quote of the venue's own ticker, in ticks and lots.
struct TickerQuote {
  std::uint32_t symbol;
  std::uint64_t update_id;
  Quote quote;
};

/// Looks on; used to verify, absent on the hot path.
class CoreObserver {
public:
  CoreObserver() = default;
  CoreObserver(const CoreObserver &) = delete;
  CoreObserver &operator=(const CoreObserver &) = delete;
  virtual ~CoreObserver() = default;
  virtual void on_applied(const AppliedBook &book) = 0;
  virtual void on_ticker_quote(const TickerQuote &quote) = 0;
};

/// Most sets of connections at once: two that are compared, and one that replaces another.
inline constexpr std::uint32_t kMaxLegs = 3;

/// Where one leg's book of a symbol stands.
struct LegBook {
  shm::State state = shm::State::EMPTY;
  std::uint64_t last_id = 0;
  std::uint64_t snapshot_id = 0;
  std::uint64_t heard = 0; ///< book messages of any kind that came for it
};

/// From parsed messages to books, ladders and ticks; knows no venue, only its rules. One thread.
///
/// The same streams may come over several legs, each a set of connections. Each leg has books of its own,
/// held right by the venue's rule, so that it does not matter how the venue cuts its updates into messages;
/// whichever leg has the newest book is published, and a gap on one of them is nothing that a reader sees.
class FeedCore final : public MessageSink {
public:
  struct Options {
    std::uint32_t ladder_depth = 20;
    std::vector<std::uint32_t> windows{}; ///< by symbol: the venue's window, 0: none
    bool others_expected = false;         ///< messages of other symbols come too, and are no trouble
  };

  /// Called where a leg's book of a symbol needs a new snapshot. May be called again before one comes.
  using SnapshotNeeded = std::function<void(std::uint32_t symbol, std::uint32_t leg)>;
  using OnControl = std::function<void(const ControlMessage &)>;

  /// ring: nullptr only counts what would be published.
  FeedCore(const Venue &venue, std::vector<Instrument> instruments, Options options, Diagnostics &diagnostics,
           RingWriter *ring);

  void observe(CoreObserver *observer) noexcept { observer_ = observer; }
  void on_snapshot_needed(SnapshotNeeded call) { snapshot_needed_ = std::move(call); }
  void on_control_message(OnControl call) { control_ = std::move(call); }

  /// Takes one message, followed by kMessagePadding readable bytes, all the way to the ring. Returns what the
  /// parser said; refused messages are counted and reported.
  ParseResult receive(Parser &parser, std::string_view bytes, const Receipt &receipt);

  /// Makes room for a leg's books. Leg 0 is always there. Not for the hot path.
  void open_leg(std::uint32_t leg);
  /// Forgets a leg; what another has is published in its stead.
  void close_leg(std::uint32_t leg);

  /// A leg's stream of a symbol broke: a LIVE book becomes STALE unless another leg has it, and what waited
  /// for a snapshot is let go.
  void connection_lost(std::uint32_t symbol, std::uint32_t leg = 0);
  void all_connections_lost();
  /// Nothing came for a book for too long: not LIVE until something does, or a snapshot confirms it.
  void doubt(std::uint32_t symbol, std::uint32_t leg);
  /// Publishes another leg's book where the published one is of a leg that has lost it, and nothing newer
  /// came since the last call.
  void prefer_live_books();

  /// Stores only the cursor.
  void publish_cursor() noexcept {
    if (ring_ != nullptr)
      ring_->publish();
  }
  /// Stores cursor, heartbeat and statistics. Sources call it when they pause, and at least every 100 ms.
  void pause();

  [[nodiscard]] FeedStatistics &statistics() noexcept { return statistics_; }
  [[nodiscard]] const TickCounts &ticks() const noexcept { return ticks_; }
  [[nodiscard]] const CoreCounts &counts() const noexcept { return counts_; }
  [[nodiscard]] const std::vector<Instrument> &instruments() const noexcept { return instruments_; }
  [[nodiscard]] const SymbolIndex &index() const noexcept { return index_; }
  [[nodiscard]] shm::State state(std::uint32_t symbol) const noexcept { return books_[symbol].state; }
  [[nodiscard]] LegBook leg_book(std::uint32_t symbol, std::uint32_t leg) const noexcept;
  [[nodiscard]] bool has_leg(std::uint32_t leg) const noexcept { return !legs_[leg].empty(); }

  void on_depth(const DepthMessage &message) override;
  void on_trades(const TradesMessage &message) override;
  void on_ticker(const TickerMessage &message) override;
  void on_control(const ControlMessage &message) override;

private:
  struct HeldDepth {
    HeldDepth(const DepthMessage &from, const Receipt &with);
    DepthMessage message;
    std::vector<RawLevel> levels; ///< bids, then asks
    Receipt receipt;
  };

  /// A leg's book of a symbol.
  struct Follower {
    Follower(std::uint32_t window, std::size_t deep_reserve);
    OrderBook book;
    BookSync sync{};
    std::uint64_t sequence = 0; ///< the venue's, of the last message applied
    std::int64_t venue_ns = 0;
    std::int64_t engine_ns = 0;
    std::uint64_t heard = 0;
    bool unpublished = false; ///< changed since it was published last
    std::deque<HeldDepth> held{};
    std::optional<HeldDepth> ahead{}; ///< a snapshot newer than the live book
  };

  /// A symbol's book as published.
  struct SymbolBook {
    SymbolBook(std::uint32_t window, std::uint32_t ladder_depth, const Instrument &instrument);
    UnitScale tick;
    UnitScale lot;
    std::uint32_t window;  ///< levels a side that the venue keeps, 0: no window
    std::uint32_t leg = 0; ///< whose book it is
    shm::State state = shm::State::EMPTY;
    Quote quote{};                ///< last one published from the book
    std::vector<shm::Level> bids; ///< ladder as published
    std::vector<shm::Level> asks;
    std::uint64_t announced_tick = 0; ///< BOOK tick of the table's content
    std::uint64_t messages = 0;
    std::uint64_t messages_before = 0; ///< at the last look for books of lost legs
    std::uint64_t last_id = 0;
    std::uint64_t sequence = 0;
    std::uint64_t ticker_id = 0; ///< of the last quote of the venue's own
    RecentKeys trades{};         ///< used while there are several legs
  };

  [[nodiscard]] Follower &follower(std::uint32_t symbol, const Receipt &receipt) noexcept {
    return legs_[receipt.leg][symbol];
  }
  void take(std::uint32_t symbol, const DepthMessage &message, const Receipt &receipt);
  void take_held(std::uint32_t symbol, const Receipt &receipt);
  /// A delta does not follow: goes on from a snapshot kept for this, where it covers what is missing.
  bool take_ahead(std::uint32_t symbol, const DepthMessage &message, const Receipt &receipt);
  bool apply(std::uint32_t symbol, const DepthMessage &message, const Receipt &receipt, bool snapshot);
  void hold(Follower &follower, const DepthMessage &message, const Receipt &receipt);
  /// The leg's book is no longer right: RESYNC until a new snapshot.
  void lose(std::uint32_t symbol, const Receipt &receipt);
  /// Whether this leg's book, just changed, is newer than what is published.
  [[nodiscard]] bool is_first(std::uint32_t symbol, const Follower &follower,
                              std::uint32_t leg) const noexcept;
  /// A leg that has the book LIVE, or kMaxLegs.
  [[nodiscard]] std::uint32_t live_leg(std::uint32_t symbol) const noexcept;
  /// The state of a leg's book; what is published follows where no other leg has it LIVE.
  void set_state(std::uint32_t symbol, shm::State state, const Receipt &receipt);
  /// Publishes a leg's book as it stands.
  void publish_again(std::uint32_t symbol, std::uint32_t leg);
  void ask_snapshot(std::uint32_t symbol, std::uint32_t leg);

  /// False where one is out of range; the scratch then holds those before it.
  bool to_levels(std::span<const RawLevel> raw, std::uint32_t symbol, std::vector<shm::Level> &scratch,
                 const Receipt &receipt);
  bool to_lots(Decimal value, const UnitScale &scale, const char *what, std::uint32_t symbol,
               const Receipt &receipt, std::int64_t &out);
  void report_out_of_range(Decimal value, Scale scale, DecimalStatus status, const char *what,
                           std::uint32_t symbol, const Receipt &receipt);

  /// A change of the published ladder.
  struct LadderChange {
    std::int64_t price;
    std::int64_t size;
    std::uint16_t flags;
  };
  /// What a book to be published may differ in from the one that is: by default in everything.
  struct LadderUpdate {
    std::size_t bids_from = 0; ///< ranks better than these are the same
    std::size_t asks_from = 0;
    bool logged = false; ///< the logs saw every change that was made since
  };
  /// Brings the published ladder of a side up to date from a rank on, and notes the changes; `log`: nullptr
  /// where it did not see them all.
  template <Side kSide>
  void update_ladder(const BookSide<kSide> &side, std::size_t from, LadderLog<kSide> *log,
                     std::vector<shm::Level> &published);
  void publish_book(std::uint32_t symbol, Follower &follower, const Receipt &receipt,
                    const LadderUpdate &update, bool snapshot);
  [[nodiscard]] Tick tick_like(std::uint32_t symbol, const Receipt &receipt,
                               std::int64_t venue_ns) const noexcept;
  /// Publishes a tick with so many of the same message behind it.
  void emit(Tick &tick, std::size_t remaining) noexcept;
  void stamp_publish(std::int64_t receive_ns) noexcept;

  std::uint32_t find(std::string_view name, const Receipt &receipt);

  const SyncRule &rule_;
  std::vector<Instrument> instruments_;
  std::vector<const char *> names_; ///< by symbol, as the diagnostics keep them
  SymbolIndex index_;
  std::uint32_t ladder_depth_;
  bool others_expected_;
  Diagnostics &diagnostics_;
  RingWriter *ring_;
  CoreObserver *observer_ = nullptr;
  SnapshotNeeded snapshot_needed_{};
  OnControl control_{};

  std::vector<SymbolBook> books_;
  std::array<std::vector<Follower>, kMaxLegs> legs_; ///< by symbol; empty: no such leg
  std::uint32_t leg_count_ = 1;
  bool leg_closed_ = false; ///< and its books may still be what is published
  Receipt receipt_{};       ///< of the message being parsed
  LadderLog<Side::Bid> bid_log_;
  LadderLog<Side::Ask> ask_log_;
  std::vector<LadderChange> changes_;
  std::vector<Tick> pending_;
  std::vector<shm::Level> scratch_bids_;
  std::vector<shm::Level> scratch_asks_;
  std::vector<shm::Level> ladder_;
  PublishClock publish_clock_{};
  std::uint32_t publish_delta_ns_ = 0;
  bool publish_delta_saturated_ = false;

  FeedStatistics statistics_{};
  TickCounts ticks_{};
  CoreCounts counts_{};
};

} // namespace quietcore
