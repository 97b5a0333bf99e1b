#pragma once

#include "quietcore/error.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

namespace quietcore {

/// Kinds of trouble that may repeat with every message.
enum class Trouble : std::uint8_t {
  Malformed,
  UnknownSymbol,
  OutOfRange,
  Gap,
  Crossed,
  Connection,
  Refused,
  Snapshot,
  Silence,
  Listing,
  Recorder,
  Socket,
  Count
};

/// Where the current message came from, for messages about it.
struct Origin {
  const char *name = ""; ///< file or connection
  std::uint64_t line = 0;

  [[nodiscard]] std::string text() const {
    return line == 0 ? std::string(name) : std::string(name) + ":" + std::to_string(line);
  }
};

/// Reports trouble on stderr, one line each: the first five of a kind, then at most one every ten seconds
/// with the number that was left out. Runs only when something is wrong, so it may allocate.
class Diagnostics {
public:
  explicit Diagnostics(std::FILE *out = stderr) noexcept : out_(out) {}

  void report(Trouble kind, const Finding &finding);
  /// A line that is always printed.
  void say(const std::string &line);

private:
  struct Account {
    std::uint64_t reported = 0;
    std::uint64_t left_out = 0;
    std::uint64_t last_ns = 0;
  };
  std::FILE *out_;
  std::array<Account, static_cast<std::size_t>(Trouble::Count)> accounts_{};
};

} // namespace quietcore
