#pragma once

#include "quietcore/ring_protocol.hpp"
#include "quietcore/segment.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quietcore {

/// A tick before it has a sequence.
struct Tick {
  std::uint16_t symbol = 0;
  shm::Kind kind = shm::Kind::BBO;
  shm::TimeSource time_source = shm::TimeSource::NONE;
  std::uint16_t flags = 0;
  std::uint16_t remaining = 0;
  std::int64_t receive_ns = 0;
  std::uint32_t publish_delta_ns = 0;
  std::int32_t venue_delta_us = 0;
  std::int64_t a = 0;
  std::int64_t b = 0;
  std::int64_t c = 0;
  std::int64_t d = 0;
};

/// The part of a book's table entry that comes with a message.
struct BookEntry {
  shm::State state = shm::State::EMPTY;
  std::uint64_t tick = 0;
  std::uint64_t update_id = 0;
  std::uint64_t venue_sequence = 0;
  std::int64_t receive_ns = 0;
  std::int64_t venue_ns = 0;
  std::int64_t engine_ns = 0;
  std::uint32_t bid_levels = 0;
  std::uint32_t ask_levels = 0;
  std::uint64_t messages = 0;
};

/// The only writer of a segment: ring slots, book table, heartbeat, statistics. One thread.
///
/// A tick is written as odd sequence, seven words, even sequence; readers never block it and are not known to
/// it.
class RingWriter {
public:
  /// Takes over a formatted segment: continues after its highest even sequence, raises the epoch, and, where
  /// it is not the first producer, makes every book STALE and publishes a RESTART tick.
  explicit RingWriter(SegmentView view);

  RingWriter(const RingWriter &) = delete;
  RingWriter &operator=(const RingWriter &) = delete;

  /// Publishes one tick.
  void push(const Tick &tick) noexcept {
    // Put together in registers: read back as one word, the fields just written would stall.
    const std::uint64_t head = std::uint64_t{tick.symbol} | static_cast<std::uint64_t>(tick.kind) << 16U |
                               static_cast<std::uint64_t>(tick.time_source) << 24U |
                               std::uint64_t{tick.flags} << 32U | std::uint64_t{tick.remaining} << 48U;
    const std::uint64_t deltas =
        tick.publish_delta_ns | static_cast<std::uint64_t>(static_cast<std::uint32_t>(tick.venue_delta_us))
                                    << 32U;
    push_words(head, static_cast<std::uint64_t>(tick.receive_ns), deltas, static_cast<std::uint64_t>(tick.a),
               static_cast<std::uint64_t>(tick.b), static_cast<std::uint64_t>(tick.c),
               static_cast<std::uint64_t>(tick.d));
  }

  /// Stores the cursor at which late readers start. Called whenever the producer pauses.
  void publish() noexcept { shared(view_.header().published).store(next_, std::memory_order_release); }

  /// Replaces a symbol's entry under its sequence lock; ladders best first, at most ladder_depth long. Ranks
  /// better than `bids_from` and `asks_from` are as they were at the last call, and left alone.
  void write_book(std::size_t symbol, const BookEntry &entry, std::span<const shm::Level> bids,
                  std::span<const shm::Level> asks, std::size_t bids_from = 0,
                  std::size_t asks_from = 0) noexcept;
  /// Replaces only a symbol's state (and, where announced, the tick that announces it), keeping the ladder.
  void write_state(std::size_t symbol, shm::State state, std::uint64_t tick) noexcept;

  void heartbeat(std::uint64_t monotonic) noexcept {
    shared(view_.header().heartbeat_ns).store(monotonic, std::memory_order_release);
  }
  void store_statistics(const shm::Statistics &statistics) noexcept;
  /// The counters as the segment holds them: a new producer goes on counting from there.
  [[nodiscard]] shm::Statistics load_statistics() const noexcept;

  /// Number of the next tick.
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::uint32_t ladder_depth() const noexcept { return view_.header().ladder_depth; }

private:
  void push_words(std::uint64_t head, std::uint64_t receive, std::uint64_t deltas, std::uint64_t a,
                  std::uint64_t b, std::uint64_t c, std::uint64_t d) noexcept {
    write_tick(HardwareMemory{}, slots_ + (next_ & mask_) * (1 + kTickWords), next_,
               std::array{head, receive, deltas, a, b, c, d});
    ++next_;
    if ((next_ & quarter_mask_) == 0)
      publish();
  }

  SegmentView view_;
  std::uint64_t *slots_;
  std::uint64_t mask_;
  std::uint64_t quarter_mask_;
  std::uint64_t next_ = 0;
  std::uint64_t epoch_ = 0;
};

} // namespace quietcore
