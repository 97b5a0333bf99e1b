#include "quietcore/multicast_feed.hpp"

#include "control_server.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/control_request.hpp"
#include "quietcore/json_writer.hpp"
#include "quietcore/memory_lock.hpp"
#include "quietcore/multicast_packet.hpp"
#include "quietcore/multicast_socket.hpp"
#include "quietcore/packet_directory.hpp"
#include "quietcore/packet_order.hpp"
#include "quietcore/pcap.hpp"
#include "quietcore/readiness.hpp"
#include "quietcore/stop_signal.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>

namespace quietcore {
namespace {

using namespace multicast;

constexpr std::uint64_t kTendEveryNs = 20'000'000;
/// For books that had not come when the feed was ready.
constexpr std::uint64_t kLookAgainNs = 1'000'000'000;
constexpr std::int64_t kDirectoryWithinNs = 10'000'000'000;
constexpr std::uint64_t kSteadyAfterNs = 2'000'000'000;
/// Datagrams taken from a socket before the other has its turn.
constexpr int kTurn = 64;

std::uint64_t nanoseconds(std::chrono::nanoseconds time) { return static_cast<std::uint64_t>(time.count()); }

SocketWish wish_of(const MulticastConfig &config) {
  SocketWish wish;
  wish.interface = config.interface;
  wish.buffer = config.receive_buffer;
  return wish;
}

} // namespace

class MulticastFeed::Implementation final {
public:
  Implementation(const FeedConfig &config, const Venue &venue, FeedCore &core, Diagnostics &diagnostics,
                 const ServiceNotify &notify)
      : config_(config), venue_(venue), core_(core), diagnostics_(diagnostics), notify_(notify),
        source_(feed_id(config.multicast.feed)), parser_(venue.make_parser()),
        stream_(Group::parse(config.multicast.group, "multicast.group"), wish_of(config.multicast)),
        snapshots_(Group::parse(config.multicast.snapshots, "multicast.snapshots"),
                   wish_of(config.multicast)),
        stream_name_(stream_.group().text()), snapshots_name_(snapshots_.group().text()),
        stream_origin_(diagnostics.keep(stream_name_)), snapshots_origin_(diagnostics.keep(snapshots_name_)),
        order_(nanoseconds(config.multicast.patience),
               [this](const ReceivedPacket &packet) { hand_on(packet, stream_origin_); }) {}

  std::function<void()> before_loop = [] {};

  LiveFeed::End run() {
    if (!config_.recorder.folder.empty()) {
      RecorderConfig recording = config_.recorder;
      recording.form = RecorderConfig::Form::Packets;
      recorder_ = std::make_unique<Recorder>(recording, config_.feed,
                                             [this](const std::string &line) { diagnostics_.say(line); });
    }
    if (!config_.control.empty())
      control_ = std::make_unique<ControlServer>(
          loop_, config_.control, config_.group,
          [this](const std::string &request, const ControlServer::Reply &reply) { reply(answer(request)); },
          [this](const Finding &finding) { diagnostics_.report(Trouble::Socket, finding); });
    for (const Receiver *receiver : {&stream_, &snapshots_}) {
      if (!receiver->not_granted().empty())
        diagnostics_.report(Trouble::Socket,
                            {.what = "not granted by the kernel",
                             .where = receiver->group().text() + ": " + receiver->not_granted()});
    }
    before_loop();
    heard_ns_ = monotonic_ns();
    const std::array<Receiver *, 2> both{&stream_, &snapshots_};
    while (!StopSignal::requested() && end_ == LiveFeed::End::Stopped) {
      const bool any = take(stream_);
      const bool more = take(snapshots_) || any;
      const std::uint64_t now = monotonic_ns();
      order_.tend(now);
      if (more)
        core_.publish_cursor();
      if (now - tended_ns_ >= kTendEveryNs)
        tend(now);
      else if (!more && config_.wait == Wait::Nap)
        wait_for_any(both, wait_ns(now));
    }
    if (control_)
      control_->stop_accepting();
    loop_.poll();
    control_.reset();
    core_.all_connections_lost();
    count();
    core_.pause();
    return end_;
  }

private:
  [[nodiscard]] std::int64_t wait_ns(std::uint64_t now) const noexcept {
    std::uint64_t until = tended_ns_ + kTendEveryNs;
    if (const std::uint64_t due = order_.due_ns(); due != 0)
      until = std::min(until, due);
    return until > now ? static_cast<std::int64_t>(until - now) : 0;
  }

