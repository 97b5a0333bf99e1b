#pragma once

#include "quietcore/market_message.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <simdjson.h>
#include <string_view>
#include <utility>
#include <vector>

namespace quietcore::json {

namespace ondemand = simdjson::ondemand;

static_assert(simdjson::SIMDJSON_PADDING <= kMessagePadding);

/// Bytes of a message up to which parsing allocates nothing: twenty times a REST snapshot of 1,000 levels.
inline constexpr std::size_t kReservedMessage = std::size_t{1} << 20U;

inline void reserve(ondemand::parser &parser) noexcept {
  [[maybe_unused]] const auto error = parser.allocate(kReservedMessage); // else it is tried with the message
}

/// What went wrong in a message, kept at its first occurrence while the walk goes on to its end.
struct Problem {
  ParseStatus status = ParseStatus::Ok;
  const char *detail = "";

  void set(ParseStatus new_status, const char *new_detail) noexcept {
    if (status == ParseStatus::Ok) {
      status = new_status;
      detail = new_detail;
    }
  }
};

/// Texts of one message as they are meant. Those without an escape, which is all that venues send today, are
/// looked at where they stand; others are kept here, as far as there is room: names, numbers and a venue's
/// own words.
class Texts {
public:
  explicit Texts(ondemand::parser &parser) noexcept : parser_(parser) {}

  /// The next message: texts of the one before are gone.
  void begin() noexcept { used_ = 0; }

  /// What is read from here on may be let go again.
  [[nodiscard]] std::size_t mark() const noexcept { return used_; }
  void release(std::size_t mark) noexcept { used_ = mark; }

  /// False where an escape is none, or there is no room.
  [[nodiscard]] bool read(ondemand::raw_json_string raw, std::string_view &out) noexcept {
    const char *begin = raw.raw();
    const char *end = begin;
    while (*end != '"' && *end != '\\') // stage one has made certain of the closing quote
      ++end;
    if (*end == '"') [[likely]] {
      out = {begin, static_cast<std::size_t>(end - begin)};
      return true;
    }
    return unescape(raw, end, out);
  }

  /// A key; one that cannot be read is none of ours.
  [[nodiscard]] std::string_view key(ondemand::raw_json_string raw) noexcept {
    std::string_view out;
    return read(raw, out) ? out : std::string_view{};
  }

  /// As parse_decimal, of a text between quotes. An escape is looked for only in what is no decimal
  /// otherwise.
  [[nodiscard]] DecimalStatus decimal(ondemand::raw_json_string raw, Decimal &out) noexcept {
    const char *begin = raw.raw();
    const char *end = begin;
    while (*end != '"')
      ++end;
    const std::string_view digits(begin, static_cast<std::size_t>(end - begin));
    const DecimalStatus status = parse_decimal(digits, out);
    if (status == DecimalStatus::Ok || digits.find('\\') == std::string_view::npos) [[likely]]
      return status;
    std::string_view unescaped;
    if (!unescape(raw, begin + digits.find('\\'), unescaped))
      return DecimalStatus::NotADecimal;
    used_ -= unescaped.size(); // a book may be full of them
    return parse_decimal(unescaped, out);
  }

private:
  static constexpr std::size_t kRoom = 4096;

  [[gnu::noinline]] bool unescape(ondemand::raw_json_string raw, const char *end,
                                  std::string_view &out) noexcept {
    while (*end != '"')
      end += *end == '\\' ? 2 : 1;
    if (static_cast<std::size_t>(end - raw.raw()) > kRoom - used_)
      return false;
    std::uint8_t *to = room_.data() + used_;
    if (parser_.unescape(raw, to).get(out) != simdjson::SUCCESS)
      return false;
    used_ += out.size();
    return true;
  }

