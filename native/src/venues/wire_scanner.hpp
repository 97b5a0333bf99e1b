#pragma once

#include "quietcore/market_message.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE4_1__)
#include <smmintrin.h>
#define QUIETCORE_WIRE_SCANNER 1
#else
#define QUIETCORE_WIRE_SCANNER 0
#endif

namespace quietcore {

/// Walks a message that looks exactly as the venue always writes it: no white space, no escapes, known keys.
///
/// It accepts nothing that the general parser would refuse or read otherwise; whatever it does not know it
/// refuses, and the general parser, which also tells what is wrong, takes the message from its beginning. So
/// it may be left out (where the CPU has no SSE 4.1) without any difference but in speed.
class WireScanner {
public:
  static constexpr bool kAvailable = QUIETCORE_WIRE_SCANNER != 0;

  /// `size` bytes, followed by kMessagePadding readable ones of any content.
  WireScanner(const char *bytes, std::size_t size) noexcept : at_(bytes), end_(bytes + size) {}

  /// Takes exactly this text.
  template <std::size_t kSize> [[nodiscard]] bool literal(const char (&text)[kSize]) noexcept {
    static_assert(kSize - 1 <= kMessagePadding);
    if (at_ >= end_ || std::memcmp(at_, text, kSize - 1) != 0)
      return false;
    at_ += kSize - 1;
    return true;
  }

  /// Takes printable ASCII up to `stop` and the stop itself, at most 63 bytes of it.
  [[nodiscard]] bool name(char stop, std::string_view &out) noexcept {
    for (std::size_t length = 0; length < kMessagePadding && at_ + length < end_; ++length) {
      const char c = at_[length];
      if (c == stop) {
        out = {at_, length};
        at_ += length + 1;
        return length != 0;
      }
      if (c == '"' || c == '\\' || static_cast<unsigned char>(c) <= ' ' ||
          static_cast<unsigned char>(c) > '~')
        return false;
    }
    return false;
  }

  /// Takes the text given if it comes here.
  [[nodiscard]] bool same(std::string_view text) noexcept {
    if (at_ >= end_ || text.size() > kMessagePadding || std::memcmp(at_, text.data(), text.size()) != 0)
      return false;
    at_ += text.size();
    return true;
  }

  /// Nothing is left, and nothing that was taken as a digit was none.
  [[nodiscard]] bool finished() const noexcept { return at_ == end_ && digits_were_digits(); }

#if QUIETCORE_WIRE_SCANNER
  /// Takes an unsigned JSON number of at most 16 digits.
  [[nodiscard]] bool number(std::uint64_t &out) noexcept {
    if (at_ >= end_)
      return false;
    const __m128i digits = _mm_sub_epi8(load(at_), _mm_set1_epi8('0'));
    const __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits);
    const unsigned others = ~mask_of(is_digit) & 0xffffU;
    if (others == 0 || (others & 1U) != 0)
      return false;
    const auto length = static_cast<unsigned>(__builtin_ctz(others));
    if (length > 1 && *at_ == '0')
      return false;
    out = value_of(_mm_shuffle_epi8(digits, right_aligned(length, length)));
    at_ += length;
    return true;
  }

  /// Takes milliseconds as nanoseconds.
  [[nodiscard]] bool milliseconds(std::int64_t &out_ns) noexcept {
    std::uint64_t ms = 0;
    if (!number(ms) || ms > static_cast<std::uint64_t>(INT64_MAX) / 1'000'000)
      return false;
    out_ns = static_cast<std::int64_t>(ms * 1'000'000);
    return true;
  }

  /// Takes a decimal and the quote behind it.
  [[nodiscard]] bool decimal(Decimal &out) noexcept {
    if (at_ >= end_)
      return false;
    const unsigned quotes = mask_of(_mm_cmpeq_epi8(load(at_), _mm_set1_epi8('"')));
    if (quotes == 0)
      return false;
    const auto length = static_cast<unsigned>(__builtin_ctz(quotes));
    if (length == 0 || !read_decimal(at_, length, out))
      return false;
    at_ += length + 1;
    return true;
  }