  /// What there is, up to a turn's worth; true where there was any.
  bool take(Receiver &receiver) {
    Datagram datagram;
    int taken = 0;
    while (taken < kTurn && receiver.receive(datagram)) {
      ++taken;
      take(receiver, datagram);
    }
    return taken != 0;
  }

  void take(const Receiver &receiver, const Datagram &datagram) {
    if (recorder_)
      record(receiver, datagram);
    ReceivedPacket packet;
    packet.bytes = datagram.bytes;
    packet.receive_ns = datagram.receive_ns;
    packet.kernel_time = datagram.kernel_time;
    const bool stream = &receiver == &stream_;
    const char *name = stream ? stream_origin_ : snapshots_origin_;
    const char *problem = read_header(packet.bytes, packet.header);
    if (problem != nullptr || datagram.cut) {
      hand_on(packet, name); // the parser refuses it, and the core counts that
      return;
    }
    if (packet.header.feed != source_ || (packet.header.channel == Channel::Stream) != stream) {
      ++foreign_;
      return;
    }
    if (silent_ && packet.header.epoch < std::max(order_.epoch(), directory_.epoch()))
      begin_anew();
    if (packet.header.epoch > epoch_)
      begin_epoch(packet.header.epoch);
    if (!stream) {
      take_snapshots(packet);
      return;
    }
    const std::uint64_t now = monotonic_ns();
    if (packet.header.epoch == epoch_)
      heard(packet, now);
    const std::uint64_t lost = order_.counts().lost;
    order_.take(packet, is_heartbeat(packet.bytes), now);
    all_live_ = all_live_ && order_.counts().lost == lost;
  }

  void heard(const ReceivedPacket &packet, std::uint64_t now) {
    heard_ns_ = now;
    const bool heartbeat = is_heartbeat(packet.bytes);
    const bool down =
        heartbeat && (packet.bytes[kHeaderSize + 1] & static_cast<std::byte>(kDown)) != std::byte{0};
    if (down != down_) {
      down_ = down;
      diagnostics_.say(std::string("the publisher says that its feed ") +
                       (down ? "does not run; the books are lost until it does" : "runs again"));
    }
    if (std::exchange(silent_, false))
      diagnostics_.say("packets come again over " + stream_name_);
    heard_any_ = true;
  }

  void look_for_readiness(std::uint64_t now) {
    readiness_looked_ns_ = now;
    std::vector<std::string> missing;
    for (std::uint32_t symbol = 0; symbol < core_.instruments().size(); ++symbol) {
      if (core_.state(symbol) != shm::State::LIVE && core_.leg_book(symbol, 0).snapshot_id == 0)
        missing.push_back(core_.instruments()[symbol].name);
    }
    std::string text = std::to_string(core_.instruments().size()) + " symbols of " + config_.multicast.feed +
                       " over " + stream_name_;
    switch (readiness_.look(now, core_.instruments().size(), missing.size())) {
    case Readiness::Step::Nothing:
      break;
    case Readiness::Step::ReadyWithout:
      text += ", without a book yet: " + some_of(missing);
      [[fallthrough]];
    case Readiness::Step::Ready:
      core_.pause();
      notify_.send("READY=1\nSTATUS=following " + text);
      diagnostics_.say("ready: " + text);
      break;
    case Readiness::Step::Complete:
      diagnostics_.say("every book has come");
      break;
    case Readiness::Step::NotYet:
      diagnostics_.say(Finding{.what = "not ready",
                               .where = stream_name_,
                               .found = "packets, and no book of " + some_of(missing),
                               .expected = "a snapshot of each",
                               .remedy = "check that the publisher's feed runs and has its books"}
                           .message());
      notify_.send("STATUS=no book yet of " + some_of(missing));
      break;
    }
  }

