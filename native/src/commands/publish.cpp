#include "commands.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_config.hpp"
#include "quietcore/json_writer.hpp"
#include "quietcore/multicast_socket.hpp"
#include "quietcore/ring_publisher.hpp"
#include "quietcore/segment_file.hpp"
#include "quietcore/service_notify.hpp"
#include "quietcore/stop_signal.hpp"
#include "quietcore/thread_placement.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>

namespace quietcore {
namespace {

using namespace multicast;

constexpr std::array<OptionSpec, 14> kOptions{{
    {"--feed", "NAME", "the feed whose ring is read: /dev/shm/quietcore.NAME (required)"},
    {"--multicast", "GROUP:PORT", "where its packets go (default 239.255.0.1:9001)"},
    {"--snapshots", "GROUP:PORT", "where directory and snapshots go (default 239.255.0.2:9002)"},
    {"--interface", "NAME|ADDRESS", "which they leave by (default 127.0.0.1: this host alone)"},
    {"--ttl", "N", "hops that they may take, 0 to 255 (default 1)"},
    {"--no-loop", "", "receivers on this host do not get them"},
    {"--buffer", "BYTES", "of each socket, read back (default 8388608)"},
    {"--cycle", "MS", "within which every book is on the snapshot channel once (default 1000)"},
    {"--heartbeat", "MS", "at most this long without a packet (default 100)"},
    {"--cpu", "plan|N|-1", "CPU to run on: from the core plan, a number, or none (default -1)"},
    {"--plan", "FILE", "core plan (default /etc/quietcore/plan.json)"},
    {"--wait", "spin|nap", "look at the ring without a pause, or every 200 us (default nap)"},
    {"--seconds", "S", "end after so long (default: at SIGTERM or SIGINT)"},
    {"--json", "", "print the counts at the end as JSON"},
}};

constexpr std::uint64_t kFeedDeadAfterNs = 2'000'000'000;
constexpr std::uint64_t kAttachEveryNs = 250'000'000;
constexpr std::chrono::microseconds kNap{200};
constexpr std::size_t kTicksAtOnce = 4096;

/// Throws Error where there is none, or one that its feed handler has given up.
Mapping open_ring(const std::string &feed) {
  Mapping mapping = map_segment_for_reading(feed, {});
  if (shared(SegmentView(mapping.data()).header().closed).load(std::memory_order_acquire) != 0)
    throw Error({.what = "the ring is closed",
                 .where = SegmentPlace().segment(feed),
                 .remedy = "start the feed " + feed + ", which makes a new one"});
  return mapping;
}

/// A feed's ring, and the publisher that reads it.
struct Attached {
  Attached(const std::string &feed, RingPublisher::Send send)
      : mapping(open_ring(feed)), view(mapping.data()),
        publisher(view, static_cast<std::uint64_t>(realtime_ns()), std::move(send)) {}

  /// The producer is there and has not left this ring.
  [[nodiscard]] bool alive(std::uint64_t now) const noexcept {
    const std::uint64_t beat = shared(view.header().heartbeat_ns).load(std::memory_order_acquire);
    return !closed() && (now < beat || now - beat < kFeedDeadAfterNs);
  }
  [[nodiscard]] bool closed() const noexcept {
    return shared(view.header().closed).load(std::memory_order_acquire) != 0;
  }

