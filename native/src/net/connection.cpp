#include "connection.hpp"

#include "quietcore/error.hpp"
#include "quietcore/printable_text.hpp"

#include <algorithm>
#include <boost/system/system_error.hpp>

namespace quietcore {
namespace {

using Milliseconds = std::chrono::milliseconds;
constexpr std::chrono::seconds kConfirmWithin{10};

/// The venue's code and its own words.
std::string in_words(const ControlMessage &message) {
  std::string words = message.code != 0 ? "code " + std::to_string(message.code) + " " : "";
  words += printable_text(message.text);
  return words.empty() ? "a refusal without a word" : words;
}

} // namespace

Connection::Connection(const ConnectionContext &context, Url server, ConnectionPlan plan, TlsTrust trust,
                       ConnectionOwner &owner, std::uint64_t seed)
    : context_(context), server_(std::move(server)), plan_(std::move(plan)), trust_(std::move(trust)),
      keep_alive_(context.venue.keep_alive()), limits_(context.venue.limits()), owner_(owner),
      backoff_(context.config.retry_first, context.config.retry_limit, seed),
      name_(context_.diagnostics.keep(server_.text() + plan_.target.substr(0, plan_.target.find('?')))),
      retry_timer_(context.loop), ping_timer_(context.loop), deadline_timer_(context.loop),
      send_timer_(context.loop) {
  // Twice within the time that silence may last, or as often as the venue asks for.
  if (keep_alive_)
    keep_alive_->every = std::min<Milliseconds>(keep_alive_->every, context.config.idle_timeout / 2);
}

Connection::~Connection() { close(); }

void Connection::open() {
  // Another connection, or a request for a snapshot, may have been told in the meantime to leave the server
  // alone.
  if (const auto pause = context_.pauses.left(server_); pause > HostPauses::Clock::duration::zero()) {
    retry_after(std::chrono::ceil<Milliseconds>(pause) + backoff_.next());
    return;
  }
  try {
    client_ = open_websocket(
        context_.loop, server_, plan_.target, trust_,
        {.idle_timeout = context_.config.idle_timeout, .socket = context_.socket},
        {.opened = [this] { on_opened(); },
         .not_granted =
             [this](const std::string &what) {
               context_.diagnostics.report(Trouble::Socket, {.what = "not granted by the kernel",
                                                             .where = std::string(name_) + ": " + what});
             },
         .settled = [this](const std::string &what) { say_once(what); },
         .message = [this](std::string_view bytes,
                           const ReceiveTime &time) { owner_.connection_message(*this, bytes, time); },
         .closed = [this](const std::string &why, const Refusal *refusal) { on_closed(why, refusal); }});
  } catch (const boost::system::system_error &error) { // no thread or descriptor for the look-up
    on_closed(error.what(), nullptr);
  }
}

void Connection::say_once(const std::string &what) {
  if (said_.insert(what).second)
    context_.diagnostics.say("socket of " + std::string(name_) + ": " + what);
}

void Connection::stop_timers() {
  ping_timer_.cancel();
  deadline_timer_.cancel();
  send_timer_.cancel();
  sending_ = false;
  outbox_.clear();
}

void Connection::close() {
  retry_timer_.cancel();
  stop_timers();
  ready_ = false;
  if (client_)
    client_->close();
}

void Connection::restart(const std::string &why) {
  if (client_)
    client_->close();
  on_closed(why, nullptr);
}

void Connection::send(std::string text) {
  outbox_.push_back(std::move(text));
  if (!sending_)
    send_next();
}

void Connection::send_next() {
  while (!outbox_.empty() && client_) {
    client_->send(std::move(outbox_.front()));
    outbox_.pop_front();
    if (limits_.message_spacing.count() == 0)
      continue;
    sending_ = true;
    send_timer_.expires_after(limits_.message_spacing);
    send_timer_.async_wait([this](boost::system::error_code error) {
      if (error)
        return;
      sending_ = false;
      send_next();
    });
    return;
  }
}

void Connection::subscribe(std::vector<std::string> topics) {
  const std::uint64_t number = next_request_++;
  send(context_.venue.subscribe(topics, number));
  unconfirmed_.emplace(std::to_string(number), std::move(topics));
}

void Connection::on_opened() {
  was_open_ = true;
  unconfirmed_.clear();
  confirmed_ = 0;
  next_request_ = 1;
  for (const std::vector<std::string> &batch : plan_.batches)
    subscribe(batch);
  arm_keep_alive();
  if (unconfirmed_.empty())
    confirmed_ = 1; // the target says it all
  else
    arm_confirmation_deadline();
  check_ready();
}

void Connection::check_ready() {
  if (ready_ || !unconfirmed_.empty() || confirmed_ == 0)
    return;
  ready_ = true;
  context_.pauses.answered(server_);
  backoff_.reset();
  deadline_timer_.cancel();
  owner_.connection_ready(*this);
}

void Connection::on_control(const ControlMessage &message) {
  using Kind = ControlMessage::Kind;
  if (message.kind != Kind::Subscribed && message.kind != Kind::Refused)
    return;
  const auto at = unconfirmed_.find(message.id);
  const bool known = at != unconfirmed_.end();
  std::vector<std::string> topics;
  if (known) {
    topics = std::move(at->second);
    unconfirmed_.erase(at);
  }
  if (message.kind == Kind::Subscribed) {
    confirmed_ += known ? 1 : 0;
  } else {
    // A batch is refused as a whole: its halves tell which topic it was.
    if (topics.size() > 1) {
      const auto middle = topics.begin() + static_cast<std::ptrdiff_t>(topics.size() / 2);
      subscribe({topics.begin(), middle});
      subscribe({middle, topics.end()});
      arm_confirmation_deadline();
      return;
    }
    context_.diagnostics.report(Trouble::Refused,
                                {.what = "request refused by the venue",
                                 .where = std::string(name_) + (topics.empty() ? "" : " " + topics.front()),
                                 .found = in_words(message),
                                 .expected = "confirmed subscriptions",
                                 .remedy = "check symbols, depth and streams against what the venue offers"});
    if (!topics.empty())
      owner_.topic_refused(*this, topics.front());
  }
  check_ready();
}

void Connection::on_closed(const std::string &why, const Refusal *refusal) {
  stop_timers();
  ready_ = false;
  last_trouble_ = why;
  if (refusal != nullptr)
    (void)context_.pauses.refused(server_, *refusal);
  // After a pause that is shared not all at the same moment.
  const auto pause = std::chrono::ceil<Milliseconds>(context_.pauses.left(server_));
  const auto wait = pause + std::max(backoff_.next(), std::chrono::duration_cast<Milliseconds>(
                                                          context_.tries.take(TryBudget::Clock::now())));
  const bool final = refusal != nullptr && !refusal->passing;
  context_.diagnostics.report(
      Trouble::Connection,
      {.what = was_open_ ? "connection lost" : "no connection",
       .where = name_,
       .found = why,
       .remedy = "trying again in " + std::to_string(wait.count()) + " ms; " +
                 (final ? "this answer is not one that passes: check the address, the symbols and streams in "
                          "it, and that the venue serves this country"
                        : "check that the address is right and the service runs")});
  if (was_open_) {
    was_open_ = false;
    owner_.connection_lost(*this);
  }
  retry_after(wait);
}

void Connection::retry_after(Milliseconds wait) {
  retry_timer_.expires_after(wait);
  retry_timer_.async_wait([this](boost::system::error_code error) {
    if (error)
      return;
    try {
      open();
    } catch (const Error &problem) {
      on_closed(problem.what(), nullptr);
    }
  });
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
    restart(unconfirmed_.empty() ? "the venue refused every subscription"
                                 : "subscriptions not confirmed within 10 s");
  });
}

} // namespace quietcore