  void take_snapshots(const ReceivedPacket &packet) {
    directory_.take(packet.header, packet.bytes);
    if (directory_.complete() && !std::exchange(compared_, true))
      compare_instruments();
    // Nothing to mend: a round for thousands of symbols need not be read. Nor does a snapshot make a book
    // LIVE that no stream keeps so.
    if (all_live_ || silent_ || !heard_any_)
      return;
    hand_on(packet, snapshots_origin_);
  }

  void hand_on(const ReceivedPacket &packet, const char *name) {
    Receipt receipt;
    receipt.receive_ns = packet.receive_ns;
    receipt.source = packet.kernel_time ? shm::TimeSource::KERNEL : shm::TimeSource::USER;
    receipt.origin = {name, 0};
    (void)core_.receive(*parser_, {reinterpret_cast<const char *>(packet.bytes.data()), packet.bytes.size()},
                        receipt);
  }

  void begin_epoch(std::uint64_t epoch) {
    if (epoch_ != 0) {
      diagnostics_.say("the publisher of " + config_.multicast.feed + " began anew");
      ++core_.statistics().reconnects;
    }
    epoch_ = epoch;
    compared_ = false;
    all_live_ = false;
  }

  /// After a silence an epoch may be smaller: the publisher's clock was set back between two starts.
  void begin_anew() {
    core_.all_connections_lost();
    parser_ = venue_.make_parser();
    order_.forget();
    directory_.forget();
    epoch_ = 0;
    all_live_ = false;
    ++core_.statistics().reconnects;
  }

  void compare_instruments() {
    std::unordered_map<std::string, const Instrument *> ours;
    for (const Instrument &instrument : core_.instruments())
      ours.emplace(instrument.name, &instrument);
    const bool every = config_.subscription.symbols.empty() && config_.max_symbols == 0;
    for (const Instrument &listed : directory_.instruments()) {
      const auto at = ours.find(listed.name);
      const bool changed =
          at == ours.end() ? every : at->second->tick != listed.tick || at->second->lot != listed.lot;
      if (!changed)
        continue;
      diagnostics_.say(listed.name + (at == ours.end() ? " is new" : " has another tick or lot") +
                       " with the publisher; the feed begins again");
      end_ = LiveFeed::End::InstrumentsChanged;
      return;
    }
  }

  /// The parser may go on where packets do; books that are LIVE may not be.
  void fall_silent() {
    silent_ = true;
    all_live_ = false;
    for (std::uint32_t symbol = 0; symbol < core_.instruments().size(); ++symbol)
      core_.doubt(symbol, 0);
    diagnostics_.report(
        Trouble::Silence,
        {.what = "no packet of " + config_.multicast.feed,
         .where = stream_name_ + " on " + config_.multicast.interface,
         .found = "silence for " + std::to_string(config_.multicast.silence.count()) + " ms",
         .expected = "a heartbeat at least",
         .remedy = "check that quietcore-feed publish runs, and the way there (quietcore-feed monitor)"});
  }

  void record(const Receiver &receiver, const Datagram &datagram) {
    const std::size_t size =
        pcap::frame({datagram.from, datagram.from_port}, {receiver.group().address, receiver.group().port},
                    datagram.bytes, framed_);
    recorder_->take(0, datagram.receive_ns, {framed_.data(), size});
  }

