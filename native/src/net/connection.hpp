#pragma once

#include "quietcore/backoff.hpp"
#include "quietcore/diagnostics.hpp"
#include "quietcore/venue.hpp"
#include "quietcore/websocket_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace quietcore {

class Connection;

/// Who a connection reports to.
class ConnectionOwner {
public:
  ConnectionOwner() = default;
  ConnectionOwner(const ConnectionOwner &) = delete;
  ConnectionOwner &operator=(const ConnectionOwner &) = delete;
  virtual ~ConnectionOwner() = default;
  /// Open, and every subscription confirmed.
  virtual void connection_ready(Connection &connection) = 0;
  /// Was open and is no more. It will try again by itself.
  virtual void connection_lost(Connection &connection) = 0;
  virtual void connection_message(Connection &connection, std::string_view bytes,
                                  std::int64_t receive_ns) = 0;
};

/// One WebSocket connection kept up: subscribes, counts the confirmations, pings, and comes back after a
/// loss.
class Connection {
public:
  Connection(boost::asio::io_context &loop, Url server, ConnectionPlan plan, TlsTrust trust,
             std::optional<Venue::KeepAlive> keep_alive, ConnectionOwner &owner, Diagnostics &diagnostics,
             std::uint64_t seed);
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;
  ~Connection();

  /// Throws Error where the trust cannot be set up.
  void open();
  void close();
  void send(std::string text);
  void on_control(const ControlMessage &message);

  [[nodiscard]] bool ready() const noexcept { return ready_; }
  [[nodiscard]] const ConnectionPlan &plan() const noexcept { return plan_; }
  /// For messages: the server and the path without its query.
  [[nodiscard]] const std::string &name() const noexcept { return name_; }

private:
  void on_opened();
  void on_closed(const std::string &why);
  void retry();
  void arm_keep_alive();
  void arm_confirmation_deadline();

  boost::asio::io_context &loop_;
  Url server_;
  ConnectionPlan plan_;
  TlsTrust trust_;
  std::optional<Venue::KeepAlive> keep_alive_;
  ConnectionOwner &owner_;
  Diagnostics &diagnostics_;
  Backoff backoff_;
  std::string name_;
  std::shared_ptr<WebSocketClient> client_;
  boost::asio::steady_timer retry_timer_;
  boost::asio::steady_timer ping_timer_;
  boost::asio::steady_timer deadline_timer_;
  std::set<std::string, std::less<>> unconfirmed_; ///< ids of subscriptions without an answer
  bool was_open_ = false;
  bool ready_ = false;
};

} // namespace quietcore
