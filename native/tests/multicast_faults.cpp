#include "multicast_faults.hpp"

#include "quietcore/clock.hpp"

#include <algorithm>
#include <bit>
#include <gtest/gtest.h>

namespace quietcore::test {
namespace {

using namespace multicast;

constexpr std::uint64_t kPatience = 3;

std::vector<Instrument> some_instruments(std::uint32_t count) {
  std::vector<Instrument> out;
  for (std::uint32_t i = 0; i < count; ++i)
    out.push_back(
        {"SYM" + std::to_string(i), {i % 2 == 0 ? 1U : 5U, 1}, {1, static_cast<std::uint8_t>(i % 4)}});
  return out;
}

} // namespace

MulticastFaults::MulticastFaults(std::uint32_t symbols, std::uint32_t depth, const Venue &receiving,
                                 FaultRates rates, std::uint64_t seed)
    : random_(seed), depth_(depth), spread_(3 * depth), window_(4 * spread_), rates_(rates),
      instruments_(some_instruments(symbols)),
      source_segment_(std::bit_ceil(std::uint64_t{128} * depth_), depth_, instruments_), markets_(symbols),
      source_reader_(source_segment_.view()), ladders_(symbols), now_(symbols), before_(symbols),
      receiving_(receiving), receiver_segment_(4096, depth_, instruments_),
      receiver_ring_(receiver_segment_.view()),
      receiver_(std::make_unique<FeedCore>(
          receiving, instruments_,
          FeedCore::Options{depth_, std::vector<std::uint32_t>(symbols, kMaxSideLevels), false}, diagnostics_,
          &receiver_ring_)),
      parser_(receiving.make_parser()), receiver_reader_(receiver_segment_.view()),
      order_(kPatience, [this](const ReceivedPacket &packet) {
        received_epoch_ = packet.header.epoch;
        received_next_ = packet.header.sequence + (is_heartbeat(packet.bytes) ? 0 : 1);
        hand_on(packet.bytes);
      }) {
  open_source();
  open_publisher();
}

void MulticastFaults::open_source() {
  source_.reset();
  source_ring_ = std::make_unique<RingWriter>(source_segment_.view());
  source_ = std::make_unique<FeedCore>(
      *source_venue_, instruments_,
      FeedCore::Options{depth_, std::vector<std::uint32_t>(instruments_.size(), window_), false},
      diagnostics_, source_ring_.get());
  source_ring_->publish();
  for (Market &market : markets_)
    market.broken = true;
}

void MulticastFaults::open_publisher() {
  publisher_ = std::make_unique<RingPublisher>(
      source_segment_.view(), ++epoch_,
      [this](Channel channel, std::span<const std::byte> packet) { send(channel, packet); });
}

void MulticastFaults::send(Channel channel, std::span<const std::byte> packet) {
  network_.push_back({channel, {packet.begin(), packet.end()}});
  PacketHeader header;
  ASSERT_EQ(read_header(packet, header), nullptr) << "the publisher's own packet";
  // Of several packets that one take() sends, only the last is known to hold all there was.
  if (channel == Channel::Stream && !is_heartbeat(packet)) {
    last_sent_ = {header.epoch, header.sequence};
    positions_[last_sent_] = before_;
  }
}

void MulticastFaults::take() {
  last_sent_ = {};
  (void)publisher_->take(1'000'000);
  before_ = now_;
  if (last_sent_.first != 0)
    positions_[last_sent_] = now_;
}

void MulticastFaults::change(std::uint32_t symbol, bool whole) {
  Market &market = markets_[symbol];
  raw_bids_.clear();
  raw_asks_.clear();
  const auto middle = static_cast<std::int64_t>(100'000 + random_() % 40);
  const std::uint32_t step = instruments_[symbol].tick.mantissa;
  const auto raw = [&](std::int64_t price, std::int64_t size) {
    return RawLevel{{price * step, instruments_[symbol].tick.exponent},
                    {size, instruments_[symbol].lot.exponent}};
  };
  const auto set = [&](auto &side, auto &out, std::int64_t price) {
    const std::int64_t size = random_() % 3 == 0 ? 0 : static_cast<std::int64_t>(1 + random_() % 1'000'000);
    if (size == 0 && side.erase(price) == 0)
      return;
    if (size != 0)
      side[price] = size;
    out.push_back(raw(price, size));
  };
  const std::size_t levels = random_() % (random_() % 20 == 0 ? std::uint64_t{7} * depth_ : 4);
  for (std::size_t i = 0; i < levels; ++i) {
    if (random_() % 2 == 0)
      set(market.bids, raw_bids_, middle - 1 - static_cast<std::int64_t>(random_() % spread_));
    else
      set(market.asks, raw_asks_, middle + static_cast<std::int64_t>(random_() % spread_));
  }
  // The same message may say two things of one price: the last is what counts, so only that is said.
  const auto clean = [](std::vector<RawLevel> &side) {
    std::vector<RawLevel> out;
    for (auto at = side.rbegin(); at != side.rend(); ++at) {
      if (std::none_of(out.begin(), out.end(),
                       [&](const RawLevel &seen) { return seen.price.digits == at->price.digits; }))
        out.push_back(*at);
    }
    side = out;
  };
  clean(raw_bids_);
  clean(raw_asks_);
  // Crossed by this message: the other side gives way.
  while (!market.bids.empty() && !market.asks.empty() &&
         market.bids.rbegin()->first >= market.asks.begin()->first) {
    const std::int64_t price = market.asks.begin()->first;
    std::erase_if(raw_asks_, [&](const RawLevel &level) { return level.price.digits == price * step; });
    raw_asks_.push_back(raw(price, 0));
    market.asks.erase(market.asks.begin());
  }
  DepthMessage depth;
  if (whole) {
    raw_bids_.clear();
    raw_asks_.clear();
    for (auto at = market.bids.rbegin(); at != market.bids.rend(); ++at)
      raw_bids_.push_back(raw(at->first, at->second));
    for (const auto &[price, size] : market.asks)
      raw_asks_.push_back(raw(price, size));
    market.broken = false;
  }
  depth.symbol = instruments_[symbol].name;
  depth.snapshot = whole;
  depth.window = window_;
  // Unique in the whole run, so that a book can be told by it; a snapshot may leap, a delta follows.
  depth.last_id = whole ? (next_update_ += 1'000'000) : market.update_id + 1;
  market.update_id = depth.last_id;
  depth.sequence = depth.last_id;
  depth.bids = raw_bids_;
  depth.asks = raw_asks_;
  message_.message = depth;
  feed_source();
}

void MulticastFaults::feed_source() {
  Receipt receipt;
  receipt.receive_ns = 1'700'000'000'000'000'000;
  receipt.source = shm::TimeSource::USER;
  receipt.origin = {"market", 1};
  (void)source_->receive(message_, {}, receipt);
  source_ring_->publish();
}

void MulticastFaults::note_truth() {
  for (std::uint32_t symbol = 0; symbol < instruments_.size(); ++symbol) {
    const BookCopy book = source_reader_.book(symbol).value();
    now_[symbol] = {book.entry.state == shm::State::LIVE, book.entry.update_id};
    if (now_[symbol].live)
      ladders_[symbol].try_emplace(book.entry.update_id, book.bids, book.asks);
  }
}

void MulticastFaults::step() {
  const auto symbol =
      static_cast<std::uint32_t>(random_() % 10 < 7 ? random_() % 2 : random_() % markets_.size());
  Market &market = markets_[symbol];
  const std::uint64_t what = random_() % 100;
  if (what < 10) {
    const RawTrade trade{{100'000 * std::int64_t{instruments_[symbol].tick.mantissa}, 1},
                         {5, instruments_[symbol].lot.exponent},
                         ++trades_,
                         0,
                         random_() % 2 == 0};
    message_.message = TradesMessage{instruments_[symbol].name, 0, {&trade, 1}};
    feed_source();
  } else if (what < 15) {
    TickerMessage ticker;
    ticker.symbol = instruments_[symbol].name;
    ticker.has_quote = true;
    ticker.bid = {100 * std::int64_t{instruments_[symbol].tick.mantissa}, 1};
    ticker.bid_size = {1, 0};
    ticker.ask = {101 * std::int64_t{instruments_[symbol].tick.mantissa}, 1};
    ticker.ask_size = {2, 0};
    message_.message = ticker;
    feed_source();
  } else if (!market.broken && dice(rates_.source_gap)) {
    ++faults_.source_gap;
    market.update_id += 5;
    market.broken = true;
    change(symbol, false);
  } else {
    change(symbol, market.broken ? random_() % 4 == 0 : random_() % 200 == 0);
  }
  if (dice(rates_.source_restart)) {
    ++faults_.source_restart;
    open_source();
  }
  note_truth();
}

void MulticastFaults::run(std::size_t messages) {
  for (std::size_t i = 0; i < messages; ++i) {
    step();
    if (dice(rates_.ring_overrun)) {
      ++faults_.ring_overrun;
      const std::uint64_t until = source_ring_->next() + source_segment_.view().header().capacity + 400;
      while (source_ring_->next() < until)
        step();
    }
    if (dice(rates_.publisher_restart)) {
      ++faults_.publisher_restart;
      open_publisher();
    }
    if (random_() % 3 != 0) // several messages in a packet, now and then
      take();
    if (random_() % 4 == 0)
      (void)publisher_->snapshots(1 + random_() % 2);
    if (random_() % 20 == 0)
      publisher_->heartbeat(false);
    while (!network_.empty()) {
      OnTheWay packet = std::move(network_.front());
      network_.pop_front();
      if (dice(rates_.drop)) {
        ++faults_.drop;
        continue;
      }
      if (dice(rates_.foreign)) {
        ++faults_.foreign;
        OnTheWay strange = packet;
        strange.bytes[random_() % 2 == 0 ? 0 : 12] ^= std::byte{0x55};
        arrive(strange);
      }
      if (dice(rates_.cut)) {
        ++faults_.cut;
        packet.bytes.resize(random_() % packet.bytes.size());
      }
      if (dice(rates_.duplicate)) {
        ++faults_.duplicate;
        delayed_.push_back(packet);
      }
      if (dice(rates_.overtake)) {
        ++faults_.overtake;
        delayed_.push_back(std::move(packet));
      } else {
        arrive(packet);
      }
      // Some of those that were overtaken are within what the receiver waits, others are not.
      while (!delayed_.empty() && random_() % 3 == 0) {
        const OnTheWay late = std::move(delayed_.front());
        delayed_.erase(delayed_.begin());
        arrive(late);
      }
    }
  }
}

void MulticastFaults::arrive(const OnTheWay &packet) {
  ++clock_;
  ReceivedPacket received;
  received.receive_ns = 1'700'000'000'000'000'000;
  received.bytes = packet.bytes;
  if (read_header(packet.bytes, received.header) != nullptr) {
    hand_on(packet.bytes);
  } else if (received.header.feed == feed_id("test")) {
    if (packet.channel == Channel::Stream)
      order_.take(received, is_heartbeat(packet.bytes), clock_);
    else
      hand_on(packet.bytes);
  }
  order_.tend(clock_);
  compare();
}

void MulticastFaults::hand_on(std::span<const std::byte> bytes) {
  const Padded padded(std::string(reinterpret_cast<const char *>(bytes.data()), bytes.size()));
  Receipt receipt;
  receipt.receive_ns = 1'700'000'000'000'000'000;
  receipt.source = shm::TimeSource::USER;
  receipt.origin = {"network", 1};
  (void)receiver_->receive(*parser_, padded.view(), receipt);
}

void MulticastFaults::compare() {
  const auto at = positions_.find({received_epoch_, received_next_ - 1});
  for (std::uint32_t symbol = 0; symbol < instruments_.size(); ++symbol) {
    const bool is_live = receiver_->state(symbol) == shm::State::LIVE;
    if (at != positions_.end() && at->second[symbol].live) {
      ++looks;
      live += is_live ? 1U : 0U;
    }
    if (!is_live)
      continue;
    ++compared;
    const BookCopy book = receiver_reader_.book(symbol).value();
    const auto ladder = ladders_[symbol].find(book.entry.venue_sequence);
    const auto same = [](const std::vector<shm::Level> &a, const std::vector<shm::Level> &b) {
      return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const shm::Level &x, const shm::Level &y) {
        return x.price == y.price && x.size == y.size;
      });
    };
    std::string what;
    if (book.entry.state != shm::State::LIVE)
      what = "the table's state is another";
    else if (ladder == ladders_[symbol].end())
      what = "no such book was published";
    else if (!same(ladder->second.first, book.bids) || !same(ladder->second.second, book.asks))
      what = "other levels";
    else if (at != positions_.end() &&
             (at->second[symbol].live ? book.entry.venue_sequence < at->second[symbol].update_id
                                      : book.entry.venue_sequence <= at->second[symbol].update_id))
      what = "older than what had come";
    if (what.empty())
      continue;
    if (wrong++ == 0)
      first_wrong = instruments_[symbol].name + " at update " + std::to_string(book.entry.venue_sequence) +
                    ", packet " + std::to_string(received_next_ - 1) + " of epoch " +
                    std::to_string(received_epoch_) + ": " + what;
  }
}

void MulticastFaults::settle() {
  rates_ = {};
  const FaultCounts counted = faults_;
  for (const OnTheWay &late : std::exchange(delayed_, {}))
    arrive(late);
  for (std::uint32_t symbol = 0; symbol < instruments_.size(); ++symbol)
    change(symbol, true);
  note_truth();
  clock_ += 2 * kPatience;
  for (int round = 0; round < 2; ++round) {
    take();
    publisher_->heartbeat(false);
    (void)publisher_->snapshots(instruments_.size());
    clock_ += 2 * kPatience;
    while (!network_.empty()) {
      arrive(network_.front());
      network_.pop_front();
    }
  }
  faults_ = counted;
}

std::size_t MulticastFaults::unequal() {
  std::size_t count = 0;
  for (std::uint32_t symbol = 0; symbol < instruments_.size(); ++symbol) {
    if (!now_[symbol].live)
      continue;
    const BookCopy book = receiver_reader_.book(symbol).value();
    count +=
        book.entry.state != shm::State::LIVE || book.entry.venue_sequence != now_[symbol].update_id ? 1U : 0U;
  }
  return count;
}

} // namespace quietcore::test