  Mapping mapping;
  SegmentView view;
  RingPublisher publisher;
};

/// Publishes one feed until it is told to stop.
class Publication {
public:
  Publication(const CommandLine &line, Diagnostics &diagnostics)
      : feed_(line.required("--feed")), diagnostics_(diagnostics),
        groups_{Group::parse(line.text("--multicast").value_or(kDefaultGroup), "--multicast"),
                Group::parse(line.text("--snapshots").value_or(kDefaultSnapshots), "--snapshots")},
        heartbeat_ns_(static_cast<std::uint64_t>(line.number("--heartbeat", 1, 1000).value_or(100)) *
                      1'000'000),
        cycle_ns_(static_cast<std::uint64_t>(line.number("--cycle", 20, 60'000).value_or(1000)) * 1'000'000),
        spin_(parse_wait(line.text("--wait").value_or("nap"), "--wait") == Wait::Spin) {
    check_feed_name(feed_, "--feed");
    if (groups_[0] == groups_[1])
      throw Error({.what = "one group for both channels",
                   .where = "--multicast and --snapshots",
                   .found = groups_[0].text(),
                   .expected = "two, or two ports"});
    SocketWish wish;
    wish.interface = line.text("--interface").value_or(wish.interface);
    wish.ttl = static_cast<int>(line.number("--ttl", 0, 255).value_or(wish.ttl));
    wish.loop = !line.has("--no-loop");
    wish.buffer = static_cast<std::uint32_t>(line.number("--buffer", 4096, 1 << 30).value_or(wish.buffer));
    for (const Group &group : groups_) {
      senders_.push_back(std::make_unique<Sender>(group, wish));
      if (!senders_.back()->not_granted().empty())
        diagnostics.report(Trouble::Socket, {.what = "not granted by the kernel",
                                             .where = group.text() + ": " + senders_.back()->not_granted()});
    }
    attach();
    diagnostics_.say("publishing " + std::to_string(attached_->publisher.symbols()) + " symbols of " + feed_ +
                     " to " + groups_[0].text() + ", snapshots to " + groups_[1].text() + ", by " +
                     wish.interface);
  }

  void run(std::uint64_t until_ns, const ServiceNotify &notify) {
    notify.send("READY=1\nSTATUS=publishing " + feed_);
    std::uint64_t watchdog = 0;
    while (!StopSignal::requested()) {
      const std::uint64_t now = monotonic_ns();
      if (until_ns != 0 && now >= until_ns)
        break;
      const std::size_t taken = attached_->publisher.take(kTicksAtOnce);
      tend(now);
      if (notify.watchdog_ns() != 0 && now - watchdog >= notify.watchdog_ns()) {
        watchdog = now;
        notify.send("WATCHDOG=1");
      }
      if (taken == 0 && !spin_)
        std::this_thread::sleep_for(kNap);
    }
    attached_->publisher.lose_all(); // whoever listens need not wait for the silence
    notify.send("STOPPING=1");
  }

  void show(bool as_json) const {
    PublishCounts all = before_;
    add(all, attached_->publisher.counts());
    JsonWriter json;
    json.open().member("feed", feed_).member("multicast", groups_[0].text());
    json.member("snapshots", groups_[1].text())
        .member("ticks", all.ticks)
        .member("ticks_lost", all.ticks_lost);
    json.member("packets", all.packets[0]).member("snapshot_packets", all.packets[1]);
    json.member("heartbeats", all.heartbeats).member("messages", all.messages).member("bytes", all.bytes);
    json.member("unrepresentable", all.unrepresentable).member("not_sent", failed());
    json.member("send_buffer", senders_[0]->buffer()).member("attached", attaches_).close();
    if (as_json)
      std::cout << json.text() << std::endl;
    else
      std::cout << feed_ << ": " << all.ticks << " ticks (" << all.ticks_lost << " lost to the ring) in "
                << all.packets[0] << " packets, " << all.packets[1] << " of snapshots, " << all.heartbeats
                << " heartbeats, " << all.bytes << " bytes; " << failed() << " packets not sent, "
                << all.unrepresentable << " prices or sizes that do not fit" << std::endl;
  }

private:
  static void add(PublishCounts &to, const PublishCounts &from) {
    for (std::size_t i = 0; i < kChannels; ++i)
      to.packets[i] += from.packets[i];
    to.bytes += from.bytes;
    to.messages += from.messages;
    to.heartbeats += from.heartbeats;
    to.ticks += from.ticks;
    to.ticks_lost += from.ticks_lost;
    to.unrepresentable += from.unrepresentable;
  }

  void attach() {
    attached_ = std::make_unique<Attached>(feed_, [this](Channel channel, std::span<const std::byte> packet) {
      senders_[static_cast<std::size_t>(channel)]->send(packet);
      if (channel == Channel::Stream)
        sent_ns_ = monotonic_ns();
    });
    ++attaches_;
    down_ = false;
    for (const std::string &name : attached_->publisher.unfit())
      diagnostics_.report(Trouble::OutOfRange,
                          {.what = "symbol not published",
                           .where = feed_ + " " + name,
                           .found = "a tick or lot that is no multiple of 1e-8",
                           .expected = "prices and sizes in whole units of 1e-8, as the packets have them"});
  }

  [[nodiscard]] std::uint64_t failed() const { return senders_[0]->failed() + senders_[1]->failed(); }

  void tend(std::uint64_t now) {
    RingPublisher &publisher = attached_->publisher;
    if (const bool alive = attached_->alive(now); alive == down_) {
      down_ = !alive;
      diagnostics_.say(feed_ +
                       (down_ ? ": the feed handler does not run; receivers are told" : " runs again"));
      if (down_)
        publisher.lose_all();
      else
        publisher.load_books();
      publisher.heartbeat(down_);
    }
    if (attached_->closed() && now - tried_ns_ >= kAttachEveryNs) {
      tried_ns_ = now;
      attach_again();
      return;
    }
    if (now - sent_ns_ >= heartbeat_ns_)
      publisher.heartbeat(down_);
    // As many as are due, so that a round is spread over its time; all of a time missed are not made good.
    const std::uint64_t each =
        std::max<std::uint64_t>(1, cycle_ns_ / std::max<std::size_t>(1, publisher.symbols()));
    if (now - snapshot_ns_ >= std::max<std::uint64_t>(each, kLeastStepNs)) {
      const std::uint64_t due = std::min(now - snapshot_ns_, cycle_ns_) / each;
      snapshot_ns_ = now;
      (void)publisher.snapshots(std::clamp<std::size_t>(due, 1, publisher.symbols()));
    }
    if (failed() != failed_told_) {
      failed_told_ = failed();
      const int error =
          senders_[0]->last_error() != 0 ? senders_[0]->last_error() : senders_[1]->last_error();
      diagnostics_.report(Trouble::Socket,
                          {.what = "packets not sent",
                           .where = groups_[0].text() + ", " + groups_[1].text(),
                           .found = std::to_string(failed_told_) + " so far: " + std::strerror(error),
                           .remedy = "a larger --buffer; check the interface"});
    }
  }

  /// The feed handler has made another ring, as it does where its symbols or scales change.
  void attach_again() {
    std::unique_ptr<Attached> old = std::move(attached_);
    try {
      attach();
    } catch (const Error &) {
      // Not there yet.
    }
    if (!attached_) {
      attached_ = std::move(old);
      return;
    }
    add(before_, old->publisher.counts());
    diagnostics_.say(feed_ + ": a new ring, " + std::to_string(attached_->publisher.symbols()) + " symbols");
  }

  static constexpr std::uint64_t kLeastStepNs = 5'000'000;

  std::string feed_;
  Diagnostics &diagnostics_;
  std::array<Group, kChannels> groups_;
  std::uint64_t heartbeat_ns_;
  std::uint64_t cycle_ns_;
  bool spin_;
  std::vector<std::unique_ptr<Sender>> senders_{};
  std::unique_ptr<Attached> attached_{};
  PublishCounts before_{}; ///< of rings that are gone
  std::uint64_t attaches_ = 0;
  bool down_ = false;
  std::uint64_t sent_ns_ = 0;
  std::uint64_t snapshot_ns_ = 0;
  std::uint64_t tried_ns_ = 0;
  std::uint64_t failed_told_ = 0;
};

} // namespace

constexpr CommandSpec kPublishCommand{
    "publish",
    "Sends a feed over UDP multicast: reads its ring as any reader does, so the feed handler is not "
    "touched.\n"
    "The packets are described in native/schema/multicast.md; quietcore-feed run --venue multicast receives\n"
    "them.",
    "",
    "",
    kOptions,
    "exit status: 0 stopped by SIGTERM, SIGINT or --seconds; 2 wrong usage, no such interface, or no ring "
    "of\n"
    "that name"};

ExitCode publish_command(Arguments arguments) {
  const CommandLine line(kPublishCommand, arguments);
  if (line.help()) {
    std::cout << help_text(kPublishCommand);
    return ExitCode::Ok;
  }
  const std::optional<int> cpu = resolve_cpu(CpuWish::parse(line.text("--cpu").value_or("-1"), "--cpu"),
                                             line.text("--plan").value_or("/etc/quietcore/plan.json"));
  const auto seconds = static_cast<std::uint64_t>(line.number("--seconds", 1, 1'000'000'000).value_or(0));
  StopSignal::install();
  Diagnostics diagnostics;
  Publication publication(line, diagnostics);
  if (cpu) {
    if (const std::string warning = pin_this_thread(*cpu); !warning.empty())
      diagnostics.say("warning: " + warning);
  }
  publication.run(seconds == 0 ? 0 : monotonic_ns() + seconds * 1'000'000'000, ServiceNotify());
  publication.show(line.has("--json"));
  return ExitCode::Ok;
}

} // namespace quietcore
