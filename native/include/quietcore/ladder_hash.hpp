#pragma once

#include "quietcore/shared_memory.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace quietcore {

inline constexpr std::uint64_t kHashStart = 0xcbf29ce484222325ULL;
inline constexpr std::size_t kHashDepth = 20;

/// One step of the hash by which independent books are compared.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t word) noexcept {
  const std::uint64_t x = (hash ^ word) * 0x100000001b3ULL;
  return x ^ (x >> 32);
}

/// Hash of the best 20 levels of both sides, best first, absent levels counted as zeros.
[[nodiscard]] constexpr std::uint64_t ladder_hash(std::span<const shm::Level> bids,
                                                  std::span<const shm::Level> asks) noexcept {
  std::uint64_t hash = kHashStart;
  for (const auto side : {bids, asks}) {
    for (std::size_t i = 0; i < kHashDepth; ++i) {
      const shm::Level level = i < side.size() ? side[i] : shm::Level{0, 0};
      hash = mix(hash, static_cast<std::uint64_t>(level.price));
      hash = mix(hash, static_cast<std::uint64_t>(level.size));
    }
  }
  return hash;
}

} // namespace quietcore
