#pragma once

#include "quietcore/ring_writer.hpp"
#include "quietcore/segment.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace quietcore {

/// A copy of a table entry.
struct BookCopy {
  BookEntry entry;
  std::uint64_t epoch = 0;
  std::vector<shm::Level> bids;
  std::vector<shm::Level> asks;
};

/// One reader of a segment; any number may read, none is known to the producer.
class RingReader {
public:
  /// Starts at the published cursor.
  explicit RingReader(SegmentView view) noexcept;

  /// Takes the next tick. Overrun: the producer has lapped this reader; `dropped` has grown by exactly the
  /// number of ticks that are lost, and the next poll goes on behind them.
  [[nodiscard]] Poll poll(Tick &out) noexcept;

  /// Goes to a tick's number, for a reader that wants what is still in the ring.
  void seek(std::uint64_t tick) noexcept { at_.next = tick; }
  [[nodiscard]] std::uint64_t next() const noexcept { return at_.next; }
  [[nodiscard]] std::uint64_t dropped() const noexcept { return at_.dropped; }

  /// A consistent copy of a symbol's book, or nothing where the entry stays odd (its writer died) for
  /// `tries`.
  [[nodiscard]] std::optional<BookCopy> book(std::size_t symbol, unsigned tries = 1000) const;

private:
  SegmentView view_;
  std::uint64_t *slots_;
  std::uint64_t capacity_;
  ReadPosition at_;
};

} // namespace quietcore
