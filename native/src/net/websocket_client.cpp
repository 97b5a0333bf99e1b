#include "quietcore/websocket_client.hpp"

#include "connect_error.hpp"
#include "quietcore/clock.hpp"
#include "quietcore/market_message.hpp"
#include "quietcore/printable_text.hpp"
#include "stamped_stream.hpp"
#include "tls.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <cstring>
#include <deque>

namespace quietcore {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::seconds kHandshakeTimeout{10};
constexpr std::size_t kMaxMessage = std::size_t{16} << 20U;
/// Messages until which the kernel's stamps must have begun.
constexpr unsigned kStampsWithin = 64;

/// Stream: TCP, or TLS over it.
template <typename Stream>
class Client final : public WebSocketClient, public std::enable_shared_from_this<Client<Stream>> {
public:
  template <typename... StreamArguments>
  Client(asio::io_context &loop, Url server, std::string target, const WebSocketOptions &options,
         WebSocketEvents events, std::shared_ptr<asio::ssl::context> tls, StreamArguments &...arguments)
      : tls_(std::move(tls)), resolver_(loop), stream_(loop, arguments...), server_(std::move(server)),
        target_(std::move(target)), options_(options), events_(std::move(events)) {
    buffer_.reserve(std::size_t{1} << 20U);
  }

  void start() {
    resolver_.async_resolve(
        server_.host, server_.port,
        [self = this->shared_from_this()](error_code error, tcp::resolver::results_type found) {
          if (!self->failed(error, "look-up"))
            self->connect(found);
        });
  }

  void send(std::string text) override {
    waiting_.push_back(std::move(text));
    if (waiting_.size() == 1 && open_)
      write();
  }

  void close() override {
    over_ = true;
    resolver_.cancel();
    error_code ignored;
    beast::get_lowest_layer(stream_).socket().close(ignored);
  }

private:
  /// True where the connection is over, by this error or before.
  bool failed(error_code error, const char *step) {
    if (over_)
      return true;
    if (!error)
      return false;
    over_ = true;
    error_code ignored;
    beast::get_lowest_layer(stream_).socket().close(ignored);
    std::string why = std::string(step) + ": " + error.message();
    if (error != websocket::error::upgrade_declined) {
      if (error == websocket::error::closed && open_)
        why += said_at_the_end();
      events_.closed(why, nullptr);
      return true;
    }
    const auto retry_after = response_[beast::http::field::retry_after];
    const Refusal refusal = Refusal::of_http(response_.result_int(), {retry_after.data(), retry_after.size()},
                                             response_.body(), std::chrono::system_clock::now());
    events_.closed(std::string(step) + " refused: " + refusal.text, &refusal);
    return true;
  }

  /// The code and the words of the close frame, where there was one.
  [[nodiscard]] std::string said_at_the_end() const {
    const websocket::close_reason &reason = stream_.reason();
    if (reason.code == websocket::close_code::none)
      return {};
    const std::string words = printable_text({reason.reason.data(), reason.reason.size()});
    return " (code " + std::to_string(reason.code) + (words.empty() ? "" : " " + words) + ")";
  }

  void connect(const tcp::resolver::results_type &found) {
    auto &tcp_layer = beast::get_lowest_layer(stream_);
    tcp_layer.expires_after(patience());
    tcp_layer.async_connect(
        found, [self = this->shared_from_this()](error_code error, const tcp::endpoint &) {
          if (self->over_ || self->failed(connect_error(self->stream_.get_executor(), error), "connect"))
            return;
          error_code ignored;
          beast::get_lowest_layer(self->stream_).socket().set_option(tcp::no_delay(true), ignored);
          self->ask_kernel();
          self->secure();
        });
  }

  void ask_kernel() {
    const SocketGrants grants =
        quietcore::ask_kernel(beast::get_lowest_layer(stream_).socket().native_handle(), options_.socket);
    for (const std::string &what : grants.refused)
      events_.not_granted(what);
    events_.settled(grants.got);
  }

  [[nodiscard]] std::chrono::milliseconds patience() const {
    return std::min<std::chrono::milliseconds>(kHandshakeTimeout, options_.idle_timeout);
  }

  void secure() {
    if constexpr (requires { stream_.next_layer().native_handle(); }) {
      if (!expect_host(stream_.next_layer(), server_.host)) {
        failed(asio::error::make_error_code(asio::error::invalid_argument), "TLS set-up");
        return;
      }
      stream_.next_layer().async_handshake(asio::ssl::stream_base::client,
                                           [self = this->shared_from_this()](error_code error) {
                                             if (!self->failed(error, "TLS handshake"))
                                               self->shake_hands();
                                           });
    } else {
      shake_hands();
    }
  }

