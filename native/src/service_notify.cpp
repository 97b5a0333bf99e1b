#include "quietcore/service_notify.hpp"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace quietcore {

ServiceNotify::ServiceNotify() {
  if (const char *micros = std::getenv("WATCHDOG_USEC"); micros != nullptr)
    watchdog_ns_ = std::strtoull(micros, nullptr, 10) * 1000 / 2;
  const char *path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path == nullptr || (path[0] != '/' && path[0] != '@') || std::strlen(path) >= sizeof(address.sun_path))
    return;
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@')
    address.sun_path[0] = '\0'; // an abstract name
  socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0)
    return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  if (connect(socket_, reinterpret_cast<const sockaddr *>(&address), size) != 0) {
    close(socket_);
    socket_ = -1;
  }
}

ServiceNotify::~ServiceNotify() {
  if (socket_ >= 0)
    close(socket_);
}

void ServiceNotify::send(std::string_view state) const noexcept {
  if (socket_ >= 0)
    (void)!::send(socket_, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

} // namespace quietcore
