#include "connection.hpp"

#include "quietcore/error.hpp"

namespace quietcore {
namespace {

using Milliseconds = std::chrono::milliseconds;
constexpr Milliseconds kFirstRetry{250};
constexpr Milliseconds kLongestRetry{30'000};
constexpr std::chrono::seconds kConfirmWithin{10};

} // namespace

Connection::Connection(boost::asio::io_context &loop, Url server, ConnectionPlan plan, TlsTrust trust,
                       std::optional<Venue::KeepAlive> keep_alive, ConnectionOwner &owner,
                       Diagnostics &diagnostics, std::uint64_t seed)
    : loop_(loop), server_(std::move(server)), plan_(std::move(plan)), trust_(std::move(trust)),
      keep_alive_(std::move(keep_alive)), owner_(owner), diagnostics_(diagnostics),
      backoff_(kFirstRetry, kLongestRetry, seed),
      name_(server_.text() + plan_.target.substr(0, plan_.target.find('?'))), retry_timer_(loop),
      ping_timer_(loop), deadline_timer_(loop) {}

Connection::~Connection() { close(); }

void Connection::open() {
  client_ = open_websocket(
      loop_, server_, plan_.target, trust_,
      {.opened = [this] { on_opened(); },
       .message = [this](std::string_view bytes,
                         std::int64_t receive_ns) { owner_.connection_message(*this, bytes, receive_ns); },
       .closed = [this](const std::string &why) { on_closed(why); }});
}

void Connection::close() {
  retry_timer_.cancel();
  ping_timer_.cancel();
  deadline_timer_.cancel();
  ready_ = false;
  if (client_)
    client_->close();
}

void Connection::send(std::string text) {
  if (client_)
    client_->send(std::move(text));
}

void Connection::on_opened() {
  was_open_ = true;
  unconfirmed_.clear();
  for (std::size_t i = 0; i < plan_.requests.size(); ++i) {
    unconfirmed_.insert(std::to_string(i + 1));
    client_->send(plan_.requests[i]);
  }
  arm_keep_alive();
  if (unconfirmed_.empty()) {
    ready_ = true;
    backoff_.reset();
    owner_.connection_ready(*this);
  } else {
    arm_confirmation_deadline();
  }
}

void Connection::on_control(const ControlMessage &message) {
  if (message.kind == ControlMessage::Kind::Refused) {
    diagnostics_.report(Trouble::Refused,
                        {.what = "request refused by the venue",
                         .where = name_,
                         .found = std::string(message.text),
                         .expected = "confirmed subscriptions",
                         .remedy = "check symbols, depth and streams against what the venue offers"});
    return;
  }
  if (message.kind != ControlMessage::Kind::Subscribed || ready_)
    return;
  if (const auto at = unconfirmed_.find(message.id); at != unconfirmed_.end())
    unconfirmed_.erase(at);
  if (unconfirmed_.empty()) {
    ready_ = true;
    backoff_.reset();
    deadline_timer_.cancel();
    owner_.connection_ready(*this);
  }
}

void Connection::on_closed(const std::string &why) {
  ping_timer_.cancel();
  deadline_timer_.cancel();
  ready_ = false;
  const Milliseconds wait = backoff_.next();
  diagnostics_.report(Trouble::Connection,
                      {.what = was_open_ ? "connection lost" : "no connection",
                       .where = name_,
                       .found = why,
                       .remedy = "trying again in " + std::to_string(wait.count()) +
                                 " ms; check that the address is right and the service runs"});
  if (was_open_) {
    was_open_ = false;
    owner_.connection_lost(*this);
  }
  retry_timer_.expires_after(wait);
  retry_timer_.async_wait([this](boost::system::error_code error) {
    if (!error)
      retry();
  });
}

void Connection::retry() {
  try {
    open();
  } catch (const Error &error) {
    on_closed(error.what());
  }
}

void Connection::arm_keep_alive() {
  if (!keep_alive_)
    return;
  ping_timer_.expires_after(keep_alive_->every);
  ping_timer_.async_wait([this](boost::system::error_code error) {
    if (error)
      return;
    client_->send(keep_alive_->message);
    arm_keep_alive();
  });
}

void Connection::arm_confirmation_deadline() {
  deadline_timer_.expires_after(kConfirmWithin);
  deadline_timer_.async_wait([this](boost::system::error_code error) {
    if (error || ready_)
      return;
    client_->close();
    on_closed("subscriptions not confirmed within 10 s");
  });
}

} // namespace quietcore
