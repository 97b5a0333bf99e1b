#include "control_server.hpp"

#include "quietcore/control_request.hpp"
#include "quietcore/error.hpp"
#include "quietcore/json_writer.hpp"

#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <grp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace quietcore {
namespace {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using boost::system::error_code;

/// A client that is silent for longer holds a descriptor for nothing.
constexpr std::chrono::seconds kRequestWithin{10};
constexpr std::chrono::seconds kAcceptAgain{1};
constexpr std::size_t kMostClients = 64;

/// One client: a line in, a line out.
class Session : public std::enable_shared_from_this<Session> {
public:
  Session(stream_protocol::socket socket, std::shared_ptr<std::size_t> clients)
      : socket_(std::move(socket)), deadline_(socket_.get_executor()), clients_(std::move(clients)) {
    ++*clients_;
  }
  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;
  ~Session() { --*clients_; }

  void start(const ControlServer::Handler &handler) {
    deadline_.expires_after(kRequestWithin);
    deadline_.async_wait([weak = weak_from_this()](error_code error) {
      if (const auto self = weak.lock(); self && !error)
        self->end();
    });
    asio::async_read_until(
        socket_, asio::dynamic_buffer(text_, kLongestControlRequest), '\n',
        [self = shared_from_this(), &handler](error_code error, std::size_t size) {
          self->deadline_.cancel();
          if (error == asio::error::not_found) // no line feed in as much as there may be
            self->answer(JsonWriter()
                             .open()
                             .member("ok", false)
                             .member("problem", "a request longer than " +
                                                    std::to_string(kLongestControlRequest) + " bytes")
                             .close()
                             .text());
          else if (!error)
            handler(self->text_.substr(0, size - 1), [self](const std::string &line) { self->answer(line); });
        });
  }

private:
  void answer(const std::string &line) {
    text_ = line + "\n";
    asio::async_write(socket_, asio::buffer(text_),
                      [self = shared_from_this()](error_code, std::size_t) { self->end(); });
  }

  void end() {
    error_code ignored;
    socket_.close(ignored);
  }

  stream_protocol::socket socket_;
  asio::steady_timer deadline_;
  std::shared_ptr<std::size_t> clients_;
  std::string text_;
};

[[noreturn]] void refuse(const std::string &path, const std::string &why) {
  throw Error({.what = "control socket not usable",
               .where = path,
               .found = why,
               .expected = "a path in a folder that this user may write to",
               .remedy = "correct control (--control), or leave it out"});
}

} // namespace

ControlServer::ControlServer(asio::io_context &loop, std::string path, const std::string &group,
                             Handler handler, Report report)
    : path_(std::move(path)), handler_(std::move(handler)), report_(std::move(report)), acceptor_(loop),
      pause_(loop) {
  if (path_.size() >= sizeof(sockaddr_un::sun_path))
    refuse(path_, "a path longer than a socket's may be");
  struct stat info{};
  if (lstat(path_.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode))
      refuse(path_, "something that is no socket");
    (void)unlink(path_.c_str()); // the feed's lock says that nobody serves it
  }
  error_code error;
  acceptor_.open(stream_protocol(), error);
  // Never wider than it shall be, not even for a moment.
  const mode_t before = umask(0117);
  if (!error)
    acceptor_.bind(stream_protocol::endpoint(path_), error);
  umask(before);
  if (!error)
    acceptor_.listen(8, error);
  if (error)
    refuse(path_, error.message());
  if (const struct ::group *entry = getgrnam(group.c_str()); entry != nullptr)
    (void)!chown(path_.c_str(), static_cast<uid_t>(-1), entry->gr_gid);
  accept();
}

ControlServer::~ControlServer() { (void)unlink(path_.c_str()); }

void ControlServer::stop_accepting() {
  pause_.cancel();
  error_code ignored;
  acceptor_.close(ignored);
}

void ControlServer::accept() {
  acceptor_.async_accept([this](error_code error, stream_protocol::socket socket) {
    if (error == asio::error::operation_aborted)
      return;
    if (!error && *clients_ < kMostClients)
      std::make_shared<Session>(std::move(socket), clients_)->start(handler_);
    if (!error || error == asio::error::connection_aborted || error == asio::error::interrupted) {
      accept();
      return;
    }
    // No descriptor or no memory (EMFILE, ENFILE, ENOBUFS, ENOMEM): the client still waits, and at once it
    // would be the same again, for ever.
    report_({.what = "control socket takes no clients",
             .where = path_,
             .found = error.message(),
             .remedy = "raise the limit of open files (LimitNOFILE=), or free some; it is tried again every "
                       "second, and the feed goes on"});
    pause_.expires_after(kAcceptAgain);
    pause_.async_wait([this](error_code cancelled) {
      if (!cancelled)
        accept();
    });
  });
}

} // namespace quietcore
