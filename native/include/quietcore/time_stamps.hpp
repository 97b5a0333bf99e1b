#pragma once

#include "quietcore/shared_memory.hpp"

#include <cstdint>
#include <string>
#include <sys/socket.h>

namespace quietcore {

/// Who is asked for the time at which bytes came in.
enum class TimeStamps : std::uint8_t {
  None,   ///< nobody: the clock is read after the receive call
  Kernel, ///< the kernel, when it took the packet from the driver
  Best,   ///< the network card where it stamps packets, else the kernel
};

/// When bytes came in, and who says so. The stamp of a TCP read is that of its last byte.
struct ReceiveTime {
  std::int64_t ns = 0; ///< UTC
  shm::TimeSource source = shm::TimeSource::NONE;
  bool card_disagrees = false; ///< the card gave a stamp too, of a clock that is not the host's
};

/// Asks for SO_TIMESTAMPING. Returns why it was not granted, or nothing.
[[nodiscard]] std::string ask_time_stamps(int socket, TimeStamps wish);

/// The better of two stamps, 0 where there is none. The card's clock counts only where it goes with the
/// host's: by it a packet is in the card before the kernel has it, and not long before.
[[nodiscard]] ReceiveTime choose_stamp(std::int64_t kernel_ns, std::int64_t card_ns) noexcept;

/// The stamp that came with what recvmsg() read; source NONE where none did.
[[nodiscard]] ReceiveTime stamp_of(msghdr &message) noexcept;

/// Room for the control messages of one read.
inline constexpr std::size_t kStampBytes = 256;

/// "the network card", "the kernel", "this process".
[[nodiscard]] const char *in_words(shm::TimeSource source) noexcept;

} // namespace quietcore
