#pragma once

#include "quietcore/segment_file.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace quietcore::multicast {

inline constexpr const char *kDefaultGroup = "239.255.0.1:9001";
inline constexpr const char *kDefaultSnapshots = "239.255.0.2:9002";
inline constexpr const char *kDefaultInterface = "127.0.0.1";
inline constexpr std::uint32_t kDefaultBuffer = 8U << 20U;

/// A multicast group and port, in host byte order.
struct Group {
  std::uint32_t address = 0;
  std::uint16_t port = 0;

  /// "239.255.0.1:9001". Throws Error naming `where` unless it is a group (224.0.0.0/4) and a port.
  [[nodiscard]] static Group parse(const std::string &text, const std::string &where);
  [[nodiscard]] std::string text() const;

  friend bool operator==(const Group &, const Group &) = default;
};

/// What is asked of a socket.
struct SocketWish {
  std::string interface = kDefaultInterface; ///< a name or an address of this host
  std::uint32_t buffer = kDefaultBuffer;     ///< bytes
  int ttl = 1;                               ///< hops, of what is sent
  bool loop = true;                          ///< what is sent is heard on this host too
};

/// Sends to one group.
class Sender {
public:
  /// Throws Error where the kernel refuses.
  Sender(const Group &group, const SocketWish &wish);

  /// Never waits: what finds no room is counted, and is a gap to its receivers.
  void send(std::span<const std::byte> packet) noexcept;
  [[nodiscard]] std::uint64_t failed() const noexcept { return failed_; }
  /// Why the last one failed.
  [[nodiscard]] int last_error() const noexcept { return last_error_; }
  /// What the kernel did not grant, for people; empty: nothing.
  [[nodiscard]] const std::string &not_granted() const noexcept { return not_granted_; }
  [[nodiscard]] std::uint32_t buffer() const noexcept { return buffer_; }

private:
  FileDescriptor socket_;
  std::string not_granted_{};
  std::uint32_t buffer_ = 0;
  std::uint64_t failed_ = 0;
  int last_error_ = 0;
};

/// A datagram, valid until the next; followed by kMessagePadding readable bytes.
struct Datagram {
  std::span<const std::byte> bytes{};
  std::int64_t receive_ns = 0; ///< UTC
  bool kernel_time = false;    ///< receive_ns is the kernel's, when the packet came in
  bool cut = false;            ///< it was longer than any packet may be
  std::uint32_t from = 0;      ///< sender, in host byte order
  std::uint16_t from_port = 0;
};

/// Receives from one group on one interface; any number of them may, on a host.
class Receiver {
public:
  /// Throws Error where the kernel refuses.
  Receiver(const Group &group, const SocketWish &wish);

  /// The next datagram; false where there is none. Does not wait.
  [[nodiscard]] bool receive(Datagram &datagram) noexcept;
  /// Datagrams that the kernel dropped for this socket: no room, or damaged. As of the last one received, or
  /// the last look().
  [[nodiscard]] std::uint64_t kernel_drops() const noexcept { return drops_; }
  /// Asks the kernel for its count now.
  void look() noexcept;
  /// Errors of the receive call itself.
  [[nodiscard]] std::uint64_t failed() const noexcept { return failed_; }
  [[nodiscard]] const std::string &not_granted() const noexcept { return not_granted_; }
  [[nodiscard]] std::uint32_t buffer() const noexcept { return buffer_; }
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] const Group &group() const noexcept { return group_; }

private:
  void saw_drops(std::uint32_t count) noexcept;

  Group group_;
  FileDescriptor socket_;
  std::vector<std::byte> bytes_;
  std::string not_granted_{};
  std::uint32_t buffer_ = 0;
  std::uint32_t last_drops_ = 0; ///< the kernel's count, which wraps
  std::uint64_t drops_ = 0;
  std::uint64_t failed_ = 0;
};

/// Waits until one of the receivers has something, a signal comes, or the time is over.
void wait_for_any(std::span<Receiver *const> receivers, std::int64_t nanoseconds) noexcept;

} // namespace quietcore::multicast
