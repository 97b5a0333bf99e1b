#pragma once

#include "quietcore/clock.hpp"
#include "quietcore/ring_reader.hpp"
#include "quietcore/segment.hpp"

#include <cstring>
#include <new>
#include <sys/mman.h>

namespace quietcore::bench {

/// A ring in memory that two threads share, faulted in.
class AnonymousRing {
public:
  explicit AnonymousRing(std::uint64_t capacity) {
    SegmentSpec spec;
    spec.feed = "bench";
    spec.venue = "bench";
    spec.capacity = capacity;
    const Instrument instrument{"BENCH", {1, 0}, {1, 0}};
    spec.instruments = std::span(&instrument, 1);
    size_ = SegmentLayout::of(capacity, 1, spec.ladder_depth).total;
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory_ == MAP_FAILED)
      throw std::bad_alloc();
    format_segment(static_cast<std::byte *>(memory_), spec, realtime_ns());
  }
  AnonymousRing(const AnonymousRing &) = delete;
  AnonymousRing &operator=(const AnonymousRing &) = delete;
  ~AnonymousRing() { munmap(memory_, size_); }

  [[nodiscard]] SegmentView view() const { return SegmentView(static_cast<std::byte *>(memory_)); }

private:
  std::uint64_t size_ = 0;
  void *memory_ = nullptr;
};

} // namespace quietcore::bench
