#pragma once

#include "quietcore/recorder.hpp"
#include "quietcore/socket_settings.hpp"
#include "quietcore/venue.hpp"

#include <chrono>
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

/// Where a venue's services are.
struct Endpoint {
  std::string websocket{};
  std::string rest{};

  friend bool operator==(const Endpoint &, const Endpoint &) = default;
};

/// How connections and books are watched and brought back. All times are above zero unless they say
/// otherwise.
struct ConnectionConfig {
  std::chrono::milliseconds idle_timeout{
      30'000}; ///< nothing at all came, pings unanswered: the connection is dead
  std::chrono::milliseconds retry_first{250}; ///< doubles with each failure, and is shortened at random
  std::chrono::milliseconds retry_limit{30'000};
  std::chrono::milliseconds resync_first{
      1'000}; ///< between two requests for the same book's snapshot, doubling
  std::chrono::milliseconds resync_limit{30'000};
  std::chrono::milliseconds stale_after{30'000};    ///< a book without any message is doubted; 0: never
  std::chrono::milliseconds switch_timeout{30'000}; ///< for a new endpoint to have every book
  std::chrono::seconds lifetime{0};    ///< a connection is replaced after it; 0: as the venue needs
  std::chrono::seconds refresh{3'600}; ///< between two looks at the instruments; 0: only at the start
};

/// Where a feed that comes over multicast is.
struct MulticastConfig {
  std::string feed{}; ///< its name with its publisher
  std::string group = "239.255.0.1:9001";
  std::string snapshots = "239.255.0.2:9002";
  std::string interface = "127.0.0.1"; ///< a name or an address of this host
  std::uint32_t receive_buffer = 8U << 20U;
  std::chrono::milliseconds patience{2};    ///< a packet waits for those that it overtook
  std::chrono::milliseconds silence{1'000}; ///< without a packet, every book is in doubt
};

/// Everything `run` needs, from a TOML file and from options.
struct FeedConfig {
  std::string feed{};
  std::string venue{};
  std::string websocket{};
  std::string rest{};
  Endpoint second{};     ///< another host with the same streams, empty: none
  std::string control{}; ///< path of the control socket, empty: none
  ConnectionConfig connection{};
  RecorderConfig recorder{};
  CpuWish recorder_cpu{}; ///< "plan": the housekeeping set
  SocketConfig socket{};
  MulticastConfig multicast{};
  std::string tls_ca{};
  Subscription subscription{}; ///< symbols empty: all that the venue lists
  /// Depths that the venue offered once are taken too: for a simulator that plays an old recording.
  bool retired_depths = false;
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

private:
  void check_depth(const Venue &venue_rules, const std::string &where) const;
};

/// Sets streams from names (book, trade, ticker). Throws Error.
void set_streams(Subscription &subscription, const std::vector<std::string> &names, const std::string &where);
/// Only sockets are built; af_xdp, dpdk and io_uring are known names that are refused with what they need.
/// Throws Error.
void check_receive(const std::string &way, const std::string &where);
[[nodiscard]] Wait parse_wait(const std::string &text, const std::string &where);
/// best, kernel or none. Throws Error.
[[nodiscard]] TimeStamps parse_time_stamps(const std::string &text, const std::string &where);

} // namespace quietcore
