#include "quietcore/feed_core.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/feed_findings.hpp"

#include <utility>

namespace quietcore {
namespace {

/// Deltas kept while a snapshot is on its way; beyond it the oldest go, which a later snapshot makes good.
constexpr std::size_t kMaxHeld = 16384;

} // namespace

FeedCore::Follower::Follower(std::uint32_t window, std::size_t deep_reserve)
    : book(window, window == 0 ? deep_reserve : std::size_t{window} * 2) {}

FeedCore::SymbolBook::SymbolBook(std::uint32_t its_window, std::uint32_t ladder_depth,
                                 const Instrument &instrument)
    : tick(instrument.tick), lot(instrument.lot), window(its_window) {
  bids.reserve(ladder_depth);
  asks.reserve(ladder_depth);
}

FeedCore::FeedCore(const Venue &venue, std::vector<Instrument> instruments, Options options,
                   Diagnostics &diagnostics, RingWriter *ring)
    : rule_(venue.rule()), instruments_(std::move(instruments)), index_(instruments_),
      ladder_depth_(options.ladder_depth), others_expected_(options.others_expected),
      diagnostics_(diagnostics), ring_(ring) {
  options.windows.resize(instruments_.size(), 0);
  books_.reserve(instruments_.size());
  names_.reserve(instruments_.size());
  for (const Instrument &instrument : instruments_)
    names_.push_back(diagnostics_.keep(instrument.name));
  for (std::size_t i = 0; i < instruments_.size(); ++i) {
    books_.emplace_back(options.windows[i], ladder_depth_, instruments_[i]);
    if (ring_ != nullptr && ring_->next() != 0)
      books_.back().announced_tick = ring_->next() - 1; // RESTART, as the writer has it in the table
  }
  open_leg(0);
  changes_.reserve(4 * std::size_t{ladder_depth_}); // every level of both sides gone and replaced
  pending_.reserve(1100);                           // trades; a venue sends at most 1,024 in a message
  scratch_bids_.reserve(4096);
  scratch_asks_.reserve(4096);
  ladder_.resize(ladder_depth_);
  if (ring_ != nullptr)
    statistics_ = ring_->load_statistics();
}

ParseResult FeedCore::receive(Parser &parser, std::string_view bytes, const Receipt &receipt) {
  receipt_ = receipt;
  ++statistics_.messages;
  statistics_.bytes += bytes.size();
  const ParseResult result = parser.parse(bytes.data(), bytes.size(), *this);
  if (result.ok()) {
    if (result.status == ParseStatus::Ignored)
      ++counts_.ignored;
    return result;
  }
  const bool too_large = result.status == ParseStatus::TooLarge;
  ++(too_large ? statistics_.out_of_range : statistics_.malformed);
  diagnostics_.report(receipt.origin, MessageRefused{result.detail, too_large});
  return result;
}

void FeedCore::on_depth(const DepthMessage &message) {
  const std::uint32_t symbol = message.symbol.empty() ? receipt_.symbol_hint : find(message.symbol, receipt_);
  if (symbol == SymbolIndex::kNone) {
    if (message.symbol.empty())
      find("(none given)", receipt_);
    return;
  }
  if (message.window != books_[symbol].window) {
    ++counts_.ignored;
    return;
  }
  take(symbol, message, receipt_);
}

void FeedCore::take(std::uint32_t symbol, const DepthMessage &message, const Receipt &receipt) {
  Follower &book = follower(symbol, receipt);
  ++book.heard;
  switch (rule_.judge(message, book.sync)) {
  case Verdict::Apply:
    apply(symbol, message, receipt, false);
    break;
  case Verdict::Reset:
    ++statistics_.snapshots;
    if (apply(symbol, message, receipt, true))
      take_held(symbol, receipt);
    break;
  case Verdict::Drop:
    ++(message.snapshot ? statistics_.snapshots : statistics_.depth_dropped);
    if (message.snapshot && book.sync.bridged && book.sync.state == shm::State::STALE) {
      // In doubt because nothing came; the venue says that there was nothing.
      book.sync.state = shm::State::LIVE;
      if (is_first(symbol, book, receipt.leg))
        publish_again(symbol, receipt.leg);
    }
    break;
  case Verdict::Hold:
    hold(book, message, receipt);
    set_state(symbol, shm::State::RESYNC, receipt);
    ask_snapshot(symbol, receipt.leg);
    break;
  case Verdict::Stale:
    lose(symbol, receipt);
    hold(book, message, receipt);
    break;
  case Verdict::Keep:
    ++statistics_.snapshots;
    if (book.sync.state == shm::State::STALE)
      lose(symbol, receipt); // in doubt, and rightly: updates went by that never came
    else
      book.ahead.emplace(message, receipt);
    break;
  case Verdict::Gap:
    if (take_ahead(symbol, message, receipt)) {
      take(symbol, message, receipt);
      break;
    }
    ++statistics_.gaps;
    diagnostics_.report(receipt.origin, BookGap{names_[symbol], message.last_id, book.sync.last_id});
    lose(symbol, receipt); // readers first
    if (rule_.holds_deltas())
      hold(book, message, receipt);
    break;
  case Verdict::Doubt:
    if (book.sync.state == shm::State::LIVE) {
      ++counts_.doubts;
      set_state(symbol, shm::State::STALE, receipt);
    }
    break;
  case Verdict::Lose:
    if (book.sync.has_snapshot)
      lose(symbol, receipt);
    break;
  }
}

void FeedCore::take_held(std::uint32_t symbol, const Receipt &receipt) {
  Follower &book = follower(symbol, receipt);
  while (!book.held.empty()) {
    const HeldDepth &held = book.held.front();
    const Verdict verdict = rule_.judge(held.message, book.sync);
    if (verdict == Verdict::Apply) {
      if (!apply(symbol, held.message, held.receipt, false))
        return; // lose() has let the held ones go, or kept them for the next snapshot
    } else if (verdict == Verdict::Drop) {
      ++statistics_.depth_dropped;
    } else {
      if (verdict == Verdict::Gap)
        ++statistics_.gaps;
      lose(symbol, held.receipt);
      return;
    }
    book.held.pop_front();
  }
}

bool FeedCore::take_ahead(std::uint32_t symbol, const DepthMessage &message, const Receipt &receipt) {
  Follower &book = follower(symbol, receipt);
  if (!book.ahead)
    return false;
  const HeldDepth snapshot = std::move(*book.ahead);
  book.ahead.reset();
  const std::uint64_t id = snapshot.message.last_id;
  return id > book.sync.last_id && message.first_id <= id &&
         apply(symbol, snapshot.message, snapshot.receipt, true);
}

FeedCore::HeldDepth::HeldDepth(const DepthMessage &from, const Receipt &with) : message(from), receipt(with) {
  levels.assign(from.bids.begin(), from.bids.end());
  levels.insert(levels.end(), from.asks.begin(), from.asks.end());
  message.symbol = {};
  message.bids = std::span(levels).first(from.bids.size());
  message.asks = std::span(levels).subspan(from.bids.size());
}

void FeedCore::hold(Follower &book, const DepthMessage &message, const Receipt &receipt) {
  ++counts_.held;
  if (book.held.size() == kMaxHeld)
    book.held.pop_front();
  book.held.emplace_back(message, receipt);
}

bool FeedCore::apply(std::uint32_t symbol, const DepthMessage &message, const Receipt &receipt,
                     bool snapshot) {
  Follower &book = follower(symbol, receipt);
  if (!to_levels(message.bids, symbol, scratch_bids_, receipt) ||
      !to_levels(message.asks, symbol, scratch_asks_, receipt)) {
    lose(symbol, receipt);
    return false;
  }
  SymbolBook &published = books_[symbol];
  bid_log_.ladder_before(published.bids, ladder_depth_);
  ask_log_.ladder_before(published.asks, ladder_depth_);
  const BookChange change = snapshot ? book.book.assign(scratch_bids_, scratch_asks_)
                                     : book.book.apply(scratch_bids_, scratch_asks_, bid_log_, ask_log_);
  counts_.absent_deletes += change.absent;
  counts_.overflow += change.overflow;
  BookSync &sync = book.sync;
  sync.last_id = message.last_id;
  book.sequence = message.sequence;
  book.venue_ns = message.venue_ns;
  book.engine_ns = message.engine_ns;
  if (!snapshot) {
    ++statistics_.depth_applied;
  } else {
    sync.snapshot_id = message.last_id;
    sync.has_snapshot = true;
  }
  sync.bridged = !snapshot;
  sync.state = sync.bridged || rule_.live_at_snapshot() ? shm::State::LIVE : shm::State::RESYNC;
  const bool crossed = book.book.crossed();
  if (crossed) {
    ++statistics_.crossed;
    sync.state = shm::State::RESYNC;
  }
  // Only of this very book, as it was before this message, is what changed all that differs.
  const bool alone = leg_count_ == 1 && published.leg == receipt.leg;
  if (alone || is_first(symbol, book, receipt.leg)) {
    LadderUpdate update;
    if (alone && !book.unpublished)
      update = {change.best_bid_rank, change.best_ask_rank, !snapshot && change.overflow == 0};
    publish_book(symbol, book, receipt, update, snapshot);
  } else {
    book.unpublished = true;
    ++statistics_.duplicates;
  }
  if (crossed) {
    diagnostics_.report(receipt.origin, BookCrossed{names_[symbol], message.last_id});
    lose(symbol, receipt);
  }
  return !crossed;
}

void FeedCore::lose(std::uint32_t symbol, const Receipt &receipt) {
  Follower &book = follower(symbol, receipt);
  book.sync.has_snapshot = false;
  book.sync.bridged = false;
  book.ahead.reset();
  ++statistics_.resyncs;
  set_state(symbol, shm::State::RESYNC, receipt);
  ask_snapshot(symbol, receipt.leg);
}

void FeedCore::ask_snapshot(std::uint32_t symbol, std::uint32_t leg) {
  if (snapshot_needed_)
    snapshot_needed_(symbol, leg);
}

void FeedCore::on_control(const ControlMessage &message) {
  ++counts_.ignored;
  if (control_)
    control_(message);
}

void FeedCore::pause() {
  if (ring_ == nullptr)
    return;
  ring_->publish();
  ring_->heartbeat(monotonic_ns());
  ring_->store_statistics(statistics_);
}

std::uint32_t FeedCore::find(std::string_view name, const Receipt &receipt) {
  const std::uint32_t symbol = index_.find(name);
  if (symbol == SymbolIndex::kNone && others_expected_) {
    ++counts_.ignored;
  } else if (symbol == SymbolIndex::kNone) {
    ++statistics_.unknown_symbol;
    diagnostics_.report(receipt.origin, SymbolUnknown(name, instruments_.size()));
  }
  return symbol;
}

} // namespace quietcore
