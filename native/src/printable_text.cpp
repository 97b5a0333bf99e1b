#include "quietcore/printable_text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace quietcore {
namespace {

/// Where the tag that begins here ends; of style and script, the end of what is within them too.
std::size_t after_tag(std::string_view text, std::size_t at) {
  const auto begins = [&](std::string_view name) {
    return text.size() - at > name.size() + 1 &&
           std::equal(name.begin(), name.end(), text.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                      [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
  };
  for (const std::string_view hidden : {std::string_view("style"), std::string_view("script")}) {
    if (begins(hidden)) {
      const std::size_t end = text.find("</", at);
      at = end == std::string_view::npos ? text.size() : end;
      break;
    }
  }
  const std::size_t end = text.find('>', at);
  return end == std::string_view::npos ? text.size() : end + 1;
}

/// C0 and C1 controls, DEL, and the characters that turn the direction of what follows them.
bool is_control(std::string_view character) noexcept {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1)
    return first < 0x20 || first == 0x7f;
  const auto second = static_cast<unsigned char>(character[1]);
  if (character.size() == 2)
    return first == 0xc2 && second < 0xa0;
  if (first != 0xe2 || (second != 0x80 && second != 0x81))
    return false;
  const auto third = static_cast<unsigned char>(character[2]);
  return second == 0x80 ? third >= 0xa8 && third <= 0xae : third >= 0xa6 && third <= 0xa9;
}

} // namespace

std::size_t utf8_length(std::string_view text) noexcept {
  if (text.empty())
    return 0;
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80)
    return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length)
    return 0;
  std::uint32_t code = first & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0U) != 0x80U)
      return 0;
    code = code << 6U | (next & 0x3fU);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
    return 0;
  return length;
}

std::string printable_text(std::string_view text, std::size_t most) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const bool html = text.substr(begin).starts_with('<');
  std::string out;
  for (std::size_t at = begin; at < text.size();) {
    if (html && text[at] == '<') {
      at = after_tag(text, at);
      if (!out.empty() && out.back() != ' ')
        out += ' ';
      continue;
    }
    const std::size_t length = utf8_length(text.substr(at));
    const std::string_view character = text.substr(at, std::max<std::size_t>(length, 1));
    at += character.size();
    const bool blank = length != 0 && (character == " " || is_control(character));
    if (blank && (out.empty() || out.back() == ' '))
      continue;
    const std::string_view shown = length == 0 ? std::string_view("?") : blank ? " " : character;
    if (out.size() + shown.size() > most)
      return out + "…";
    out += shown;
  }
  while (!out.empty() && out.back() == ' ')
    out.pop_back();
  return out;
}

} // namespace quietcore
