#pragma once

#include "quietcore/time_stamps.hpp"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/websocket/teardown.hpp>
#include <cerrno>
#include <cstddef>
#include <sys/socket.h>
#include <utility>

namespace quietcore {

/// A TCP stream whose reads keep the time stamp that the kernel gives with the bytes, and make one receive
/// call each: Asio's own throw the stamp away, and try once before they wait. Until this is switched on reads
/// are those of the base, with its time limits; after that the WebSocket layer watches the time.
class StampedStream : public boost::beast::tcp_stream {
public:
  using boost::beast::tcp_stream::tcp_stream;
  using error_code = boost::system::error_code;

  void keep_stamps() noexcept { stamping_ = true; }
  /// Of the last read that brought bytes.
  [[nodiscard]] const ReceiveTime &received() const noexcept { return received_; }

  template <typename Buffers, typename Handler>
  auto async_read_some(const Buffers &buffers, Handler &&handler) {
    if (!stamping_)
      return boost::beast::tcp_stream::async_read_some(buffers, std::forward<Handler>(handler));
    return boost::asio::async_compose<Handler, void(error_code, std::size_t)>(Read<Buffers>{*this, buffers},
                                                                              handler, *this);
  }

  // How the WebSocket layer ends a stream that it does not know.
  friend void teardown(boost::beast::role_type role, StampedStream &stream, error_code &error) {
    using boost::beast::websocket::teardown;
    teardown(role, stream.socket(), error);
  }
  template <typename Handler>
  friend void async_teardown(boost::beast::role_type role, StampedStream &stream, Handler &&handler) {
    using boost::beast::websocket::async_teardown;
    async_teardown(role, stream.socket(), std::forward<Handler>(handler));
  }

private:
  template <typename Buffers> struct Read {
    StampedStream &stream;
    Buffers buffers;
    bool waited = false;

    template <typename Self> void operator()(Self &self, error_code error = {}) {
      if (error) {
        self.complete(error, 0);
        return;
      }
      // TLS asks for no bytes where it has some in hand and wants its handler called: wait for none.
      if (boost::asio::buffer_size(buffers) == 0) {
        boost::asio::post(stream.get_executor(),
                          [held = std::move(self)]() mutable { held.complete({}, 0); });
        return;
      }
      // After a read that left nothing behind there is nothing to try: wait first, then read once.
      if (waited || stream.more_) {
        const std::size_t size = stream.receive(buffers, error);
        if (error != boost::asio::error::would_block) {
          if (waited)
            self.complete(error, size);
          else // never from within the call that began it
            boost::asio::post(stream.get_executor(), [held = std::move(self), error, size]() mutable {
              held.complete(error, size);
            });
          return;
        }
      }
      waited = true;
      StampedStream &its = stream;
      its.socket().async_wait(boost::asio::socket_base::wait_read, std::move(self));
    }
  };

  template <typename Buffers> std::size_t receive(const Buffers &buffers, error_code &error) noexcept {
    std::array<iovec, 8> parts{};
    std::size_t count = 0;
    std::size_t room = 0;
    for (auto at = boost::asio::buffer_sequence_begin(buffers);
         at != boost::asio::buffer_sequence_end(buffers) && count < parts.size(); ++at) {
      const boost::asio::mutable_buffer part(*at);
      parts[count++] = {part.data(), part.size()};
      room += part.size();
    }
    alignas(cmsghdr) std::array<std::byte, kStampBytes> control;
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t size = 0;
    do
      size = ::recvmsg(socket().native_handle(), &message, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    error = {};
    if (size > 0) {
      more_ = static_cast<std::size_t>(size) == room;
      received_ = stamp_of(message);
      return static_cast<std::size_t>(size);
    }
    more_ = false;
    if (size == 0 && room != 0)
      error = boost::asio::error::eof;
    else if (size < 0)
      error = errno == EAGAIN || errno == EWOULDBLOCK ? error_code(boost::asio::error::would_block)
                                                      : error_code(errno, boost::system::system_category());
    return 0;
  }

  bool stamping_ = false;
  bool more_ = true; ///< the last read filled its buffer: there may be more
  ReceiveTime received_{};
};

} // namespace quietcore
