#include "quietcore/live_feed.hpp"

#include "connection.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/memory_lock.hpp"
#include "quietcore/snapshot_fetcher.hpp"
#include "quietcore/stop_signal.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace quietcore {
namespace {

namespace asio = boost::asio;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds kTendEvery{20};
/// After this long without a start-up chore left, a page fault of the receiving thread counts.
constexpr std::uint64_t kSteadyAfterNs = 2'000'000'000;
/// How often a book that still waits is asked for again: an answer may have been lost.
constexpr std::uint64_t kSweepEveryNs = 5'000'000'000;

} // namespace

class LiveFeed::Implementation final : public ConnectionOwner {
public:
  Implementation(const FeedConfig &config, const Venue &venue, const Subscription &subscription,
                 FeedCore &core, Diagnostics &diagnostics, const ServiceNotify &notify)
      : config_(config), venue_(venue), subscription_(subscription), core_(core), diagnostics_(diagnostics),
        notify_(notify), parser_(venue.make_parser()), tend_timer_(loop_) {
    for (std::size_t i = 0; i < core.instruments().size(); ++i)
      symbols_.emplace_back(random_());
    core_.on_snapshot_needed([this](std::uint32_t symbol, std::uint32_t) { snapshot_needed(symbol); });
    core_.on_control_message([this](const ControlMessage &message) {
      if (speaking_ != nullptr)
        speaking_->on_control(message);
    });
  }

  std::function<void()> before_loop = [] {};

  void run() {
    const Url websocket = Url::parse(config_.websocket, "ws", "websocket");
    const TlsTrust trust{config_.tls_ca};
    if (!venue_.snapshot_target("").empty() && subscription_.book)
      fetcher_ = std::make_unique<SnapshotFetcher>(
          Url::parse(config_.rest, "http", "rest"), trust, SnapshotFetcher::Budget{},
          [this](SnapshotFetcher::Answer answer) {
            asio::post(loop_, [this, held = std::move(answer)]() mutable { take_snapshot(held); });
          });
    before_loop();
    std::vector<ConnectionPlan> plans = venue_.plan(subscription_, websocket.host);
    for (ConnectionPlan &plan : plans)
      connections_.push_back(std::make_unique<Connection>(
          loop_, websocket, std::move(plan), trust, venue_.keep_alive(), *this, diagnostics_, random_()));
    for (const auto &connection : connections_) {
      for (const std::string &symbol : connection->plan().symbols)
        symbols_[core_.index().find(symbol)].connection = connection.get();
      connection->open();
    }
    tend();
    while (!StopSignal::requested()) {
      if (config_.wait == Wait::Spin)
        loop_.poll();
      else
        loop_.run_one();
    }
    for (const auto &connection : connections_)
      connection->close();
    fetcher_.reset();
    core_.all_connections_lost();
    core_.pause();
  }

  void connection_ready(Connection &connection) override {
    diagnostics_.say("subscribed on " + connection.name() + ": " +
                     std::to_string(connection.plan().symbols.size()) + " books");
    if (fetcher_) {
      for (const std::string &symbol : connection.plan().symbols)
        ask_snapshot(core_.index().find(symbol), Milliseconds(0));
    }
    for (const auto &other : connections_) {
      if (!other->ready())
        return;
    }
    if (!announced_) {
      announced_ = true;
      ready_ns_ = monotonic_ns();
      core_.pause();
      notify_.send("READY=1\nSTATUS=following " + std::to_string(symbols_.size()) + " symbols of " +
                   std::string(venue_.name()));
      diagnostics_.say("ready: " + std::to_string(symbols_.size()) + " symbols of " +
                       std::string(venue_.name()));
    }
  }

  void connection_lost(Connection &connection) override {
    ++core_.statistics().reconnects;
    for (const std::string &symbol : connection.plan().symbols) {
      const std::uint32_t index = core_.index().find(symbol);
      ++symbols_[index].generation;
      symbols_[index].asked = false;
      core_.connection_lost(index);
    }
    core_.pause();
  }

