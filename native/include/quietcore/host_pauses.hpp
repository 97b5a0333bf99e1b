#pragma once

#include "quietcore/refusal.hpp"
#include "quietcore/url.hpp"

#include <chrono>
#include <map>
#include <mutex>
#include <string>

namespace quietcore {

/// Which servers want to be left alone, and for how long. One for everything that a feed asks: instruments,
/// snapshots and connections of all symbols share a server's pause. A server is a host and a port. Any
/// thread.
class HostPauses {
public:
  using Clock = std::chrono::steady_clock;

  /// Until the server may be asked again; zero where it may be now.
  [[nodiscard]] Clock::duration left(const Url &server, Clock::time_point now = Clock::now()) const;

  /// Notes a refusal and returns what is then left of the pause: as long as the server asked for; where it
  /// did not say, a second, doubling with each refusal after such a pause, up to a minute. A final refusal
  /// makes no pause.
  Clock::duration refused(const Url &server, const Refusal &refusal, Clock::time_point now = Clock::now());

  /// The server has answered: the next pause that it does not dictate is a short one again.
  void answered(const Url &server);

private:
  struct Host {
    Clock::time_point until{};
    unsigned refusals = 0; ///< in a row, without a pause that it dictated
  };

  mutable std::mutex mutex_;
  std::map<std::string, Host> hosts_;
};

/// " (nothing is asked of HOST for 30 s)", for the end of a message.
[[nodiscard]] std::string pause_in_words(const Url &server, HostPauses::Clock::duration pause);

} // namespace quietcore
