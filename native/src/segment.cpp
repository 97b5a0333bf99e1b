#include "quietcore/segment.hpp"

#include "quietcore/clock.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>

namespace quietcore {
namespace {

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t to) noexcept {
  return (value + to - 1) / to * to;
}

template <std::size_t kSize> void copy_name(char (&out)[kSize], std::string_view name) noexcept {
  std::memset(out, 0, kSize);
  std::memcpy(out, name.data(), std::min(name.size(), kSize - 1));
}

template <std::size_t kSize> std::string_view name_of(const char (&text)[kSize]) noexcept {
  return {text, strnlen(text, kSize)};
}

void read_boot_id(std::uint8_t (&out)[16]) {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  file >> text;
  std::size_t nibble = 0;
  for (const char c : text) {
    const char *digits = "0123456789abcdef";
    const char *at = std::strchr(digits, c);
    if (at == nullptr || nibble >= 32)
      continue;
    const auto value = static_cast<std::uint8_t>(at - digits);
    out[nibble / 2] = static_cast<std::uint8_t>((out[nibble / 2] << 4U) | value);
    ++nibble;
  }
}

std::string differs(std::string_view what, std::uint64_t found, std::uint64_t wanted) {
  return std::string(what) + " " + std::to_string(found) + ", not " + std::to_string(wanted);
}

} // namespace

SegmentLayout SegmentLayout::of(std::uint64_t capacity, std::uint32_t symbols,
                                std::uint32_t ladder_depth) noexcept {
  SegmentLayout layout;
  layout.directory = sizeof(shm::Header);
  layout.statistics = align_up(layout.directory + symbols * sizeof(shm::SymbolEntry), 128);
  layout.table = align_up(layout.statistics + sizeof(shm::Statistics), 128);
  layout.table_stride = align_up(sizeof(shm::Book) + 2ULL * ladder_depth * sizeof(shm::Level), 128);
  layout.slots = align_up(layout.table + symbols * layout.table_stride, 4096);
  layout.total = align_up(layout.slots + capacity * sizeof(shm::Slot), 4096);
  return layout;
}

void format_segment(std::byte *base, const SegmentSpec &spec, std::int64_t created_ns) {
  const auto symbols = static_cast<std::uint32_t>(spec.instruments.size());
  const SegmentLayout layout = SegmentLayout::of(spec.capacity, symbols, spec.ladder_depth);
  auto &header = *reinterpret_cast<shm::Header *>(base);
  header.version = shm::kVersion;
  header.header_size = sizeof(shm::Header);
  header.schema_hash = shm::kSchemaHash;
  header.total_size = layout.total;
  header.created_ns = created_ns;
  read_boot_id(header.boot_id);
  header.clock = static_cast<std::uint32_t>(shm::Clock::REALTIME);
  header.slot_size = sizeof(shm::Slot);
  header.tsc_hz = 0;
  header.capacity = spec.capacity;
  header.symbol_count = symbols;
  header.ladder_depth = spec.ladder_depth;
  header.directory_offset = layout.directory;
  header.statistics_offset = layout.statistics;
  header.table_offset = layout.table;
  header.table_stride = layout.table_stride;
  header.slots_offset = layout.slots;
  copy_name(header.feed, spec.feed);
  copy_name(header.venue, spec.venue);
  auto *entries = reinterpret_cast<shm::SymbolEntry *>(base + layout.directory);
  for (std::size_t i = 0; i < spec.instruments.size(); ++i) {
    const Instrument &instrument = spec.instruments[i];
    copy_name(entries[i].name, instrument.name);
    entries[i].tick_mantissa = instrument.tick.mantissa;
    entries[i].tick_exponent = instrument.tick.exponent;
    entries[i].lot_mantissa = instrument.lot.mantissa;
    entries[i].lot_exponent = instrument.lot.exponent;
  }
  shared(header.magic).store(shm::kMagic, std::memory_order_release);
}

std::string segment_unreadable(const SegmentView &view, std::uint64_t file_size) {
  if (file_size < sizeof(shm::Header))
    return "only " + std::to_string(file_size) + " bytes";
  shm::Header &header = view.header();
  if (shared(header.magic).load(std::memory_order_acquire) != shm::kMagic)
    return "no Quietcore segment (wrong magic)";
  if (header.version != shm::kVersion)
    return differs("version", header.version, shm::kVersion);
  if (header.schema_hash != shm::kSchemaHash)
    return "another schema of the same version";
  if (header.header_size != sizeof(shm::Header) || header.slot_size != sizeof(shm::Slot))
    return "other record sizes";
  if (header.capacity < kMinCapacity || header.capacity > kMaxCapacity ||
      !std::has_single_bit(header.capacity))
    return "capacity " + std::to_string(header.capacity) + ", not a power of two from 1024";
  if (header.symbol_count == 0 || header.symbol_count > kMaxSymbols || header.ladder_depth == 0 ||
      header.ladder_depth > kMaxLadderDepth)
    return "impossible counts in its header";
  const SegmentLayout layout = SegmentLayout::of(header.capacity, header.symbol_count, header.ladder_depth);
  if (header.directory_offset != layout.directory || header.statistics_offset != layout.statistics ||
      header.table_offset != layout.table || header.table_stride != layout.table_stride ||
      header.slots_offset != layout.slots || header.total_size != layout.total)
    return "offsets that do not follow from its counts";
  if (file_size < layout.total)
    return differs("file size", file_size, layout.total);
  return {};
}

std::string segment_mismatch(const SegmentView &view, std::uint64_t file_size, const SegmentSpec &spec) {
  if (std::string why = segment_unreadable(view, file_size); !why.empty())
    return why;
  const shm::Header &header = view.header();
  if (header.capacity != spec.capacity)
    return differs("capacity", header.capacity, spec.capacity);
  if (header.ladder_depth != spec.ladder_depth)
    return differs("ladder depth", header.ladder_depth, spec.ladder_depth);
  if (header.symbol_count != spec.instruments.size())
    return differs("symbols", header.symbol_count, spec.instruments.size());
  if (name_of(header.venue) != spec.venue)
    return "venue " + std::string(name_of(header.venue)) + ", not " + spec.venue;
  if (header.clock != static_cast<std::uint32_t>(shm::Clock::REALTIME))
    return "another clock";
  for (std::size_t i = 0; i < spec.instruments.size(); ++i) {
    const shm::SymbolEntry &entry = view.directory()[i];
    const Instrument &wanted = spec.instruments[i];
    if (name_of(entry.name) != wanted.name)
      return "symbol " + std::to_string(i) + " " + std::string(name_of(entry.name)) + ", not " + wanted.name;
    if (Scale{entry.tick_mantissa, entry.tick_exponent} != wanted.tick ||
        Scale{entry.lot_mantissa, entry.lot_exponent} != wanted.lot)
      return "another tick or lot size of " + wanted.name;
  }
  return {};
}

} // namespace quietcore
