#pragma once

#include "quietcore/time_stamps.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace quietcore {

/// What is asked of the kernel for each connection.
struct SocketConfig {
  std::uint32_t receive_buffer = 0; ///< bytes, 0: as the kernel sizes it
  std::uint32_t busy_poll_us = 0;   ///< microseconds of polling the card's queue in a read, 0: none
  TimeStamps time_stamps = TimeStamps::Best;
};

/// What the kernel made of it, as read back.
struct SocketGrants {
  std::string got{};                  ///< in one line
  std::vector<std::string> refused{}; ///< one line each, with a remedy
};

/// Sets the options of a connected socket and reads them back.
[[nodiscard]] SocketGrants ask_kernel(int socket, const SocketConfig &wish);

} // namespace quietcore
