#include "leg.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/printable_text.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>

namespace quietcore {
namespace {

using Milliseconds = std::chrono::milliseconds;
/// How often a book that still waits is asked for again: an answer may have been lost.
constexpr std::uint64_t kSweepEveryNs = 5'000'000'000;
/// Long after the last trouble the first try is free again.
constexpr std::uint64_t kForgetAfterNs = 60'000'000'000;

std::uint64_t nanoseconds(Milliseconds time) { return static_cast<std::uint64_t>(time.count()) * 1'000'000; }

} // namespace

Leg::Leg(LegContext context, std::uint32_t index, Endpoint endpoint)
    : context_(std::move(context)), index_(index), endpoint_(std::move(endpoint)),
      rest_(Url::parse(endpoint_.rest, "http", "rest")) {
  const std::size_t count = context_.core.instruments().size();
  links_.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    links_.emplace_back(context_.config.connection, context_.random());
}

void Leg::open() {
  const Url server = Url::parse(endpoint_.websocket, "ws", "websocket");
  for (ConnectionPlan &plan : context_.connections.venue.plan(context_.subscription, server.host))
    connections_.push_back(std::make_unique<Connection>(context_.connections, server, std::move(plan),
                                                        TlsTrust{context_.config.tls_ca}, *this,
                                                        context_.random()));
  for (const auto &connection : connections_) {
    for (const std::string &symbol : connection->plan().symbols)
      links_[context_.core.index().find(symbol)].connection = connection.get();
    (void)context_.connections.tries.take(TryBudget::Clock::now());
    connection->open();
  }
}

void Leg::close() {
  for (const auto &connection : connections_)
    connection->close();
  if (context_.fetcher != nullptr)
    context_.fetcher->forget(index_);
}

bool Leg::has_book(std::uint32_t symbol) const noexcept {
  const LegBook book = context_.core.leg_book(symbol, index_);
  return book.state == shm::State::LIVE || (book.snapshot_id != 0 && book.state == shm::State::RESYNC);
}

bool Leg::ready() const noexcept {
  for (const auto &connection : connections_) {
    if (!connection->ready())
      return false;
  }
  return !connections_.empty();
}

LegState Leg::state() const {
  LegState state{endpoint_.websocket, connections_.size(), 0, 0, {}};
  for (const auto &connection : connections_) {
    state.ready += connection->ready() ? 1 : 0;
    if (!connection->last_trouble().empty())
      state.last_trouble = connection->last_trouble();
  }
  for (std::uint32_t symbol = 0; symbol < links_.size(); ++symbol)
    state.books_live += context_.core.leg_book(symbol, index_).state == shm::State::LIVE ? 1 : 0;
  return state;
}

void Leg::connection_ready(Connection &connection) {
  context_.connections.diagnostics.say(std::string("subscribed on ") + connection.name() + ": " +
                                       std::to_string(connection.plan().symbols.size()) + " books");
  const std::uint64_t now = monotonic_ns();
  for (const std::string &symbol : connection.plan().symbols) {
    const std::uint32_t index = context_.core.index().find(symbol);
    links_[index].heard_ns = now;
    if (context_.fetcher != nullptr && !links_[index].asked)
      ask_snapshot(index, Milliseconds(0));
  }
}

void Leg::connection_lost(Connection &connection) {
  ++context_.core.statistics().reconnects;
  for (const std::string &symbol : connection.plan().symbols) {
    const std::uint32_t index = context_.core.index().find(symbol);
    ++links_[index].generation;
    links_[index].asked = false;
    links_[index].doubted = false;
    context_.core.connection_lost(index, index_);
  }
  context_.core.pause();
}

void Leg::connection_message(Connection &connection, std::string_view bytes, const ReceiveTime &time) {
  speaking_ = &connection;
  Receipt receipt;
  receipt.receive_ns = time.ns;
  receipt.source = time.source;
  receipt.origin = {connection.name(), 0};
  receipt.leg = index_;
  (void)context_.core.receive(context_.parser, bytes, receipt);
  context_.core.publish_cursor();
  if (context_.recorder != nullptr)
    context_.recorder->take(index_, time.ns, bytes);
  speaking_ = nullptr;
}

void Leg::topic_refused(Connection &, const std::string &) { ++context_.core.statistics().refused_topics; }

void Leg::snapshot_needed(std::uint32_t symbol) {
  SymbolLink &link = links_[symbol];
  if (link.asked || !link.listed || link.connection == nullptr || !link.connection->ready())
    return;
  if (monotonic_ns() - link.asked_ns > kForgetAfterNs)
    link.backoff.reset();
  ask_snapshot(symbol, link.asked_ns == 0 ? Milliseconds(0) : link.backoff.next());
}

void Leg::ask_snapshot(std::uint32_t symbol, Milliseconds wait) {
  SymbolLink &link = links_[symbol];
  link.asked = true;
  if (wait.count() == 0) {
    ask_now(symbol);
    return;
  }
  auto timer = std::make_shared<boost::asio::steady_timer>(context_.connections.loop, wait);
  timer->async_wait([weak = weak_from_this(), timer, symbol,
                     generation = link.generation](boost::system::error_code error) {
    const auto self = weak.lock();
    if (!error && self && self->links_[symbol].generation == generation)
      self->ask_now(symbol);
  });
}

void Leg::ask_now(std::uint32_t symbol) {
  SymbolLink &link = links_[symbol];
  const Venue &venue = context_.connections.venue;
  const std::string &name = context_.core.instruments()[symbol].name;
  link.asked_ns = monotonic_ns();
  if (context_.fetcher != nullptr) {
    context_.fetcher->ask({symbol, index_, link.generation, rest_, venue.snapshot_target(name)});
    return;
  }
  link.asked = false; // the stream answers; if it does not, the next gap, delta or sweep asks again
  if (link.connection != nullptr && link.connection->ready()) {
    for (std::string &request : venue.resubscribe(name, context_.subscription))
      link.connection->send(std::move(request));
  }
}

void Leg::take_snapshot(SnapshotFetcher::Answer &answer) {
  const std::uint32_t symbol = answer.request.symbol;
  SymbolLink &link = links_[symbol];
  if (link.generation != answer.request.generation)
    return;
  link.asked = false;
  if (!answer.problem.empty()) {
    context_.connections.diagnostics.report(
        Trouble::Snapshot, {.what = "no snapshot of " + context_.core.instruments()[symbol].name,
                            .where = endpoint_.rest,
                            .found = answer.problem});
    ask_snapshot(symbol, link.backoff.next());
    return;
  }
  const std::size_t size = answer.body.size();
  answer.body.resize(size + kMessagePadding, '\0');
  Receipt receipt;
  receipt.receive_ns = answer.receive_ns;
  receipt.source = shm::TimeSource::USER;
  receipt.origin = {context_.connections.diagnostics.keep(answer.request.target), 0};
  receipt.symbol_hint = symbol;
  receipt.leg = index_;
  const std::uint64_t before = context_.core.statistics().snapshots;
  (void)context_.core.receive(context_.parser, std::string_view(answer.body).substr(0, size), receipt);
  context_.core.publish_cursor();
  if (context_.recorder != nullptr)
    context_.recorder->take(index_, answer.receive_ns, std::string_view(answer.body).substr(0, size));
  if (context_.core.statistics().snapshots != before)
    return;
  context_.connections.diagnostics.report(
      Trouble::Snapshot, {.what = "no snapshot of " + context_.core.instruments()[symbol].name,
                          .where = endpoint_.rest,
                          .found = printable_text(std::string_view(answer.body).substr(0, size)),
                          .expected = "lastUpdateId, bids and asks",
                          .remedy = "it is asked for again; check that rest is this venue's address"});
  if (!link.asked)
    ask_snapshot(symbol, link.backoff.next());
}

void Leg::set_listed(std::uint32_t symbol, bool listed) {
  SymbolLink &link = links_[symbol];
  if (link.listed == listed)
    return;
  link.listed = listed;
  if (!listed)
    context_.core.doubt(symbol, index_);
}

void Leg::sweep(std::uint64_t now_ns) {
  const bool ask = now_ns - swept_ns_ >= kSweepEveryNs;
  if (ask)
    swept_ns_ = now_ns;
  for (std::uint32_t symbol = 0; symbol < links_.size(); ++symbol) {
    SymbolLink &link = links_[symbol];
    if (link.connection == nullptr || !link.connection->ready())
      continue;
    const LegBook book = context_.core.leg_book(symbol, index_);
    if (book.heard != link.heard) {
      link.heard = book.heard;
      link.heard_ns = now_ns;
    }
    const bool live = book.state == shm::State::LIVE;
    if (live)
      link.live_ns = now_ns;
    if (live && link.doubted)
      settle_doubt(symbol);
    if (live && link.patience.count() != 0 && now_ns - link.heard_ns > nanoseconds(link.patience))
      doubt(symbol, now_ns);
    else if (!live && ask)
      snapshot_needed(symbol);
  }
  restart_where_all_are_silent(now_ns);
}

void Leg::doubt(std::uint32_t symbol, std::uint64_t now_ns) {
  SymbolLink &link = links_[symbol];
  const std::string &name = context_.core.instruments()[symbol].name;
  link.doubted = true;
  link.doubted_id = context_.core.leg_book(symbol, index_).last_id;
  context_.connections.diagnostics.report(
      Trouble::Silence, {.what = "nothing came for the book of " + name,
                         .where = link.connection->name(),
                         .found = std::to_string((now_ns - link.heard_ns) / 1'000'000) + " ms of silence",
                         .remedy = "it is not LIVE until the venue has sent it again, which is asked for"});
  context_.core.doubt(symbol, index_);
  for (std::string &request : context_.connections.venue.revive(name, context_.subscription))
    link.connection->send(std::move(request));
  if (context_.fetcher != nullptr)
    snapshot_needed(symbol);
  else
    link.asked_ns = now_ns;
}

void Leg::settle_doubt(std::uint32_t symbol) {
  SymbolLink &link = links_[symbol];
  link.doubted = false;
  if (context_.core.leg_book(symbol, index_).last_id == link.doubted_id)
    link.silence_was_real();
  else
    link.patience = context_.config.connection.stale_after;
}

void Leg::restart_where_all_are_silent(std::uint64_t now_ns) {
  const std::uint64_t patience = nanoseconds(context_.config.connection.stale_after);
  if (patience == 0)
    return;
  for (const auto &connection : connections_) {
    if (!connection->ready() || connection->plan().symbols.empty())
      continue;
    bool silent = true;
    bool listed = false;
    for (const std::string &symbol : connection->plan().symbols) {
      const std::uint32_t number = context_.core.index().find(symbol);
      const SymbolLink &link = links_[number];
      listed = listed || link.listed;
      silent = silent && context_.core.leg_book(number, index_).state != shm::State::LIVE &&
               now_ns - std::max(link.heard_ns, link.live_ns) > 3 * patience;
    }
    if (silent && listed)
      connection->restart("no book message came, and subscribing again did not help");
  }
}

} // namespace quietcore
