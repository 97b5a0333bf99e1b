#include "quietcore/time_stamps.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <linux/net_tstamp.h>

namespace quietcore {
namespace {

/// The host's clock and the card's are kept together to some microseconds where they are.
constexpr std::int64_t kMostAhead = 100'000;
/// A packet may wait in the card for its interrupt, and then for a busy kernel.
constexpr std::int64_t kMostBehind = 10'000'000;

/// Documentation/networking/timestamping.rst: software, nothing, raw hardware.
using Stamps = std::array<timespec, 3>;

std::int64_t nanoseconds(const timespec &time) noexcept {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

} // namespace

std::string ask_time_stamps(int socket, TimeStamps wish) {
  if (wish == TimeStamps::None)
    return {};
  unsigned flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
  if (wish == TimeStamps::Best)
    flags |= SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
  if (::setsockopt(socket, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)) == 0)
    return {};
  return "time stamps (SO_TIMESTAMPING): " + std::string(std::strerror(errno)) +
         "; remedy: a kernel with network time-stamping, or socket.time_stamps = \"none\"";
}

ReceiveTime choose_stamp(std::int64_t kernel_ns, std::int64_t card_ns) noexcept {
  ReceiveTime time{kernel_ns, kernel_ns != 0 ? shm::TimeSource::KERNEL : shm::TimeSource::NONE};
  if (card_ns == 0)
    return time;
  const std::int64_t behind = kernel_ns - card_ns;
  // Without the kernel's there is nothing to judge the card's by.
  time.card_disagrees = kernel_ns == 0 || behind < -kMostAhead || behind > kMostBehind;
  if (!time.card_disagrees) {
    time.ns = card_ns;
    time.source = shm::TimeSource::HARDWARE;
  }
  return time;
}

ReceiveTime stamp_of(msghdr &message) noexcept {
  for (cmsghdr *part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPING ||
        part->cmsg_len < CMSG_LEN(sizeof(Stamps)))
      continue;
    Stamps stamps;
    std::memcpy(&stamps, CMSG_DATA(part), sizeof(stamps));
    return choose_stamp(nanoseconds(stamps[0]), nanoseconds(stamps[2]));
  }
  return {};
}

const char *in_words(shm::TimeSource source) noexcept {
  switch (source) {
  case shm::TimeSource::HARDWARE:
    return "the network card";
  case shm::TimeSource::KERNEL:
    return "the kernel";
  default:
    return "this process";
  }
}

} // namespace quietcore