  /// Takes [["price","size"],…] or [].
  [[nodiscard]] bool levels(RawLevel *out, std::size_t capacity, std::size_t &count) noexcept {
    count = 0;
    if (literal("[]"))
      return true;
    if (!literal("[[\""))
      return false;
    const char *p = at_;
    for (;;) {
      if (p >= end_ || count == capacity)
        return false;
      // Price, comma and size fit 32 bytes in all but strange cases: one look finds their three quotes.
      const __m128i quote = _mm_set1_epi8('"');
      unsigned quotes = mask_of(_mm_cmpeq_epi8(load(p), quote)) | mask_of(_mm_cmpeq_epi8(load(p + 16), quote))
                                                                      << 16U;
      const auto first = static_cast<unsigned>(__builtin_ctz(quotes | 1U << 31U));
      quotes &= quotes - 1;
      const auto second = static_cast<unsigned>(__builtin_ctz(quotes | 1U << 31U));
      quotes &= quotes - 1;
      if (quotes == 0)
        return false;
      const auto third = static_cast<unsigned>(__builtin_ctz(quotes));
      const unsigned size_length = third - second - 1;
      if (second != first + 2 || p[first + 1] != ',' || first - 1 > 15 || size_length - 1 > 15)
        return false;
      RawLevel &level = out[count++];
      if (!read_decimal(p, first, level.price) || !read_decimal(p + second + 1, size_length, level.size))
        return false;
      std::uint32_t next = 0;
      std::memcpy(&next, p + third + 1, sizeof(next));
      if (next == four("],[\"")) {
        p += third + 5;
        continue;
      }
      if ((next & 0xffffU) != (four("]]..") & 0xffffU))
        return false;
      at_ = p + third + 3;
      return true;
    }
  }

private:
  static constexpr std::uint32_t four(const char (&text)[5]) noexcept {
    std::uint32_t word = 0;
    for (std::size_t i = 4; i-- > 0;)
      word = word << 8U | static_cast<unsigned char>(text[i]);
    return word;
  }

  static __m128i load(const char *at) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
  }
  static unsigned mask_of(__m128i bytes) noexcept { return static_cast<unsigned>(_mm_movemask_epi8(bytes)); }

  /// Byte order that brings the digits [0, point) and [point + 1, end) to the right end of 16 bytes, zeros
  /// before them. point == end: there is none.
  static __m128i right_aligned(unsigned end, unsigned point) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i *>(kOrders[end * 17 + point].data()));
  }

  using Order = std::array<std::uint8_t, 16>;
  static constexpr std::array<Order, std::size_t{17} * 17> kOrders = [] {
    std::array<Order, std::size_t{17} * 17> orders{};
    for (unsigned end = 0; end <= 16; ++end) {
      for (unsigned point = 0; point <= end; ++point) {
        Order &order = orders[std::size_t{end} * 17 + point];
        order.fill(0x80);
        unsigned to = 16;
        for (unsigned from = end; from-- > 0;) {
          if (from != point)
            order[--to] = static_cast<std::uint8_t>(from);
        }
      }
    }
    return orders;
  }();

  /// Sixteen digits, most significant first, as a number.
  static std::uint64_t value_of(__m128i digits) noexcept {
    const __m128i tens = _mm_maddubs_epi16(digits, _mm_set1_epi16(0x010a));
    const __m128i hundreds = _mm_madd_epi16(tens, _mm_set1_epi32(0x00010064));
    const __m128i packed = _mm_packus_epi32(hundreds, hundreds);
    const auto halves =
        static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_madd_epi16(packed, _mm_set1_epi32(0x00012710))));
    return (halves & 0xffffffffU) * 100'000'000U + (halves >> 32U);
  }

  /// As parse_decimal does: zeros at the end of a fraction do not count. False where the point stands at an
  /// end.
  bool read_decimal(const char *at, unsigned length, Decimal &out) noexcept {
    const __m128i text = load(at);
    const unsigned inside = (1U << length) - 1;
    const unsigned points = mask_of(_mm_cmpeq_epi8(text, _mm_set1_epi8('.'))) & inside;
    const unsigned last_bit = 1U << (length - 1);
    // Without a point every zero counts: the last character is then taken for one that does.
    unsigned counting = ~mask_of(_mm_cmpeq_epi8(text, _mm_set1_epi8('0'))) & inside;
    counting |= points == 0 ? last_bit : 0U;
    const auto point = static_cast<unsigned>(__builtin_ctz(points | 1U << length));
    const auto last = 31U - static_cast<unsigned>(__builtin_clz(counting));
    const unsigned end = last + (last != point ? 1U : 0U);
    // A second point would be taken for a digit, and refused as one.
    if ((points & (1U | last_bit)) != 0)
      return false;
    const __m128i digits = _mm_shuffle_epi8(_mm_sub_epi8(text, _mm_set1_epi8('0')),
                                            right_aligned(end, point < end ? point : end));
    beyond_nine_ = _mm_or_si128(beyond_nine_, _mm_subs_epu8(digits, _mm_set1_epi8(9)));
    out.digits = static_cast<std::int64_t>(value_of(digits));
    out.places = static_cast<std::uint8_t>(point < end ? end - point - 1 : 0);
    return true;
  }

  [[nodiscard]] bool digits_were_digits() const noexcept {
    return _mm_testz_si128(beyond_nine_, beyond_nine_) != 0;
  }

  __m128i beyond_nine_ = _mm_setzero_si128();
#else
  [[nodiscard]] bool number(std::uint64_t &) noexcept { return false; }
  [[nodiscard]] bool milliseconds(std::int64_t &) noexcept { return false; }
  [[nodiscard]] bool decimal(Decimal &) noexcept { return false; }
  [[nodiscard]] bool levels(RawLevel *, std::size_t, std::size_t &) noexcept { return false; }

private:
  [[nodiscard]] bool digits_were_digits() const noexcept { return true; }
#endif

  const char *at_;
  const char *end_;
};

} // namespace quietcore
