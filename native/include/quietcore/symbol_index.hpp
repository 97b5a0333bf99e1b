#pragma once

#include "quietcore/venue.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quietcore {

/// From a symbol's name to its number in the directory. Open addressing, built once, no allocation on
/// look-up.
class SymbolIndex {
public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  explicit SymbolIndex(const std::vector<Instrument> &instruments) {
    table_.resize(std::bit_ceil(instruments.size() * 2 + 1), kNone);
    for (const Instrument &instrument : instruments) {
      std::size_t at = slot_of(instrument.name);
      while (table_[at] != kNone)
        at = (at + 1) & (table_.size() - 1);
      table_[at] = static_cast<std::uint32_t>(names_.size());
      names_.push_back(instrument.name);
    }
  }

  [[nodiscard]] std::uint32_t find(std::string_view name) const noexcept {
    std::size_t at = slot_of(name);
    while (table_[at] != kNone && names_[table_[at]] != name)
      at = (at + 1) & (table_.size() - 1);
    return table_[at];
  }

private:
  [[nodiscard]] std::size_t slot_of(std::string_view name) const noexcept {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : name)
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return static_cast<std::size_t>(hash ^ hash >> 32U) & (table_.size() - 1);
  }

  std::vector<std::uint32_t> table_;
  std::vector<std::string> names_;
};

} // namespace quietcore
