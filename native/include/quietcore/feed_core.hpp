#pragma once

#include "quietcore/diagnostics.hpp"
#include "quietcore/ladder_log.hpp"
#include "quietcore/market_message.hpp"
#include "quietcore/order_book.hpp"
#include "quietcore/ring_writer.hpp"
#include "quietcore/symbol_index.hpp"
#include "quietcore/unit_scale.hpp"
#include "quietcore/venue.hpp"

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
};

/// Ticks by kind, as published.
struct TickCounts {
  std::uint64_t bbo = 0;
  std::uint64_t trade = 0;
  std::uint64_t level = 0;
  std::uint64_t book = 0;
};

/// Counters that the statistics page has no place for.
struct CoreCounts {
  std::uint64_t held = 0;           ///< deltas that waited for a snapshot
  std::uint64_t ignored = 0;        ///< valid messages of no use here
  std::uint64_t absent_deletes = 0; ///< deletes of levels that were not in the book
  std::uint64_t overflow = 0;       ///< levels beyond the venue's window
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

/// From parsed messages to books, ladders and ticks; knows no venue, only its rules. One thread.
class FeedCore final : public MessageSink {
public:
  struct Options {
    std::uint32_t ladder_depth = 20;
    std::vector<std::uint32_t> windows{}; ///< by symbol: the venue's window, 0: none
  };

  /// Called where a symbol's book needs a new snapshot. May be called again before one comes.
  using SnapshotNeeded = std::function<void(std::uint32_t symbol)>;
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

  /// The stream of a symbol broke: a LIVE book becomes STALE, and what waited for a snapshot is let go.
  void connection_lost(std::uint32_t symbol);
  void all_connections_lost();

  /// Stores only the cursor.
  void publish_cursor() noexcept {
    if (ring_ != nullptr)
      ring_->publish();
  }
  /// Stores cursor, heartbeat and statistics. Sources call it when they pause, and at least every 100 ms.
  void pause();

  [[nodiscard]] shm::Statistics &statistics() noexcept { return statistics_; }
  [[nodiscard]] const TickCounts &ticks() const noexcept { return ticks_; }
  [[nodiscard]] const CoreCounts &counts() const noexcept { return counts_; }
  [[nodiscard]] const std::vector<Instrument> &instruments() const noexcept { return instruments_; }
  [[nodiscard]] const SymbolIndex &index() const noexcept { return index_; }
  [[nodiscard]] shm::State state(std::uint32_t symbol) const noexcept { return books_[symbol].sync.state; }

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

  struct SymbolBook {
    SymbolBook(std::uint32_t window, std::uint32_t ladder_depth, const Instrument &instrument);
    OrderBook book;
    UnitScale tick;
    UnitScale lot;
    BookSync sync{};
    Quote quote{};                ///< last one published from the book
    std::vector<shm::Level> bids; ///< ladder as published
    std::vector<shm::Level> asks;
    std::uint64_t announced_tick = 0; ///< BOOK tick of the table's content
    std::uint64_t messages = 0;
    std::uint64_t sequence = 0;
    std::deque<HeldDepth> held{};
    std::optional<HeldDepth> ahead{}; ///< a snapshot newer than the live book
  };

  void take(std::uint32_t symbol, const DepthMessage &message, const Receipt &receipt);
  void take_held(std::uint32_t symbol);
  /// A delta does not follow: goes on from a snapshot kept for this, where it covers what is missing.
  bool take_ahead(std::uint32_t symbol, const DepthMessage &message);
  bool apply(std::uint32_t symbol, const DepthMessage &message, const Receipt &receipt, bool snapshot);
  void hold(SymbolBook &book, const DepthMessage &message, const Receipt &receipt);
  /// The book is no longer right: RESYNC until a new snapshot.
  void lose(std::uint32_t symbol, const Receipt &receipt);
  void set_state(std::uint32_t symbol, shm::State state, const Receipt &receipt);
  void ask_snapshot(std::uint32_t symbol);

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
  /// Brings the published ladder of a side up to date from a rank on, and notes the changes; `log`: nullptr
  /// where it did not see them all.
  template <Side kSide>
  void update_ladder(const BookSide<kSide> &side, std::size_t from, LadderLog<kSide> *log,
                     std::vector<shm::Level> &published);
  void publish_book(std::uint32_t symbol, const DepthMessage &message, const Receipt &receipt,
                    const BookChange &change, bool snapshot);
  [[nodiscard]] Tick tick_like(std::uint32_t symbol, const Receipt &receipt,
                               std::int64_t venue_ns) const noexcept;
  /// Publishes a tick with so many of the same message behind it.
  void emit(Tick &tick, std::size_t remaining) noexcept;
  void stamp_publish(std::int64_t receive_ns) noexcept;

  std::uint32_t find(std::string_view name, const Receipt &receipt);

  const SyncRule &rule_;
  std::vector<Instrument> instruments_;
  SymbolIndex index_;
  std::uint32_t ladder_depth_;
  Diagnostics &diagnostics_;
  RingWriter *ring_;
  CoreObserver *observer_ = nullptr;
  SnapshotNeeded snapshot_needed_{};
  OnControl control_{};

  std::vector<SymbolBook> books_;
  Receipt receipt_{}; ///< of the message being parsed
  LadderLog<Side::Bid> bid_log_;
  LadderLog<Side::Ask> ask_log_;
  std::vector<LadderChange> changes_;
  std::vector<Tick> pending_;
  std::vector<shm::Level> scratch_bids_;
  std::vector<shm::Level> scratch_asks_;
  std::vector<shm::Level> ladder_;
  std::uint32_t publish_delta_ns_ = 0;
  bool publish_delta_saturated_ = false;

  shm::Statistics statistics_{};
  TickCounts ticks_{};
  CoreCounts counts_{};
};

} // namespace quietcore
