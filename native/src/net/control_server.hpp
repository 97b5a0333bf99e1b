#pragma once

#include "quietcore/error.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

namespace quietcore {

/// Listens on a Unix socket for one-line requests and answers each with one line of JSON, now or later. On
/// the feed's loop: a request is rare, and what it asks for is of that thread. Where the kernel has no
/// descriptor or memory for another client, clients wait and the feed goes on; it is tried again every
/// second.
class ControlServer {
public:
  /// Call it once; the connection then ends.
  using Reply = std::function<void(const std::string &line)>;
  using Handler = std::function<void(const std::string &request, Reply reply)>;
  using Report = std::function<void(const Finding &finding)>;

  /// Takes the place of a socket that a former feed left there; mode 0660, and the group's where it exists.
  /// Throws Error.
  ControlServer(boost::asio::io_context &loop, std::string path, const std::string &group, Handler handler,
                Report report);
  ControlServer(const ControlServer &) = delete;
  ControlServer &operator=(const ControlServer &) = delete;
  ~ControlServer();

  /// Takes no further clients; those that wait for an answer still get it.
  void stop_accepting();

private:
  void accept();

  std::string path_;
  Handler handler_;
  Report report_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  std::shared_ptr<std::size_t> clients_ = std::make_shared<std::size_t>(0); ///< now connected
};

} // namespace quietcore