  void connection_message(Connection &connection, std::string_view bytes, std::int64_t receive_ns) override {
    speaking_ = &connection;
    Receipt receipt;
    receipt.receive_ns = receive_ns;
    receipt.source = shm::TimeSource::USER;
    receipt.origin = {connection.name().c_str(), 0};
    (void)core_.receive(*parser_, bytes, receipt);
    core_.publish_cursor();
    speaking_ = nullptr;
  }

private:
  /// What the network side knows of a symbol's book.
  struct SymbolLink {
    explicit SymbolLink(std::uint64_t seed) : backoff(Milliseconds(1000), Milliseconds(30'000), seed) {}
    Connection *connection = nullptr;
    std::uint64_t generation = 0;
    std::uint64_t asked_ns = 0;
    bool asked = false; ///< an answer is on its way, or a try is waiting for its time
    Backoff backoff;
  };

  /// The core wants a snapshot: ask, unless one is on its way, and not more often than the back-off allows.
  void snapshot_needed(std::uint32_t symbol) {
    SymbolLink &link = symbols_[symbol];
    if (link.asked || link.connection == nullptr || !link.connection->ready())
      return;
    const std::uint64_t now = monotonic_ns();
    // Long after the last trouble the first try is free again.
    if (now - link.asked_ns > 60'000'000'000ULL)
      link.backoff.reset();
    ask_snapshot(symbol, link.asked_ns == 0 ? Milliseconds(0) : link.backoff.next());
  }

  void ask_snapshot(std::uint32_t symbol, Milliseconds wait) {
    SymbolLink &link = symbols_[symbol];
    link.asked = true;
    if (wait.count() == 0) {
      ask_now(symbol);
      return;
    }
    auto timer = std::make_shared<asio::steady_timer>(loop_, wait);
    timer->async_wait([this, timer, symbol, generation = link.generation](boost::system::error_code error) {
      if (!error && symbols_[symbol].generation == generation)
        ask_now(symbol);
    });
  }

  void ask_now(std::uint32_t symbol) {
    SymbolLink &link = symbols_[symbol];
    const std::string &name = core_.instruments()[symbol].name;
    link.asked_ns = monotonic_ns();
    if (fetcher_) {
      fetcher_->ask({symbol, link.generation, venue_.snapshot_target(name)});
      return;
    }
    link.asked = false; // the stream answers; if it does not, the next gap or delta asks again
    if (link.connection != nullptr && link.connection->ready()) {
      for (std::string &request : venue_.resubscribe(name, subscription_))
        link.connection->send(std::move(request));
    }
  }

  void take_snapshot(SnapshotFetcher::Answer &answer) {
    const std::uint32_t symbol = answer.request.symbol;
    SymbolLink &link = symbols_[symbol];
    if (link.generation != answer.request.generation)
      return;
    link.asked = false;
    if (!answer.problem.empty()) {
      diagnostics_.report(Trouble::Snapshot, {.what = "no snapshot of " + core_.instruments()[symbol].name,
                                              .where = config_.rest,
                                              .found = answer.problem});
      ask_snapshot(symbol, link.backoff.next());
      return;
    }
    const std::size_t size = answer.body.size();
    answer.body.resize(size + kMessagePadding, '\0');
    Receipt receipt;
    receipt.receive_ns = answer.receive_ns;
    receipt.source = shm::TimeSource::USER;
    receipt.origin = {answer.request.target.c_str(), 0};
    receipt.symbol_hint = symbol;
    const std::uint64_t before = core_.statistics().snapshots;
    (void)core_.receive(*parser_, std::string_view(answer.body).substr(0, size), receipt);
    core_.publish_cursor();
    if (core_.statistics().snapshots == before && !link.asked)
      ask_snapshot(symbol, link.backoff.next()); // it was no snapshot
  }

  void tend() {
    core_.pause();
    const std::uint64_t now = monotonic_ns();
    if (notify_.watchdog_ns() != 0 && now - watchdog_ns_ >= notify_.watchdog_ns()) {
      watchdog_ns_ = now;
      notify_.send("WATCHDOG=1");
    }
    if (announced_ && now - ready_ns_ > kSteadyAfterNs) {
      const PageFaults faults = PageFaults::of_this_thread();
      if (!steady_) {
        steady_ = true;
        steady_faults_ = faults;
      }
      core_.statistics().page_faults_minor += faults.minor - steady_faults_.minor;
      core_.statistics().page_faults_major += faults.major - steady_faults_.major;
      steady_faults_ = faults;
    }
    if (now - swept_ns_ >= kSweepEveryNs) {
      swept_ns_ = now;
      for (std::uint32_t symbol = 0; symbol < symbols_.size(); ++symbol) {
        if (const shm::State state = core_.state(symbol);
            state == shm::State::RESYNC || state == shm::State::STALE)
          snapshot_needed(symbol);
      }
    }
    tend_timer_.expires_after(kTendEvery);
    tend_timer_.async_wait([this](boost::system::error_code error) {
      if (!error)
        tend();
    });
  }

  asio::io_context loop_{1};
  const FeedConfig &config_;
  const Venue &venue_;
  const Subscription &subscription_;
  FeedCore &core_;
  Diagnostics &diagnostics_;
  const ServiceNotify &notify_;
  std::random_device random_device_;
  std::mt19937_64 random_{random_device_()};
  std::unique_ptr<Parser> parser_;
  asio::steady_timer tend_timer_;
  std::vector<SymbolLink> symbols_;
  std::vector<std::unique_ptr<Connection>> connections_;
  Connection *speaking_ = nullptr; ///< whose message the core is working on
  bool announced_ = false;
  bool steady_ = false;
  std::uint64_t ready_ns_ = 0;
  std::uint64_t watchdog_ns_ = 0;
  std::uint64_t swept_ns_ = 0;
  PageFaults steady_faults_{};
  std::unique_ptr<SnapshotFetcher> fetcher_; ///< last: its thread posts to the loop
};

LiveFeed::LiveFeed(const FeedConfig &config, const Venue &venue, const Subscription &subscription,
                   FeedCore &core, Diagnostics &diagnostics, const ServiceNotify &notify)
    : implementation_(
          std::make_unique<Implementation>(config, venue, subscription, core, diagnostics, notify)) {}

LiveFeed::~LiveFeed() = default;

void LiveFeed::before_loop(std::function<void()> call) { implementation_->before_loop = std::move(call); }

void LiveFeed::run() { implementation_->run(); }

} // namespace quietcore
