#pragma once

#include "quietcore/clock.hpp"
#include "quietcore/segment.hpp"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace quietcore::test {

/// A formatted segment in ordinary memory. Capacities below the product's least are allowed: they lap sooner.
class MemorySegment {
public:
  explicit MemorySegment(std::uint64_t capacity = 1024, std::uint32_t ladder_depth = 5,
                         std::vector<Instrument> instruments = {{"BTCUSDT", {1, 1}, {1, 3}}})
      : instruments_(std::move(instruments)) {
    SegmentSpec spec;
    spec.feed = "test";
    spec.venue = "test-venue";
    spec.capacity = capacity;
    spec.ladder_depth = ladder_depth;
    spec.instruments = instruments_;
    const auto symbols = static_cast<std::uint32_t>(instruments_.size());
    size_ = SegmentLayout::of(capacity, symbols, ladder_depth).total;
    memory_.reset(static_cast<std::byte *>(std::aligned_alloc(4096, size_)));
    std::memset(memory_.get(), 0, size_);
    format_segment(memory_.get(), spec, realtime_ns());
  }

  [[nodiscard]] SegmentView view() const { return SegmentView(memory_.get()); }
  [[nodiscard]] std::uint64_t size() const { return size_; }

private:
  struct Free {
    void operator()(std::byte *memory) const { std::free(memory); }
  };
  std::vector<Instrument> instruments_;
  std::uint64_t size_ = 0;
  std::unique_ptr<std::byte, Free> memory_;
};

/// Bytes followed by what a parser may read beyond them.
class Padded {
public:
  explicit Padded(std::string text) : size_(text.size()), text_(std::move(text)) {
    text_.resize(size_ + 64, '\0');
  }
  [[nodiscard]] std::string_view view() const { return std::string_view(text_).substr(0, size_); }

private:
  std::size_t size_;
  std::string text_;
};

} // namespace quietcore::test
