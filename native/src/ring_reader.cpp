#include "quietcore/ring_reader.hpp"

#include "quietcore/clock.hpp"

#include <algorithm>
#include <array>

namespace quietcore {

RingReader::RingReader(SegmentView view) noexcept
    : view_(view), slots_(view.slot(0)), capacity_(view.header().capacity),
      at_{shared(view.header().published).load(std::memory_order_acquire), 0} {}

Poll RingReader::poll(Tick &out) noexcept {
  std::array<std::uint64_t, kTickWords> words{};
  const Poll got = read_tick(HardwareMemory{}, slots_, capacity_, view_.header().published, at_, words);
  if (got != Poll::Got)
    return got;
  out.symbol = static_cast<std::uint16_t>(words[0]);
  out.kind = static_cast<shm::Kind>(words[0] >> 16U & 0xffU);
  out.time_source = static_cast<shm::TimeSource>(words[0] >> 24U & 0xffU);
  out.flags = static_cast<std::uint16_t>(words[0] >> 32U);
  out.remaining = static_cast<std::uint16_t>(words[0] >> 48U);
  out.receive_ns = static_cast<std::int64_t>(words[1]);
  out.publish_delta_ns = static_cast<std::uint32_t>(words[2]);
  out.venue_delta_us = static_cast<std::int32_t>(static_cast<std::uint32_t>(words[2] >> 32U));
  out.a = static_cast<std::int64_t>(words[3]);
  out.b = static_cast<std::int64_t>(words[4]);
  out.c = static_cast<std::int64_t>(words[5]);
  out.d = static_cast<std::int64_t>(words[6]);
  return got;
}

std::optional<BookCopy> RingReader::book(std::size_t symbol, unsigned tries) const {
  shm::Book &book = view_.book(symbol);
  auto *words = reinterpret_cast<std::uint64_t *>(&book);
  const std::size_t depth = view_.header().ladder_depth;
  std::vector<std::uint64_t> copy((sizeof(shm::Book) + 2 * depth * sizeof(shm::Level)) / 8);
  for (unsigned i = 0; i < tries; ++i, cpu_pause()) {
    const std::uint64_t before = shared(book.seq).load(std::memory_order_acquire);
    if (before % 2 != 0)
      continue;
    for (std::size_t w = 0; w < copy.size(); ++w)
      copy[w] = shared(words[w]).load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (shared(book.seq).load(std::memory_order_relaxed) != before)
      continue;
    const auto *head = reinterpret_cast<const shm::Book *>(copy.data());
    BookCopy out;
    out.epoch = head->epoch;
    out.entry = {static_cast<shm::State>(head->state),
                 head->tick,
                 head->update_id,
                 head->venue_sequence,
                 head->receive_ns,
                 head->venue_ns,
                 head->engine_ns,
                 head->bid_levels,
                 head->ask_levels,
                 head->messages};
    const auto *levels = reinterpret_cast<const shm::Level *>(copy.data() + sizeof(shm::Book) / 8);
    out.bids.assign(levels, levels + std::min<std::size_t>(head->bid_count, depth));
    out.asks.assign(levels + depth, levels + depth + std::min<std::size_t>(head->ask_count, depth));
    return out;
  }
  return std::nullopt;
}

} // namespace quietcore
