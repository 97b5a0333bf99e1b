#include "quietcore/live_feed.hpp"

#include "control_server.hpp"
#include "endpoint_switch.hpp"
#include "instrument_watch.hpp"
#include "leg.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/control_request.hpp"
#include "quietcore/json_writer.hpp"
#include "quietcore/memory_lock.hpp"
#include "quietcore/readiness.hpp"
#include "quietcore/stop_signal.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace quietcore {
namespace {

namespace asio = boost::asio;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds kTendEvery{20};
/// After this long without a start-up chore left, a page fault of the receiving thread counts.
constexpr std::uint64_t kSteadyAfterNs = 2'000'000'000;
/// How often books are looked after.
constexpr std::uint64_t kSweepEveryNs = 200'000'000;
constexpr std::chrono::minutes kConnectionWindow{5};
constexpr std::uint64_t kRenewAgainNs = 60'000'000'000;
constexpr std::uint64_t kLastAnswersNs = 500'000'000;
/// For books that had not come when the feed was ready.
constexpr std::uint64_t kLookAgainNs = 1'000'000'000;

std::uint64_t nanoseconds(std::chrono::seconds time) {
  return static_cast<std::uint64_t>(time.count()) * 1'000'000'000;
}

} // namespace

class LiveFeed::Implementation final {
public:
  Implementation(const FeedConfig &config, const Venue &venue, const Subscription &subscription,
                 FeedCore &core, Diagnostics &diagnostics, const ServiceNotify &notify, HostPauses &pauses)
      : config_(config), venue_(venue), subscription_(subscription), core_(core), diagnostics_(diagnostics),
        notify_(notify), pauses_(pauses), parser_(venue.make_parser()),
        tries_(venue.limits().connections, kConnectionWindow), tend_timer_(loop_),
        legs_(
            core, diagnostics, config.connection.switch_timeout,
            [this](std::uint32_t index, Endpoint endpoint) { return make_leg(index, std::move(endpoint)); },
            [this](std::shared_ptr<Leg> leg) {
              // What is queued already runs before this.
              asio::post(loop_, [held = std::move(leg)] {});
            }) {
    core_.on_snapshot_needed([this](std::uint32_t symbol, std::uint32_t leg) {
      if (Leg *its = legs_.find(leg))
        its->snapshot_needed(symbol);
    });
    core_.on_control_message([this](const ControlMessage &message) {
      legs_.each([&](Leg &leg) {
        if (leg.speaking())
          leg.on_control(message);
      });
    });
  }

  std::function<void()> before_loop = [] {};

  LiveFeed::End run() {
    const TlsTrust trust{config_.tls_ca};
    if (!venue_.snapshot_target("").empty() && subscription_.book)
      fetcher_ = std::make_unique<SnapshotFetcher>(
          trust, SnapshotFetcher::Budget{}, pauses_, [this](SnapshotFetcher::Answer answer) {
            asio::post(loop_, [this, held = std::move(answer)]() mutable {
              if (Leg *leg = legs_.find(held.request.leg))
                leg->take_snapshot(held);
            });
          });
    if (!config_.recorder.folder.empty())
      recorder_ = std::make_unique<Recorder>(config_.recorder, config_.feed,
                                             [this](const std::string &line) { diagnostics_.say(line); });
    if (config_.connection.refresh.count() != 0)
      instrument_watch_ = std::make_unique<InstrumentWatch>(
          venue_, Url::parse(config_.rest, "http", "rest"), trust, config_.connection.refresh, pauses_,
          [this](InstrumentWatch::News news) {
            asio::post(loop_, [this, held = std::move(news)] { take_instruments(held); });
          });
    if (!config_.control.empty())
      control_ = std::make_unique<ControlServer>(
          loop_, config_.control, config_.group,
          [this](const std::string &request, ControlServer::Reply reply) {
            answer(request, std::move(reply));
          },
          [this](const Finding &finding) { diagnostics_.report(Trouble::Socket, finding); });
    before_loop();
    legs_.add({config_.websocket, config_.rest});
    if (!config_.second.websocket.empty())
      legs_.add({config_.second.websocket, config_.second.rest.empty() ? config_.rest : config_.second.rest});
    began_ns_ = monotonic_ns();
    tend();
    while (!StopSignal::requested() && end_ == LiveFeed::End::Stopped) {
      if (config_.wait == Wait::Spin)
        loop_.poll();
      else
        loop_.run_one();
    }
    if (control_)
      control_->stop_accepting();
    legs_.close_all();
    fetcher_.reset();
    instrument_watch_.reset();
    // Last answers, as many as there are; whatever keeps the loop busy, the end comes.
    const std::uint64_t until = monotonic_ns() + kLastAnswersNs;
    while (loop_.poll_one() != 0 && monotonic_ns() < until) {
    }
    control_.reset();
    core_.all_connections_lost();
    count_recorded();
    core_.pause();
    return end_;
  }

private:
  std::shared_ptr<Leg> make_leg(std::uint32_t index, Endpoint endpoint) {
    return std::make_shared<Leg>(
        LegContext{{loop_, venue_, config_.connection, config_.socket, diagnostics_, tries_, pauses_},
                   config_,
                   subscription_,
                   core_,
                   *parser_,
                   recorder_.get(),
                   fetcher_.get(),
                   random_},
        index, std::move(endpoint));
  }

