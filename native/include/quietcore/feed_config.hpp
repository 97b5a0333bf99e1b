#pragma once

#include "quietcore/venue.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace quietcore {

/// Where the receiving thread shall run.
struct CpuWish {
  enum class Kind : std::uint8_t { Unpinned, Number, Plan };
  Kind kind = Kind::Unpinned;
  int number = -1;

  /// "plan", "-1" or a CPU number. Throws Error naming `where`.
  [[nodiscard]] static CpuWish parse(const std::string &text, const std::string &where);
};

enum class Wait : std::uint8_t {
  Nap, ///< sleep in the kernel until data come
  Spin ///< never sleep: for a core of its own
};

/// Everything `run` needs, from a TOML file and from options.
struct FeedConfig {
  std::string feed{};
  std::string venue{};
  std::string websocket{};
  std::string rest{};
  std::string tls_ca{};
  Subscription subscription{}; ///< symbols empty: all that the venue lists
  std::size_t max_symbols = 0; ///< 0: no limit
  CpuWish cpu{};
  std::string plan = "/etc/quietcore/plan.json";
  Wait wait = Wait::Nap;
  std::uint64_t capacity = 65536;
  std::uint32_t ladder_depth = 20;
  std::string group = "quietcore";

  /// Reads a file on top of what is set; the feed's name becomes the file's. An unknown key, a wrong type or
  /// an impossible value throws Error with file, line, key and expectation.
  void read_file(const std::string &path);

  /// What can be checked without the venue's data. `where`: the file or "command line". Throws Error.
  void check(const Venue &venue_rules, const std::string &where) const;
};

/// Sets streams from names (book, trade, ticker). Throws Error.
void set_streams(Subscription &subscription, const std::vector<std::string> &names, const std::string &where);
[[nodiscard]] Wait parse_wait(const std::string &text, const std::string &where);

} // namespace quietcore
