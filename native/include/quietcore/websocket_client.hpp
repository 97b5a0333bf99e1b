#pragma once

#include "quietcore/http_client.hpp"
#include "quietcore/refusal.hpp"
#include "quietcore/socket_settings.hpp"
#include "quietcore/url.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace boost::asio {
class io_context;
}

namespace quietcore {

/// What a connection tells its owner, on the loop's thread.
struct WebSocketEvents {
  std::function<void()> opened;
  /// Something asked of the kernel was not granted, in one line; the connection goes on.
  std::function<void(const std::string &what)> not_granted;
  /// What the kernel has granted, and who stamps the messages, one line each.
  std::function<void(const std::string &what)> settled;
  /// A complete text or binary message, followed by kMessagePadding readable bytes, and the time of the read
  /// that completed it.
  std::function<void(std::string_view bytes, const ReceiveTime &time)> message;
  /// The connection is over, or never came to be. Called once; not after close(). `refusal`: what the server
  /// answered instead of shaking hands; nullptr where it did not answer.
  std::function<void(const std::string &why, const Refusal *refusal)> closed;
};

/// How a connection is watched.
struct WebSocketOptions {
  /// After half of it without a frame a ping goes out; after the whole the connection is over.
  std::chrono::milliseconds idle_timeout{30'000};
  SocketConfig socket{};
};

/// One WebSocket connection, plain or TLS, without compression. Pings are answered. Runs on the loop it is
/// given.
class WebSocketClient {
public:
  WebSocketClient() = default;
  WebSocketClient(const WebSocketClient &) = delete;
  WebSocketClient &operator=(const WebSocketClient &) = delete;
  virtual ~WebSocketClient() = default;

  /// Sends a text message after those already waiting.
  virtual void send(std::string text) = 0;
  /// Ends the connection at once; no event follows.
  virtual void close() = 0;
};

/// Resolves, connects, verifies and shakes hands; then reads until the end.
[[nodiscard]] std::shared_ptr<WebSocketClient>
open_websocket(boost::asio::io_context &loop, const Url &server, const std::string &target,
               const TlsTrust &trust, const WebSocketOptions &options, WebSocketEvents events);

} // namespace quietcore
