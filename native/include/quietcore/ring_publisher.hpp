#pragma once

#include "quietcore/multicast_packet.hpp"
#include "quietcore/order_book.hpp"
#include "quietcore/ring_reader.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace quietcore::multicast {

/// What a publisher did.
struct PublishCounts {
  std::array<std::uint64_t, kChannels> packets{};
  std::uint64_t bytes = 0;
  std::uint64_t messages = 0;
  std::uint64_t heartbeats = 0;
  std::uint64_t ticks = 0;
  std::uint64_t ticks_lost = 0;      ///< the ring had gone on: books were read from its table
  std::uint64_t unrepresentable = 0; ///< prices or sizes that 1e-8 in 64 bits cannot hold
};

/// Reads a feed's ring as any reader does, and makes packets of it: native/schema/multicast.md. One thread.
///
/// Every message of the feed that changes a book becomes one book message, with every level that leaves the
/// ladder named; several go into a packet while the ring has more.
class RingPublisher {
public:
  using Send = std::function<void(Channel, std::span<const std::byte>)>;

  /// `epoch`: greater than that of any publisher of the feed before.
  RingPublisher(SegmentView view, std::uint64_t epoch, Send send);
  RingPublisher(const RingPublisher &) = delete;
  RingPublisher &operator=(const RingPublisher &) = delete;

  /// Takes up to `limit` ticks, and sends what they make once the ring is empty or a packet is full. Returns
  /// how many there were.
  std::size_t take(std::size_t limit);
  void heartbeat(bool down);
  /// The next `count` symbols of the round: directory and books. True where that ended a round.
  bool snapshots(std::size_t count);
  /// The feed does not run: says so of every book that was right.
  void lose_all();
  /// Reads every book from the table: at the beginning, after ticks were lost, and where the feed runs again.
  void load_books();

  [[nodiscard]] const PublishCounts &counts() const noexcept { return counts_; }
  [[nodiscard]] std::size_t symbols() const noexcept { return symbols_.size(); }
  /// Symbols whose tick or lot is finer than 1e-8: they are in no packet but the directory's.
  [[nodiscard]] const std::vector<std::string> &unfit() const noexcept { return unfit_; }

private:
  struct Symbol {
    Symbol(std::string its_name, Scale its_tick, Scale its_lot, std::size_t depth);
    std::string name;
    Scale tick;
    Scale lot;
    std::int64_t price_factor; ///< from ticks to 1e-8, 0: does not fit
    std::int64_t size_factor;
    OrderBook ladder;               ///< as the ring's reader has it
    std::vector<shm::Level> bids{}; ///< as sent, in 1e-8
    std::vector<shm::Level> asks{};
    bool right = false;       ///< as sent
    bool unsure = false;      ///< ticks of a message may be missing: the table tells at its end
    std::uint64_t number = 0; ///< of its last book or lost message
    std::uint64_t update_id = 0;
    std::int64_t venue_ns = 0;
    std::uint64_t table_tick = 0; ///< ticks up to this one are in the ladder already
    bool quoted = false;          ///< a best bid and offer waits for its book
    Tick quote{};
  };

  void take(const Tick &tick, std::uint64_t number);
  void take_level(Symbol &symbol, const Tick &tick);
  void take_book(std::uint16_t index, const Tick &tick);
  void take_trade(std::uint16_t index, const Tick &tick);
  void send_quote(std::uint16_t index, const Tick &tick, bool from_book);
  /// Brings one to what the table has, and sends it.
  void load_book(std::uint16_t index);
  /// Sends the difference between the ladder and what was sent, or all of it.
  void send_book(std::uint16_t index);
  void send_levels(std::uint16_t index, Channel channel, bool whole, std::span<const shm::Level> bids,
                   std::span<const shm::Level> asks);
  void lose(std::uint16_t index);

  /// False where a number does not fit; counted.
  [[nodiscard]] bool fixed(std::int64_t units, std::int64_t factor, std::int64_t &out) noexcept;
  template <Side kSide>
  [[nodiscard]] bool fixed(const BookSide<kSide> &side, const Symbol &symbol, std::vector<shm::Level> &out);
  /// `add` returns false where the packet is full: it is sent, and the message begins the next.
  template <typename Add> void put(Channel channel, Add add);
  void flush(Channel channel);

  SegmentView view_;
  RingReader reader_;
  Send send_;
  PacketHeader header_;
  std::array<std::uint64_t, kChannels> sequence_{1, 1};
  std::array<PacketWriter, kChannels> packets_{};
  std::vector<Symbol> symbols_;
  std::vector<std::string> unfit_;
  std::size_t next_snapshot_ = 0;
  std::vector<shm::Level> bids_{}; ///< now, in 1e-8
  std::vector<shm::Level> asks_{};
  std::vector<shm::Level> bid_changes_{};
  std::vector<shm::Level> ask_changes_{};
  PublishCounts counts_{};
};

} // namespace quietcore::multicast
