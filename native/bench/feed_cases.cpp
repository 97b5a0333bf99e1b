#include "cases.hpp"
#include "messages.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/feed_core.hpp"
#include "quietcore/ring_reader.hpp"
#include "quietcore/segment_file.hpp"

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <unistd.h>

namespace quietcore::bench {
namespace {

/// A feed handler's core on a real segment in shared memory, without its network.
class Feed {
public:
  explicit Feed(const Input &input)
      : input_(input), segment_(ProducerSegment::open(spec_of(input), place_)), ring_(segment_.view()),
        core_(*input.venue, input.facts.instruments, {kLadder, input.facts.windows}, diagnostics_, &ring_),
        parser_(input.venue->make_parser()) {
    // Nobody else needs to find it.
    std::filesystem::remove(place_.segment(name()));
    std::filesystem::remove(place_.lock(name()));
  }

  /// What the network side does once a read: the time at which its receive call returned.
  void received() { receive_ns_ = realtime_ns(); }

  void take(const InputMessage &message) {
    Receipt receipt;
    receipt.receive_ns = receive_ns_;
    receipt.source = shm::TimeSource::USER;
    (void)core_.receive(*parser_, message.bytes, receipt);
    core_.publish_cursor(); // as after each read of the live path
  }

  void finish(Outcome &out) {
    const shm::Statistics &statistics = core_.statistics();
    if (statistics.malformed + statistics.out_of_range + statistics.gaps + statistics.crossed != 0)
      throw std::runtime_error("the product did not take the input without trouble");
    const auto book = RingReader(segment_.view()).book(0);
    const unsigned places = input_.facts.instruments[0].tick.exponent;
    out.bid = decimal_text(book.value().bids.at(0).price, places);
    out.ask = decimal_text(book.value().asks.at(0).price, places);
    out.more["ticks"] = static_cast<double>(ring_.next());
  }

private:
  static constexpr std::uint32_t kLadder = 20;

  static std::string name() { return "bench-" + std::to_string(getpid()); }
  static SegmentSpec spec_of(const Input &input) {
    SegmentSpec spec;
    spec.feed = name();
    spec.venue = input.venue->name();
    spec.ladder_depth = kLadder;
    spec.instruments = input.facts.instruments;
    return spec;
  }

  const Input &input_;
  std::int64_t receive_ns_ = 0;
  SegmentPlace place_{};
  ProducerSegment segment_;
  RingWriter ring_;
  Diagnostics diagnostics_{};
  FeedCore core_;
  std::unique_ptr<Parser> parser_;
};

void add_percentiles(Outcome &out, const std::string &kind, std::vector<std::uint64_t> &ns) {
  if (ns.empty())
    return;
  std::sort(ns.begin(), ns.end());
  double sum = 0;
  for (const std::uint64_t value : ns)
    sum += static_cast<double>(value);
  const auto at = [&](double share) {
    return static_cast<double>(ns[static_cast<std::size_t>(share * static_cast<double>(ns.size() - 1))]);
  };
  out.more[kind + "_count"] = static_cast<double>(ns.size());
  out.more[kind + "_mean_ns"] = sum / static_cast<double>(ns.size());
  out.more[kind + "_p50_ns"] = at(0.5);
  out.more[kind + "_p99_ns"] = at(0.99);
  out.more[kind + "_p999_ns"] = at(0.999);
}

/// What a pair of clock reads costs; taken off each sample.
std::uint64_t clock_cost() {
  std::vector<std::uint64_t> costs;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t begin = monotonic_ns();
    costs.push_back(monotonic_ns() - begin);
  }
  std::nth_element(costs.begin(), costs.begin() + 500, costs.end());
  return costs[500];
}

} // namespace

Outcome feed_throughput(const std::string &input, double seconds) {
  const Input &in = load_input(input);
  Feed feed(in);
  Outcome out = run_for(seconds, [&] {
    feed.received();
    for (const InputMessage &message : in.messages)
      feed.take(message);
    return in.messages.size();
  });
  feed.finish(out);
  return out;
}

Outcome feed_latency(const std::string &input, double seconds) {
  const Input &in = load_input(input);
  Feed feed(in);
  std::vector<std::uint64_t> deltas;
  std::vector<std::uint64_t> snapshots;
  deltas.reserve(std::size_t{1} << 22U);
  snapshots.reserve(std::size_t{1} << 20U);
  const std::uint64_t cost = clock_cost();
  Outcome out = run_for(seconds, [&] {
    feed.received();
    for (const InputMessage &message : in.messages) {
      const std::uint64_t begin = monotonic_ns();
      feed.take(message);
      const std::uint64_t took = monotonic_ns() - begin;
      (message.snapshot ? snapshots : deltas).push_back(took > cost ? took - cost : 0);
    }
    return in.messages.size();
  });
  feed.finish(out);
  add_percentiles(out, "delta", deltas);
  add_percentiles(out, "snapshot", snapshots);
  out.more["clock_ns"] = static_cast<double>(cost);
  return out;
}

} // namespace quietcore::bench
