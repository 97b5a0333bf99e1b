#pragma once

#include "quietcore/backoff.hpp"
#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_config.hpp"
#include "quietcore/host_pauses.hpp"
#include "quietcore/try_budget.hpp"
#include "quietcore/venue.hpp"
#include "quietcore/websocket_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace quietcore {

class Connection;

/// Who a connection reports to.
class ConnectionOwner {
public:
  ConnectionOwner() = default;
  ConnectionOwner(const ConnectionOwner &) = delete;
  ConnectionOwner &operator=(const ConnectionOwner &) = delete;
  virtual ~ConnectionOwner() = default;
  /// Open, every subscription answered, and at least one of them confirmed.
  virtual void connection_ready(Connection &connection) = 0;
  /// Was open and is no more. It will try again by itself.
  virtual void connection_lost(Connection &connection) = 0;
  virtual void connection_message(Connection &connection, std::string_view bytes,
                                  const ReceiveTime &time) = 0;
  /// The venue takes all but this topic.
  virtual void topic_refused(Connection &connection, const std::string &topic) = 0;
};

/// What all connections of a feed share.
struct ConnectionContext {
  boost::asio::io_context &loop;
  const Venue &venue;
  const ConnectionConfig &config;
  const SocketConfig &socket;
  Diagnostics &diagnostics;
  TryBudget &tries;
  HostPauses &pauses; ///< shared with everything that is asked of the same servers
};

/// One WebSocket connection kept up: subscribes, counts the confirmations, pings, and comes back after a
/// loss. Of a batch that the venue refuses it finds the topics that are to blame, and goes on without them.
class Connection {
public:
  Connection(const ConnectionContext &context, Url server, ConnectionPlan plan, TlsTrust trust,
             ConnectionOwner &owner, std::uint64_t seed);
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;
  ~Connection();

  /// Begins, as soon as the server may be asked. Throws Error where the trust cannot be set up.
  void open();
  void close();
  /// Ends what there is and begins again, by the rules of a loss.
  void restart(const std::string &why);
  /// Sends after what waits already, no faster than the venue allows.
  void send(std::string text);
  void on_control(const ControlMessage &message);

  [[nodiscard]] bool ready() const noexcept { return ready_; }
  [[nodiscard]] const ConnectionPlan &plan() const noexcept { return plan_; }
  /// For messages: the server and the path without its query, kept by the diagnostics.
  [[nodiscard]] const char *name() const noexcept { return name_; }
  /// Why the last try or connection ended; empty where there was none.
  [[nodiscard]] const std::string &last_trouble() const noexcept { return last_trouble_; }

private:
  void on_opened();
  /// What every new try would say again.
  void say_once(const std::string &what);
  void on_closed(const std::string &why, const Refusal *refusal);
  void retry_after(std::chrono::milliseconds wait);
  void subscribe(std::vector<std::string> topics);
  void check_ready();
  void send_next();
  void arm_keep_alive();
  void arm_confirmation_deadline();
  void stop_timers();

  ConnectionContext context_;
  Url server_;
  ConnectionPlan plan_;
  TlsTrust trust_;
  std::optional<Venue::KeepAlive> keep_alive_;
  VenueLimits limits_;
  ConnectionOwner &owner_;
  Backoff backoff_;
  const char *name_;
  std::string last_trouble_;
  std::set<std::string> said_;
  std::shared_ptr<WebSocketClient> client_;
  boost::asio::steady_timer retry_timer_;
  boost::asio::steady_timer ping_timer_;
  boost::asio::steady_timer deadline_timer_;
  boost::asio::steady_timer send_timer_;
  std::deque<std::string> outbox_; ///< waits for its turn
  bool sending_ = false;           ///< the send timer runs
  std::map<std::string, std::vector<std::string>, std::less<>>
      unconfirmed_; ///< topics by number of the request
  std::uint64_t next_request_ = 1;
  std::size_t confirmed_ = 0; ///< requests
  bool was_open_ = false;
  bool ready_ = false;
};

} // namespace quietcore
