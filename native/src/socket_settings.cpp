#include "quietcore/socket_settings.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace quietcore {
namespace {

/// An option as the kernel has it; false with errno where it has none.
bool read_back(int socket, int option, int &value) {
  socklen_t size = sizeof(value);
  return ::getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0;
}

bool set(int socket, int option, std::uint32_t wish) {
  const int value = static_cast<int>(wish);
  return ::setsockopt(socket, SOL_SOCKET, option, &value, sizeof(value)) == 0;
}

} // namespace

SocketGrants ask_kernel(int socket, const SocketConfig &wish) {
  SocketGrants grants;
  int bytes = 0;
  const bool sized = wish.receive_buffer == 0 || set(socket, SO_RCVBUF, wish.receive_buffer);
  const bool size_known = read_back(socket, SO_RCVBUF, bytes);
  // The kernel reports twice what was asked for, as it counts its own overhead.
  if (!sized || !size_known || static_cast<std::uint32_t>(bytes) < wish.receive_buffer)
    grants.refused.push_back("receive buffer of " + std::to_string(wish.receive_buffer) + " bytes: got " +
                             std::to_string(bytes) + "; remedy: raise net.core.rmem_max");
  grants.got = "receive buffer " + std::to_string(bytes) + " bytes";

  int polling = 0;
  errno = 0;
  const bool polls = wish.busy_poll_us == 0 || set(socket, SO_BUSY_POLL, wish.busy_poll_us);
  const int error = errno;
  if (const bool known = read_back(socket, SO_BUSY_POLL, polling);
      wish.busy_poll_us != 0 && (!polls || !known || polling != static_cast<int>(wish.busy_poll_us)))
    grants.refused.push_back("busy polling of " + std::to_string(wish.busy_poll_us) +
                             " us: " + std::strerror(error != 0 ? error : EINVAL) +
                             "; remedy: give the service CAP_NET_ADMIN, or set net.core.busy_read");
  grants.got += polling == 0 ? ", no busy polling" : ", busy polling " + std::to_string(polling) + " us";

  const std::string refused = ask_time_stamps(socket, wish.time_stamps);
  if (!refused.empty())
    grants.refused.push_back(refused);
  const char *asked = wish.time_stamps == TimeStamps::Best ? "of card and kernel" : "of the kernel";
  grants.got += std::string(", time stamps ") +
                (wish.time_stamps == TimeStamps::None || !refused.empty() ? "of this process" : asked);
  return grants;
}

} // namespace quietcore
