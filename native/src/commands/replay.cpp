#include "commands.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_core.hpp"
#include "quietcore/recording.hpp"
#include "quietcore/recording_scan.hpp"
#include "quietcore/ring_writer.hpp"
#include "quietcore/segment_file.hpp"
#include "quietcore/stop_signal.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <thread>
#include <unistd.h>

namespace quietcore {
namespace {

constexpr std::array<OptionSpec, 7> kOptions{{
    {"--feed", "NAME", "publish to /dev/shm/quietcore.NAME (required)"},
    {"--venue", "NAME",
     "whose messages these are: bybit-linear, -inverse, -spot, binance-usdm, -spot, multicast (required)"},
    {"--speed", "X|max", "multiple of the recorded speed, or as fast as it goes (default 1)"},
    {"--loop", "N", "play it N times (default 1)"},
    {"--capacity", "SLOTS", "of the ring, a power of two (default 65536)"},
    {"--depth", "N", "levels a side in the published ladder (default 20)"},
    {"--group", "NAME", "group of the segment, where it exists (default quietcore)"},
}};

constexpr std::uint64_t kTendEveryNs = 20'000'000;

/// Holds a replay to the recorded times, heartbeat and all.
class Pace {
public:
  Pace(double speed, FeedCore &core) : speed_(speed), core_(core) {}

  void restart() noexcept { first_ns_ = 0; }

  /// Waits until a message of this time is due; false where a stop was asked for.
  bool wait(std::int64_t recorded_ns) {
    if (speed_ <= 0 || recorded_ns == 0) {
      if ((++messages_ & 63U) == 0)
        tend(monotonic_ns());
      return !StopSignal::requested();
    }
    if (first_ns_ == 0) {
      first_ns_ = recorded_ns;
      start_ns_ = monotonic_ns();
    }
    const double since = std::max(0.0, static_cast<double>(recorded_ns - first_ns_) / speed_);
    const std::uint64_t due = start_ns_ + static_cast<std::uint64_t>(since);
    for (;;) {
      const std::uint64_t now = monotonic_ns();
      tend(now);
      if (StopSignal::requested())
        return false;
      if (now >= due)
        return true;
      core_.pause();
      std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(due - now, kTendEveryNs)));
    }
  }

private:
  void tend(std::uint64_t now) {
    if (now - tended_ns_ < kTendEveryNs)
      return;
    tended_ns_ = now;
    core_.pause();
  }

  double speed_;
  FeedCore &core_;
  std::int64_t first_ns_ = 0;
  std::uint64_t start_ns_ = 0;
  std::uint64_t tended_ns_ = 0;
  std::uint64_t messages_ = 0;
};

/// Finds the venue's time of a message that has no receive time.
class VenueTime final : public MessageSink {
public:
  std::int64_t ns = 0;
  void on_depth(const DepthMessage &message) override { ns = message.venue_ns; }
  void on_trades(const TradesMessage &message) override { ns = message.venue_ns; }
  void on_ticker(const TickerMessage &message) override { ns = message.venue_ns; }
  void on_control(const ControlMessage &) override { ns = 0; }
};

double speed_of(const CommandLine &line) {
  const std::string text = line.text("--speed").value_or("1");
  if (text == "max")
    return 0;
  char *end = nullptr;
  const double speed = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0' || !std::isfinite(speed) || speed <= 0)
    throw Error({.what = "value not usable",
                 .where = "--speed",
                 .found = text,
                 .expected = "a positive number, or max",
                 .remedy = "see quietcore-feed replay --help"});
  return speed;
}

std::uint64_t capacity_of(const CommandLine &line) {
  const auto capacity =
      static_cast<std::uint64_t>(line.number("--capacity", static_cast<std::int64_t>(kMinCapacity),
                                             static_cast<std::int64_t>(kMaxCapacity))
                                     .value_or(65536));
  if (!std::has_single_bit(capacity))
    throw Error({.what = "value not usable",
                 .where = "--capacity",
                 .found = std::to_string(capacity),
                 .expected = "a power of two from 1024"});
  return capacity;
}

} // namespace