  std::string answer(const std::string &request) {
    std::string problem;
    try {
      if (ControlRequest::parse(request).kind != ControlRequest::Kind::Status)
        problem = "a feed that comes over multicast knows status alone";
    } catch (const Error &error) {
      problem = error.what();
    }
    if (!problem.empty())
      return JsonWriter().open().member("ok", false).member("problem", problem).close().text();
    std::size_t live = 0;
    for (std::uint32_t symbol = 0; symbol < core_.instruments().size(); ++symbol)
      live += core_.state(symbol) == shm::State::LIVE ? 1U : 0U;
    const OrderCounts &order = order_.counts();
    JsonWriter json;
    json.open().member("ok", true).member("feed", config_.feed).member("venue", venue_.name());
    json.member("symbols", core_.instruments().size()).member("books_live", live);
    json.member("group", stream_name_).member("snapshots", snapshots_name_);
    json.member("interface", config_.multicast.interface).member("source", config_.multicast.feed);
    json.member("epoch", epoch_).member("silent", silent_).member("source_down", down_);
    json.key("statistics").open();
    json.member("messages", core_.statistics().messages).member("packets", order.delivered);
    json.member("packets_lost", order.lost).member("packets_overtaken", order.overtaken);
    json.member("packets_duplicate", order.duplicates).member("packets_late", order.late);
    json.member("packets_old", order.old).member("packets_foreign", foreign_);
    json.member("malformed", core_.statistics().malformed);
    json.member("kernel_drops", stream_.kernel_drops() + snapshots_.kernel_drops());
    json.member("receive_errors", stream_.failed() + snapshots_.failed());
    json.member("receive_buffer", stream_.buffer());
    json.member("gaps", core_.statistics().gaps).member("resyncs", core_.statistics().resyncs);
    json.member("log_dropped", diagnostics_.dropped());
    json.member("doubts", core_.counts().doubts).member("restarts", core_.statistics().reconnects);
    return json.close().close().text();
  }

  void count() {
    shm::Statistics &counts = core_.statistics();
    counts.packets_lost += order_.counts().lost - std::exchange(lost_, order_.counts().lost);
    stream_.look();
    snapshots_.look();
    const std::uint64_t drops = stream_.kernel_drops() + snapshots_.kernel_drops();
    if (drops != drops_)
      diagnostics_.report(
          Trouble::Socket,
          {.what = "packets dropped by the kernel",
           .where = stream_name_ + ", " + snapshots_name_,
           .found = std::to_string(drops) + " so far",
           .remedy = "a larger multicast.receive_buffer, a core of its own, wait = \"spin\""});
    counts.kernel_drops += drops - std::exchange(drops_, drops);
    if (!recorder_)
      return;
    counts.recorded += recorder_->taken() - std::exchange(recorded_, recorder_->taken());
    counts.record_dropped += recorder_->dropped() - std::exchange(record_dropped_, recorder_->dropped());
  }

  void tend(std::uint64_t now) {
    tended_ns_ = now;
    count();
    core_.pause();
    if (control_)
      loop_.poll();
    if (notify_.watchdog_ns() != 0 && now - watchdog_ns_ >= notify_.watchdog_ns()) {
      watchdog_ns_ = now;
      notify_.send("WATCHDOG=1");
    }
    if (!silent_ && now - heard_ns_ > nanoseconds(config_.multicast.silence))
      fall_silent();
    all_live_ = true;
    for (std::uint32_t symbol = 0; all_live_ && symbol < core_.instruments().size(); ++symbol)
      all_live_ = core_.state(symbol) == shm::State::LIVE;
    if (heard_any_ && !readiness_.complete() &&
        now - readiness_looked_ns_ >= (readiness_.announced() ? kLookAgainNs : 0))
      look_for_readiness(now);
    if (!readiness_.announced() || now - readiness_.announced_ns() < kSteadyAfterNs)
      return;
    const PageFaults faults = PageFaults::of_this_thread();
    if (std::exchange(steady_, true)) {
      core_.statistics().page_faults_minor += faults.minor - steady_faults_.minor;
      core_.statistics().page_faults_major += faults.major - steady_faults_.major;
    }
    steady_faults_ = faults;
  }

