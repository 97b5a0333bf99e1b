#include "commands.hpp"

#include "quietcore/command_line.hpp"
#include "quietcore/json_writer.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <simdjson.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace quietcore {
namespace {

constexpr std::array<OptionSpec, 4> kOptions{{
    {"--feed", "NAME", "the feed; its socket is /run/quietcore-feed-NAME/control"},
    {"--socket", "PATH", "the feed's control socket, where it is another"},
    {"--leg", "a|b", "which connections to switch, where the feed has two endpoints (default a)"},
    {"--json", "", "print the feed's answer as it is"},
}};

constexpr int kStatusWithin = 10; ///< seconds

class Socket {
public:
  explicit Socket(int fd) noexcept : fd_(fd) {}
  Socket(const Socket &) = delete;
  Socket &operator=(const Socket &) = delete;
  ~Socket() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

private:
  int fd_;
};

/// Sends one line and returns the line that comes back. Throws Error.
std::string ask(const std::string &path, const std::string &request) {
  const auto refuse = [&](const std::string &what) {
    return Error({.what = what,
                  .where = path,
                  .found = std::strerror(errno),
                  .remedy = "check that the feed runs, has a control socket, and that you are in its group"},
                 ExitCode::Unknown);
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    throw Error({.what = "socket path too long", .where = path});
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0)
    throw refuse("no socket");
  // A feed without a descriptor left takes no clients; a switch takes as long as it is configured to.
  const timeval patience{request == "status" ? kStatusWithin : 0, 0};
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof(address)) != 0)
    throw refuse("no feed to ask");
  const std::string line = request + "\n";
  if (::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    throw refuse("the feed took no request");
  std::string answer;
  std::array<char, 4096> chunk{};
  ssize_t got = 0;
  while ((got = ::recv(socket.get(), chunk.data(), chunk.size(), 0)) > 0)
    answer.append(chunk.data(), static_cast<std::size_t>(got));
  if (answer.empty() || answer.back() != '\n') {
    if (got == 0)
      errno = ECONNRESET;
    throw refuse(got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? "the feed gave no answer within 10 s"
                                                                      : "the feed gave no answer");
  }
  answer.pop_back();
  return answer;
}

/// One line for people; false where the feed says no.
bool show(const std::string &answer, bool as_json) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  bool ok = false;
  if (parser.parse(answer).get(root) != simdjson::SUCCESS || root["ok"].get(ok) != simdjson::SUCCESS)
    throw Error({.what = "answer not understood", .found = answer.substr(0, 200)}, ExitCode::Unknown);
  if (as_json) {
    std::cout << answer << std::endl;
    return ok;
  }
  const auto text = [](simdjson::dom::element item, const char *key) {
    simdjson::dom::element value;
    return item[key].get(value) == simdjson::SUCCESS ? simdjson::to_string(value) : std::string();
  };
  if (!ok) {
    std::cout << text(root, "problem") << std::endl;
    return false;
  }
  simdjson::dom::array legs;
  simdjson::dom::object counts;
  const bool status = root["statistics"].get(counts) == simdjson::SUCCESS;
  if (!status) {
    std::cout << "switched from " << text(root, "from") << " to " << text(root, "to") << " in "
              << text(root, "milliseconds") << " ms" << std::endl;
    return true;
  }
  std::cout << "feed " << text(root, "feed") << " of " << text(root, "venue") << ": "
            << text(root, "books_live") << " of " << text(root, "symbols") << " books live\n";
  if (root["legs"].get(legs) != simdjson::SUCCESS)
    std::cout << "  " << text(root, "source") << " over " << text(root, "group") << " on "
              << text(root, "interface") << ", snapshots over " << text(root, "snapshots") << ", silent "
              << text(root, "silent") << "\n";
  for (const simdjson::dom::element leg : legs)
    std::cout << "  " << text(leg, "websocket") << ": " << text(leg, "ready") << " of "
              << text(leg, "connections") << " connections ready, " << text(leg, "books_live")
              << " books live, last trouble " << text(leg, "last_trouble") << "\n";
  for (const auto &[key, value] : counts)
    std::cout << "  " << key << " " << simdjson::to_string(value) << "\n";
  std::cout << std::flush;
  return true;
}

} // namespace

constexpr CommandSpec kControlCommand{
    "control",
    "Asks a running feed, or changes it: `status`; `switch WEBSOCKET [REST]` goes over to another host "
    "without a gap:\n"
    "the new connections are made and have every book before the old ones are closed.",
    "status | switch WEBSOCKET [REST] …",
    "what to do",
    kOptions,
    "exit status: 0 done; 1 the feed could not do it, and goes on as before; 2 wrong usage; 3 no feed "
    "answers"};

ExitCode control_command(Arguments arguments) {
  const CommandLine line(kControlCommand, arguments);
  if (line.help()) {
    std::cout << help_text(kControlCommand);
    return ExitCode::Ok;
  }
  std::string path = line.text("--socket").value_or("");
  if (path.empty())
    path = "/run/quietcore-feed-" + line.required("--feed") + "/control";
  const std::string leg = line.text("--leg").value_or("a");
  const std::vector<std::string> &words = line.positionals();
  std::string request;
  if (words.size() == 1 && words[0] == "status") {
    request = "status";
  } else if ((words.size() == 2 || words.size() == 3) && words[0] == "switch" && (leg == "a" || leg == "b")) {
    request = "switch " + leg + " " + words[1] + (words.size() == 3 ? " " + words[2] : "");
  } else {
    throw Error({.what = "request not usable",
                 .found = words.empty() ? "none" : words[0],
                 .expected = "status, or switch WEBSOCKET [REST], with --leg a or b",
                 .remedy = "see quietcore-feed control --help"});
  }
  return show(ask(path, request), line.has("--json")) ? ExitCode::Ok : ExitCode::Found;
}

} // namespace quietcore
