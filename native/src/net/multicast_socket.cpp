#include "quietcore/multicast_socket.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/error.hpp"
#include "quietcore/market_message.hpp"
#include "quietcore/multicast_packet.hpp"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ifaddrs.h>
#include <linux/sock_diag.h>
#include <memory>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace quietcore::multicast {
namespace {

Error refused(const std::string &what, const std::string &where, const std::string &remedy) {
  return Error({.what = what, .where = where, .found = std::strerror(errno), .remedy = remedy});
}

template <typename Value>
void must_set(int fd, int level, int option, const Value &value, const char *what, const std::string &where) {
  if (::setsockopt(fd, level, option, &value, sizeof(value)) != 0)
    throw refused(std::string(what) + " refused", where,
                  "check the group and the interface, and that the kernel has multicast");
}

/// The interface's number, by its name or one of its addresses.
int interface_number(const std::string &text) {
  if (const unsigned number = if_nametoindex(text.c_str()); number != 0)
    return static_cast<int>(number);
  in_addr wanted{};
  ifaddrs *list = nullptr;
  int number = 0;
  if (::inet_pton(AF_INET, text.c_str(), &wanted) == 1 && ::getifaddrs(&list) == 0) {
    for (const ifaddrs *each = list; each != nullptr && number == 0; each = each->ifa_next) {
      if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET)
        continue;
      const auto *address = reinterpret_cast<const sockaddr_in *>(each->ifa_addr);
      if (address->sin_addr.s_addr == wanted.s_addr)
        number = static_cast<int>(if_nametoindex(each->ifa_name));
    }
    ::freeifaddrs(list);
  }
  if (number == 0)
    throw Error({.what = "no such interface",
                 .where = "interface",
                 .found = "\"" + text + "\"",
                 .expected = "the name or an IPv4 address of one of this host's interfaces",
                 .remedy = "see ip -4 address"});
  return number;
}

FileDescriptor open_socket(const std::string &where) {
  FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket)
    throw refused("no socket", where, "raise the limit of open files");
  return socket;
}

sockaddr_in address_of(const Group &group) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(group.port);
  address.sin_addr.s_addr = htonl(group.address);
  return address;
}

/// Sets a buffer's size and reads it back; says where it is smaller.
std::uint32_t set_buffer(int fd, int option, int forced, std::uint32_t bytes, const char *what,
                         const char *limit, std::string &not_granted) {
  const int wanted = static_cast<int>(bytes);
  if (::setsockopt(fd, SOL_SOCKET, forced, &wanted, sizeof(wanted)) != 0) // needs CAP_NET_ADMIN
    (void)::setsockopt(fd, SOL_SOCKET, option, &wanted, sizeof(wanted));
  int got = 0;
  socklen_t size = sizeof(got);
  (void)::getsockopt(fd, SOL_SOCKET, option, &got, &size);
  // The kernel doubles what it is given, for its own overhead, and reports that.
  const auto granted = static_cast<std::uint32_t>(got / 2);
  if (granted < bytes)
    not_granted = std::string(what) + " buffer of " + std::to_string(bytes) + " bytes: got " +
                  std::to_string(granted) + "; remedy: raise net.core." + limit +
                  ", or give the service CAP_NET_ADMIN";
  return granted;
}

} // namespace

Group Group::parse(const std::string &text, const std::string &where) {
  const std::size_t colon = text.rfind(':');
  in_addr address{};
  unsigned port = 0;
  bool good = false;
  if (colon != std::string::npos && ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address) == 1) {
    const char *end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data() + colon + 1, end, port);
    good = error == std::errc() && at == end && port >= 1 && port <= 65535 &&
           IN_MULTICAST(ntohl(address.s_addr));
  }
  if (!good)
    throw Error({.what = "multicast group not usable",
                 .where = where,
                 .found = "\"" + text + "\"",
                 .expected = "GROUP:PORT with a group of 224.0.0.0 to 239.255.255.255, as " +
                             std::string(kDefaultGroup)});
  return {ntohl(address.s_addr), static_cast<std::uint16_t>(port)};
}

std::string Group::text() const {
  std::array<char, INET_ADDRSTRLEN> out{};
  const in_addr network{htonl(address)};
  return std::string(::inet_ntop(AF_INET, &network, out.data(), out.size())) + ":" + std::to_string(port);
}