constexpr CommandSpec kReplayCommand{
    "replay",
    "Publishes a recording to a ring, through the same parser, rules and books as live data.",
    "FILE",
    "lines of `receive_ns raw_json` or bare `raw_json` (paced by the venue's time), or a capture (pcap) of "
    "multicast; "
    "plain, gzip or zstd",
    kOptions,
    "Receive times are the recorded ones and marked so; venue times are marked as not comparable.\n"
    "The ring stays in /dev/shm at the end, as a live feed's does: readers keep it, and the next producer "
    "of\n"
    "this name goes on in it. rm /dev/shm/quietcore.NAME removes it.\n"
    "exit status: 0 played to its end or stopped; 1 the recording is cut off; 2 wrong usage, or no room for "
    "the ring"};

ExitCode replay_command(Arguments arguments) {
  const CommandLine line(kReplayCommand, arguments);
  if (line.help()) {
    std::cout << help_text(kReplayCommand);
    return ExitCode::Ok;
  }
  const std::string feed = line.required("--feed");
  check_feed_name(feed, "--feed");
  const auto venue = make_venue(line.required("--venue"));
  const std::string path = line.positional();
  const double speed = speed_of(line);
  const std::int64_t loops = line.number("--loop", 1, 1'000'000'000).value_or(1);
  const RecordingFacts facts = scan_recording(*venue, path);

  SegmentSpec spec;
  spec.feed = feed;
  spec.venue = venue->name();
  spec.capacity = capacity_of(line);
  spec.ladder_depth = static_cast<std::uint32_t>(line.number("--depth", 1, kMaxLadderDepth).value_or(20));
  spec.instruments = facts.instruments;
  SegmentPlace place;
  place.group = line.text("--group").value_or(place.group);
  Diagnostics diagnostics;
  const ProducerSegment segment = ProducerSegment::open(spec, place);
  if (!segment.replaced().empty())
    diagnostics.say("replaced the ring " + place.segment(feed) + ": " + segment.replaced());
  RingWriter ring(segment.view());
  StopSignal::install();
  FeedCore core(*venue, facts.instruments, {spec.ladder_depth, facts.windows}, diagnostics, &ring);
  const char *const origin = diagnostics.keep(path);
  Pace pace(speed, core);
  core.pause();
  bool go_on = true;
  for (std::int64_t loop = 0; loop < loops && go_on; ++loop) {
    if (loop != 0)
      core.all_connections_lost();
    pace.restart();
    // A parser may remember what it has read: each round begins anew.
    const std::unique_ptr<Parser> parser = venue->make_parser();
    const std::unique_ptr<Parser> time_parser = venue->make_parser();
    RecordingReader reader(path);
    RecordedLine recorded;
    while (reader.next(recorded) && recorded.number != facts.cut_line) {
      std::int64_t due = recorded.receive_ns;
      if (due == 0 && speed > 0) {
        VenueTime time;
        (void)time_parser->parse(recorded.message.data(), recorded.message.size(), time);
        due = time.ns;
      }
      if (go_on = pace.wait(due); !go_on)
        break;
      Receipt receipt;
      receipt.replayed = true;
      receipt.source = recorded.receive_ns != 0 ? shm::TimeSource::RECORDED : shm::TimeSource::NONE;
      receipt.receive_ns = recorded.receive_ns != 0 ? recorded.receive_ns : realtime_ns();
      receipt.origin = {origin, recorded.number};
      if (const auto at = facts.snapshot_symbols.find(recorded.number); at != facts.snapshot_symbols.end())
        receipt.symbol_hint = at->second;
      (void)core.receive(*parser, recorded.message, receipt);
    }
  }
  core.all_connections_lost();
  core.pause();
  if (isatty(STDERR_FILENO) == 1) // for people; a program that replays knows
    diagnostics.say(ring_stays(feed, place));
  if (facts.cut_line != 0 || facts.cut_gzip) {
    diagnostics.say(
        Finding{.what = "the recording is cut off",
                .where = path + ":" + std::to_string(facts.cut_line != 0 ? facts.cut_line : facts.lines),
                .found = facts.cut_gzip ? "data that stop before their end"
                                        : "a last line that is no complete message",
                .remedy = "copy or record it again; what comes before was played"}
            .message());
    return ExitCode::Found;
  }
  return ExitCode::Ok;
}

} // namespace quietcore
