#include "commands.hpp"

#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_config.hpp"
#include "quietcore/feed_core.hpp"
#include "quietcore/host_pauses.hpp"
#include "quietcore/http_client.hpp"
#include "quietcore/live_feed.hpp"
#include "quietcore/memory_lock.hpp"
#include "quietcore/multicast_feed.hpp"
#include "quietcore/multicast_packet.hpp"
#include "quietcore/readiness.hpp"
#include "quietcore/ring_writer.hpp"
#include "quietcore/segment_file.hpp"
#include "quietcore/service_notify.hpp"
#include "quietcore/stop_signal.hpp"
#include "quietcore/thread_placement.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <thread>
#include <unordered_map>

namespace quietcore {
namespace {

constexpr std::array<OptionSpec, 25> kOptions{{
    {"--config", "FILE", "TOML file; the feed is named after it, and options override it"},
    {"--feed", "NAME", "publish to /dev/shm/quietcore.NAME"},
    {"--venue", "NAME", "bybit-linear, bybit-inverse, bybit-spot, binance-usdm, binance-spot or multicast"},
    {"--websocket", "URL", "ws:// or wss:// and host; the venue's path is added"},
    {"--rest", "URL", "http:// or https:// and host, for instruments and snapshots"},
    {"--websocket-b", "URL",
     "another host with the same streams: whichever is first with an update is published"},
    {"--rest-b", "URL", "its REST service (default that of --rest)"},
    {"--source", "NAME", "venue multicast: the feed's name with its publisher"},
    {"--multicast", "GROUP:PORT", "its packets (default 239.255.0.1:9001)"},
    {"--snapshots", "GROUP:PORT", "its snapshots (default 239.255.0.2:9002)"},
    {"--interface", "NAME|ADDRESS", "where they come in (default 127.0.0.1)"},
    {"--control", "PATH",
     "socket for quietcore-feed control (default $RUNTIME_DIRECTORY/control, where that is set)"},
    {"--symbols-list", "A,B", "symbols as the venue spells them (default: all it lists)"},
    {"--symbols", "N", "only the first N of them"},
    {"--depth", "D", "of the book stream: Bybit 1, 50, 200 or 1000 (default 50)"},
    {"--retired-depths", "",
     "take 500 too, which Bybit offered until 2025: for a simulator that plays such a recording"},
    {"--streams", "A,B", "of book, trade, ticker (default: all three)"},
    {"--tls-ca", "FILE", "PEM file with a certificate authority to trust beside the system's"},
    {"--cpu", "plan|N|-1", "CPU of the receiving thread: from the core plan, a number, or none (default -1)"},
    {"--plan", "FILE", "core plan (default /etc/quietcore/plan.json)"},
    {"--wait", "spin|nap", "never sleep, for a core of its own, or sleep until data come (default nap)"},
    {"--capacity", "SLOTS", "of the ring, a power of two (default 65536)"},
    {"--ladder-depth", "N", "levels a side in the published ladder (default 20)"},
    {"--group", "NAME", "group of the segment, where it exists (default quietcore)"},
    {"--check", "", "check the configuration and exit"},
}};

std::vector<std::string> split(const std::string &text) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    if (comma > begin)
      out.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return out;
}

void must_be_set(const std::string &value, const char *key, const char *option) {
  if (value.empty())
    throw Error({.what = "setting missing",
                 .where = key,
                 .remedy = std::string("set it in the configuration file, or give ") + option});
}

FeedConfig read_config(const CommandLine &line) {
  FeedConfig config;
  if (const auto path = line.text("--config"))
    config.read_file(*path);
  config.feed = line.text("--feed").value_or(config.feed);
  config.venue = line.text("--venue").value_or(config.venue);
  config.websocket = line.text("--websocket").value_or(config.websocket);
  config.rest = line.text("--rest").value_or(config.rest);
  config.second.websocket = line.text("--websocket-b").value_or(config.second.websocket);
  config.second.rest = line.text("--rest-b").value_or(config.second.rest);
  config.control = line.text("--control").value_or(config.control);
  if (const char *folder = std::getenv("RUNTIME_DIRECTORY"); config.control.empty() && folder != nullptr)
    config.control = std::string(folder) + "/control";
  MulticastConfig &multicast = config.multicast;
  multicast.feed = line.text("--source").value_or(multicast.feed);
  multicast.group = line.text("--multicast").value_or(multicast.group);
  multicast.snapshots = line.text("--snapshots").value_or(multicast.snapshots);
  multicast.interface = line.text("--interface").value_or(multicast.interface);
  config.tls_ca = line.text("--tls-ca").value_or(config.tls_ca);
  config.plan = line.text("--plan").value_or(config.plan);
  config.group = line.text("--group").value_or(config.group);
  if (const auto list = line.text("--symbols-list"))
    config.subscription.symbols = split(*list);
  if (const auto streams = line.text("--streams"))
    set_streams(config.subscription, split(*streams), "--streams");
  if (const auto cpu = line.text("--cpu"))
    config.cpu = CpuWish::parse(*cpu, "--cpu");
  if (const auto wait = line.text("--wait"))
    config.wait = parse_wait(*wait, "--wait");
  config.retired_depths = config.retired_depths || line.has("--retired-depths");
  config.max_symbols = static_cast<std::size_t>(line.number("--symbols", 1, 65535).value_or(0));
  config.subscription.depth =
      static_cast<std::uint32_t>(line.number("--depth", 1, 100'000).value_or(config.subscription.depth));
  config.capacity =
      static_cast<std::uint64_t>(line.number("--capacity", 1, static_cast<std::int64_t>(kMaxCapacity))
                                     .value_or(static_cast<std::int64_t>(config.capacity)));
  config.ladder_depth = static_cast<std::uint32_t>(
      line.number("--ladder-depth", 1, kMaxLadderDepth).value_or(config.ladder_depth));
  must_be_set(config.feed, "feed", "--feed");
  must_be_set(config.venue, "venue", "--venue");
  return config;
}

/// Where the venue's messages come from; which settings say so depends on how they come.
void must_have_places(const FeedConfig &config, const Venue &venue) {
  if (venue.transport() == Transport::Multicast) {
    must_be_set(config.multicast.feed, "multicast.feed", "--source");
    return;
  }
  must_be_set(config.websocket, "websocket", "--websocket");
  must_be_set(config.rest, "rest", "--rest");
}

/// The service may be on the receiving thread's core alone; the log is no work for it.
void write_log_elsewhere(Diagnostics &diagnostics, const FeedConfig &config) {
  std::string problem;
  try {
    problem = diagnostics.write_on(resolve_shared_cpus(config.cpu, config.plan));
  } catch (const Error &error) {
    problem = error.what();
  }
  if (!problem.empty())
    diagnostics.say("warning: the log is written on the feed's own CPUs: " + problem);
}

/// Sleeps until it is over or a stop is asked for, and tells the service manager that it must go on waiting.
void wait_out(HostPauses::Clock::duration pause, const ServiceNotify &notify) {
  constexpr std::chrono::seconds kTellEvery{10};
  const auto until = HostPauses::Clock::now() + pause;
  auto tell = HostPauses::Clock::now();
  while (!StopSignal::requested()) {
    const auto now = HostPauses::Clock::now();
    if (now >= until)
      return;
    if (now >= tell) {
      notify.send("EXTEND_TIMEOUT_USEC=60000000");
      tell = now + kTellEvery;
    }
    std::this_thread::sleep_for(
        std::min<HostPauses::Clock::duration>(until - now, std::chrono::milliseconds(100)));
  }
}

/// Asks the venue for its instruments. A service that is just starting gets a second and third chance; a
/// venue that is there and declines for now is left alone as long as it wants, and asked again until it
/// answers.
InstrumentList fetch_instruments(const FeedConfig &config, const Venue &venue, Diagnostics &diagnostics,
                                 const ServiceNotify &notify, HostPauses &pauses) {
  if (venue.transport() == Transport::Multicast)
    return {await_multicast_instruments(config), {}};
  const Url rest = Url::parse(config.rest, "http", "rest");
  const TlsTrust trust{config.tls_ca};
  const HttpPatience patience{std::chrono::seconds(10), [] { return StopSignal::requested(); }};
  constexpr int kTries = 3;
  int left = kTries;
  while (!StopSignal::requested()) {
    HostPauses::Clock::duration pause = std::chrono::milliseconds(500);
    try {
      wait_out(pauses.left(rest), notify);
      if (StopSignal::requested())
        break;
      InstrumentList list = venue.instruments(
          [&](const std::string &target) { return http_get(rest, target, trust, patience); });
      pauses.answered(rest);
      return list;
    } catch (const Refused &refused) {
      if (!refused.refusal().passing)
        throw;
      pause = pauses.refused(rest, refused.refusal());
      diagnostics.say(refused.what() + pause_in_words(rest, pause));
      notify.send("STATUS=waiting: " + refused.refusal().text + pause_in_words(rest, pause));
    } catch (const Error &error) {
      if (!StopSignal::requested() && (--left == 0 || error.code() != ExitCode::Unknown))
        throw;
    }
    wait_out(pause, notify);
  }
  throw Error({.what = "stopped before it began"}, ExitCode::Ok);
}

/// The configured symbols with the venue's scales, in the configured order, or all of the venue's.
std::vector<Instrument> choose(const FeedConfig &config, InstrumentList all, Diagnostics &diagnostics) {
  std::vector<Instrument> chosen;
  if (config.subscription.symbols.empty()) {
    std::vector<std::string> left_out;
    for (const InstrumentList::Other &other : all.others) {
      if (other.trades)
        left_out.push_back((other.name.empty() ? "one without a name" : other.name) + " (" + other.why + ")");
    }
    if (!left_out.empty())
      diagnostics.say("warning: " + std::to_string(left_out.size()) +
                      " instruments are listed that cannot be followed, and left out: " + some_of(left_out));
    chosen = std::move(all.trading);
  } else {
    std::unordered_map<std::string, const Instrument *> by_name;
    for (const Instrument &instrument : all.trading)
      by_name[instrument.name] = &instrument;
    for (const std::string &symbol : config.subscription.symbols) {
      const auto at = by_name.find(symbol);
      if (at != by_name.end()) {
        chosen.push_back(*at->second);
        continue;
      }
      if (const InstrumentList::Other *other = all.other(symbol))
        throw Error({.what = other->trades ? "instrument not understood" : "symbol does not trade",
                     .where = config.rest,
                     .found = symbol + ": " + other->why,
                     .expected = other->trades ? "tick and lot as the venue documents them"
                                               : "a symbol that is open for trading",
                     .remedy = "take it out of symbols (--symbols-list) until the venue has mended it"});
      throw Error(
          {.what = "unknown symbol",
           .where = config.feed,
           .found = symbol,
           .expected = "one of the " + std::to_string(all.trading.size()) + " that trade at " + config.rest,
           .remedy = "correct symbols (--symbols-list)"});
    }
  }
  if (config.max_symbols != 0 && chosen.size() > config.max_symbols)
    chosen.resize(config.max_symbols);
  if (chosen.empty())
    throw Error({.what = "no symbols", .where = config.rest, .found = "none that trade"}, ExitCode::Unknown);
  if (chosen.size() > kMaxSymbols)
    throw Error({.what = "too many symbols",
                 .found = std::to_string(chosen.size()),
                 .expected = "at most 65535",
                 .remedy = "limit them with --symbols"});
  return chosen;
}

/// Follows the venue with the instruments it has now, to the end or until they change.
LiveFeed::End follow(const FeedConfig &config, const Venue &venue, std::optional<int> cpu,
                     Diagnostics &diagnostics, const ServiceNotify &notify, HostPauses &pauses) {
  const AffinityRestored affinity;
  const std::vector<Instrument> instruments =
      choose(config, fetch_instruments(config, venue, diagnostics, notify, pauses), diagnostics);
  Subscription subscription = config.subscription;
  subscription.symbols.clear();
  for (const Instrument &instrument : instruments)
    subscription.symbols.push_back(instrument.name);

  SegmentSpec spec{config.feed, std::string(venue.name()), config.capacity, config.ladder_depth, instruments};
  SegmentPlace place;
  place.group = config.group;
  const ProducerSegment segment = ProducerSegment::open(spec, place);
  if (!segment.replaced().empty())
    diagnostics.say("replaced the ring " + place.segment(config.feed) + ": " + segment.replaced());
  diagnostics.say("ring: " + segment.pages());
  RingWriter ring(segment.view());
  const bool datagrams = venue.transport() == Transport::Multicast;
  const std::uint32_t window = datagrams                ? multicast::kMaxSideLevels
                               : venue.depths().empty() ? 0
                                                        : subscription.depth;
  FeedCore core(venue, instruments,
                {config.ladder_depth, std::vector<std::uint32_t>(instruments.size(), window), datagrams},
                diagnostics, &ring);
  core.statistics().cpu = 0;
  core.statistics().locked_kib = 0;
  const auto settle = [&] {
    if (cpu) {
      if (const std::string warning = pin_this_thread(*cpu); warning.empty())
        core.statistics().cpu = static_cast<std::uint64_t>(*cpu) + 1;
      else
        diagnostics.say("warning: " + warning);
    }
    prefault_heap_and_stack();
    const MemoryLock lock = lock_memory();
    core.statistics().locked_kib = lock.locked_kib;
    if (!lock.warning.empty())
      diagnostics.say("warning: " + lock.warning);
  };
  if (datagrams) {
    MulticastFeed feed(config, venue, core, diagnostics, notify);
    feed.before_loop(settle);
    return feed.run();
  }
  LiveFeed feed(config, venue, subscription, core, diagnostics, notify, pauses);
  feed.before_loop(settle);
  return feed.run();
}

} // namespace

constexpr CommandSpec kRunCommand{
    "run",
    "Follows a live venue, or the simulator, and publishes to a ring until it is told to stop.",
    "",
    "",
    kOptions,
    "Without --config the options --feed, --venue, --websocket and --rest are needed; with venue multicast, "
    "--source\n"
    "in place of the last two.\n"
    "The ring stays in /dev/shm at the end: readers keep it, and the next feed of this name goes on in it.\n"
    "A venue that declines for now (HTTP 403, 418, 429, 5xx, or a code of its own) is left alone as long as\n"
    "it wants, and asked again; a refusal that will not pass ends the start.\n"
    "exit status: 0 stopped by SIGTERM or SIGINT; 2 wrong usage or configuration, another producer, no room "
    "for the\n"
    "ring, or refused by the venue for good; 3 the venue cannot be reached at the start (later it is tried\n"
    "again and again)"};

ExitCode run_command(Arguments arguments) {
  const CommandLine line(kRunCommand, arguments);
  if (line.help()) {
    std::cout << help_text(kRunCommand);
    return ExitCode::Ok;
  }
  FeedConfig config = read_config(line);
  const auto venue = make_venue(config.venue);
  must_have_places(config, *venue);
  config.check(*venue, line.text("--config").value_or("command line"));
  const std::optional<int> cpu = resolve_cpu(config.cpu, config.plan);
  config.recorder.cpus = resolve_shared_cpus(config.recorder_cpu, config.plan);
  if (line.has("--check")) {
    std::cout << "configuration of feed " << config.feed << " is valid" << std::endl;
    return ExitCode::Ok;
  }

  StopSignal::install();
  Diagnostics diagnostics;
  if (config.cpu.kind == CpuWish::Kind::Plan)
    write_log_elsewhere(diagnostics, config);
  const ServiceNotify notify;
  HostPauses pauses;
  while (follow(config, *venue, cpu, diagnostics, notify, pauses) == LiveFeed::End::InstrumentsChanged) {
    // A scale is another: the ring's directory must say so, and readers attach anew.
  }
  notify.send("STOPPING=1");
  diagnostics.say(ring_stays(config.feed));
  return ExitCode::Ok;
}

} // namespace quietcore