Sender::Sender(const Group &group, const SocketWish &wish) : socket_(open_socket(group.text())) {
  const std::string where = group.text() + " on " + wish.interface;
  ip_mreqn through{};
  through.imr_ifindex = interface_number(wish.interface);
  must_set(socket_.get(), IPPROTO_IP, IP_MULTICAST_IF, through, "interface", where);
  must_set(socket_.get(), IPPROTO_IP, IP_MULTICAST_TTL, wish.ttl, "TTL", where);
  must_set(socket_.get(), IPPROTO_IP, IP_MULTICAST_LOOP, wish.loop ? 1 : 0, "loop", where);
  buffer_ =
      set_buffer(socket_.get(), SO_SNDBUF, SO_SNDBUFFORCE, wish.buffer, "send", "wmem_max", not_granted_);
  const sockaddr_in to = address_of(group);
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr *>(&to), sizeof(to)) != 0)
    throw refused("no way to the group", where, "give the interface an address and a route for multicast");
}

void Sender::send(std::span<const std::byte> packet) noexcept {
  if (::send(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
    return;
  ++failed_;
  last_error_ = errno;
}

Receiver::Receiver(const Group &group, const SocketWish &wish)
    : group_(group), socket_(open_socket(group.text())), bytes_(kLargestRead + kMessagePadding) {
  const std::string where = group.text() + " on " + wish.interface;
  const int fd = socket_.get();
  must_set(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR", where);
  must_set(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT", where);
  must_set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1, "SO_RXQ_OVFL", where);
  must_set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS", where);
  // Only what this socket joined, whatever others on the host listen to.
  must_set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0, "IP_MULTICAST_ALL", where);
  buffer_ = set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, wish.buffer, "receive", "rmem_max", not_granted_);
  const sockaddr_in at = address_of(group);
  if (::bind(fd, reinterpret_cast<const sockaddr *>(&at), sizeof(at)) != 0)
    throw refused("the port cannot be had", where,
                  "end whoever holds it without sharing (SO_REUSEADDR, SO_REUSEPORT), or take another");
  ip_mreqn join{};
  join.imr_multiaddr = at.sin_addr;
  join.imr_ifindex = interface_number(wish.interface);
  must_set(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, join, "joining the group", where);
}

void Receiver::saw_drops(std::uint32_t count) noexcept {
  // What comes with a datagram may be older than what look() saw.
  const auto more = static_cast<std::int32_t>(count - last_drops_);
  if (more <= 0)
    return;
  drops_ += static_cast<std::uint32_t>(more);
  last_drops_ = count;
}

bool Receiver::receive(Datagram &datagram) noexcept {
  iovec into{bytes_.data(), kLargestRead};
  sockaddr_in from{};
  alignas(cmsghdr) std::array<char, 256> control{};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof(from);
  message.msg_iov = &into;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
  if (got < 0) {
    const int error = errno;
    failed_ += error == EAGAIN || error == EWOULDBLOCK || error == EINTR ? 0U : 1U;
    // No memory for it: the datagram stays, whoever waits for it would be woken at once, and fail again.
    if (error == ENOMEM || error == ENOBUFS)
      (void)::usleep(1000);
    return false;
  }
  datagram.kernel_time = false;
  for (cmsghdr *part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET)
      continue;
    if (part->cmsg_type == SO_RXQ_OVFL) {
      std::uint32_t count = 0;
      std::memcpy(&count, CMSG_DATA(part), sizeof(count));
      saw_drops(count);
    } else if (part->cmsg_type == SCM_TIMESTAMPNS) {
      timespec time{};
      std::memcpy(&time, CMSG_DATA(part), sizeof(time));
      datagram.receive_ns = static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
      datagram.kernel_time = true;
    }
  }
  if (!datagram.kernel_time)
    datagram.receive_ns = realtime_ns();
  datagram.bytes = std::span(bytes_).first(static_cast<std::size_t>(got));
  datagram.cut = (message.msg_flags & MSG_TRUNC) != 0;
  datagram.from = ntohl(from.sin_addr.s_addr);
  datagram.from_port = ntohs(from.sin_port);
  return true;
}

void Receiver::look() noexcept {
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t size = sizeof(info);
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_MEMINFO, info.data(), &size) == 0 &&
      size > SK_MEMINFO_DROPS * sizeof(std::uint32_t))
    saw_drops(info[SK_MEMINFO_DROPS]);
}

void wait_for_any(std::span<Receiver *const> receivers, std::int64_t nanoseconds) noexcept {
  std::array<pollfd, 4> sets{};
  const std::size_t count = std::min(receivers.size(), sets.size());
  for (std::size_t i = 0; i < count; ++i)
    sets[i] = {receivers[i]->fd(), POLLIN, 0};
  const timespec time{static_cast<time_t>(nanoseconds / 1'000'000'000),
                      static_cast<long>(nanoseconds % 1'000'000'000)};
  (void)::ppoll(sets.data(), static_cast<nfds_t>(count), &time, nullptr);
}

} // namespace quietcore::multicast
