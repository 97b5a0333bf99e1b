#include "feed_process.hpp"

#include "messages.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <poll.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace quietcore::bench {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr int kPatienceMs = 10'000;

/// The next connection, or an error where none comes.
tcp::socket accept_within(tcp::acceptor &listener) {
  pollfd ready{listener.native_handle(), POLLIN, 0};
  if (poll(&ready, 1, kPatienceMs) != 1)
    throw std::runtime_error("the feed handler does not connect; see what it says above");
  tcp::socket socket = listener.accept();
  const timeval patience{kPatienceMs / 1000, 0};
  (void)setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  socket.set_option(tcp::no_delay(true));
  return socket;
}

std::string instruments_answer(const Instrument &instrument) {
  return R"({"retCode":0,"result":{"list":[{"symbol":")" + instrument.name +
         R"(","status":"Trading","priceFilter":{"tickSize":")" + decimal_text(1, instrument.tick.exponent) +
         R"("},"lotSizeFilter":{"qtyStep":")" + decimal_text(1, instrument.lot.exponent) +
         R"("}}],"nextPageCursor":""}})";
}

/// Serves REST until the stream is asked for; returns it subscribed.
tcp::socket serve(tcp::acceptor &listener, const Instrument &instrument) {
  for (;;) {
    tcp::socket socket = accept_within(listener);
    beast::flat_buffer buffer;
    http::request<http::string_body> request;
    http::read(socket, buffer, request);
    if (!beast::websocket::is_upgrade(request)) {
      http::response<http::string_body> answer(http::status::ok, 11);
      answer.body() = instruments_answer(instrument);
      answer.keep_alive(false);
      answer.prepare_payload();
      http::write(socket, answer);
      continue;
    }
    beast::websocket::stream<tcp::socket &> stream(socket);
    stream.accept(request);
    beast::flat_buffer received;
    stream.read(received);
    const std::string subscription = beast::buffers_to_string(received.data());
    constexpr std::string_view kNumber = "\"req_id\":\"";
    const std::size_t at = subscription.find(kNumber);
    if (at == std::string::npos)
      throw std::runtime_error("the feed handler did not subscribe but said " + subscription);
    const std::size_t begin = at + kNumber.size();
    const std::string number = subscription.substr(begin, subscription.find('"', begin) - begin);
    stream.text(true);
    stream.write(
        asio::buffer(R"({"success":true,"ret_msg":"","op":"subscribe","req_id":")" + number + "\"}"));
    return socket;
  }
}

} // namespace

FeedProcess::FeedProcess(int cpu, std::uint32_t depth, const Instrument &instrument)
    : feed_("bench-wire-" + std::to_string(getpid())) {
  asio::io_context loop;
  tcp::acceptor listener(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  start(cpu, depth, instrument.name, listener.local_endpoint().port());
  try {
    stream_ = FileDescriptor(serve(listener, instrument).release());
    mapping_ = map_segment_for_reading(feed_, {});
  } catch (...) {
    end();
    throw;
  }
}

FeedProcess::~FeedProcess() { end(); }

void FeedProcess::stop() {
  int status = 0;
  (void)kill(process_, SIGSTOP);
  if (waitpid(process_, &status, WUNTRACED) != process_ || !WIFSTOPPED(status)) {
    process_ = -1;
    throw std::runtime_error("the feed handler has ended; see what it says above");
  }
}

void FeedProcess::go_on() { (void)kill(process_, SIGCONT); }

void FeedProcess::start(int cpu, std::uint32_t depth, const std::string &symbol, int port) {
  const std::string address = "://127.0.0.1:" + std::to_string(port);
  std::vector<std::string> words{
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "quietcore-feed", "run"};
  for (const auto &[option, value] :
       std::initializer_list<std::pair<const char *, std::string>>{{"--feed", feed_},
                                                                   {"--venue", "bybit-linear"},
                                                                   {"--websocket", "ws" + address},
                                                                   {"--rest", "http" + address},
                                                                   {"--symbols-list", symbol},
                                                                   {"--depth", std::to_string(depth)},
                                                                   {"--streams", "book"},
                                                                   {"--cpu", std::to_string(cpu)},
                                                                   {"--wait", "spin"}}) {
    words.emplace_back(option);
    words.push_back(value);
  }
  std::vector<char *> arguments;
  for (std::string &word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ == 0) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    // What it reports goes beside the answers, not among them.
    if (getppid() == parent && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
      execv(arguments[0], arguments.data());
    _exit(127);
  }
  if (process_ < 0)
    throw std::runtime_error("no process for the feed handler");
}

void FeedProcess::end() noexcept {
  if (process_ > 0) {
    (void)kill(process_, SIGKILL);
    (void)waitpid(process_, nullptr, 0);
  }
  std::error_code ignored;
  const SegmentPlace place;
  std::filesystem::remove(place.segment(feed_), ignored);
  std::filesystem::remove(place.lock(feed_), ignored);
}

std::string text_frame(std::string_view message) {
  std::string frame = "\x81";
  const auto big_endian = [&](int bytes) {
    for (int byte = bytes; byte-- > 0;)
      frame += static_cast<char>(message.size() >> (8 * byte) & 0xffU);
  };
  if (message.size() < 126) {
    big_endian(1);
  } else if (message.size() < 65536) {
    frame += static_cast<char>(126);
    big_endian(2);
  } else {
    frame += static_cast<char>(127);
    big_endian(8);
  }
  return frame.append(message);
}

} // namespace quietcore::bench
