#pragma once

#include <cstdint>
#include <string_view>

namespace quietcore {

/// Tells the service manager about this process, over the socket in $NOTIFY_SOCKET (sd_notify(3)); does
/// nothing where there is none.
class ServiceNotify {
public:
  ServiceNotify();
  ServiceNotify(const ServiceNotify &) = delete;
  ServiceNotify &operator=(const ServiceNotify &) = delete;
  ~ServiceNotify();

  /// "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…"; lines may be joined by a line feed.
  void send(std::string_view state) const noexcept;
  /// How often the watchdog wants to hear, half of $WATCHDOG_USEC; 0: it does not.
  [[nodiscard]] std::uint64_t watchdog_ns() const noexcept { return watchdog_ns_; }

private:
  int socket_ = -1;
  std::uint64_t watchdog_ns_ = 0;
};

} // namespace quietcore
