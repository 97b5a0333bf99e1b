#include "control_server.hpp"

#include "quietcore/error.hpp"

#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
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

constexpr std::size_t kLongestRequest = 4096;

/// One client: a line in, a line out.
class Session : public std::enable_shared_from_this<Session> {
public:
  explicit Session(stream_protocol::socket socket) : socket_(std::move(socket)) {}

  void start(const ControlServer::Handler &handler) {
    asio::async_read_until(socket_, asio::dynamic_buffer(text_, kLongestRequest), '\n',
                           [self = shared_from_this(), &handler](error_code error, std::size_t size) {
                             if (error)
                               return;
                             handler(self->text_.substr(0, size - 1),
                                     [self](const std::string &line) { self->answer(line); });
                           });
  }

private:
  void answer(const std::string &line) {
    text_ = line + "\n";
    asio::async_write(socket_, asio::buffer(text_), [self = shared_from_this()](error_code, std::size_t) {
      error_code ignored;
      self->socket_.close(ignored);
    });
  }

  stream_protocol::socket socket_;
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
                             Handler handler)
    : path_(std::move(path)), handler_(std::move(handler)), acceptor_(loop) {
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

void ControlServer::accept() {
  acceptor_.async_accept([this](error_code error, stream_protocol::socket socket) {
    if (error == asio::error::operation_aborted)
      return;
    if (!error)
      std::make_shared<Session>(std::move(socket))->start(handler_);
    accept();
  });
}

} // namespace quietcore
