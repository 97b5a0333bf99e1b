#include "quietcore/refusal.hpp"

#include "quietcore/printable_text.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <ctime>

namespace quietcore {
namespace {

using Milliseconds = std::chrono::milliseconds;

constexpr std::chrono::minutes kShut{10};
constexpr std::chrono::hours kLongest{72};

Milliseconds bounded(std::int64_t milliseconds) {
  return std::clamp<Milliseconds>(Milliseconds(milliseconds), Milliseconds(0), kLongest);
}

std::int64_t unix_ms(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<Milliseconds>(time.time_since_epoch()).count();
}

/// Binance's "banned until 1573046400000".
std::optional<Milliseconds> read_ban(std::string_view body, std::chrono::system_clock::time_point now) {
  constexpr std::string_view kWords = "banned until ";
  const std::size_t at = body.find(kWords);
  if (at == std::string_view::npos)
    return std::nullopt;
  const char *digits = body.data() + at + kWords.size();
  std::int64_t until_ms = 0;
  const auto [end, error] = std::from_chars(digits, body.data() + body.size(), until_ms);
  if (error != std::errc() || end - digits < 13 || until_ms <= unix_ms(now))
    return std::nullopt;
  return bounded(until_ms - unix_ms(now));
}

} // namespace

std::optional<Milliseconds> read_retry_after(std::string_view value,
                                             std::chrono::system_clock::time_point now) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t'))
    value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t'))
    value.remove_suffix(1);
  if (value.empty())
    return std::nullopt;
  if (value.find_first_not_of("0123456789") == std::string_view::npos) {
    std::int64_t seconds = 0;
    const bool fits = std::from_chars(value.data(), value.data() + value.size(), seconds).ec == std::errc() &&
                      seconds <= std::chrono::seconds(kLongest).count();
    return fits ? bounded(seconds * 1000) : Milliseconds(kLongest);
  }
  const std::string text(value);
  std::tm date{};
  const char *end = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (end == nullptr || *end != '\0')
    return std::nullopt;
  return bounded(static_cast<std::int64_t>(timegm(&date)) * 1000 - unix_ms(now));
}

Refusal Refusal::of_http(unsigned status, std::string_view retry_after, std::string_view body,
                         std::chrono::system_clock::time_point now) {
  Refusal refusal;
  const bool shut = status == 403 || status == 418;
  refusal.passing = shut || status == 408 || status == 425 || status == 429 || status >= 500;
  refusal.text = "HTTP " + std::to_string(status);
  if (const std::string words = printable_text(body); !words.empty())
    refusal.text += " " + words;
  if (!refusal.passing)
    return refusal;
  refusal.pause = read_retry_after(retry_after, now);
  if (!refusal.pause)
    refusal.pause = read_ban(body, now);
  if (!refusal.pause && shut)
    refusal.pause = kShut;
  return refusal;
}

} // namespace quietcore
