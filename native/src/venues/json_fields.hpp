#pragma once

#include "quietcore/market_message.hpp"

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

/// The text between the quotes of a string, unescaped: no name, id or number that venues send needs escaping.
/// Stage one has made certain of the closing quote.
[[nodiscard]] inline std::string_view text(ondemand::raw_json_string raw) noexcept {
  const char *begin = raw.raw();
  const char *end = begin;
  while (*end != '"')
    ++end;
  return {begin, static_cast<std::size_t>(end - begin)};
}

[[nodiscard]] inline bool get_text(ondemand::value &value, std::string_view &out) noexcept {
  ondemand::raw_json_string raw;
  if (value.get_raw_json_string().get(raw) != simdjson::SUCCESS)
    return false;
  out = text(raw);
  return true;
}

inline void note(DecimalStatus status, const char *field, Problem &problem) noexcept {
  if (status != DecimalStatus::Ok)
    problem.set(status == DecimalStatus::TooLarge ? ParseStatus::TooLarge : ParseStatus::BadNumber, field);
}

/// Reads a quoted decimal.
inline void get_decimal(ondemand::value &value, Decimal &out, const char *field, Problem &problem) noexcept {
  std::string_view digits;
  if (!get_text(value, digits))
    problem.set(ParseStatus::Incomplete, field);
  else
    note(parse_decimal(digits, out), field, problem);
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

/// Reads [["price","size", …], …]. False where the walk itself failed: the document is then unusable.
[[nodiscard]] inline simdjson::error_code get_levels(ondemand::value &value, std::vector<RawLevel> &out,
                                                     const char *field, Problem &problem) noexcept {
  out.clear();
  ondemand::array rows;
  if (const auto error = value.get_array().get(rows))
    return error;
  for (auto row : rows) {
    ondemand::array cells;
    if (const auto error = row.get_array().get(cells))
      return error;
    RawLevel level;
    std::size_t column = 0;
    for (auto cell : cells) {
      if (column < 2) {
        ondemand::raw_json_string raw;
        if (const auto error = cell.get_raw_json_string().get(raw))
          return error;
        note(parse_decimal(text(raw), column == 0 ? level.price : level.size), field, problem);
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
