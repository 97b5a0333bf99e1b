#pragma once

#include "quietcore/http_client.hpp"
#include "quietcore/url.hpp"

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
  /// A complete text or binary message, followed by kMessagePadding readable bytes; the time is taken right
  /// after the read returned.
  std::function<void(std::string_view bytes, std::int64_t receive_ns)> message;
  /// The connection is over, or never came to be. Called once; not after close().
  std::function<void(const std::string &why)> closed;
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
[[nodiscard]] std::shared_ptr<WebSocketClient> open_websocket(boost::asio::io_context &loop,
                                                              const Url &server, const std::string &target,
                                                              const TlsTrust &trust, WebSocketEvents events);

} // namespace quietcore