  boost::asio::io_context loop_{1}; ///< for the control socket alone
  const FeedConfig &config_;
  const Venue &venue_;
  FeedCore &core_;
  Diagnostics &diagnostics_;
  const ServiceNotify &notify_;
  std::uint32_t source_;
  std::unique_ptr<Parser> parser_;
  Receiver stream_;
  Receiver snapshots_;
  std::string stream_name_;
  std::string snapshots_name_;
  const char *stream_origin_;
  const char *snapshots_origin_;
  PacketOrder order_;
  PacketDirectory directory_{};
  LiveFeed::End end_ = LiveFeed::End::Stopped;
  std::uint64_t epoch_ = 0;
  bool compared_ = false; ///< the directory with what the ring was made for
  bool all_live_ = false; ///< as of the last look
  bool silent_ = false;
  bool down_ = false;
  bool heard_any_ = false; ///< a packet of the stream has come
  Readiness readiness_{};
  std::uint64_t readiness_looked_ns_ = 0;
  bool steady_ = false;
  std::uint64_t heard_ns_ = 0;
  std::uint64_t tended_ns_ = 0;
  std::uint64_t watchdog_ns_ = 0;
  PageFaults steady_faults_{};
  std::uint64_t foreign_ = 0; ///< packets of other feeds
  std::uint64_t lost_ = 0;    ///< already in the statistics
  std::uint64_t drops_ = 0;
  std::uint64_t recorded_ = 0;
  std::uint64_t record_dropped_ = 0;
  std::array<char, pcap::kFrameHead + kLargestRead> framed_{};
  std::unique_ptr<Recorder> recorder_{};
  std::unique_ptr<ControlServer> control_{};
};

MulticastFeed::MulticastFeed(const FeedConfig &config, const Venue &venue, FeedCore &core,
                             Diagnostics &diagnostics, const ServiceNotify &notify)
    : implementation_(std::make_unique<Implementation>(config, venue, core, diagnostics, notify)) {}

MulticastFeed::~MulticastFeed() = default;

void MulticastFeed::before_loop(std::function<void()> call) {
  implementation_->before_loop = std::move(call);
}

LiveFeed::End MulticastFeed::run() { return implementation_->run(); }

std::vector<Instrument> await_multicast_instruments(const FeedConfig &config) {
  Receiver receiver(Group::parse(config.multicast.snapshots, "multicast.snapshots"),
                    wish_of(config.multicast));
  Receiver *const one = &receiver;
  PacketDirectory directory;
  std::uint64_t packets = 0;
  const std::uint64_t source = feed_id(config.multicast.feed);
  const auto until = static_cast<std::int64_t>(monotonic_ns()) + kDirectoryWithinNs;
  while (!directory.complete()) {
    Datagram datagram;
    PacketHeader header;
    while (receiver.receive(datagram)) {
      if (read_header(datagram.bytes, header) != nullptr || header.channel != Channel::Snapshots)
        continue;
      ++packets;
      if (header.feed == source)
        directory.take(header, datagram.bytes);
    }
    if (StopSignal::requested())
      throw Error({.what = "stopped before it began"}, ExitCode::Ok);
    const std::int64_t left = until - static_cast<std::int64_t>(monotonic_ns());
    if (left <= 0)
      throw Error({.what = "the feed's symbols did not come",
                   .where = receiver.group().text() + " on " + config.multicast.interface,
                   .found = std::to_string(directory.known()) + " of " + std::to_string(directory.size()) +
                            " symbols of " + config.multicast.feed + ", in " + std::to_string(packets) +
                            " packets of any feed",
                   .expected = "all of them within 10 s",
                   .remedy = "check that quietcore-feed publish --feed " + config.multicast.feed +
                             " runs with these groups and reaches this interface"},
                  ExitCode::Unknown);
    wait_for_any({&one, 1}, std::min<std::int64_t>(left, 100'000'000));
  }
  return directory.instruments();
}

} // namespace quietcore