  ondemand::parser &parser_;
  std::size_t used_ = 0;
  std::array<std::uint8_t, kRoom + 2 * simdjson::SIMDJSON_PADDING> room_{}; ///< unescaping writes blocks
};

[[nodiscard]] inline bool get_text(ondemand::value &value, std::string_view &out, Texts &texts) noexcept {
  ondemand::raw_json_string raw;
  return value.get_raw_json_string().get(raw) == simdjson::SUCCESS && texts.read(raw, out);
}

inline void note(DecimalStatus status, const char *field, Problem &problem) noexcept {
  if (status != DecimalStatus::Ok)
    problem.set(status == DecimalStatus::TooLarge ? ParseStatus::TooLarge : ParseStatus::BadNumber, field);
}

/// Reads a quoted decimal.
inline void get_decimal(ondemand::value &value, Decimal &out, const char *field, Problem &problem,
                        Texts &texts) noexcept {
  ondemand::raw_json_string raw;
  if (value.get_raw_json_string().get(raw) != simdjson::SUCCESS)
    problem.set(ParseStatus::Incomplete, field);
  else
    note(texts.decimal(raw, out), field, problem);
}

template <typename Unsigned>
inline void get_unsigned(ondemand::value &value, Unsigned &out, const char *field,
                         Problem &problem) noexcept {
  if (value.get_uint64().get(out) != simdjson::SUCCESS)
    problem.set(ParseStatus::Incomplete, field);
}

/// Reads a venue's milliseconds as nanoseconds.
inline void get_milliseconds(ondemand::value &value, std::int64_t &out_ns, const char *field,
                             Problem &problem) noexcept {
  std::uint64_t ms = 0;
  get_unsigned(value, ms, field, problem);
  if (ms > static_cast<std::uint64_t>(INT64_MAX) / 1'000'000)
    problem.set(ParseStatus::TooLarge, field);
  else
    out_ns = static_cast<std::int64_t>(ms * 1'000'000);
}

/// Whether the walk itself failed: the document is then unusable. Else a value is of another type than
/// expected, which is a problem only where it is needed.
[[nodiscard]] inline bool broken(simdjson::error_code error, const char *field, Problem &problem) noexcept {
  if (error == simdjson::SUCCESS)
    return false;
  if (error != simdjson::INCORRECT_TYPE)
    return true;
  problem.set(ParseStatus::Incomplete, field);
  return false;
}

/// Reads [["price","size", …], …].
[[nodiscard]] inline simdjson::error_code get_levels(ondemand::value &value, std::vector<RawLevel> &out,
                                                     const char *field, Problem &problem,
                                                     Texts &texts) noexcept {
  out.clear();
  ondemand::array rows;
  if (const auto error = value.get_array().get(rows))
    return broken(error, field, problem) ? error : simdjson::SUCCESS;
  for (auto row : rows) {
    ondemand::array cells;
    if (const auto error = row.get_array().get(cells)) {
      if (broken(error, field, problem))
        return error;
      continue;
    }
    RawLevel level;
    std::size_t column = 0;
    for (auto cell : cells) {
      if (column < 2) {
        ondemand::raw_json_string raw;
        if (const auto error = cell.get_raw_json_string().get(raw)) {
          if (broken(error, field, problem))
            return error;
        } else {
          note(texts.decimal(raw, column == 0 ? level.price : level.size), field, problem);
        }
      } else {
        ondemand::value ignored;
        if (const auto error = std::move(cell).get(ignored))
          return error;
      }
      ++column;
    }
    if (column < 2)
      problem.set(ParseStatus::Incomplete, field);
    out.push_back(level);
  }
  return simdjson::SUCCESS;
}

/// Nothing follows the object that was walked to its end.
[[nodiscard]] inline bool at_end(ondemand::document &document) noexcept {
  const char *where = nullptr;
  return document.current_location().get(where) == simdjson::OUT_OF_BOUNDS;
}

[[nodiscard]] inline ParseResult refuse(simdjson::error_code error) noexcept {
  return {ParseStatus::NotJson, simdjson::error_message(error)};
}

} // namespace quietcore::json
