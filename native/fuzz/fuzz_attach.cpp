// A segment whose header, directory and first books hold anything: it is refused, or read within its bounds.
#include "quietcore/clock.hpp"
#include "quietcore/ring_reader.hpp"
#include "quietcore/segment.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {

using namespace quietcore;

/// A good segment, over which the fuzzer's bytes are laid.
struct Good {
  Good() {
    spec.feed = "fuzz";
    spec.venue = "fuzz";
    spec.capacity = kMinCapacity;
    spec.ladder_depth = 4;
    spec.instruments = {&instrument, 1};
    size = SegmentLayout::of(spec.capacity, 1, spec.ladder_depth).total;
    bytes = std::make_unique<std::byte[]>(size);
    format_segment(bytes.get(), spec, 1);
  }
  Instrument instrument{"FUZZ", {1, 1}, {1, 1}};
  SegmentSpec spec;
  std::uint64_t size = 0;
  std::unique_ptr<std::byte[]> bytes;
};

} // namespace

/// Input: two bytes say where, the rest is laid over the segment there; the last byte may cut the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  static const Good good;
  if (size < 4)
    return 0;
  const std::size_t at = (std::size_t{data[0]} | std::size_t{data[1]} << 8U) % good.size;
  const std::size_t file =
      data[2] < 128 ? good.size : std::min<std::size_t>(good.size, data[3] * std::size_t{64});
  struct Free {
    void operator()(std::byte *memory) const { std::free(memory); }
  };
  const std::size_t rounded = (std::max<std::size_t>(file, 1) + 4095) / 4096 * 4096;
  const std::unique_ptr<std::byte, Free> copy(static_cast<std::byte *>(std::aligned_alloc(4096, rounded)));
  std::memcpy(copy.get(), good.bytes.get(), file);
  const std::size_t laid = std::min(size - 4, file > at ? file - at : 0);
  std::memcpy(copy.get() + std::min(at, file), data + 4, laid);
  const SegmentView view(copy.get());
  if (!segment_unreadable(view, file).empty())
    return 0;
  (void)segment_mismatch(view, file, good.spec);
  RingReader reader(view);
  Tick tick;
  for (int i = 0; i < 64; ++i)
    (void)reader.poll(tick);
  reader.seek(0);
  for (int i = 0; i < 64; ++i)
    (void)reader.poll(tick);
  for (std::size_t symbol = 0; symbol < view.header().symbol_count; ++symbol)
    (void)reader.book(symbol, 2);
  return 0;
}
