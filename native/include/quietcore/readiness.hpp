#pragma once

#include "quietcore/printable_text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace quietcore {

/// When a feed may be called ready: once what it asked for is granted and every followed symbol has a book;
/// where some books do not come, after a while, with the names of those that are missing. Without any book it
/// is not ready.
class Readiness {
public:
  enum class Step : std::uint8_t {
    Nothing,
    Ready,        ///< every book is there
    ReadyWithout, ///< some are there; the others are to be named
    NotYet,       ///< none is, and it is time to say so
    Complete,     ///< said to be ready before, and now every book is there
  };

  /// `symbols` are followed, of which `missing` have no book, since what was asked for is granted. A few
  /// times a second.
  [[nodiscard]] Step look(std::uint64_t now_ns, std::size_t symbols, std::size_t missing) noexcept {
    if (granted_ns_ == 0)
      granted_ns_ = now_ns;
    if (missing == 0) {
      complete_ = true;
      return announced_ ? Step::Complete : announce(now_ns, Step::Ready);
    }
    if (announced_ || now_ns - granted_ns_ < kBooksWithinNs)
      return Step::Nothing;
    if (missing < symbols)
      return announce(now_ns, Step::ReadyWithout);
    if (told_ns_ != 0 && now_ns - told_ns_ < kTellAgainNs)
      return Step::Nothing;
    told_ns_ = now_ns;
    return Step::NotYet;
  }

  [[nodiscard]] bool announced() const noexcept { return announced_; }
  /// Nothing is left to look for.
  [[nodiscard]] bool complete() const noexcept { return complete_; }
  [[nodiscard]] std::uint64_t announced_ns() const noexcept { return announced_ns_; }
  [[nodiscard]] std::uint64_t waited_ns(std::uint64_t now_ns) const noexcept { return now_ns - granted_ns_; }

private:
  static constexpr std::uint64_t kBooksWithinNs = 5'000'000'000;
  static constexpr std::uint64_t kTellAgainNs = 10'000'000'000;

  Step announce(std::uint64_t now_ns, Step step) noexcept {
    announced_ = true;
    announced_ns_ = now_ns;
    return step;
  }

  bool announced_ = false;
  bool complete_ = false;
  std::uint64_t granted_ns_ = 0;
  std::uint64_t announced_ns_ = 0;
  std::uint64_t told_ns_ = 0;
};

/// "A, B and 3 more".
[[nodiscard]] inline std::string some_of(const std::vector<std::string> &names) {
  constexpr std::size_t kMost = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kMost); ++i) {
    if (i != 0)
      text.append(", ");
    text.append(printable_text(names[i], 64));
  }
  if (names.size() > kMost)
    text.append(" and ").append(std::to_string(names.size() - kMost)).append(" more");
  return text;
}

} // namespace quietcore
