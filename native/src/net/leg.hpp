#pragma once

#include "connection.hpp"
#include "symbol_link.hpp"

#include "quietcore/feed_core.hpp"
#include "quietcore/snapshot_fetcher.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace quietcore {

/// What a leg has of its feed.
struct LegContext {
  ConnectionContext connections;
  const FeedConfig &config;
  const Subscription &subscription;
  FeedCore &core;
  Parser &parser;
  Recorder *recorder;       ///< nullptr where nothing is recorded
  SnapshotFetcher *fetcher; ///< nullptr where the stream itself sends snapshots
  std::mt19937_64 &random;
};

/// How a leg does, for the control socket.
struct LegState {
  std::string websocket;
  std::size_t connections = 0;
  std::size_t ready = 0;
  std::size_t books_live = 0;
  std::string last_trouble;
};

/// All connections to one endpoint, and the books that come over them: snapshots, resynchronisation of single
/// books, and the watch for streams that fell silent.
class Leg final : public ConnectionOwner, public std::enable_shared_from_this<Leg> {
public:
  Leg(LegContext context, std::uint32_t index, Endpoint endpoint);

  /// Throws Error where it cannot even begin.
  void open();
  void close();

  [[nodiscard]] const Endpoint &endpoint() const noexcept { return endpoint_; }
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] bool ready() const noexcept;
  /// Whether the book of a symbol has come: LIVE, or a snapshot that waits for the first delta.
  [[nodiscard]] bool has_book(std::uint32_t symbol) const noexcept;
  [[nodiscard]] LegState state() const;
  /// Control messages belong to the connection whose message is being parsed.
  [[nodiscard]] bool speaking() const noexcept { return speaking_ != nullptr; }
  void on_control(const ControlMessage &message) { speaking_->on_control(message); }

  /// The core wants a snapshot: ask, unless one is on its way, and not more often than the back-off allows.
  void snapshot_needed(std::uint32_t symbol);
  void take_snapshot(SnapshotFetcher::Answer &answer);
  /// The venue lists the symbol no more, or again.
  void set_listed(std::uint32_t symbol, bool listed);
  /// Looks after books that wait or are silent. A few times a second.
  void sweep(std::uint64_t now_ns);

  void connection_ready(Connection &connection) override;
  void connection_lost(Connection &connection) override;
  void connection_message(Connection &connection, std::string_view bytes, const ReceiveTime &time) override;
  void topic_refused(Connection &connection, const std::string &topic) override;

private:
  void ask_snapshot(std::uint32_t symbol, std::chrono::milliseconds wait);
  void ask_now(std::uint32_t symbol);
  void doubt(std::uint32_t symbol, std::uint64_t now_ns);
  void settle_doubt(std::uint32_t symbol);
  void restart_where_all_are_silent(std::uint64_t now_ns);

  LegContext context_;
  std::uint32_t index_;
  Endpoint endpoint_;
  Url rest_;
  std::vector<SymbolLink> links_; ///< by symbol
  std::vector<std::unique_ptr<Connection>> connections_;
  Connection *speaking_ = nullptr; ///< whose message the core is working on
  std::uint64_t swept_ns_ = 0;
};

} // namespace quietcore