  void shake_hands() {
    beast::get_lowest_layer(stream_).expires_never(); // from here on the WebSocket layer watches the time
    beast::get_lowest_layer(stream_).keep_stamps();
    if (options_.socket.time_stamps != TimeStamps::None)
      untold_stamps_ = kStampsWithin;
    websocket::stream_base::timeout timeouts{};
    timeouts.handshake_timeout = patience();
    timeouts.idle_timeout = options_.idle_timeout;
    timeouts.keep_alive_pings = true;
    stream_.set_option(timeouts);
    stream_.set_option(websocket::stream_base::decorator([](websocket::request_type &request) {
      request.set(beast::http::field::user_agent, "quietcore-feed");
    }));
    stream_.read_message_max(kMaxMessage);
    stream_.async_handshake(response_, server_.authority(), server_.path + target_,
                            [self = this->shared_from_this()](error_code error) {
                              if (self->failed(error, "WebSocket handshake"))
                                return;
                              self->open_ = true;
                              self->events_.opened();
                              if (!self->waiting_.empty() && !self->writing_)
                                self->write();
                              self->read();
                            });
  }

  void read() {
    stream_.async_read(buffer_, [self = this->shared_from_this()](error_code error, std::size_t) {
      // Of the read that completed the message, or, where one read brought several, of that one.
      ReceiveTime time = beast::get_lowest_layer(self->stream_).received();
      if (time.source == shm::TimeSource::NONE)
        time = {realtime_ns(), shm::TimeSource::USER, time.card_disagrees};
      if (self->failed(error, "read"))
        return;
      const std::size_t size = self->buffer_.size();
      const auto padding = self->buffer_.prepare(kMessagePadding);
      std::memset(padding.data(), 0, kMessagePadding);
      self->events_.message({static_cast<const char *>(self->buffer_.cdata().data()), size}, time);
      self->buffer_.consume(size);
      if (self->untold_stamps_ != 0)
        self->tell_stamps(time);
      if (!self->over_)
        self->read();
    });
  }

  /// Says once who stamps; the kernel begins some packets after it was asked.
  void tell_stamps(const ReceiveTime &time) {
    if (over_ || (--untold_stamps_ != 0 && time.source == shm::TimeSource::USER))
      return;
    untold_stamps_ = 0;
    events_.settled(std::string("receive times by ") + in_words(time.source) +
                    (time.card_disagrees ? "; the network card's clock is not the host's: set it (phc2sys), "
                                           "or ask for socket.time_stamps = \"kernel\""
                                         : ""));
  }

  void write() {
    writing_ = true;
    stream_.text(true);
    stream_.async_write(asio::buffer(waiting_.front()),
                        [self = this->shared_from_this()](error_code error, std::size_t) {
                          self->writing_ = false;
                          if (self->failed(error, "write"))
                            return;
                          self->waiting_.pop_front();
                          if (!self->waiting_.empty())
                            self->write();
                        });
  }

  std::shared_ptr<asio::ssl::context> tls_; ///< outlives the stream
  tcp::resolver resolver_;
  websocket::stream<Stream, false> stream_; ///< false: compression is not even compiled in
  websocket::response_type response_;       ///< to the handshake
  Url server_;
  std::string target_;
  WebSocketOptions options_;
  WebSocketEvents events_;
  beast::flat_buffer buffer_;
  std::deque<std::string> waiting_;
  unsigned untold_stamps_ = 0; ///< messages left until it must be said who stamps them
  bool open_ = false;
  bool writing_ = false;
  bool over_ = false;
};

} // namespace

std::shared_ptr<WebSocketClient> open_websocket(boost::asio::io_context &loop, const Url &server,
                                                const std::string &target, const TlsTrust &trust,
                                                const WebSocketOptions &options, WebSocketEvents events) {
  if (!server.tls()) {
    auto client =
        std::make_shared<Client<StampedStream>>(loop, server, target, options, std::move(events), nullptr);
    client->start();
    return client;
  }
  auto context = make_tls_context(trust);
  auto client = std::make_shared<Client<asio::ssl::stream<StampedStream>>>(
      loop, server, target, options, std::move(events), context, *context);
  client->start();
  return client;
}

} // namespace quietcore
