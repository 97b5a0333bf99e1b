#pragma once

#include "quietcore/shared_memory.hpp"
#include "quietcore/venue.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace quietcore {

inline constexpr std::uint64_t kMinCapacity = 1024;
inline constexpr std::uint64_t kMaxCapacity = std::uint64_t{1} << 32;
inline constexpr std::uint32_t kMaxLadderDepth = 1024;
inline constexpr std::size_t kMaxSymbols = 65535;

/// What a segment is made for. Two segments are interchangeable where these are equal.
struct SegmentSpec {
  std::string feed;
  std::string venue;
  std::uint64_t capacity = 65536;
  std::uint32_t ladder_depth = 20;
  std::span<const Instrument> instruments{};
};

/// Where the parts of a segment lie, in bytes from its start.
struct SegmentLayout {
  std::uint64_t directory = 0;
  std::uint64_t statistics = 0;
  std::uint64_t table = 0;
  std::uint64_t table_stride = 0;
  std::uint64_t slots = 0;
  std::uint64_t total = 0;

  [[nodiscard]] static SegmentLayout of(std::uint64_t capacity, std::uint32_t symbols,
                                        std::uint32_t ladder_depth) noexcept;
};

/// A mapped segment. Owns nothing; whoever mapped it keeps it alive.
class SegmentView {
public:
  SegmentView() = default;
  explicit SegmentView(std::byte *base) noexcept : base_(base) {}

  [[nodiscard]] shm::Header &header() const noexcept { return *reinterpret_cast<shm::Header *>(base_); }
  [[nodiscard]] shm::SymbolEntry *directory() const noexcept {
    return reinterpret_cast<shm::SymbolEntry *>(base_ + header().directory_offset);
  }
  [[nodiscard]] shm::Statistics &statistics() const noexcept {
    return *reinterpret_cast<shm::Statistics *>(base_ + header().statistics_offset);
  }
  [[nodiscard]] shm::Book &book(std::size_t symbol) const noexcept {
    return *reinterpret_cast<shm::Book *>(base_ + header().table_offset + symbol * header().table_stride);
  }
  /// A slot's eight words, the first of them its sequence.
  [[nodiscard]] std::uint64_t *slot(std::uint64_t tick) const noexcept {
    const std::uint64_t index = tick & (header().capacity - 1);
    return reinterpret_cast<std::uint64_t *>(base_ + header().slots_offset + index * sizeof(shm::Slot));
  }
  [[nodiscard]] std::byte *base() const noexcept { return base_; }

private:
  std::byte *base_ = nullptr;
};

/// Words of a segment are shared between processes: every access goes through one of these.
[[nodiscard]] inline std::atomic_ref<std::uint64_t> shared(std::uint64_t &word) noexcept {
  return std::atomic_ref<std::uint64_t>(word);
}
[[nodiscard]] inline std::atomic_ref<std::uint32_t> shared(std::uint32_t &word) noexcept {
  return std::atomic_ref<std::uint32_t>(word);
}
static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic_ref<std::uint32_t>::is_always_lock_free);

/// Writes header, directory and an empty table into zeroed memory of the layout's size. The magic comes last,
/// with release: a reader that sees it sees the rest.
void format_segment(std::byte *base, const SegmentSpec &spec, std::int64_t created_ns);

/// Why a segment cannot serve a spec, empty where it can: "version 2, not 1", "capacity 1024, not 65536" ….
[[nodiscard]] std::string segment_mismatch(const SegmentView &view, std::uint64_t file_size,
                                           const SegmentSpec &spec);

/// Why a segment cannot be read by this build at all; empty where it can.
[[nodiscard]] std::string segment_unreadable(const SegmentView &view, std::uint64_t file_size);

} // namespace quietcore
