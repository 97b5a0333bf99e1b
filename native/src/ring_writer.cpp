#include "quietcore/ring_writer.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/process_identity.hpp"

#include <algorithm>

namespace quietcore {
namespace {

/// Words of a Book's head from its state on, in the layout of the schema.
constexpr std::size_t kBookWords = sizeof(shm::Book) / 8;

void relaxed(std::uint64_t &word, std::uint64_t value) noexcept {
  shared(word).store(value, std::memory_order_relaxed);
}

/// Opens the sequence lock of a book; an entry left odd by a dead writer is taken over as it is.
std::uint64_t begin_write(shm::Book &book) noexcept {
  const std::uint64_t odd = shared(book.seq).load(std::memory_order_relaxed) | 1U;
  shared(book.seq).store(odd, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  return odd;
}

void end_write(shm::Book &book, std::uint64_t odd) noexcept {
  shared(book.seq).store(odd + 1, std::memory_order_release);
}

void store_state(shm::Book &book, shm::State state) noexcept {
  shared(book.state).store(static_cast<std::uint32_t>(state), std::memory_order_relaxed);
}

} // namespace

RingWriter::RingWriter(SegmentView view)
    : view_(view), slots_(view.slot(0)), mask_(view.header().capacity - 1),
      quarter_mask_(view.header().capacity / 4 - 1) {
  shm::Header &header = view_.header();
  for (std::uint64_t i = 0; i <= mask_; ++i) {
    const std::uint64_t sequence = shared(slots_[i * 8]).load(std::memory_order_relaxed);
    if (sequence % 2 == 0)
      next_ = std::max(next_, sequence / 2);
  }
  const std::uint64_t previous_epoch = shared(header.epoch).load(std::memory_order_relaxed);
  const std::uint32_t previous_pid = shared(header.pid).load(std::memory_order_relaxed);
  epoch_ = previous_epoch + 1;
  // Books first: from here on no reader finds one LIVE, or odd, that nobody keeps.
  for (std::size_t symbol = 0; symbol < header.symbol_count; ++symbol) {
    BookEntry entry;
    entry.state = previous_epoch == 0 ? shm::State::EMPTY : shm::State::STALE;
    entry.tick = next_;
    write_book(symbol, entry, {}, {});
  }
  const ProcessIdentity self = ProcessIdentity::current();
  shared(header.pid).store(self.pid, std::memory_order_relaxed);
  shared(header.pid_start).store(self.start, std::memory_order_relaxed);
  heartbeat(monotonic_ns());
  shared(header.epoch).store(epoch_, std::memory_order_release);
  if (previous_epoch != 0) {
    Tick tick;
    tick.kind = shm::Kind::RESTART;
    tick.receive_ns = realtime_ns();
    tick.a = static_cast<std::int64_t>(epoch_);
    tick.b = previous_pid;
    push(tick);
  }
  publish();
}

void RingWriter::write_book(std::size_t symbol, const BookEntry &entry, std::span<const shm::Level> bids,
                            std::span<const shm::Level> asks, std::size_t bids_from,
                            std::size_t asks_from) noexcept {
  shm::Book &book = view_.book(symbol);
  const std::uint64_t odd = begin_write(book);
  store_state(book, entry.state);
  relaxed(book.epoch, epoch_);
  relaxed(book.tick, entry.tick);
  relaxed(book.update_id, entry.update_id);
  relaxed(book.venue_sequence, entry.venue_sequence);
  auto *words = reinterpret_cast<std::uint64_t *>(&book);
  const auto word_of = [words](std::size_t offset) -> std::uint64_t & { return words[offset / 8]; };
  relaxed(word_of(offsetof(shm::Book, receive_ns)), static_cast<std::uint64_t>(entry.receive_ns));
  relaxed(word_of(offsetof(shm::Book, venue_ns)), static_cast<std::uint64_t>(entry.venue_ns));
  relaxed(word_of(offsetof(shm::Book, engine_ns)), static_cast<std::uint64_t>(entry.engine_ns));
  shared(book.bid_levels).store(entry.bid_levels, std::memory_order_relaxed);
  shared(book.ask_levels).store(entry.ask_levels, std::memory_order_relaxed);
  shared(book.bid_count).store(static_cast<std::uint32_t>(bids.size()), std::memory_order_relaxed);
  shared(book.ask_count).store(static_cast<std::uint32_t>(asks.size()), std::memory_order_relaxed);
  relaxed(book.messages, entry.messages);
  const auto write_side = [](std::uint64_t *at, std::span<const shm::Level> side, std::size_t from) {
    for (std::size_t rank = from; rank < side.size(); ++rank) {
      relaxed(at[2 * rank], static_cast<std::uint64_t>(side[rank].price));
      relaxed(at[2 * rank + 1], static_cast<std::uint64_t>(side[rank].size));
    }
  };
  std::uint64_t *levels = words + kBookWords;
  write_side(levels, bids, bids_from);
  write_side(levels + std::size_t{2} * view_.header().ladder_depth, asks, asks_from);
  end_write(book, odd);
}

void RingWriter::write_state(std::size_t symbol, shm::State state, std::uint64_t tick) noexcept {
  shm::Book &book = view_.book(symbol);
  const std::uint64_t odd = begin_write(book);
  store_state(book, state);
  relaxed(book.epoch, epoch_);
  relaxed(book.tick, tick);
  end_write(book, odd);
}

void RingWriter::store_statistics(const shm::Statistics &statistics) noexcept {
  const auto *from = reinterpret_cast<const std::uint64_t *>(&statistics);
  auto *to = reinterpret_cast<std::uint64_t *>(&view_.statistics());
  for (std::size_t i = 0; i < sizeof(shm::Statistics) / 8; ++i)
    relaxed(to[i], from[i]);
}

shm::Statistics RingWriter::load_statistics() const noexcept {
  shm::Statistics statistics{};
  auto *from = reinterpret_cast<std::uint64_t *>(&view_.statistics());
  auto *to = reinterpret_cast<std::uint64_t *>(&statistics);
  for (std::size_t i = 0; i < sizeof(shm::Statistics) / 8; ++i)
    to[i] = shared(from[i]).load(std::memory_order_relaxed);
  return statistics;
}

} // namespace quietcore
