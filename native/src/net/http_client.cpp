#include "quietcore/http_client.hpp"

#include "connect_error.hpp"
#include "quietcore/error.hpp"
#include "tls.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>
#include <boost/system/system_error.hpp>

namespace quietcore {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

/// How often a wait looks whether it shall end.
constexpr std::chrono::milliseconds kLook{50};

/// One request, from look-up to answer; Stream is a TCP stream or TLS over one.
template <typename Stream> class Exchange {
public:
  Exchange(asio::io_context &loop, Stream &stream, const Url &server, const std::string &target)
      : resolver_(loop), stream_(stream), server_(server) {
    request_.version(11);
    request_.method(http::verb::get);
    request_.target(target);
    request_.set(http::field::host, server.authority());
    request_.set(http::field::user_agent, "quietcore-feed");
    request_.set(http::field::connection, "close");
    parser_.body_limit(std::uint64_t{256} << 20U); // all instruments of a venue are tens of megabytes
  }

  void start() {
    resolver_.async_resolve(server_.host, server_.port,
                            [this](error_code what, tcp::resolver::results_type found) {
                              if (failed(what, "look-up"))
                                return;
                              beast::get_lowest_layer(stream_).async_connect(
                                  found, [this](error_code error_found, const tcp::endpoint &) {
                                    if (failed(connect_error(stream_.get_executor(), error_found), "connect"))
                                      return;
                                    secure();
                                  });
                            });
  }

  error_code error{};
  const char *step = "look-up";
  bool done = false;
  [[nodiscard]] http::response<http::string_body> &response() { return parser_.get(); }

private:
  bool failed(error_code what, const char *where) {
    if (!what)
      return false;
    error = what;
    step = where;
    return true;
  }

  void secure() {
    if constexpr (requires { stream_.async_handshake(asio::ssl::stream_base::client, [](error_code) {}); }) {
      stream_.async_handshake(asio::ssl::stream_base::client, [this](error_code what) {
        if (!failed(what, "TLS handshake"))
          write();
      });
    } else {
      write();
    }
  }

  void write() {
    http::async_write(stream_, request_, [this](error_code what, std::size_t) {
      if (failed(what, "request"))
        return;
      http::async_read(stream_, buffer_, parser_,
                       [this](error_code read_error, std::size_t) { done = !failed(read_error, "answer"); });
    });
  }

  tcp::resolver resolver_;
  Stream &stream_;
  const Url &server_;
  http::request<http::empty_body> request_;
  http::response_parser<http::string_body> parser_;
  beast::flat_buffer buffer_;
};

Error no_answer(const std::string &where, const std::string &found) {
  return Error({.what = "no answer",
                .where = where,
                .found = found,
                .remedy = "check the address, and that the service runs and may be reached"},
               ExitCode::Unknown);
}

/// What to do about a refusal that will not pass, or about one that will.
std::string remedy_of(const Refusal &refusal, unsigned status) {
  if (status >= 500)
    return "the trouble is the server's: see the venue's notices where it lasts";
  if (refusal.passing)
    return "fewer requests from this address; where the country or the address is refused, another one";
  return "check that the address is this venue's, and that the venue serves this country and address";
}

template <typename Stream>
std::string fetch(asio::io_context &loop, Stream &stream, const Url &server, const std::string &target,
                  const HttpPatience &patience) {
  const std::string where = server.text() + target;
  Exchange<Stream> exchange(loop, stream, server, server.path + target);
  exchange.start();
  using Clock = std::chrono::steady_clock;
  const Clock::time_point until = Clock::now() + patience.timeout;
  while (!loop.stopped() && Clock::now() < until) {
    loop.run_until(std::min(until, Clock::now() + kLook));
    if (patience.stopped())
      throw no_answer(where, "a request to stop before there was one");
  }
  if (exchange.error)
    throw no_answer(where, std::string(exchange.step) + ": " + exchange.error.message());
  if (!exchange.done)
    throw no_answer(where, "none within " + std::to_string(patience.timeout.count()) + " ms");
  auto &response = exchange.response();
  if (response.result() != http::status::ok) {
    const auto retry_after = response[http::field::retry_after];
    Refusal refusal = Refusal::of_http(response.result_int(), {retry_after.data(), retry_after.size()},
                                       response.body(), std::chrono::system_clock::now());
    throw Refused({.what = "request refused",
                   .where = where,
                   .found = refusal.text,
                   .expected = "HTTP 200",
                   .remedy = remedy_of(refusal, response.result_int())},
                  refusal);
  }
  return std::move(response.body());
}

std::string fetch(const Url &server, const std::string &target, const TlsTrust &trust,
                  const HttpPatience &patience) {
  asio::io_context loop(1);
  if (!server.tls()) {
    beast::tcp_stream stream(loop);
    return fetch(loop, stream, server, target, patience);
  }
  const auto context = make_tls_context(trust);
  asio::ssl::stream<beast::tcp_stream> stream(loop, *context);
  if (!expect_host(stream, server.host))
    throw Error({.what = "TLS cannot be set up", .where = server.text()}, ExitCode::Unknown);
  return fetch(loop, stream, server, target, patience);
}

} // namespace

std::string http_get(const Url &server, const std::string &target, const TlsTrust &trust,
                     const HttpPatience &patience) {
  try {
    return fetch(server, target, trust, patience);
  } catch (const boost::system::system_error &error) { // no descriptor or thread for a loop or a look-up
    throw no_answer(server.text() + target, error.what());
  }
}

} // namespace quietcore
