// Several connections to the same streams: whose book is published, and what becomes of it when a leg ends.
#include "quietcore/clock.hpp"
#include "quietcore/feed_core.hpp"

#include <algorithm>
#include <utility>

namespace quietcore {
namespace {

/// Levels a side held without allocating, for books without a window: one has reached 5,170 in a recording.
/// With many symbols most of them are shallow, and memory for all of them to be deep at once would be a
/// gigabyte.
constexpr std::size_t kDeepReserve = 16'384;
constexpr std::size_t kLeastReserve = 1'024;
constexpr std::size_t kDeepLevels = std::size_t{1} << 20U; ///< of all symbols together

Receipt now_on(std::uint32_t leg) noexcept {
  Receipt receipt;
  receipt.receive_ns = realtime_ns();
  receipt.leg = leg;
  return receipt;
}

} // namespace

void FeedCore::open_leg(std::uint32_t leg) {
  std::vector<Follower> &followers = legs_[leg];
  if (!followers.empty())
    return;
  followers.reserve(books_.size());
  const std::size_t deep_reserve =
      std::clamp(kDeepLevels / std::max<std::size_t>(1, books_.size()), kLeastReserve, kDeepReserve);
  for (const SymbolBook &book : books_)
    followers.emplace_back(book.window, deep_reserve);
  leg_count_ = 0;
  for (const std::vector<Follower> &other : legs_)
    leg_count_ += other.empty() ? 0U : 1U;
  if (leg_count_ > 1) {
    for (SymbolBook &book : books_)
      book.trades.prepare();
  }
}

void FeedCore::close_leg(std::uint32_t leg) {
  if (legs_[leg].empty())
    return;
  for (std::uint32_t symbol = 0; symbol < books_.size(); ++symbol)
    connection_lost(symbol, leg);
  if (leg_count_ == 1)
    return; // books need a place to stand
  legs_[leg].clear();
  legs_[leg].shrink_to_fit();
  --leg_count_;
  leg_closed_ = true;
}

LegBook FeedCore::leg_book(std::uint32_t symbol, std::uint32_t leg) const noexcept {
  if (legs_[leg].empty())
    return {};
  const Follower &book = legs_[leg][symbol];
  return {book.sync.state, book.sync.last_id, book.sync.snapshot_id, book.heard};
}

std::uint32_t FeedCore::live_leg(std::uint32_t symbol) const noexcept {
  for (std::uint32_t leg = 0; leg < kMaxLegs; ++leg) {
    if (!legs_[leg].empty() && legs_[leg][symbol].sync.state == shm::State::LIVE)
      return leg;
  }
  return kMaxLegs;
}

bool FeedCore::is_first(std::uint32_t symbol, const Follower &follower, std::uint32_t leg) const noexcept {
  const SymbolBook &published = books_[symbol];
  if (follower.sync.state != shm::State::LIVE)
    return live_leg(symbol) == kMaxLegs;
  if (published.state != shm::State::LIVE)
    return true;
  // Numbers that begin anew: the venue's service restarted, and the leg that is published says so.
  if (published.leg == leg && follower.sync.snapshot_id == follower.sync.last_id)
    return true;
  // Ids of one update are the same on every host where the venue numbers its engine's updates; where it
  // numbers a connection's messages there is a sequence beside them that is.
  return follower.sequence != 0 ? follower.sequence > published.sequence
                                : follower.sync.last_id > published.last_id;
}

void FeedCore::set_state(std::uint32_t symbol, shm::State state, const Receipt &receipt) {
  legs_[receipt.leg][symbol].sync.state = state;
  if (state != shm::State::LIVE && leg_count_ > 1 && live_leg(symbol) != kMaxLegs)
    return; // another leg has it: what is published stays right, and goes on from there
  SymbolBook &book = books_[symbol];
  const shm::State before = std::exchange(book.state, state);
  if (before == state)
    return;
  // Only the end of LIVE is announced: the other states differ in nothing that a reader may do.
  const bool announce = before == shm::State::LIVE;
  if (announce && ring_ != nullptr)
    book.announced_tick = ring_->next();
  if (ring_ != nullptr)
    ring_->write_state(symbol, state, book.announced_tick);
  if (!announce)
    return;
  stamp_publish(receipt.receive_ns);
  Tick tick = tick_like(symbol, receipt, receipt.receive_ns);
  const OrderBook &levels = legs_[receipt.leg][symbol].book;
  tick.kind = shm::Kind::BOOK;
  tick.a = static_cast<std::int64_t>(book.last_id);
  tick.b = static_cast<std::int64_t>(book.sequence);
  tick.c = static_cast<std::int64_t>(levels.bids().size() << 32U | levels.asks().size());
  tick.d = static_cast<std::int64_t>(state);
  ++ticks_.book;
  ++statistics_.ticks;
  emit(tick, 0);
}

void FeedCore::publish_again(std::uint32_t symbol, std::uint32_t leg) {
  publish_book(symbol, legs_[leg][symbol], now_on(leg), {}, false);
}

void FeedCore::prefer_live_books() {
  if (leg_count_ == 1 && !leg_closed_)
    return;
  leg_closed_ = false;
  for (std::uint32_t symbol = 0; symbol < books_.size(); ++symbol) {
    SymbolBook &book = books_[symbol];
    const std::vector<Follower> &owner = legs_[book.leg];
    const bool owned = !owner.empty() && owner[symbol].sync.state == shm::State::LIVE;
    const bool quiet = std::exchange(book.messages_before, book.messages) == book.messages;
    if (owned || book.state != shm::State::LIVE)
      continue;
    const std::uint32_t other = live_leg(symbol);
    if (other == kMaxLegs)
      continue;
    if (quiet)
      publish_again(symbol, other);
    else
      leg_closed_ = true; // look again
  }
}

void FeedCore::connection_lost(std::uint32_t symbol, std::uint32_t leg) {
  Follower &book = legs_[leg][symbol];
  book.held.clear();
  book.ahead.reset();
  book.sync.has_snapshot = false;
  book.sync.bridged = false;
  if (book.sync.state != shm::State::EMPTY)
    set_state(symbol, shm::State::STALE, now_on(leg));
}

void FeedCore::all_connections_lost() {
  for (std::uint32_t leg = 0; leg < kMaxLegs; ++leg) {
    for (std::uint32_t symbol = 0; symbol < legs_[leg].size(); ++symbol)
      connection_lost(symbol, leg);
  }
}

void FeedCore::doubt(std::uint32_t symbol, std::uint32_t leg) {
  if (legs_[leg][symbol].sync.state != shm::State::LIVE)
    return;
  ++statistics_.silences;
  set_state(symbol, shm::State::STALE, now_on(leg));
}

} // namespace quietcore
