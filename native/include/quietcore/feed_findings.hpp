#pragma once

#include "quietcore/decimal.hpp"
#include "quietcore/log_ring.hpp"
#include "quietcore/market_message.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace quietcore {

// What the core finds wrong with a message, as it goes through the log's ring.

/// The parser refused it.
struct MessageRefused {
  const char *detail; ///< the parser's, static
  bool too_large;

  [[nodiscard]] Trouble kind() const noexcept { return too_large ? Trouble::OutOfRange : Trouble::Malformed; }
  [[nodiscard]] Finding finding(const Origin &origin) const;
};

/// An update of a book does not follow the one before.
struct BookGap {
  const char *symbol;
  std::uint64_t update;
  std::uint64_t last;

  [[nodiscard]] static Trouble kind() noexcept { return Trouble::Gap; }
  [[nodiscard]] Finding finding(const Origin &origin) const;
};

/// A bid at or above an ask.
struct BookCrossed {
  const char *symbol;
  std::uint64_t update;

  [[nodiscard]] static Trouble kind() noexcept { return Trouble::Crossed; }
  [[nodiscard]] Finding finding(const Origin &origin) const;
};

/// A symbol that is none of the feed's; the beginning of its name.
class SymbolUnknown {
public:
  SymbolUnknown(std::string_view name, std::size_t symbols) noexcept
      : symbols_(static_cast<std::uint16_t>(symbols)),
        size_(static_cast<std::uint8_t>(std::min(name.size(), kMost))), cut_(name.size() > kMost) {
    std::copy_n(name.data(), size_, name_.begin());
  }

  [[nodiscard]] static Trouble kind() noexcept { return Trouble::UnknownSymbol; }
  [[nodiscard]] Finding finding(const Origin &origin) const;

private:
  static constexpr std::size_t kMost = 28;
  std::array<char, kMost> name_{};
  std::uint16_t symbols_ = 0;
  std::uint8_t size_ = 0;
  bool cut_ = false;
};

/// A price or size that is no whole number of ticks or lots, or too large.
struct ValueRefused {
  const char *what; ///< static
  const char *symbol;
  std::int64_t digits;
  std::uint32_t mantissa; ///< of the tick or lot
  std::uint8_t places;
  std::uint8_t exponent;
  bool not_multiple;

  [[nodiscard]] static Trouble kind() noexcept { return Trouble::OutOfRange; }
  [[nodiscard]] Finding finding(const Origin &origin) const;
};

} // namespace quietcore
