#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quietcore {

/// Text from outside, fit for one line of a log: control characters and white space become one blank, bytes
/// that are no UTF-8 a question mark, HTML tags are left out where the text is HTML. What is longer than
/// `most` bytes is cut between two characters, and ends with "…".
[[nodiscard]] std::string printable_text(std::string_view text, std::size_t most = 200);

/// How many bytes the UTF-8 character at the beginning of `text` has; 0 where there is none, or it is
/// malformed, overlong, a surrogate or beyond U+10FFFF.
[[nodiscard]] std::size_t utf8_length(std::string_view text) noexcept;

} // namespace quietcore
