#include "commands.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/json_writer.hpp"
#include "quietcore/multicast_socket.hpp"
#include "quietcore/packet_watch.hpp"
#include "quietcore/stop_signal.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <map>

namespace quietcore {
namespace {

using namespace multicast;

constexpr std::array<OptionSpec, 9> kOptions{{
    {"--multicast", "GROUP:PORT", "the packets' group (default 239.255.0.1:9001)"},
    {"--snapshots", "GROUP:PORT", "the snapshots' group, or none (default 239.255.0.2:9002)"},
    {"--interface", "NAME|ADDRESS", "where they come in (default 127.0.0.1)"},
    {"--feed", "NAME", "show this name for its feed, and say so where nothing of it comes; may be left out"},
    {"--buffer", "BYTES", "of each socket, read back (default 8388608)"},
    {"--patience", "MS", "within which a packet that was overtaken still counts as in time (default 20)"},
    {"--interval", "S", "between two tables (default 1)"},
    {"--seconds", "S", "end after so long (default: at SIGINT or SIGTERM)"},
    {"--json", "", "one JSON object a line: each interval, and with \"final\": true at the end"},
}};

struct Rate {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

class Monitor {
public:
  explicit Monitor(const CommandLine &line)
      : watch_(static_cast<std::uint64_t>(line.number("--patience", 0, 10'000).value_or(20)) * 1'000'000),
        feed_(line.text("--feed").value_or("")), as_json_(line.has("--json")),
        interval_ns_(static_cast<std::uint64_t>(line.number("--interval", 1, 3600).value_or(1)) *
                     1'000'000'000) {
    SocketWish wish;
    wish.interface = line.text("--interface").value_or(wish.interface);
    wish.buffer = static_cast<std::uint32_t>(line.number("--buffer", 4096, 1 << 30).value_or(wish.buffer));
    std::vector<std::pair<std::string, const char *>> groups{
        {line.text("--multicast").value_or(kDefaultGroup), "--multicast"}};
    if (const std::string text = line.text("--snapshots").value_or(kDefaultSnapshots); text != "none")
      groups.emplace_back(text, "--snapshots");
    for (const auto &[text, option] : groups) {
      receivers_.push_back(std::make_unique<Receiver>(Group::parse(text, option), wish));
      both_.push_back(receivers_.back().get());
      if (!receivers_.back()->not_granted().empty())
        std::fprintf(stderr, "quietcore-feed: not granted by the kernel: %s: %s\n", text.c_str(),
                     receivers_.back()->not_granted().c_str());
    }
  }

  void run(std::uint64_t seconds) {
    const std::uint64_t began = monotonic_ns();
    const std::uint64_t end = seconds == 0 ? UINT64_MAX : began + seconds * 1'000'000'000;
    shown_ns_ = began;
    for (std::uint64_t now = began; !StopSignal::requested() && now < end; now = monotonic_ns()) {
      Datagram datagram;
      bool any = false;
      for (Receiver *receiver : both_) {
        for (int turn = 0; turn < 256 && receiver->receive(datagram); ++turn) {
          any = true;
          watch_.take(datagram.bytes, datagram.receive_ns, now);
        }
      }
      watch_.tend(now);
      if (now - shown_ns_ >= interval_ns_) {
        show(now, false);
        shown_ns_ = now;
      }
      if (!any)
        wait_for_any(both_, static_cast<std::int64_t>(std::min(
                                {shown_ns_ + interval_ns_ - now, end - now, std::uint64_t{5'000'000}})));
    }
    watch_.finish();
    shown_ns_ = began;
    before_.clear();
    show(monotonic_ns(), true);
  }

  [[nodiscard]] ExitCode verdict() const {
    const bool named = feed_.empty() || watch_.channels().contains({feed_id(feed_), Channel::Stream});
    if (watch_.channels().empty() || !named)
      return ExitCode::Unknown;
    return watch_.any_loss() || kernel_drops() != 0 ? ExitCode::Found : ExitCode::Ok;
  }

private:
  [[nodiscard]] std::uint64_t kernel_drops() const {
    std::uint64_t drops = 0;
    for (const auto &receiver : receivers_)
      drops += receiver->kernel_drops();
    return drops;
  }
  [[nodiscard]] std::string name(std::uint32_t feed) const {
    if (!feed_.empty() && feed == feed_id(feed_))
      return feed_;
    std::array<char, 12> text{};
    std::snprintf(text.data(), text.size(), "%08x", feed);
    return text.data();
  }

  void show(std::uint64_t now, bool last) {
    for (const auto &receiver : receivers_)
      receiver->look();
    const double seconds = std::max(1e-9, static_cast<double>(now - shown_ns_) / 1e9);
    if (as_json_)
      show_json(seconds, last);
    else
      show_table(seconds, last);
    for (const auto &[key, channel] : watch_.channels())
      before_[key] = {channel->order.counts().delivered, channel->bytes};
  }

  [[nodiscard]] Rate since(const PacketWatch::Key &key, const ChannelWatch &channel) const {
    const auto at = before_.find(key);
    const Rate from = at == before_.end() ? Rate{} : at->second;
    return {channel.order.counts().delivered - from.packets, channel.bytes - from.bytes};
  }

  void show_json(double seconds, bool last) const {
    const auto per_second = [&](std::uint64_t count) {
      return static_cast<std::uint64_t>(static_cast<double>(count) / seconds + 0.5);
    };
    JsonWriter json;
    json.open().member("final", last).member("kernel_drops", kernel_drops());
    std::uint64_t errors = 0;
    for (const auto &receiver : receivers_)
      errors += receiver->failed();
    json.member("receive_errors", errors).member("receive_buffer", receivers_[0]->buffer());
    json.member("foreign", watch_.foreign()).member("beyond", watch_.beyond());
    json.key("channels").open('[');
    for (const auto &[key, channel] : watch_.channels()) {
      const OrderCounts &counts = channel->order.counts();
      const Rate rate = since(key, *channel);
      json.open().member("feed", name(key.first));
      json.member("channel", key.second == Channel::Stream ? "stream" : "snapshots");
      json.member("epoch", channel->order.epoch()).member("packets", counts.delivered);
      json.member("messages", channel->messages).member("bytes", channel->bytes);
      json.member("packets_per_second", per_second(rate.packets));
      json.member("bytes_per_second", per_second(rate.bytes));
      json.member("lost", counts.lost).member("gaps", counts.gaps).member("overtaken", counts.overtaken);
      json.member("duplicates", counts.duplicates).member("late", counts.late).member("old", counts.old);
      json.member("heartbeats", counts.heartbeats).member("restarts", counts.restarts);
      json.member("malformed", channel->malformed).member("ahead_of_clock", channel->ahead);
      json.member("latency_p50_ns", channel->latency.quantile(0.5));
      json.member("latency_p99_ns", channel->latency.quantile(0.99));
      json.member("latency_max_ns", channel->latency.largest()).close();
    }
    std::cout << json.close(']').close().text() << std::endl;
  }

  void show_table(double seconds, bool last) const {
    std::printf("%-16s %-9s %10s %10s %8s %8s %6s %6s %6s %9s %9s %9s\n", last ? "in all" : "feed", "channel",
                "packets", "packets/s", "lost", "gaps", "twice", "late", "bad", "p50 us", "p99 us", "max us");
    const auto micros = [](std::uint64_t ns) { return static_cast<double>(ns) / 1000.0; };
    for (const auto &[key, channel] : watch_.channels()) {
      const OrderCounts &counts = channel->order.counts();
      std::printf("%-16s %-9s %10llu %10.0f %8llu %8llu %6llu %6llu %6llu %9.1f %9.1f %9.1f\n",
                  name(key.first).c_str(), key.second == Channel::Stream ? "stream" : "snapshots",
                  static_cast<unsigned long long>(counts.delivered),
                  static_cast<double>(since(key, *channel).packets) / seconds,
                  static_cast<unsigned long long>(counts.lost), static_cast<unsigned long long>(counts.gaps),
                  static_cast<unsigned long long>(counts.duplicates),
                  static_cast<unsigned long long>(counts.late),
                  static_cast<unsigned long long>(channel->malformed), micros(channel->latency.quantile(0.5)),
                  micros(channel->latency.quantile(0.99)), micros(channel->latency.largest()));
    }
    std::printf("%llu dropped by the kernel, %llu packets of something else%s\n",
                static_cast<unsigned long long>(kernel_drops()),
                static_cast<unsigned long long>(watch_.foreign() + watch_.beyond()),
                watch_.channels().empty() ? "; nothing of any feed came" : "");
    std::fflush(stdout);
  }

  PacketWatch watch_;
  std::string feed_;
  bool as_json_;
  std::uint64_t interval_ns_;
  std::uint64_t shown_ns_ = 0;
  std::vector<std::unique_ptr<Receiver>> receivers_{};
  std::vector<Receiver *> both_{};
  std::map<PacketWatch::Key, Rate> before_{};
};

} // namespace

constexpr CommandSpec kMonitorCommand{
    "monitor",
    "Watches multicast groups for loss: for each feed and channel that comes, packets, what is missing, "
    "twice\n"
    "or late, the rate, and the time from sending to receipt (of one host, or of hosts whose clocks agree);\n"
    "apart from that, what the kernel dropped here for want of room.",
    "",
    "",
    kOptions,
    "exit status: 0 nothing was lost; 1 something was, here or on the way; 2 wrong usage; 3 nothing came"};

ExitCode monitor_command(Arguments arguments) {
  const CommandLine line(kMonitorCommand, arguments);
  if (line.help()) {
    std::cout << help_text(kMonitorCommand);
    return ExitCode::Ok;
  }
  StopSignal::install();
  Monitor monitor(line);
  monitor.run(static_cast<std::uint64_t>(line.number("--seconds", 1, 1'000'000'000).value_or(0)));
  return monitor.verdict();
}

} // namespace quietcore