  /// Followed symbols that no leg has the book of.
  [[nodiscard]] std::vector<std::string> missing_books() const {
    std::vector<std::string> missing;
    for (std::uint32_t symbol = 0; subscription_.book && symbol < core_.instruments().size(); ++symbol) {
      bool any = false;
      legs_.each([&](const Leg &leg) { any = any || leg.has_book(symbol); });
      if (!any)
        missing.push_back(core_.instruments()[symbol].name);
    }
    return missing;
  }

  void look_for_readiness(std::uint64_t now) {
    if (readiness_.complete() || now - readiness_looked_ns_ < (readiness_.announced() ? kLookAgainNs : 0))
      return;
    readiness_looked_ns_ = now;
    bool any = false;
    legs_.each([&](const Leg &leg) { any = any || leg.ready(); });
    if (!any)
      return;
    const std::vector<std::string> missing = missing_books();
    if (!std::exchange(subscribed_told_, true) && !missing.empty())
      notify_.send("STATUS=subscribed; waiting for the books of " + std::to_string(missing.size()) +
                   " symbols");
    switch (readiness_.look(now, core_.instruments().size(), missing.size())) {
    case Readiness::Step::Nothing:
      break;
    case Readiness::Step::Ready:
      announce("");
      break;
    case Readiness::Step::ReadyWithout:
      announce(", without a book yet: " + some_of(missing));
      break;
    case Readiness::Step::Complete:
      diagnostics_.say("every book has come");
      break;
    case Readiness::Step::NotYet:
      diagnostics_.say(
          Finding{.what = "not ready",
                  .where = config_.websocket,
                  .found = "no book of " + some_of(missing) + ", " +
                           std::to_string(readiness_.waited_ns(now) / 1'000'000'000) +
                           " s after the venue confirmed the subscriptions",
                  .expected = "a snapshot of each",
                  .remedy = "check that the venue has books of these symbols at this depth; they are asked "
                            "for again and again"}
              .message());
      notify_.send("STATUS=no book yet of " + some_of(missing));
      break;
    }
  }

  void announce(const std::string &but) {
    core_.pause();
    const std::string symbols =
        std::to_string(core_.instruments().size()) + " symbols of " + std::string(venue_.name()) + but;
    notify_.send("READY=1\nSTATUS=following " + symbols);
    diagnostics_.say("ready: " + symbols);
  }

  void take_instruments(const InstrumentWatch::News &news) {
    if (!news.problem.empty()) {
      diagnostics_.report(Trouble::Listing, {.what = "instruments not refreshed",
                                             .where = config_.rest,
                                             .found = news.problem,
                                             .remedy = "those of the last time stay"});
      return;
    }
    std::unordered_map<std::string, const Instrument *> listed;
    for (const Instrument &instrument : news.instruments.trading)
      listed.emplace(instrument.name, &instrument);
    const std::vector<Instrument> &ours = core_.instruments();
    unlisted_.resize(ours.size(), false);
    for (std::uint32_t symbol = 0; symbol < ours.size(); ++symbol) {
      const auto at = listed.find(ours[symbol].name);
      const bool gone = at == listed.end();
      const InstrumentList::Other *other = gone ? news.instruments.other(ours[symbol].name) : nullptr;
      if (other != nullptr && other->trades) { // it has not gone, whatever else is the matter
        diagnostics_.report(Trouble::Listing, {.what = "instrument not understood",
                                               .where = config_.rest,
                                               .found = ours[symbol].name + ": " + other->why,
                                               .remedy = "its tick and lot of the last time stay"});
        continue;
      }
      if (gone != unlisted_[symbol]) {
        unlisted_[symbol] = gone;
        const std::string why = other != nullptr ? " (" + other->why + ")" : "";
        diagnostics_.say(ours[symbol].name +
                         (gone ? ": the venue lists it no more" + why + "; its book is STALE"
                               : ": the venue lists it again"));
        legs_.each([&](Leg &leg) { leg.set_listed(symbol, !gone); });
      }
      if (!gone && (at->second->tick != ours[symbol].tick || at->second->lot != ours[symbol].lot)) {
        diagnostics_.say(ours[symbol].name +
                         ": the venue has changed its tick or lot; the feed begins again with "
                         "the new scale");
        end_ = LiveFeed::End::InstrumentsChanged;
      }
    }
    // A segment has a fixed directory: new symbols wait for a restart.
    if (config_.subscription.symbols.empty() && config_.max_symbols == 0 &&
        news.instruments.trading.size() > ours.size())
      diagnostics_.report(Trouble::Listing,
                          {.what = "new symbols",
                           .where = config_.rest,
                           .found = std::to_string(news.instruments.trading.size()) + " are listed",
                           .expected = std::to_string(ours.size()) + ", as at the start",
                           .remedy = "restart the feed when it suits to follow them too"});
  }

  void answer(const std::string &line, const ControlServer::Reply &reply) {
    ControlRequest request;
    try {
      request = ControlRequest::parse(line);
    } catch (const Error &error) {
      reply(JsonWriter().open().member("ok", false).member("problem", error.what()).close().text());
      return;
    }
    if (request.kind == ControlRequest::Kind::Status) {
      core_.pause(); // who asks reads the statistics page as of now too
      reply(status());
    } else {
      begin_switch(request.leg, std::move(request.endpoint), reply);
    }
  }

  void begin_switch(std::size_t which, Endpoint endpoint, const ControlServer::Reply &reply) {
    const std::string from = which < legs_.legs().size() ? legs_.legs()[which]->endpoint().websocket : "";
    if (endpoint.rest.empty() && which < legs_.legs().size())
      endpoint.rest = legs_.legs()[which]->endpoint().rest;
    const std::string to = endpoint.websocket;
    const std::uint64_t began = monotonic_ns();
    legs_.begin(which, std::move(endpoint), [reply, from, to, began](const std::string &problem) {
      JsonWriter json;
      json.open().member("ok", problem.empty());
      if (!problem.empty())
        json.member("problem", problem);
      json.member("from", from).member("to", to);
      reply(json.member("milliseconds", (monotonic_ns() - began) / 1'000'000).close().text());
    });
  }

  std::string status() {
    JsonWriter json;
    json.open().member("ok", true).member("feed", config_.feed).member("venue", venue_.name());
    json.member("symbols", core_.instruments().size()).member("switching", legs_.switching());
    std::size_t live = 0;
    for (std::uint32_t symbol = 0; symbol < core_.instruments().size(); ++symbol)
      live += core_.state(symbol) == shm::State::LIVE ? 1 : 0;
    json.member("books_live", live).member("ready", readiness_.announced());
    json.key("without_book").open('[');
    for (const std::string &name : missing_books())
      json.value(name);
    json.close(']').key("legs").open('[');
    legs_.each([&](Leg &leg) {
      const LegState state = leg.state();
      json.open().member("websocket", state.websocket).member("rest", leg.endpoint().rest);
      json.member("connections", state.connections).member("ready", state.ready);
      json.member("books_live", state.books_live).member("last_trouble", state.last_trouble).close();
    });
    json.close(']');
    const shm::Statistics &counts = core_.statistics();
    json.key("statistics").open();
    json.member("messages", counts.messages).member("depth_applied", counts.depth_applied);
    json.member("gaps", counts.gaps)
        .member("resyncs", counts.resyncs)
        .member("reconnects", counts.reconnects);
    json.member("duplicates", counts.duplicates).member("silences", counts.silences);
    json.member("refused_topics", counts.refused_topics).member("switches", counts.switches);
    json.member("malformed", counts.malformed).member("unknown_symbol", counts.unknown_symbol);
    json.member("out_of_range", counts.out_of_range).member("ignored", core_.counts().ignored);
    json.member("trades_left_out", core_.counts().left_out);
    json.member("recorded", counts.recorded).member("record_dropped", counts.record_dropped);
    json.member("log_dropped", diagnostics_.dropped());
    return json.close().close().text();
  }

  /// The venue hangs up on connections of an age: each is replaced before that, one leg after the other.
  void renew(std::uint64_t now) {
    const std::chrono::seconds configured = config_.connection.lifetime;
    const std::uint64_t lifetime =
        nanoseconds(configured.count() != 0 ? configured : venue_.limits().lifetime);
    if (lifetime == 0 || now - began_ns_ < lifetime || legs_.switching())
      return;
    const std::size_t which = renewed_++ % legs_.legs().size();
    if (renewed_ % legs_.legs().size() == 0)
      began_ns_ = now;
    diagnostics_.say("renewing connections before the venue ends them");
    legs_.begin(which, legs_.legs()[which]->endpoint(), [this, lifetime](const std::string &problem) {
      // Not much time is left: soon again.
      if (!problem.empty())
        began_ns_ = monotonic_ns() - lifetime + std::min(lifetime, kRenewAgainNs);
    });
  }

  void count_recorded() {
    if (!recorder_)
      return;
    shm::Statistics &counts = core_.statistics();
    counts.recorded += recorder_->taken() - std::exchange(recorded_, recorder_->taken());
    const std::uint64_t dropped = recorder_->dropped();
    if (dropped != dropped_)
      diagnostics_.report(Trouble::Recorder,
                          {.what = "messages not recorded",
                           .where = config_.recorder.folder,
                           .found = std::to_string(dropped) + " so far, as the buffer or the disk was full",
                           .remedy = "a larger recorder.buffer_mib, a faster disk, or fewer symbols"});
    counts.record_dropped += dropped - std::exchange(dropped_, dropped);
  }

  void tend() {
    count_recorded();
    core_.pause();
    const std::uint64_t now = monotonic_ns();
    if (notify_.watchdog_ns() != 0 && now - watchdog_ns_ >= notify_.watchdog_ns()) {
      watchdog_ns_ = now;
      notify_.send("WATCHDOG=1");
    }
    if (readiness_.announced() && now - readiness_.announced_ns() > kSteadyAfterNs) {
      const PageFaults faults = PageFaults::of_this_thread();
      if (!steady_) {
        steady_ = true;
        steady_faults_ = faults;
      }
      core_.statistics().page_faults_minor += faults.minor - steady_faults_.minor;
      core_.statistics().page_faults_major += faults.major - steady_faults_.major;
      steady_faults_ = faults;
    }
    legs_.tend(now);
    look_for_readiness(now);
    if (now - swept_ns_ >= kSweepEveryNs) {
      swept_ns_ = now;
      legs_.each([&](Leg &leg) { leg.sweep(now); });
      core_.prefer_live_books();
      renew(now);
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
  HostPauses &pauses_;
  std::random_device random_device_;
  std::mt19937_64 random_{random_device_()};
  std::unique_ptr<Parser> parser_;
  TryBudget tries_;
  asio::steady_timer tend_timer_;
  EndpointSwitch legs_;
  std::vector<bool> unlisted_; ///< by symbol
  LiveFeed::End end_ = LiveFeed::End::Stopped;
  Readiness readiness_{};
  bool subscribed_told_ = false;
  std::uint64_t readiness_looked_ns_ = 0;
  bool steady_ = false;
  std::uint64_t began_ns_ = 0;
  std::size_t renewed_ = 0;
  std::uint64_t watchdog_ns_ = 0;
  std::uint64_t swept_ns_ = 0;
  PageFaults steady_faults_{};
  std::uint64_t recorded_ = 0; ///< already in the statistics
  std::uint64_t dropped_ = 0;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<InstrumentWatch> instrument_watch_; ///< its thread posts to the loop
  std::unique_ptr<SnapshotFetcher> fetcher_;          ///< and so does its
};

LiveFeed::LiveFeed(const FeedConfig &config, const Venue &venue, const Subscription &subscription,
                   FeedCore &core, Diagnostics &diagnostics, const ServiceNotify &notify, HostPauses &pauses)
    : implementation_(
          std::make_unique<Implementation>(config, venue, subscription, core, diagnostics, notify, pauses)) {}

LiveFeed::~LiveFeed() = default;

void LiveFeed::before_loop(std::function<void()> call) { implementation_->before_loop = std::move(call); }

LiveFeed::End LiveFeed::run() { return implementation_->run(); }

} // namespace quietcore
