#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <string>

namespace quietcore {

/// Listens on a Unix socket for one-line requests and answers each with one line of JSON, now or later. On
/// the feed's loop: a request is rare, and what it asks for is of that thread.
class ControlServer {
public:
  /// Call it once; the connection then ends.
  using Reply = std::function<void(const std::string &line)>;
  using Handler = std::function<void(const std::string &request, Reply reply)>;

  /// Takes the place of a socket that a former feed left there; mode 0660, and the group's where it exists.
  /// Throws Error.
  ControlServer(boost::asio::io_context &loop, std::string path, const std::string &group, Handler handler);
  ControlServer(const ControlServer &) = delete;
  ControlServer &operator=(const ControlServer &) = delete;
  ~ControlServer();

private:
  void accept();

  std::string path_;
  Handler handler_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
};

} // namespace quietcore
